// The page side of lab/samples/browser.py: shows what Python sends and sends one small message per click or key.
// Every text reaches the page through textContent, .value or a text node, so none of it can become markup.
//
// In this order: elements, the talk with Python, the shelf of questions, one function per part of the page, and
// `render`, which puts them together. A part is {element, show}: `show` gets plain data and changes that element only.

const MARK = { right: "✓", wrong: "✗", unknown: "·" };
const WORD = { right: "✓ right", wrong: "✗ wrong", unknown: "not scored" };
const SIDES = ["a", "b"];
const PLACES_OF_A_SIDE = ["arm", "step", "run"];
const QUESTION_TAGS = ["success", "failure", "enrichment"]; // those with a key of their own
const ANSWER_TAGS = ["good", "bad", "odd"];
const PAUSE = 300; // ms without a key or click before another step is read
const NEAR = 8; // questions on either side that the page asks for before they are looked at: a key held down runs ahead
const AT_ONCE = 4; // of them in one message, so that the kernel is soon free for the reader again
const KEPT = 50; // places beyond which it lets them go
const WIDE = 6; // columns beyond which the names above them stand upright
const SHORT = 8; // characters of an extracted answer that fit into a cell

// ---- elements

function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) give(element, name, value);
  add(element, children);
  return element;
}

function give(element, name, value) {
  if (value === undefined || value === null) return;
  const attributes = { on: listen, aria: describe };
  if (Object.hasOwn(attributes, name)) attributes[name](element, value);
  else element[name] = value; // className, title, value, type, placeholder: properties, never markup
}

function listen(element, listeners) {
  for (const [event, listener] of Object.entries(listeners)) element.addEventListener(event, listener);
}

function describe(element, states) {
  for (const [key, state] of Object.entries(states)) element.setAttribute("aria-" + key, String(state));
}

// Strings become text nodes.
function add(element, children) {
  for (const child of children.flat()) if (child !== null && child !== undefined) element.append(child);
}

function fill(element, ...children) {
  element.replaceChildren();
  add(element, children);
}

// Calls `show` only with another value than last time: what a reader has unfolded, scrolled or selected stays.
function whenChanged(show) {
  let last;
  return (value) => {
    const now = JSON.stringify(value);
    if (now === last) return;
    last = now;
    show(value);
  };
}

// A menu whose options are made anew only when they change: there may be thousands of steps.
function menu(props) {
  const element = h("select", props);
  const offer = whenChanged(({ values, names }) => fill(element, values.map((value, place) => {
    const option = h("option", {}, names[place]);
    option.value = value;
    return option;
  })));
  const show = (values, chosen, names = values) => {
    offer({ values, names });
    if (chosen !== null) element.value = chosen;
  };
  return { element, show };
}

// ---- the talk with Python: messages have numbers, and `done` is the number of the last one that was answered

const KEEPS_ORDER = ["move", "go", "near", "tag", "note", "more", "prefix", "export"]; // the places stay as they are
const UNASKED = ["near", "more"]; // the page's own, no reader waits for them

function conversation(model, root) {
  let number = model.get("done");
  let reordered = number; // the last message after which other questions may be listed
  let time = -Infinity; // when the reader last asked for something
  const tell = () => {
    root.dataset.asked = String(number);
    root.dataset.done = String(model.get("done"));
  };
  return {
    send(action, given = {}, besides = {}) {
      number += 1;
      if (!KEEPS_ORDER.includes(action)) reordered = number;
      if (!UNASKED.includes(action)) time = performance.now();
      tell();
      model.send({ do: action, with: given, number, ...besides });
    },
    heard() {
      number = Math.max(number, model.get("done")); // another view of this browser may have asked
      tell();
    },
    waiting: () => number > model.get("done"),
    ordered: () => model.get("done") >= reordered,
    pause: () => PAUSE - (performance.now() - time),
  };
}

