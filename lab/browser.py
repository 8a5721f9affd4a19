"""The sample browser: a model without any widget (`Desk`), and the component that shows it in JupyterLab (`Browser`).

All choosing and counting happens here; the page gets only what is on the screen, as plain text that it shows with
textContent. So a selection costs the same however large the folder is, and no text can become markup.
"""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from lab.answers import clean, fold_saw, pieces, verdicts
from lab.comparison import FILTERS, FLIPS, Comparison, Side, flips, usual_sides
from lab.errors import LabError
from lab.export import Sample, write_samples
from lab.sheets import RIGHT, UNKNOWN, Library, Sheet, Verdicts
from lab.summary import LATENT
from lab.tables import format_p
from lab.tags import CHOICES, Tags

LISTED = 60  # questions of the list that are sent at a time
MATRIX_SIDES = 16  # rows of the table of flips; more would not be read
NAMED = 8  # ids named in a notice
EXPORTED = 20
SHUFFLED = f"{LATENT}_shuffled"
MARKS = {RIGHT: "right", 0: "wrong", UNKNOWN: "unknown"}


class Desk:
    """What is being looked at: two sides, the filters, one question. Pure Python; every action is a method.

    `frame()`, `sample()` and `across()` give plain dicts for the page. In blind mode they hold no arm's name, no
    verdict and nothing else that would tell the arms apart but their texts.
    """

    def __init__(self, library: Library, tags: Tags | None = None, exports: str | Path | None = None):
        self.library, self.tags = library, tags or Tags()
        self.exports = None if exports is None else Path(exports)
        self.blind, self.status = False, ""
        self.filters: set[str] = set()
        self.flip, self.cell, self.words, self.tag, self.table = "", "", "", "", "arms"
        run = 0
        step = library.steps(run)[-1]
        arms = library.sheet(run, step).arms
        if not arms:
            raise LabError(f"{library.runs[run].name}: step {step} holds no arm's answer; open another run.")
        first, second = usual_sides(arms)
        self.a, self.b = Side(run, step, first), Side(run, step, second)
        self._compare()
        self.place = 0

    # ---- choosing

    def _compare(self) -> None:
        """After a change of sides. The question stays the one that was looked at, where both sides have it."""
        key = self.key if hasattr(self, "comparison") else None
        a, b = self._sheet(self.a), self._sheet(self.b)
        self.a, self.b = _with_arm(self.a, a), _with_arm(self.b, b)
        self.comparison = Comparison(a, self.a.arm, b, self.b.arm)
        if self.cell and not self.comparison.in_cell(self.cell).any():
            self.cell = ""
        self._select(key)

    def _sheet(self, side: Side) -> Sheet:
        return self.library.sheet(side.run, side.step)

    def _select(self, key: str | None = None) -> None:
        """After a change of filters: which questions, in which order."""
        comparison = self.comparison
        key = key if key is not None else self.key
        mask = comparison.searched(self.words) & comparison.in_cell(self.cell)
        for name in self.filters:
            mask &= comparison.filtered(name)
        if self.tag:
            mask &= np.array([self.tag in self.tags.of(key) for key in comparison.ids], dtype=bool)
        self.unflipped = mask
        self.mask = mask & comparison.flip(self.flip) if self.flip else mask
        self.order = comparison.order(self.mask)
        ids = comparison.ids
        places = {ids[row]: place for place, row in enumerate(self.order)}
        self.place = places.get(key, 0)

    @property
    def exploratory(self) -> bool:
        """Whether the selection was narrowed: its p-value was then chosen by looking."""
        return bool(self.filters or self.flip or self.cell or self.words.strip() or self.tag)

    @property
    def row(self) -> int | None:
        """The question's place in the comparison, None if the selection is empty."""
        return int(self.order[self.place]) if hasattr(self, "order") and len(self.order) else None

    @property
    def key(self) -> str | None:
        return None if self.row is None else self.comparison.ids[self.row]

    def go(self, place: int) -> None:
        self.place = min(max(int(place), 0), max(len(self.order) - 1, 0))

    def move(self, by: int) -> None:
        self.go(self.place + int(by))

    def side(self, which: str, run: int | None = None, step: str | None = None, arm: str | None = None) -> None:
        """Change a side. While both sides stand at the same run and step, b follows a there; a new run opens at its
        last step."""
        old = self.b if which == "b" else self.a
        new_run = old.run if run is None else self._known_run(run)
        new_step = self._known_step(new_run, step) if step is not None else old.step
        if new_step not in self.library.steps(new_run) or (run is not None and step is None and new_run != old.run):
            new_step = self.library.steps(new_run)[-1]
        new = Side(new_run, new_step, old.arm if arm is None else str(arm))
        before = self.a, self.b
        together = (self.a.run, self.a.step) == (self.b.run, self.b.step) and self.a.arm != self.b.arm
        if which == "b":
            self.b = new
        else:
            self.a = new
            if together:
                self.b = Side(new.run, new.step, self.b.arm)
        self._try_compare(before)

    def pair(self, a: Side, b: Side) -> None:
        """Both sides at once, on the questions that b has right and a wrong: a click into the table of flips."""
        before = self.a, self.b
        self.a, self.b, self.flip = a, b, "broken"
        self._try_compare(before)

    def _try_compare(self, before: tuple[Side, Side]) -> None:
        try:
            self._compare()
        except LabError:
            self.a, self.b = before
            raise

    def _known_run(self, run: int) -> int:
        if not 0 <= int(run) < len(self.library.runs):
            raise LabError(f"there is no run number {run}; there are {len(self.library.runs)}.")
        return int(run)

    def _known_step(self, run: int, step: object) -> object:
        return next((known for known in self.library.steps(run) if str(known) == str(step)), None)

    def toggle_filter(self, name: str) -> None:
        if name not in FILTERS:
            raise LabError(f"there is no filter {name!r}; choose one of {', '.join(FILTERS)}.")
        self.filters ^= {name}
        self._select()

    def choose(self, flip: str | None = None, cell: str | None = None, words: str | None = None,
               tag: str | None = None) -> None:  # fmt: skip
        """Narrow by a cell of the flip matrix, a cell of the task, words, a tag; "" takes it away again."""
        if flip is not None:
            self.flip = flip if flip in FLIPS and flip != self.flip else ""
        self.cell = self.cell if cell is None else cell
        self.words = self.words if words is None else words
        self.tag = self.tag if tag is None else tag
        self._select()

    def clear(self) -> None:
        self.filters, self.flip, self.cell, self.words, self.tag = set(), "", "", "", ""
        self._select()

    def toggle_blind(self) -> None:
        """Into blind mode nothing that was chosen by outcome may follow: a filter would name the arm."""
        self.blind = not self.blind
        if self.blind:
            self.filters, self.flip = set(), ""
            self._select()

    def toggle_tag(self, tag: str, answer: int | None = None) -> None:
        """Tag the question, or the answer shown at place `answer` (its arm goes into the file, blind or not)."""
        if self.key is None:
            return
        if answer is None:
            self.tags.toggle(self.key, tag)
        else:
            side = self._columns()[int(answer)]
            self.tags.toggle_answer(self.key, self._name(side), tag, self.blind)

    def note(self, text: str) -> None:
        if self.key is not None:
            self.tags.note(self.key, text)

    # ---- what the page shows

    def _name(self, side: Side) -> str:
        return f"{clean(self.library.runs[side.run].name)}/{side.step}/{side.arm}"

    def _label(self, side: Side, other: Side) -> str:
        """The arm, with what tells it from the other side."""
        step = f" @{side.step}" if (side.step, side.run) != (other.step, other.run) else ""
        run = f" of {clean(self.library.runs[side.run].name)}" if side.run != other.run else ""
        return side.arm + step + run

    @property
    def labels(self) -> tuple[str, str]:
        return self._label(self.a, self.b), self._label(self.b, self.a)

    def _columns(self) -> list[Side]:
        """The answers side by side: b, a, the shuffled control pinned beside a, then the other arms of a's step. In
        blind mode in an order that only the question decides, so that it tells nothing."""
        sheet = self._sheet(self.a)
        own = [arm for arm in sheet.arms if arm != self.a.arm]
        pinned = [arm for arm in own if self.a.arm == LATENT and arm == SHUFFLED]
        sides = [self.b, self.a, *(Side(self.a.run, self.a.step, arm) for arm in [*pinned, *own])]
        columns = list(dict.fromkeys(sides))
        if self.blind and self.key is not None:
            seed = hashlib.sha256(f"{self.key}/{self.a}/{self.b}".encode()).digest()
            random.Random(seed).shuffle(columns)
        return columns

    def header(self) -> dict:
        """The paired result of the selection, always there; without names and verdicts in blind mode."""
        if self.blind:
            return {"blind": True, "n": len(self.order)}
        result = self.comparison.result(self.mask)
        label_a, label_b = self.labels
        found = {"blind": False, "n": len(self.order), "of": len(self.comparison), "exploratory": self.exploratory,
                 "a": label_a, "b": label_b, "run": clean(self.library.runs[self.a.run].name)}  # fmt: skip
        if result is None:
            return found
        low, high = result["ci95"]
        return found | {
            "sides": [
                {"name": name, "right": result[side]["right"], "accuracy": _percent(result[side]["accuracy"]),
                 "ci95": f"{_percent(result[side]['ci95'][0])} to {_percent(result[side]['ci95'][1])}"}
                for side, name in (("a", label_a), ("b", label_b))
            ],
            "only_a": result["only_a"], "only_b": result["only_b"],
            "difference": f"{100 * result['difference']:+.1f}".replace("-", "−"),
            "difference_ci95": f"{100 * low:+.1f} to {100 * high:+.1f}".replace("-", "−"),
            "p": format_p(result["p"]),
            "arms": [
                {"name": arm, "right": right, "scored": scored}
                for arm, (right, scored) in self.comparison.accuracies(self.mask).items()
            ],
        }  # fmt: skip

    def controls(self) -> dict:
        """What can be chosen, and what is."""
        label_a, label_b = self.labels
        comparison = self.comparison
        cells = sorted({group for cell in set(comparison.cells) for group in _groups(cell)})
        counts = comparison.matrix(self.unflipped)
        found = {
            "blind": self.blind,
            "runs": [clean(run.name) for run in self.library.runs],
            "cells": cells, "cell": self.cell, "words": self.words, "tag": self.tag,
            "tags": sorted({*CHOICES, *(tag for tags in self.tags.tagged().values() for tag in tags)}),
            "exploratory": self.exploratory,
        }  # fmt: skip
        if self.blind:
            return found
        return found | {
            "sides": {
                name: {"run": side.run, "step": str(side.step), "arm": side.arm,
                       "steps": [str(step) for step in self.library.steps(side.run)], "arms": self._sheet(side).arms}
                for name, side in (("a", self.a), ("b", self.b))
            },
            "matrix": {"a": label_a, "b": label_b, "counts": counts, "chosen": self.flip},
            "filters": [
                {"name": name, "label": text.format(a=label_a), "on": name in self.filters,
                 "count": int(comparison.filtered(name).sum())}
                for name, text in FILTERS.items()
            ],
            "notices": self.notices(),
        }  # fmt: skip

    def notices(self) -> list[str]:
        """What is not compared, and what could not be read, by name."""
        found = []
        for reason, keys in self.comparison.left_out().items():
            more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
            found.append(f"{len(keys)} {reason}: {', '.join(keys[:NAMED])}{more}")
        for side in dict.fromkeys((self.a, self.b)):
            for line, reason in self._sheet(side).problems[:NAMED]:
                found.append(f"{clean(self.library.runs[side.run].name)} step {side.step}, line {line}: {reason}")
            if more := len(self._sheet(side).problems[NAMED:]):
                found.append(f"… and {more} more lines of step {side.step} that could not be read")
        return list(dict.fromkeys(found))

    def listing(self) -> dict:
        """The questions around the one on the screen."""
        start = max(0, min(self.place - LISTED // 2, len(self.order) - LISTED))
        comparison, rows = self.comparison, []
        for place in range(start, min(start + LISTED, len(self.order))):
            at = self.order[place]
            record = comparison.a.records[comparison.rows_a[at]]
            rows.append({
                "place": place, "question": clean(record.get("question"))[:90], "tags": self.tags.of(record["id"]),
                **({} if self.blind else {"a": bool(comparison.right_a[at]), "b": bool(comparison.right_b[at])}),
            })  # fmt: skip
        return {"total": len(self.order), "place": self.place, "rows": rows}

    def sample(self) -> dict:
        """The question on the screen with every answer, side a and b first."""
        if self.row is None:
            return {"id": None}
        record = self.comparison.a.records[self.comparison.rows_a[self.row]]
        columns, question = self._columns(), clean(record.get("question"))
        reference = clean(self._answer(self.b).get("text"))
        return {
            "id": self.key, "question": question[:20_000], "gold": clean(record.get("gold")),
            "cell": clean(record.get("cell")), "word": clean(record.get("word")),
            "tags": self.tags.of(self.key), "note": self.tags.note_of(self.key), "blind": self.blind,
            "answers": [self._shown(side, place, question, reference) for place, side in enumerate(columns)],
        }  # fmt: skip

    def _answer(self, side: Side) -> dict:
        sheet = self._sheet(side)
        row = sheet.verdicts.place.get(self.key)
        return {} if row is None else sheet.answer(row, side.arm)

    def _shown(self, side: Side, place: int, question: str, reference: str) -> dict:
        answer = self._answer(side)
        text, extracted = clean(answer.get("text")), clean(answer.get("extracted"))
        tags = self.tags.of_answer(self.key, self._name(side))
        if self.blind:
            return {"name": f"answer {place + 1}", "pieces": pieces(text, extracted), "tags": tags}
        gold = clean(self.comparison.a.records[self.comparison.rows_a[self.row]].get("gold"))
        prefix, saw = fold_saw(clean(answer.get("saw")), question)
        same = side == self.b
        role = "b" if same else "a" if side == self.a else "control" if side.arm == SHUFFLED else ""
        correct = answer.get("correct")
        return {
            "name": self._label(side, self.b if side == self.a else self.a), "role": role, "there": bool(answer),
            "verdict": MARKS[correct if correct in (True, False) and correct is not None else UNKNOWN],
            "extracted": extracted, "tags": tags,
            "pieces": pieces(text, extracted, None if same else reference),
            "scorers": [
                f"{name}: {'right' if verdict else 'wrong'}"
                for name, verdict in verdicts(text, gold, correct).items() if verdict is not None
            ],
            "prefix": prefix[:20_000], "saw": saw[:20_000],
            "tokens": {name: answer.get(name) for name in ("prompt_tokens", "soft_tokens", "new_tokens")
                       if isinstance(answer.get(name), int)},
            "context_aware": answer.get("context_aware"),
        }  # fmt: skip

    # ---- across steps and runs

    def _table_sides(self) -> list[Side]:
        a = self.a
        if self.table == "steps":
            sides = [Side(a.run, step, a.arm) for step in self.library.steps(a.run)]
        elif self.table == "runs":
            sides = [Side(run, self.library.steps(run)[-1], a.arm) for run in range(len(self.library.runs))]
        else:
            sides = [Side(a.run, a.step, arm) for arm in self._sheet(a).arms]
        if len(sides) > MATRIX_SIDES:  # those around the one on the screen
            here = next((place for place, side in enumerate(sides) if side == a), len(sides) - 1)
            start = min(max(0, here - MATRIX_SIDES // 2), len(sides) - MATRIX_SIDES)
            sides = sides[start : start + MATRIX_SIDES]
        return sides

    def _unread(self) -> list[Side]:
        own = [Side(self.a.run, step, self.a.arm) for step in self.library.steps(self.a.run)]
        return [side for side in own + self._table_sides() if self.library.verdicts(side.run, side.step) is None]

    def read_more(self) -> bool:
        """Read one more file that `across` waits for; whether there was one. The page asks for it when it is idle."""
        unread = self._unread()
        if unread:
            try:
                self.library.verdicts(unread[0].run, unread[0].step, read=True)
            except LabError as error:
                self.status = clean(str(error))
                empty = Verdicts((), {}, {})
                self.library._verdicts[unread[0].run, unread[0].step] = empty
        return bool(unread)

    def across(self) -> dict:
        """The same question at every step of the run, and the table of flips between arms, steps or runs."""
        if self.blind:
            return {"blind": True}
        steps = []
        for step in self.library.steps(self.a.run):
            known = self.library.verdicts(self.a.run, step)
            row = None if known is None or self.key is None else known.place.get(self.key)
            steps.append({
                "step": str(step), "read": known is not None,
                "arms": {} if row is None else {
                    arm: [MARKS[int(known.correct[arm][row])], known.extracted[arm][row]] for arm in known.correct
                },
            })  # fmt: skip
        return {
            "blind": False, "step": str(self.a.step), "arm": self.a.arm, "arms": self._sheet(self.a).arms,
            "steps": steps, "unread": len(self._unread()), "flips": self.flips_table(),
        }  # fmt: skip

    def flips_table(self) -> dict:
        """Counts of questions that the row's side has right and the column's wrong."""
        sides, known = [], []
        for side in self._table_sides():
            found = self.library.verdicts(side.run, side.step)
            if found is not None and side.arm in found.correct:
                sides.append(side)
                known.append((found, side.arm))
        names = {
            "arms": lambda side: side.arm,
            "steps": lambda side: str(side.step),
            "runs": lambda side: clean(self.library.runs[side.run].name),
        }
        self._flip_sides = sides
        return {
            "kind": self.table, "names": [names[self.table](side) for side in sides],
            "counts": [[None if i == j else flips(known[i], known[j]) for j in range(len(sides))]
                       for i in range(len(sides))],
        }  # fmt: skip

    def tabulate(self, kind: str) -> None:
        """What the table of flips compares: arms, steps or runs."""
        self.table = kind if kind in ("arms", "steps", "runs") else self.table

    def click_flip(self, row: int, column: int) -> None:
        sides = self._flip_sides
        if 0 <= row < len(sides) and 0 <= column < len(sides) and row != column:
            self.pair(a=sides[column], b=sides[row])

    # ---- export

    def samples(self, limit: int = EXPORTED) -> list[Sample]:
        """What an export holds: the tagged questions of this comparison, or, where none is tagged, a choice of
        successes, failures and enrichments from the selection, in turn."""
        ids, tagged = self.comparison.ids, self.tags.tagged()
        rows = {key: row for row, key in enumerate(ids)}
        chosen = [(tagged[key][0], rows[key]) for key in tagged if key in rows]
        if not chosen:
            chosen = self._automatic(limit)
        order = {kind: place for place, kind in enumerate(CHOICES)}
        chosen = sorted(chosen[:limit], key=lambda entry: (order.get(entry[0], len(order)), entry[0]))
        return [self._sample_of(kind, row) for kind, row in chosen]

    def _automatic(self, limit: int) -> list[tuple[str, int]]:
        """Enrichment: only a is right. Failure: a is wrong, broken ones first. Success: both are right, or a fixed it
        where another arm could too."""
        comparison, taken, chosen = self.comparison, set(), []
        only, fixed = comparison.filtered("only"), comparison.flip("fixed")
        pools = {
            "enrichment": [*np.flatnonzero(only & self.mask)],
            "failure": [*np.flatnonzero(comparison.flip("broken") & self.mask),
                        *np.flatnonzero(comparison.flip("both_wrong") & self.mask)],
            "success": [*np.flatnonzero(fixed & ~only & self.mask),
                        *np.flatnonzero(comparison.flip("both_right") & self.mask)],
        }  # fmt: skip
        while any(pools.values()) and len(chosen) < limit:
            for kind, pool in pools.items():
                if pool and len(chosen) < limit and (row := int(pool.pop(0))) not in taken:
                    taken.add(row)
                    chosen.append((kind, row))
        return chosen

    def _sample_of(self, kind: str, row: int) -> Sample:
        record = self.comparison.a.records[self.comparison.rows_a[row]]
        key, other = record["id"], self.comparison.b
        answers = {}
        if other is not self.comparison.a or self.b.arm not in record["arms"]:
            answers[self.labels[1]] = other.answer(other.verdicts.place[key], self.b.arm)
        answers |= {self.labels[0] if arm == self.a.arm else arm: record["arms"][arm]
                    for arm in self.comparison.a.arms if arm in record["arms"]}  # fmt: skip
        return Sample(kind, record, answers, self.tags.of(key), self.tags.note_of(key))

    def caption(self) -> str:
        """One sentence on where the samples come from: the paired result of all aligned questions, unfiltered."""
        result = self.comparison.result(np.ones(len(self.comparison), dtype=bool))
        if result is None:
            return "No question was answered by both sides."
        label_a, label_b = self.labels
        low, high = result["ci95"]
        return (
            f"Run {clean(self.library.runs[self.a.run].name)}, step {self.a.step}, n = {result['n']}: {label_a} "
            f"{_percent(result['a']['accuracy'])} %, {label_b} {_percent(result['b']['accuracy'])} %, difference "
            f"{100 * result['difference']:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}), discordant "
            f"{result['only_a']} and {result['only_b']}, exact McNemar p = {result['p']:.2g}. The samples were chosen by "
            "looking at them, they are no random draw."
        )

    def export(self, folder: str | Path | None = None, limit: int = EXPORTED) -> list[Path]:
        """Write the samples as Markdown, LaTeX and one HTML page; the paths. See `samples` for which they are."""
        folder = self.exports if folder is None else Path(folder)
        if folder is None:
            raise LabError("export: no folder was given; use `browse(..., exports=FOLDER)`.")
        return write_samples(folder, self.samples(limit), self.caption())


def _with_arm(side: Side, sheet: Sheet) -> Side:
    """The side, with an arm that the sheet has."""
    if side.arm in sheet.arms or not sheet.arms:
        return side
    return Side(side.run, side.step, usual_sides(sheet.arms)[0])


def _groups(cell: str) -> list[str]:
    parts = [part for part in cell.split("/") if part]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


class Browser(anywidget.AnyWidget):
    """The desk in a notebook. Python sends five dicts, the page sends one small message per click or key."""

    _esm = Path(__file__).with_name("browser.js")
    _css = Path(__file__).with_name("browser.css")

    header = traitlets.Dict().tag(sync=True)
    controls = traitlets.Dict().tag(sync=True)
    listing = traitlets.Dict().tag(sync=True)
    sample = traitlets.Dict().tag(sync=True)
    across = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    done = traitlets.Int().tag(sync=True)  # the number of the last message that was answered

    def __init__(self, desk: Desk):
        super().__init__()
        self.desk = desk
        self._show()
        self.on_msg(self._heard)

    def _show(self) -> None:
        desk = self.desk
        with self.hold_sync():
            self.header, self.controls, self.listing = desk.header(), desk.controls(), desk.listing()
            self.sample, self.across, self.status = desk.sample(), desk.across(), desk.status

    def _heard(self, _, message: dict, __=None) -> None:
        """One message of the page: ``{"do": action, "with": {...}, "number": n}``. Unknown ones change nothing."""
        action = self._actions().get(message.get("do"))
        self.desk.status = ""
        with self.hold_sync():
            try:
                if action is not None:
                    action(**message.get("with", {}))
                    self._show()
            except LabError as error:
                self.status = clean(str(error))
            except (TypeError, ValueError, KeyError, IndexError) as error:
                self.status = f"that did not work: {type(error).__name__}"
            self.done = int(message.get("number", 0))

    def _actions(self) -> dict[str, Callable]:
        desk = self.desk
        return {
            "move": desk.move, "go": desk.go, "side": desk.side, "filter": desk.toggle_filter, "choose": desk.choose,
            "clear": desk.clear, "blind": desk.toggle_blind, "tag": desk.toggle_tag, "note": desk.note,
            "flip": desk.click_flip, "table": desk.tabulate, "more": desk.read_more, "export": self._export,
        }  # fmt: skip

    def _export(self) -> None:
        paths = self.desk.export()
        self.desk.status = "written: " + ", ".join(clean(str(path)) for path in paths)






def browse(folder: str | Path, tags: str | Path | None = None, exports: str | Path | None = None) -> Browser:
    """Open every run below `folder`. `tags`: the side file of tags and notes (None: they are not kept). `exports`:
    the folder into which the export button writes. Raises LabError where there is nothing to open."""
    return Browser(Desk(Library(folder), Tags(tags), exports))
