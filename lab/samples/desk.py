"""The desk: what is compared with what, and the answers side by side. Every action is a method; no widget here."""

import hashlib
import random

from lab.errors import LabError
from lab.evidence import LATENT
from lab.samples.across import Across
from lab.samples.answers import clean
from lab.samples.comparison import SHUFFLED, Comparison, Side, usual_sides
from lab.samples.selection import Selection
from lab.samples.sheets import Library, Sheet
from lab.samples.tags import Tags


class Desk:
    """Two sides of a library and their answers; pure Python.

    `comparison`: the questions that both sides answered; `selection`: which of them are looked at; `across`: side a at
    other steps and in other runs. The page's view of it: `lab.samples.screen`; what an export shows of it:
    `lab.samples.chosen`.
    """

    def __init__(self, library: Library, tags: Tags | None = None):
        self.library, self.tags, self.status = library, tags or Tags(), ""
        run, step = library.first()
        first, second = usual_sides(library.sheet(run, step).arms)
        self.a, self.b = Side(run, step, first), Side(run, step, second)
        self.across = Across(library)
        self._align()
        self.selection = Selection(self.tags, self.comparison)

    # ---- two sides

    def _align(self) -> None:
        a, b = self.sheet_of(self.a), self.sheet_of(self.b)
        self.a, self.b = _with_arm(self.a, a), _with_arm(self.b, b)
        self.comparison = Comparison(a, self.a.arm, b, self.b.arm)

    def sheet_of(self, side: Side) -> Sheet:
        return self.library.sheet(side.run, side.step)

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
        self.a, self.b = a, b
        self._try_compare(before, flip="broken")

    def flips_table(self) -> dict:
        """Counts of questions that one side has right and another wrong, around side a; see `Across.flips`."""
        return self.across.flips(self.a)

    def click_flip(self, row: int, column: int) -> None:
        """A click into the table of flips: the questions that the row's side has right and the column's wrong."""
        if (clicked := self.across.clicked(row, column)) is not None:
            self.pair(a=clicked[1], b=clicked[0])

    def _try_compare(self, before: tuple[Side, Side], flip: str | None = None) -> None:
        """After a change of sides; `before`: the sides to go back to where these cannot be compared."""
        try:
            self._align()
        except LabError:
            self.a, self.b = before
            raise
        self.selection.compare(self.comparison, flip)

    def _known_run(self, run: int) -> int:
        if not 0 <= int(run) < len(self.library.runs):
            raise LabError(f"there is no run number {run}; there are {len(self.library.runs)}.")
        return int(run)

    def _known_step(self, run: int, step: object) -> object:
        return next((known for known in self.library.steps(run) if str(known) == str(step)), None)

    # ---- the question on the screen

    @property
    def key(self) -> str | None:
        """The question that is looked at, None where the selection is empty."""
        return self.selection.key

    def toggle_tag(self, tag: str, answer: int | None = None) -> None:
        """Tag the question, or the answer shown at place `answer` (its arm goes into the file, blind or not)."""
        if self.key is None:
            return
        if answer is None:
            self.tags.toggle(self.key, tag)
        else:
            side = self.columns()[int(answer)]
            self.tags.toggle_answer(self.key, self.name(side), tag, self.selection.blind)

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
        if self.selection.blind and key is not None:
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


def _with_arm(side: Side, sheet: Sheet) -> Side:
    """The side, with an arm that the sheet has."""
    if side.arm in sheet.arms or not sheet.arms:
        return side
    return Side(side.run, side.step, usual_sides(sheet.arms)[0])