// ---- the shelf: questions by their place in the selection, those around the one on the screen. A move is painted
// from it, however long the kernel takes to answer.

function shelf() {
  const held = new Map(), asked = new Set(); // place -> {question, version}
  let order = null, version = null;
  const around = (place, total) => {
    const steps = Array.from({ length: NEAR }, (_, by) => [by + 1, -by - 1]);
    return [0, ...steps.flat()].map((by) => place + by).filter((at) => at >= 0 && at < total);
  };
  const old = (at) => held.has(at) && held.get(at).version !== version;
  const ask = (places) => {
    const next = places.filter((at) => !asked.has(at)).slice(0, AT_ONCE);
    next.forEach((at) => asked.add(at));
    return next;
  };
  return {
    // Another order: other questions have these places. Another version: the same ones, something about them is new.
    take(questions, place) {
      if (questions.order !== order) held.clear();
      if (questions.version !== version) asked.clear();
      ({ order, version } = questions);
      for (const at of held.keys()) if (Math.abs(at - place) > KEPT) held.delete(at);
      for (const [at, question] of Object.entries(questions.at)) held.set(Number(at), { question, version });
    },
    get: (place) => held.get(place)?.question,
    missing: (place, total) => ask(around(place, total).filter((at) => !held.has(at) || (at === place && old(at)))),
    outdated: (place, total) => ask(around(place, total).filter(old)),
    askAgain: () => asked.clear(),
  };
}

// ---- the bar: what is compared with what

function sideMenus(say) {
  const element = h("span", { className: "lb-sides" }), menus = {};
  for (const which of SIDES) {
    const words = { arm: which === "a" ? "show" : "against", step: "at", run: "of" };
    const one = h("span", { className: "lb-one" });
    for (const name of PLACES_OF_A_SIDE) {
      const made = sideMenu(say, which, name);
      menus[which + name] = made;
      one.append(h("span", { className: `lb-pair ${name}` }, soft(words[name]), made.element));
    }
    element.append(one);
  }
  const show = ({ runs, steps, arms }, sides) => {
    for (const which of SIDES) {
      menus[which + "run"].show(runs.map((_, place) => String(place)), sides[which].run, runs);
      menus[which + "step"].show(steps[which], sides[which].step);
      menus[which + "arm"].show(arms[which], sides[which].arm);
    }
    for (const part of element.querySelectorAll(".lb-pair.run")) part.hidden = runs.length < 2;
  };
  return { element, show };
}

function sideMenu(say, which, name) {
  const made = menu({ aria: { label: `${name} of side ${which}` }, className: `${which}-${name} lb-${name}` });
  made.element.addEventListener("change", () => {
    say.send("side", { which, [name]: name === "run" ? Number(made.element.value) : made.element.value });
    say.focus();
  });
  return made;
}

function bar(say) {
  const sides = sideMenus(say);
  const blindly = h("span", {}, "Blind: the arms are unnamed and in an order that tells nothing.");
  const clear = say.button("Clear", "clear", {}, { className: "clear" });
  const blind = say.button("Blind", "blind", {}, { className: "blind" });
  const out = say.button("Export", "export", {}, { className: "export" });
  const actions = h("span", { className: "lb-actions" }, clear, blind, out);
  const element = h("div", { className: "lb-bar" }, sides.element, blindly, actions);
  const show = (choices, now) => {
    sides.element.hidden = now.blind;
    blindly.hidden = !now.blind;
    blind.ariaPressed = String(now.blind);
    clear.disabled = !now.exploratory;
    if (!now.blind) sides.show(choices, now.sides);
  };
  return { element, show };
}

// ---- the header: the paired result of the selection

const soft = (text) => h("span", { className: "soft" }, text);
const big = (text) => h("span", { className: "big" }, text);
const figure = (what, ...parts) => h("div", {}, h("span", { className: "what" }, what), parts);

