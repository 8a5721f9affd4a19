"""The desk: what is being looked at in a folder of runs. Every action of the browser is a method; no widget here."""

import hashlib
import random
from pathlib import Path

import numpy as np

from lab.errors import LabError
from lab.evidence import LATENT
from lab.samples.answers import clean
from lab.samples.comparison import FILTERS, FLIPS, SHUFFLED, Comparison, Side, flips, usual_sides
from lab.samples.export import Sample, write_samples
from lab.samples.sheets import Library, Sheet
from lab.samples.tags import CHOICES, Tags

EXPORTED = 20
TABLE, STEPS = 16, 24  # steps or runs in the table of flips, steps of a question; more would not be read


class Desk:
    """What is being looked at: two sides, the filters, one question. Pure Python; every action is a method.

    `exports`: the folder for exports, of `limit` questions at most. The page's view of it: `lab.samples.screen`.
    """

    def __init__(self, library: Library, tags: Tags | None = None, exports: str | Path | None = None,
                 limit: int = EXPORTED):  # fmt: skip
        self.library, self.tags = library, tags or Tags()
        self.exports, self.limit = None if exports is None else Path(exports), limit
        self.blind, self.status = False, ""
        self.filters: set[str] = set()
        self.flip, self.cell, self.words, self.tag, self.table = "", "", "", "", "arms"
        run, step = library.first()
        first, second = usual_sides(library.sheet(run, step).arms)
        self.a, self.b = Side(run, step, first), Side(run, step, second)
        self._compare()
        self.place = 0

    # ---- choosing

    def _compare(self) -> None:
        """After a change of sides. The question stays the one that was looked at, where both sides have it."""
        key = self.key if hasattr(self, "comparison") else None
        a, b = self.sheet_of(self.a), self.sheet_of(self.b)
        self.a, self.b = _with_arm(self.a, a), _with_arm(self.b, b)
        self.comparison = Comparison(a, self.a.arm, b, self.b.arm)
        if self.cell and not self.comparison.in_cell(self.cell).any():
            self.cell = ""
        self._select(key)

    def sheet_of(self, side: Side) -> Sheet:
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
        # in blind mode regressions first would say which arm is which
        self.order = np.flatnonzero(self.mask) if self.blind else comparison.order(self.mask)
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

    def find(self, key: str) -> None:
        """Go to a question; the filters are cleared where they keep it out. Raises LabError if it is not compared."""
        ids = self.comparison.ids
        if key not in ids:
            raise LabError(f"question {clean(key)} is not among those that both sides answered.")
        row = ids.index(key)
        if self.mask[row]:
            self.go(int(np.flatnonzero(self.order == row)[0]))
        else:
            self.clear(key)

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
        if not self.blind:
            self.filters ^= {name}
        self._select()

    def choose(self, flip: str | None = None, cell: str | None = None, words: str | None = None,
               tag: str | None = None) -> None:  # fmt: skip
        """Narrow by a cell of the flip matrix, a cell of the task, words, a tag; "" takes it away again."""
        if flip is not None and not self.blind:
            self.flip = flip if flip in FLIPS and flip != self.flip else ""
        self.cell = self.cell if cell is None else cell
        self.words = self.words if words is None else words
        self.tag = self.tag if tag is None else tag
        self._select()

    def clear(self, key: str | None = None) -> None:
        """Take all filters away, and look at the question `key` (None: the same as before)."""
        self.filters, self.flip, self.cell, self.words, self.tag = set(), "", "", "", ""
        self._select(key)

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
            side = self.columns()[int(answer)]
            self.tags.toggle_answer(self.key, self.name(side), tag, self.blind)

    def note(self, text: str) -> None:
        if self.key is not None:
            self.tags.note(self.key, text)

    # ---- names and columns

    def name(self, side: Side) -> str:
        return f"{clean(self.library.runs[side.run].name)}/{side.step}/{side.arm}"

    def label(self, side: Side, other: Side) -> str:
        """The arm, with what tells it from the other side."""
        step = f" @{side.step}" if (side.step, side.run) != (other.step, other.run) else ""
        run = f" of {clean(self.library.runs[side.run].name)}" if side.run != other.run else ""
        return side.arm + step + run

    @property
    def labels(self) -> tuple[str, str]:
        return self.label(self.a, self.b), self.label(self.b, self.a)

    def answer(self, side: Side, key: str) -> dict:
        """A side's answer to a question, empty where it has none."""
        sheet = self.sheet_of(side)
        row = sheet.verdicts.place.get(key)
        return {} if row is None else sheet.answer(row, side.arm)

    def reference(self, key: str) -> Side:
        """The side whose solution the others are compared with, step by step: b, unless a alone is right."""
        a, b = self.answer(self.a, key).get("correct"), self.answer(self.b, key).get("correct")
        return self.a if a is True and b is not True else self.b

    def columns(self, key: str | None = None) -> list[Side]:
        """The answers side by side: b, a, the shuffled control pinned beside a latent one, then the other arms of a's
        step. In blind mode in an order that only the question (None: the one looked at) decides: it tells nothing."""
        key = self.key if key is None else key
        sides = [*self._with_control(self.b), *self._with_control(self.a)]
        sides += [Side(self.a.run, self.a.step, arm) for arm in self.sheet_of(self.a).arms]
        columns = list(dict.fromkeys(sides))
        if self.blind and key is not None:
            seed = hashlib.sha256(f"{key}/{self.a}/{self.b}".encode()).digest()
            random.Random(seed).shuffle(columns)
        return columns

    def _with_control(self, side: Side) -> list[Side]:
        pinned = side.arm == LATENT and SHUFFLED in self.sheet_of(side).arms
        return [side, Side(side.run, side.step, SHUFFLED)] if pinned else [side]

    def donor(self, side: Side, key: str) -> dict:
        """The question whose source states became the soft tokens of a side's answer, where that is another one: its
        id, and its text where this file has it. Empty if the answer has its own, has none, or the record is silent."""
        donor = clean(self.answer(side, key).get("soft_from"))
        if donor in ("", key):
            return {}
        sheet = self.sheet_of(side)
        row = sheet.verdicts.place.get(donor)
        return {"id": donor, "question": "" if row is None else clean(sheet.records[row].get("question"))}

    # ---- across steps and runs

    def _table_sides(self) -> list[Side]:
        """What the table of flips compares: all arms, or the steps or runs around the one on the screen."""
        a, steps, runs = self.a, self.library.steps(self.a.run), range(len(self.library.runs))
        if self.table == "steps":
            return _around([Side(a.run, step, a.arm) for step in steps], steps.index(a.step), TABLE)
        if self.table == "runs":
            return _around([Side(run, self.library.steps(run)[-1], a.arm) for run in runs], a.run, TABLE)
        return [Side(a.run, a.step, arm) for arm in self.sheet_of(a).arms]

    def steps_around(self) -> list[object]:
        """The steps of a's run that are shown beside each other: those around the one on the screen."""
        steps = self.library.steps(self.a.run)
        return _around(steps, steps.index(self.a.step), STEPS)

    def unread(self) -> list[Side]:
        own = [Side(self.a.run, step, self.a.arm) for step in self.steps_around()]
        return [side for side in own + self._table_sides() if self.library.verdicts(side.run, side.step) is None]

    def read_more(self) -> bool:
        """Read one more file that `across` waits for; whether there was one. The page asks for it when it is idle."""
        unread = self.unread()
        if unread:
            self.library.read(unread[0].run, unread[0].step)
        return bool(unread)

    def record(self, place: int) -> dict:
        """The record at a place of the selection, that of side a's file."""
        return self.comparison.a.records[self.comparison.rows_a[self.order[place]]]

    def selected_records(self, count: int) -> list[dict]:
        """The first records of the selection."""
        return [self.record(place) for place in range(min(count, len(self.order)))]

    def flips_table(self) -> dict:
        """Counts of questions that the row's side has right and the column's wrong. `left_out`: how many steps or runs
        there are besides."""
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
        existing = {"arms": 0, "steps": len(self.library.steps(self.a.run)), "runs": len(self.library.runs)}[self.table]
        return {
            "kind": self.table, "names": [names[self.table](side) for side in sides],
            "left_out": max(0, existing - TABLE),
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

    def samples(self) -> list[Sample]:
        """What an export holds: the tagged questions of this comparison, or, where none is tagged, a choice of
        successes, failures and enrichments from the selection, in turn."""
        ids, tagged = self.comparison.ids, self.tags.tagged()
        rows = {key: row for row, key in enumerate(ids)}
        chosen = [(tagged[key][0], rows[key]) for key in tagged if key in rows]
        if not chosen:
            chosen = self._automatic()
        order = {kind: place for place, kind in enumerate(CHOICES)}
        chosen = sorted(chosen[: self.limit], key=lambda entry: (order.get(entry[0], len(order)), entry[0]))
        return [self._sample_of(kind, row) for kind, row in chosen]

    def _automatic(self) -> list[tuple[str, int]]:
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
        while any(pools.values()) and len(chosen) < self.limit:
            for kind, pool in pools.items():
                if pool and len(chosen) < self.limit and (row := int(pool.pop(0))) not in taken:
                    taken.add(row)
                    chosen.append((kind, row))
        return chosen

    def _sample_of(self, kind: str, row: int) -> Sample:
        record = self.comparison.a.records[self.comparison.rows_a[row]]
        key, other = record["id"], self.comparison.b
        label_a, label_b = self.labels
        own = {arm: self.label(Side(self.a.run, self.a.step, arm), self.b) for arm in self.comparison.a.arms}
        answers = {label: record["arms"][arm] for arm, label in own.items() if arm in record["arms"]}
        if label_b not in answers:
            answers = {label_b: other.answer(other.verdicts.place[key], self.b.arm)} | answers
        reference = label_a if self.reference(key) == self.a else label_b
        return Sample(kind, record, answers, self.tags.of(key), self.tags.note_of(key), reference)

    def caption(self) -> str:
        """One sentence on where the samples come from: the paired result of all aligned questions, unfiltered."""
        result = self.comparison.result(np.ones(len(self.comparison), dtype=bool))
        if result is None:
            return "No question was answered by both sides."
        label_a, label_b = self.labels
        low, high = result["ci95"]
        return (
            f"Run {clean(self.library.runs[self.a.run].name)}, step {self.a.step}, n = {result['n']}: {label_a} "
            f"{percent(result['a']['accuracy'])} %, {label_b} {percent(result['b']['accuracy'])} %, difference "
            f"{100 * result['difference']:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}), "
            f"discordant {result['only_a']} and {result['only_b']}, exact McNemar p = {result['p']:.2g}. "
            "The samples were chosen by looking at them, they are no random draw."
        )

    def export(self, folder: str | Path | None = None) -> list[Path]:
        """Write the samples as Markdown, LaTeX and one HTML page; the paths. See `samples` for which they are."""
        folder = self.exports if folder is None else Path(folder)
        if folder is None:
            raise LabError("export: no folder was given; use `browse(..., exports=FOLDER)`.")
        return write_samples(folder, self.samples(), self.caption())


def _around(items: list, here: int, count: int) -> list:
    """At most `count` neighbours of place `here`."""
    start = max(0, min(here - count // 2, len(items) - count))
    return items[start : start + count]


def _with_arm(side: Side, sheet: Sheet) -> Side:
    """The side, with an arm that the sheet has."""
    if side.arm in sheet.arms or not sheet.arms:
        return side
    return Side(side.run, side.step, usual_sides(sheet.arms)[0])


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"
