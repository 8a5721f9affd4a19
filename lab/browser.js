// The page side of lab/browser.py: shows what Python sends and sends one small message per click or key.
// Every text reaches the page through textContent, .value or a text node, so none of it can become markup.

const MARK = { right: "✓", wrong: "✗", unknown: "·" };
const WORD = { right: "✓ right", wrong: "✗ wrong", unknown: "not scored" };
const PAUSE = 300; // ms without a key or click before another step is read
const ANSWER_TAGS = ["good", "bad", "odd"];

function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "aria") for (const [key, state] of Object.entries(value)) element.setAttribute("aria-" + key, String(state));
    else element[name] = value; // className, title, value, type, disabled, placeholder: properties, never markup
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) element.append(child); // strings become text nodes
  return element;
}

const made = new WeakMap(); // what a menu's options were made from

function options(select, values, chosen, names = values) {
  const from = JSON.stringify([values, names === values ? 0 : names]);
  if (made.get(select) === from) return chosen === null ? undefined : void (select.value = chosen);
  made.set(select, from);
  select.replaceChildren(...values.map((value, place) => {
    const option = h("option", {}, names[place]);
    option.value = value;
    return option;
  }));
  if (chosen !== null) select.value = chosen;
}

function render({ model, el }) {
  let number = model.get("done");
  let waiting = 0; // messages that are not answered yet
  let asked = -Infinity; // when the reader last asked for something
  const send = (action, given = {}) => {
    number += 1;
    waiting += 1;
    if (action !== "more") asked = performance.now();
    root.dataset.asked = String(number);
    model.send({ do: action, with: given, number });
  };
  const button = (text, action, given, props = {}) =>
    h("button", { type: "button", ...props, on: { click: () => { send(action, given); root.focus({ preventScroll: true }); } } }, text);

  // ---- what stays: the skeleton and the fields one types into
  const bar = h("div", { className: "lb-bar" });
  const head = h("div", { className: "lb-head" });
  const matrix = h("div"), filters = h("div", { className: "lb-filters" }), count = h("h4");
  const search = h("input", { type: "search", placeholder: "search texts  /", className: "search", aria: { label: "search texts" } });
  const cell = h("select", { aria: { label: "cell" } }), tagged = h("select", { aria: { label: "tag" } });
  const list = h("div", { className: "lb-list" });
  const question = h("div"), answers = h("div", { className: "lb-answers" }), lower = h("div", { className: "lb-lower" });
  const tagList = h("span", { className: "tags" });
  const tag = h("input", { className: "tag", placeholder: "tag  t", aria: { label: "tag" } });
  const note = h("input", { className: "note", placeholder: "note  n", aria: { label: "note" } });
  const tagging = h("div", { className: "lb-tags" }, tagList, tag, note);
  const empty = h("div", { className: "lb-empty" }, "No question passes these filters.");
  const foot = h("div", { className: "lb-foot" });
  const main = h("div", { className: "lb-main" }, empty, question, tagging, answers, lower);
  const side = h("div", { className: "lb-side" }, matrix, filters, h("div", { className: "lb-row" }, search),
    h("div", { className: "lb-row" }, cell, tagged), count, list);
  const root = h("div", { className: "lab-browser", tabIndex: 0 }, bar, head, h("div", { className: "lb-body" }, side, main), foot);
  root.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes j and k for its cells
  root.dataset.done = String(number);

  let typing = null;
  search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => send("choose", { words: search.value }), 60); });
  cell.addEventListener("change", () => send("choose", { cell: cell.value }));
  tagged.addEventListener("change", () => send("choose", { tag: tagged.value }));
  note.addEventListener("change", () => send("note", { text: note.value }));
  tag.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && tag.value.trim()) { send("tag", { tag: tag.value }); tag.value = ""; root.focus({ preventScroll: true }); }
  });
  note.addEventListener("keydown", (event) => { if (event.key === "Enter") root.focus({ preventScroll: true }); });

  // ---- the parts
  // The menus stay and their options are made anew only when these change: there may be thousands of runs or steps.
  const menus = {};
  const sides = h("span", { className: "lb-sides" });
  const blindly = h("span", {}, "Blind: the arms are unnamed and in an order that tells nothing.");
  const clear = button("Clear", "clear", {}, { className: "clear" }), blind = button("Blind", "blind", {}, { className: "blind" });
  for (const which of ["a", "b"]) {
    for (const name of ["arm", "step", "run"]) {
      const menu = h("select", { aria: { label: `${name} of side ${which}` }, className: `${which}-${name} lb-${name}` });
      menu.addEventListener("change", () => {
        send("side", { which, [name]: name === "run" ? Number(menu.value) : menu.value });
        root.focus({ preventScroll: true });
      });
      menus[which + name] = menu;
      sides.append(h("span", { className: "soft " + name }, { arm: which === "a" ? "show" : "against", step: "at", run: "of" }[name]), menu);
    }
  }
  bar.replaceChildren(sides, blindly, h("span", { className: "gap" }), clear, blind, button("Export", "export", {}, { className: "export" }));

  function showMenus() {
    const { runs, steps, arms } = model.get("choices");
    for (const which of ["a", "b"]) {
      options(menus[which + "run"], runs.map((_, place) => String(place)), null, runs);
      options(menus[which + "step"], steps[which] ?? [], null);
      options(menus[which + "arm"], arms[which] ?? [], null);
    }
    for (const part of sides.querySelectorAll(".lb-run, .run")) part.hidden = runs.length < 2;
  }

  function showBar() {
    const now = model.get("controls");
    sides.hidden = now.blind;
    blindly.hidden = !now.blind;
    blind.ariaPressed = String(now.blind);
    clear.disabled = !now.exploratory;
    for (const which of now.blind ? [] : ["a", "b"]) for (const name of ["arm", "step", "run"]) menus[which + name].value = now.sides[which][name];
  }

  function showHead() {
    const now = model.get("header");
    const figure = (what, ...big) => h("div", {}, h("span", { className: "what" }, what), ...big);
    const big = (text, className = "") => h("span", { className: "big " + className }, text);
    if (now.blind) return head.replaceChildren(figure("questions", big(String(now.n))));
    const parts = [figure("questions", big(String(now.n)), h("span", { className: "soft" }, ` of ${now.of}`))];
    if (now.sides) {
      for (const { name, right, accuracy, ci95 } of now.sides) parts.push(figure(name, big(accuracy + " %"), h("span", { className: "soft" }, ` ${right}/${now.n}, 95 % ${ci95}`)));
      parts.push(figure("difference", big(now.difference), h("span", { className: "soft" }, ` points, 95 % ${now.difference_ci95}`)));
      parts.push(figure(`right in one only: ${now.a} / ${now.b}`, big(`${now.only_a} / ${now.only_b}`)));
      parts.push(figure("exact McNemar, paired", big(`p ${/^[<]/.test(now.p) ? now.p : "= " + now.p}`),
        now.exploratory ? h("span", { className: "lb-badge", title: "A filter is on: these questions were chosen by looking, so p tests nothing." }, "exploratory") : null));
      parts.push(h("div", { className: "chips" }, `${now.run}: ` + now.arms.map(({ name, right, scored }) => `${name} ${right}/${scored}`).join(" · ")));
    } else parts.push(h("div", { className: "soft" }, `no question of ${now.a} against ${now.b} passes these filters`));
    head.replaceChildren(...parts);
  }

  function showSide() {
    const now = model.get("controls");
    matrix.hidden = filters.hidden = now.blind;
    if (!now.blind) {
      const { a, b, counts, chosen } = now.matrix;
      const flip = (name) => h("td", { className: name }, button(String(counts[name]), "choose", { flip: name }, { aria: { pressed: chosen === name }, title: name.replace("_", " ") }));
      matrix.replaceChildren(h("table", { className: "lb-matrix" },
        h("thead", {}, h("tr", {}, h("th"), h("th", { title: a }, `${a} wrong`), h("th", { title: a }, `${a} right`))),
        h("tbody", {}, h("tr", {}, h("th", { title: b }, `${b} right`), flip("broken"), flip("both_right")),
          h("tr", {}, h("th", { title: b }, `${b} wrong`), flip("both_wrong"), flip("fixed")))));
      filters.replaceChildren(...now.filters.map(({ name, label, on, count: found }) => {
        const element = button("", "filter", { name }, { aria: { pressed: on }, className: "filter-" + name, title: label });
        element.append(h("span", {}, label), h("span", {}, String(found)));
        return element;
      }));
    }
    if (document.activeElement !== search) search.value = now.words;
    options(cell, ["", ...now.cells], now.cell, ["all cells", ...now.cells]);
    options(tagged, ["", ...now.tags], now.tag, ["any tag", ...now.tags]);
    cell.hidden = now.cells.length === 0;
  }

  function showList() {
    const now = model.get("listing");
    count.textContent = now.total ? `${now.place + 1} of ${now.total}` : "nothing found";
    let here = null;
    list.replaceChildren(...now.rows.map((row) => {
      const marks = row.a === undefined ? [] : [h("span", { className: row.b ? "right" : "wrong", title: "against" }, row.b ? "✓" : "✗"), h("span", { className: row.a ? "right" : "wrong", title: "shown" }, row.a ? "✓" : "✗")];
      const item = h("div", { className: "lb-item" + (row.place === now.place ? " here" : ""), on: { click: () => { send("go", { place: row.place }); root.focus({ preventScroll: true }); } } },
        ...marks, h("span", { className: "q" }, row.question), h("span", { className: "t" }, row.tags.join(" ")));
      if (row.place === now.place) here = item;
      return item;
    }));
    if (here) list.scrollTop = here.offsetTop - list.offsetTop - list.clientHeight / 2;
  }

  const text = (parts) => h("div", { className: "lb-text" }, parts.map(([piece, kind]) => h("span", { className: kind }, piece)));

  function folded(summary, content) {
    const details = h("details", {}, h("summary", {}, summary));
    details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(h("div", { className: "lb-text" }, content)); });
    return details;
  }

  function showAnswer(answer, place, blind) {
    const parts = [h("header", {}, h("span", { className: "name" }, answer.name),
      blind ? null : h("span", { className: answer.verdict }, answer.there ? WORD[answer.verdict] : "no answer"),
      blind || !answer.extracted ? null : h("span", { className: "small" }, "extracted ", h("b", {}, answer.extracted)))];
    parts.push(text(answer.pieces));
    if (!blind) {
      const { prompt_tokens: prompt, soft_tokens: soft, new_tokens: made } = answer.tokens;
      parts.push(h("div", { className: "small" }, `reads ${prompt ?? "?"} tokens of text, ${soft ?? "?"} soft; wrote ${made ?? "?"}`));
      if (answer.scorers.length) parts.push(h("div", { className: "small scorers" }, "scorers disagree, " + answer.scorers.join(" · ")));
      if (answer.saw) {
        const aware = answer.context_aware === true ? " (question included)" : answer.context_aware === false ? " (without the question's text)" : "";
        parts.push(folded("what it saw" + aware, answer.saw));
        if (answer.prefix) parts.push(folded(`few-shot prefix, ${answer.prefix.length} characters`, answer.prefix));
      } else parts.push(h("div", { className: "small" }, "what it saw was not recorded"));
    }
    const others = answer.tags.filter((name) => !ANSWER_TAGS.includes(name));
    parts.push(h("div", { className: "marks" }, [...ANSWER_TAGS, ...others].map((name) =>
      button(name, "tag", { tag: name, answer: place }, { aria: { pressed: answer.tags.includes(name) } }))));
    return h("div", { className: `lb-answer ${answer.role ?? ""}` }, ...parts);
  }

  function showSample() {
    const now = model.get("sample");
    root.dataset.sample = now.id ?? "";
    empty.hidden = now.id !== null;
    for (const part of [question, tagging, answers, lower]) part.hidden = now.id === null;
    if (now.id === null) return;
    const about = [now.cell, now.word, now.id].filter(Boolean).join(" · ");
    question.replaceChildren(h("div", { className: "lb-about" }, about), h("div", { className: "lb-question" }, now.question), h("div", {}, "Gold answer: ", h("b", {}, now.gold)));
    const known = ["success", "failure", "enrichment"];
    tagList.replaceChildren(...[...known, ...now.tags.filter((name) => !known.includes(name))].map((name) =>
      button(name, "tag", { tag: name }, { aria: { pressed: now.tags.includes(name) } })));
    if (document.activeElement !== note) note.value = now.note;
    answers.replaceChildren(...now.answers.map((answer, place) => showAnswer(answer, place, now.blind)));
    answers.scrollLeft = 0;
    main.scrollTop = 0;
  }

  function showLower() {
    const now = model.get("across");
    lower.replaceChildren();
    if (now.blind) return;
    const steps = h("table", { className: "lb-grid steps" },
      h("thead", {}, h("tr", {}, h("th"), now.steps.map(({ step }) => h("th", { className: step === now.step ? "here" : "" }, step)))),
      h("tbody", {}, now.arms.map((arm) => h("tr", {}, h("th", { className: arm === now.arm ? "here" : "", title: arm }, arm),
        now.steps.map(({ step, read, arms }) => {
          const [mark, extracted] = arms[arm] ?? [null, ""];
          const shown = mark ? MARK[mark] : read ? "–" : "…";
          return h("td", {}, button(shown, "side", { which: "a", step, arm }, { className: mark ?? "unknown", title: mark ? `${mark}, extracted ${extracted}` : read ? "not in this step" : "not read yet" }));
        })))));
    lower.append(h("div", {}, h("h4", {}, now.steps_left_out ? `This question at ${now.steps.length} steps of ${now.steps.length + now.steps_left_out}` : "This question at every step"), steps));
    const { kind, names, counts } = now.flips;
    const kinds = ["arms", "steps", ...(model.get("choices").runs.length > 1 ? ["runs"] : [])];
    const table = h("table", { className: "lb-grid flips" },
      h("thead", {}, h("tr", {}, h("th"), names.map((name) => h("th", { title: name }, name)))),
      h("tbody", {}, counts.map((row, i) => h("tr", {}, h("th", { title: names[i] }, names[i]), row.map((value, j) =>
        h("td", {}, value === null ? "" : button(String(value), "flip", { row: i, column: j }, { title: `${names[i]} right, ${names[j]} wrong` })))))));
    lower.append(h("div", {}, h("h4", {}, "Row right, column wrong, by ", kinds.map((name) => button(name, "table", { kind: name }, { aria: { pressed: name === kind } }))), table));
  }

  function showFoot() {
    const notices = model.get("controls").notices ?? [];
    const unread = model.get("across").unread ?? 0;
    const busy = unread ? `reading ${unread} more steps` : "";
    const key = (name, what) => h("span", {}, h("kbd", {}, name), " " + what);
    foot.replaceChildren(key("j", "next"), key("k", "previous"), key("s f e", "tag success, failure, enrichment"), key("t", "tag"), key("n", "note"), key("/", "search"), key("b", "blind"), key("x", "export"),
      h("span", { className: "status" }, model.get("status") || busy),
      notices.length ? h("details", { className: "notices" }, h("summary", {}, `${notices.length} notes on what is not compared or could not be read`), notices.map((line) => h("div", {}, line))) : "");
  }

  // ---- keys
  const KEYS = {
    j: () => send("move", { by: 1 }), ArrowRight: () => send("move", { by: 1 }),
    k: () => send("move", { by: -1 }), ArrowLeft: () => send("move", { by: -1 }),
    s: () => send("tag", { tag: "success" }), f: () => send("tag", { tag: "failure" }), e: () => send("tag", { tag: "enrichment" }),
    t: () => tag.focus(), n: () => note.focus(), "/": () => search.focus(),
    b: () => send("blind"), x: () => send("export"), Escape: () => send("clear"),
  };
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = event.target.matches("input, select, textarea");
    if (field && event.key === "Escape") { root.focus({ preventScroll: true }); event.stopPropagation(); return; }
    if (field || !Object.hasOwn(KEYS, event.key)) return;
    KEYS[event.key]();
    event.preventDefault();
    event.stopPropagation();
  });

  // ---- changes from Python; other steps are read while nothing else is asked for
  let alive = true, timer = null;
  function readMore() {
    clearTimeout(timer);
    if (!alive || waiting > 0 || !(model.get("across").unread > 0)) return;
    const pause = asked + PAUSE - performance.now(); // a file takes the kernel longer than a key press may wait
    if (pause > 0) timer = setTimeout(readMore, pause);
    else send("more");
  }
  const parts = [["choices", [showMenus, showBar]], ["header", [showHead]], ["controls", [showBar, showSide, showFoot]], ["listing", [showList]], ["sample", [showSample]], ["across", [showLower, showFoot]], ["status", [showFoot]]];
  const listeners = parts.map(([name, shows]) => {
    const listener = () => shows.forEach((show) => show());
    model.on(`change:${name}`, listener);
    return [`change:${name}`, listener];
  });
  const answered = () => {
    root.dataset.done = String(model.get("done"));
    waiting = Math.max(0, number - model.get("done"));
    readMore();
  };
  const later = () => queueMicrotask(answered); // after the parts of the same message
  model.on("change:done", later);
  listeners.push(["change:done", later]);
  [showMenus, showBar, showHead, showSide, showList, showSample, showLower, showFoot].forEach((show) => show());
  el.replaceChildren(root);
  showList(); // once more: only now the list has a height to scroll in
  readMore();
  return () => { alive = false; clearTimeout(timer); for (const [name, listener] of listeners) model.off(name, listener); };
}

export default { render };