function badge() {
  const title = "A filter is on: these questions were chosen by looking, so p tests nothing.";
  return h("span", { className: "lb-badge", title }, "exploratory");
}

// An interval by its name: the same number may stand elsewhere with one of another kind.
function interval(kind, ends, { about }) {
  const shown = soft(`${kind} ${ends}`);
  shown.title = about;
  return shown;
}

function pairedResult(now) {
  const p = now.p.startsWith("<") ? now.p : `= ${now.p}`;
  return [
    ...now.sides.map(({ name, right, accuracy, ci95 }) =>
      figure(`${name} ${right}/${now.n}`, big(`${accuracy} %`), interval(` ${now.kinds.arm}`, ci95, now.kinds))),
    figure("difference, points", big(now.difference), interval(` ${now.kinds.pair}`, now.difference_ci95, now.kinds)),
    figure(`right in one only: ${now.a} / ${now.b}`, big(`${now.only_a} / ${now.only_b}`)),
    figure("exact McNemar, paired", big(`p ${p}`), now.exploratory ? badge() : null),
    h("div", { className: "chips" },
      `${now.run}: ` + now.arms.map(({ name, right, scored }) => `${name} ${right}/${scored}`).join(" · ")),
  ];
}

function header() {
  const element = h("div", { className: "lb-head" });
  const show = whenChanged((now) => {
    if (now.blind) return fill(element, figure("questions", big(String(now.n))));
    const nothing = soft(`no question of ${now.a} against ${now.b} passes these filters`);
    const count = figure("questions", big(String(now.n)), soft(` of ${now.of}`));
    fill(element, count, now.sides ? pairedResult(now) : nothing);
  });
  return { element, show };
}

// ---- left: flip matrix, filters, search, list

function flipMatrix(say) {
  const element = h("div");
  const show = whenChanged(({ a, b, counts, chosen }) => {
    const cell = (name) => h("td", { className: name }, say.button(String(counts[name]), "choose", { flip: name },
      { aria: { pressed: chosen === name }, title: name.replace("_", " ") }));
    const column = (word) => h("th", { title: a }, `${a} ${word}`);
    const row = (word, ...names) => h("tr", {}, h("th", { title: b }, `${b} ${word}`), names.map(cell));
    fill(element, h("table", { className: "lb-matrix" },
      h("thead", {}, h("tr", {}, h("th"), column("wrong"), column("right"))),
      h("tbody", {}, row("right", "broken", "both_right"), row("wrong", "both_wrong", "fixed"))));
  });
  return { element, show };
}

function filterButtons(say) {
  const element = h("div", { className: "lb-filters" });
  const show = whenChanged((filters) => fill(element, filters.map(({ name, label, about, on, count }) => {
    const title = about ? `${label}: ${about}` : label;
    const made = say.button("", "filter", { name }, { aria: { pressed: on }, className: `filter-${name}`, title });
    made.append(h("span", {}, label), h("span", {}, String(count)));
    return made;
  })));
  return { element, show };
}

function narrowing(say) {
  const search = h("input", { type: "search", placeholder: "search texts  /", className: "search",
    aria: { label: "search texts" } });
  const cell = menu({ aria: { label: "cell" } }), tag = menu({ aria: { label: "tag" } });
  const sorting = menu({ aria: { label: "order" } });
  let typing = null; // one search per pause in typing, not per letter
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => say.send("choose", { words: search.value }), 60);
  });
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") say.focus(); }); // the words stay
  cell.element.addEventListener("change", () => say.send("choose", { cell: cell.element.value }));
  tag.element.addEventListener("change", () => say.send("choose", { tag: tag.element.value }));
  sorting.element.addEventListener("change", () => say.send("sort", { by: sorting.element.value }));
  const show = (now) => {
    if (document.activeElement !== search) search.value = now.words;
    cell.show(["", ...now.cells], now.cell, ["all cells", ...now.cells]);
    tag.show(["", ...now.tags], now.tag, ["any tag", ...now.tags]);
    cell.element.hidden = now.cells.length === 0;
    const sortings = now.sortings ?? {}; // none in blind mode, and where no likelihoods were measured
    sorting.show(Object.keys(sortings), now.sorting ?? "", Object.values(sortings));
    sorting.element.hidden = Object.keys(sortings).length === 0;
  };
  const drop = () => {
    clearTimeout(typing);
    search.value = "";
  };
  const row = (...parts) => h("div", { className: "lb-row" }, parts);
  return { elements: [row(search), row(cell.element, tag.element), row(sorting.element)], search, drop, show };
}

function listItem(say, row, names) {
  const mark = (right, title) => h("span", { className: right ? "right" : "wrong", title }, right ? "✓" : "✗");
  const marks = row.a === undefined ? [] : [mark(row.b, names.b), mark(row.a, names.a)];
  const on = { click: () => { say.go(row.place); say.focus(); } };
  return h("div", { className: "lb-item", on }, marks, h("span", { className: "q" }, row.question),
    h("span", { className: "t" }, row.tags.join(" ")));
}

function questionList(say) {
  const count = h("h4"), element = h("div", { className: "lb-list" });
  let items = new Map(), here = null, legend = "";
  const show = whenChanged(({ rows, names }) => {
    legend = names.a ? ` · right in ${names.b}, ${names.a}` : "";
    items = new Map(rows.map((row) => [row.place, listItem(say, row, names)]));
    fill(element, [...items.values()]);
  });
  const point = (place, total) => {
    count.textContent = total ? `${place + 1} of ${total}${legend}` : "nothing found";
    here?.classList.remove("here");
    here = items.get(place) ?? null;
    here?.classList.add("here");
  };
  const follow = () => {
    if (!here) return;
    const list = element.getBoundingClientRect(), item = here.getBoundingClientRect();
    const seen = item.top >= list.top && item.bottom <= list.bottom;
    if (!seen) element.scrollTop += item.top - list.top - list.height / 2;
  };
  return { elements: [count, element], show, point, follow };
}

// ---- the question on the screen

function questionText() {
  const element = h("div");
  const show = whenChanged(({ id, question, gold, cell, word }) => {
    const about = [cell, word, id].filter(Boolean).join(" · ");
    fill(element, h("div", { className: "lb-about" }, about), h("div", { className: "lb-question" }, question),
      h("div", {}, "Gold answer: ", h("b", {}, gold)));
  });
  return { element, show };
}

// The known tags, then whatever else was given; each button gives or takes away one.
function tagButtons(say, known, tags, besides = {}) {
  const others = tags.filter((name) => !known.includes(name));
  return [...known, ...others].map((name) => {
    const props = { type: "button", aria: { pressed: tags.includes(name) } };
    return h("button", { ...props, on: { click: () => { say.tag({ tag: name, ...besides }); say.focus(); } } }, name);
  });
}

function tagging(say) {
  const given = h("span", { className: "tags" });
  const tag = h("input", { className: "tag", placeholder: "tag  t", aria: { label: "tag" } });
  const note = h("input", { className: "note", placeholder: "note  n", aria: { label: "note" } });
  tag.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !tag.value.trim()) return;
    say.tag({ tag: tag.value });
    tag.value = "";
    say.focus();
  });
  note.addEventListener("change", () => say.note(note.value));
  note.addEventListener("keydown", (event) => { if (event.key === "Enter") say.focus(); });
  const showTags = whenChanged((tags) => fill(given, tagButtons(say, QUESTION_TAGS, tags)));
  const show = (question) => {
    showTags(question.tags);
    if (document.activeElement !== note) note.value = question.note;
  };
  return { element: h("div", { className: "lb-tags" }, given, tag, note), tag, note, show };
}

// ---- the answers, side by side

const marked = (pieces) => h("div", { className: "lb-text" },
  pieces.map(([text, kind]) => h("span", { className: kind }, text)));
const small = (...parts) => h("div", { className: "small" }, parts);

function answerHead({ name, verdict, there, extracted }) {
  return h("header", {}, h("span", { className: "name" }, name),
    verdict ? h("span", { className: verdict }, there ? WORD[verdict] : "no answer") : null,
    extracted ? h("span", { className: "small" }, "extracted ", h("b", {}, extracted)) : null);
}

// What is not recorded is not shown: other tools know nothing of soft tokens.
function tokenCounts({ prompt_tokens: read, soft_tokens: translated, new_tokens: made }) {
  const soft = translated === undefined ? "" : `, ${translated} soft`;
  const reads = read === undefined && !soft ? "" : `reads ${read ?? "?"} tokens of text${soft}`;
  const known = [reads, made === undefined ? "" : `wrote ${made}`].filter(Boolean).join("; ");
  return known ? small(known) : null;
}

// Whose source states a control was given.
function donorLine(say, { id, question }) {
  if (!id) return null;
  const name = question ? say.button(question, "find", { key: id }, { className: "donor", title: question }) : id;
  return small("soft tokens of another question: ", name);
}

function whatItSaw(say, { saw, prefix, context_aware: aware }, place) {
  if (!saw) return [small("what it saw was not recorded")];
  const told = { true: " (question included)", false: " (without the question's text)" }[aware] ?? "";
  const seen = h("details", {}, h("summary", {}, "what it saw" + told), h("div", { className: "lb-text" }, saw));
  return prefix ? [seen, foldedPrefix(say, prefix, place)] : [seen];
}

// The prefix is long and the same for most questions: it is asked for when somebody unfolds it.
function foldedPrefix(say, length, place) {
  const text = h("div", { className: "lb-text" }, "…");
  text.dataset.prefix = String(place);
  const details = h("details", {}, h("summary", {}, `few-shot prefix, ${length} characters`), text);
  details.addEventListener("toggle", () => { if (details.open) say.unfold(place); });
  return details;
}

function oneAnswer(say, answer, place, marks) {
  const named = answer.verdict !== undefined; // in blind mode Python sends no more than the text
  const scorers = named && answer.scorers.length ? small("scorers disagree, " + answer.scorers.join(" · ")) : null;
  const options = named && answer.options.length ? small("chosen by log-likelihood: " + answer.options.join(" · ")) : null;
  const gold = named && answer.gold ? small(answer.gold) : null;
  const facts = named ? [options, gold, tokenCounts(answer.tokens), donorLine(say, answer.donor), scorers] : [];
  return h("div", { className: `lb-answer ${answer.role ?? ""}` }, answerHead(answer), marked(answer.pieces), facts,
    named ? whatItSaw(say, answer, place) : [], marks);
}

function answerColumns(say) {
  const element = h("div", { className: "lb-answers" });
  let marks = [], made = 0;
  const showTexts = whenChanged(({ answers }) => {
    made += 1;
    marks = answers.map(() => h("div", { className: "marks" }));
    fill(element, answers.map((answer, place) => oneAnswer(say, answer, place, marks[place])));
  });
  const showMarks = whenChanged(({ tags }) => tags.forEach((given, place) =>
    fill(marks[place], tagButtons(say, ANSWER_TAGS, given, { answer: place }))));
  // Apart, so that a tag leaves unfolded texts as they are.
  const show = ({ id, answers }) => {
    showTexts({ id, answers: answers.map((answer) => ({ ...answer, tags: null })) });
    showMarks({ made, tags: answers.map(({ tags }) => tags) });
  };
  const showPrefix = ({ answer, text }) => {
    const place = element.querySelector(`[data-prefix="${Number(answer)}"]`);
    if (place) place.textContent = text;
  };
  return { element, show, showPrefix };
}

// ---- below: the question at every step, and who is right where another is wrong

function stepCell(say, step, arm, read) {
  const element = say.button(read ? "–" : "…", "side", { which: "a", step, arm });
  const show = (answer) => {
    const [mark, extracted] = answer ?? [null, ""];
    const fits = extracted && extracted.length <= SHORT && !extracted.startsWith("[");
    element.textContent = mark ? MARK[mark] + (fits ? ` ${extracted}` : "") : read ? "–" : "…";
    element.className = mark ?? "unknown";
    element.title = mark ? `${mark}, extracted ${extracted}` : read ? "not in this step" : "not read yet";
  };
  return { element, show };
}

// A table that scrolls in a box of its own, under its heads.
const boxed = (...table) => h("div", { className: "lb-box" }, table);

// The table is made when the steps or arms change; a move only fills its cells.
function stepTable(say) {
  const element = h("div", { className: "lb-steps" });
  let cells = [];
  const build = whenChanged(({ step: here, arm: own, arms, steps, steps_left_out: left }) => {
    cells = arms.map((arm) => steps.map(({ step, read }) => ({ arm, ...stepCell(say, step, arm, read) })));
    const many = left ? `${steps.length} steps of ${steps.length + left}` : "every step";
    const heads = steps.map(({ step }) => h("th", { className: step === here ? "here" : "" }, step));
    const row = (arm, line) => h("tr", {}, h("th", { className: arm === own ? "here" : "", title: arm }, arm),
      line.map((cell) => h("td", {}, cell.element)));
    const box = boxed(h("table", { className: "lb-grid steps" },
      h("thead", {}, h("tr", {}, h("th"), heads)),
      h("tbody", {}, arms.map((arm, place) => row(arm, cells[place])))));
    fill(element, h("h4", {}, `This question at ${many}`), box);
    const shown = heads.find((head) => head.className === "here");
    if (shown) box.scrollLeft = shown.offsetLeft - box.clientWidth / 2;
  });
  const show = (steps) => cells.forEach((line) => line.forEach((cell, place) => cell.show(steps[place]?.[cell.arm])));
  return { element, build, show };
}

function flipTable(say) {
  const element = h("div", { className: "lb-flips" });
  const cell = (value, row, column, names) => value === null ? "" : say.button(String(value), "flip", { row, column },
    { title: `${names[row]} right, ${names[column]} wrong` });
  const show = whenChanged(({ kind, names, counts, left_out: left, kinds }) => {
    const choice = (name) => say.button(name, "table", { kind: name }, { aria: { pressed: name === kind } });
    const heads = names.map((name) => h("th", { title: name }, h("span", {}, name)));
    const row = (values, i) => h("tr", {}, h("th", { title: names[i] }, names[i]),
      values.map((value, j) => h("td", {}, cell(value, i, j, names))));
    const many = left ? ` ${names.length} of ${names.length + left}` : "";
    const head = h("thead", {}, h("tr", {}, h("th"), heads)), body = h("tbody", {}, counts.map(row));
    fill(element, h("h4", {}, "Row right, column wrong, by ", kinds.map(choice), many),
      boxed(h("table", { className: `lb-grid flips ${names.length > WIDE ? "many" : ""}` }, head, body)));
  });
  return { element, show };
}

// ---- the foot: keys, what the last action did, what could not be read

function foot() {
  const key = (name, what) => h("span", {}, h("kbd", {}, name), " " + what);
  const keys = [key("j ↓ →", "next"), key("k ↑ ←", "previous"), key("s f e", "tag success, failure, enrichment"),
    key("t", "tag"), key("n", "note"), key("/", "search"), key("b", "blind"), key("x", "export"), key("Esc", "clear")];
  const status = h("span", { className: "status" }), notes = h("div");
  const showNotes = whenChanged((lines) => fill(notes, lines.length
    ? h("details", { className: "notices" },
      h("summary", {}, `${lines.length} notes on what is not compared or could not be read`),
      lines.map((line) => h("div", {}, line)))
    : null));
  const show = (said, notices, unread) => {
    status.textContent = said || (unread ? `reading ${unread} more steps` : "");
    showNotes(notices);
  };
  return { element: h("div", { className: "lb-foot" }, keys, status, notes), show };
}

// ---- keys: the browser's own while it has the focus, except in a field; there Escape leaves it

function listenToKeys(root, keys, leave) {
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.matches("input, select, textarea");
    if (field && event.key === "Escape") leave(event.target);
    else if (field || !Object.hasOwn(keys, event.key)) return;
    else keys[event.key]();
    event.preventDefault();
    event.stopPropagation();
  });
}

// ---- all of it

const SHELL = ["choices", "header", "controls", "listing", "across", "status"]; // a move leaves these as they are

function render({ model, el }) {
  const root = h("div", { className: "lab-browser", tabIndex: 0 });
  root.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes j and k for its cells
  const talk = conversation(model, root), questions = shelf();
  let place = model.get("place"); // of the question on the screen; ahead of Python's while a move is unanswered
  let shown = { id: null };
  let changed = true; // the shell, since it was shown
  let alive = true, timer = null;

  const say = {
    send: talk.send,
    focus: () => root.focus({ preventScroll: true }),
    button: (text, action, given, props = {}) => {
      const click = () => { talk.send(action, given); say.focus(); };
      return h("button", { type: "button", ...props, on: { click } }, text);
    },
    go: (to) => look(to, "go", { place: to }),
    move: (by) => look(place + by, "move", { by }),
    tag: (given) => talk.send("tag", given, { on: shown.id }), // Python refuses if it looks at another question
    note: (text) => talk.send("note", { text }, { on: shown.id }),
    unfold: (answer) => talk.send("prefix", { answer }, { lacks: [] }),
  };

  const parts = {
    bar: bar(say), header: header(), matrix: flipMatrix(say), filters: filterButtons(say), narrow: narrowing(say),
    list: questionList(say), question: questionText(), tags: tagging(say), answers: answerColumns(say),
    steps: stepTable(say), flips: flipTable(say), foot: foot(),
  };
  const empty = h("div", { className: "lb-empty", hidden: true }, "No question passes these filters.");
  const lower = h("details", { className: "lb-lower", open: true },
    h("summary", {}, "across steps, arms and runs"),
    h("div", { className: "lb-tables" }, parts.steps.element, parts.flips.element));
  const ofQuestion = [parts.question.element, parts.tags.element, parts.answers.element];
  const sample = h("div", { className: "lb-sample" }, empty, ofQuestion);
  const main = h("div", { className: "lb-main" }, sample, lower);
  const chosen = h("div", { className: "lb-choose" }, parts.matrix.element, parts.filters.element);
  const found = h("div", { className: "lb-find" }, parts.narrow.elements, parts.list.elements);
  const body = h("div", { className: "lb-body" }, h("div", { className: "lb-side" }, chosen, found), main);
  add(root, [parts.bar.element, parts.header.element, body, parts.foot.element]);

  const total = () => model.get("listing").total;

  // A move is shown at once where the question is here, and told to Python, which sends those that are not.
  function look(to, action, given) {
    if (!talk.ordered()) return talk.send(action, given); // another selection is on its way: Python knows what is next
    place = Math.min(Math.max(to, 0), Math.max(total() - 1, 0));
    talk.send(action, given, { lacks: questions.missing(place, total()) });
    showQuestion();
  }

  function showShell() {
    const now = model.get("controls"), listing = model.get("listing"), across = model.get("across");
    parts.bar.show(model.get("choices"), now);
    parts.header.show(model.get("header"));
    parts.narrow.show(now);
    parts.list.show({ rows: listing.rows, names: now.blind ? {} : now.matrix });
    chosen.hidden = now.blind;
    if (!now.blind) showCounts(now, across);
    parts.foot.show(model.get("status"), now.notices ?? [], across.unread ?? 0);
  }

  function showCounts({ matrix, filters }, { flips, step, arm, arms, steps, steps_left_out }) {
    parts.matrix.show(matrix);
    parts.filters.show(filters);
    parts.steps.build({ step, arm, arms, steps, steps_left_out });
    const kinds = model.get("choices").runs.length > 1 ? ["arms", "steps", "runs"] : ["arms", "steps"];
    parts.flips.show({ ...flips, kinds });
  }

  function showQuestion() {
    const question = total() ? questions.get(place) : { id: null };
    if (!question) return; // it comes with the next answer
    const another = question.id !== shown.id;
    shown = question;
    root.dataset.sample = question.id ?? "";
    empty.hidden = question.id !== null;
    for (const part of ofQuestion) part.hidden = question.id === null;
    lower.hidden = question.id === null || question.blind;
    parts.list.point(place, total());
    if (question.id !== null) showParts(question);
    if (another) sample.scrollTop = 0;
    parts.list.follow(); // last: it asks for the layout
  }

  function showParts(question) {
    const { id, question: text, gold, cell, word } = question;
    parts.question.show({ id, question: text, gold, cell, word });
    parts.tags.show(question);
    parts.answers.show(question);
    parts.steps.show(question.steps ?? []);
  }

  // Python has answered: all that changed came in one message.
  function answered() {
    talk.heard();
    questions.take(model.get("questions"), place);
    if (!talk.waiting()) {
      place = model.get("place");
      questions.askAgain(); // what was asked for and is not here, an error has eaten
    }
    if (changed) showShell();
    changed = false;
    showQuestion();
    if (model.get("prefix").id === shown.id) parts.answers.showPrefix(model.get("prefix"));
    requestAnimationFrame(() => setTimeout(whileIdle)); // once this is painted
  }

  // Nothing is asked for: the questions nearby, then one step more, and at the end what these made out of date.
  function whileIdle() {
    clearTimeout(timer);
    if (!alive || talk.waiting()) return;
    if (fetch(questions.missing(place, total()))) return;
    if (model.get("across").unread > 0) readMore();
    else fetch(questions.outdated(place, total()));
  }

  function fetch(lacks) {
    if (lacks.length) talk.send("near", {}, { lacks });
    return lacks.length > 0;
  }

  function readMore() {
    const pause = talk.pause(); // a file takes the kernel longer than a key press may wait
    if (pause > 0) timer = setTimeout(whileIdle, pause);
    else talk.send("more");
  }

  const next = () => say.move(1), previous = () => say.move(-1), clear = () => talk.send("clear");
  listenToKeys(root, {
    j: next, ArrowRight: next, ArrowDown: next, k: previous, ArrowLeft: previous, ArrowUp: previous,
    s: () => say.tag({ tag: "success" }), f: () => say.tag({ tag: "failure" }), e: () => say.tag({ tag: "enrichment" }),
    t: () => parts.tags.tag.focus(), n: () => parts.tags.note.focus(), "/": () => parts.narrow.search.focus(),
    b: () => talk.send("blind"), x: () => talk.send("export"), Escape: clear,
  }, (field) => {
    say.focus();
    if (field !== parts.narrow.search) return;
    parts.narrow.drop(); // of a search one Escape is enough: it leaves the field and clears
    clear();
  });

  const listeners = { "change:done": () => queueMicrotask(answered) }; // after the other parts of the same message
  for (const name of SHELL) listeners[`change:${name}`] = () => { changed = true; };
  for (const [event, listener] of Object.entries(listeners)) model.on(event, listener);
  el.replaceChildren(root); // first: only here the list has a height to scroll in
  answered();
  return () => {
    alive = false;
    clearTimeout(timer);
    for (const [event, listener] of Object.entries(listeners)) model.off(event, listener);
  };
}

export default { render };
