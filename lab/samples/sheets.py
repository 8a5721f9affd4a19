"""Step files opened as they are looked at: a sheet is one file of records with its verdicts as arrays.

A folder may hold gigabytes. Only the newest sheets keep their texts; of every file read, the verdicts stay.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from sys import intern

import numpy as np

from lab.errors import LabError
from lab.evidence import ordered_arms
from lab.runs import FORMATS, RunFiles, find_runs, read_step
from lab.samples.answers import clean, copies_question, repeats_itself, scorers_disagree
from lab.tasks import INVALID, question_id

RIGHT, WRONG, UNKNOWN = 1, 0, -1
KEPT = 100_000_000  # characters of records that stay; as Python objects they take two to three times as many bytes


@dataclass(frozen=True)
class Verdicts:
    """What stays of a file once read. `correct[arm]` is int8 [n], RIGHT, WRONG or UNKNOWN; `extracted[arm]` n texts."""

    ids: tuple[str, ...]
    correct: dict[str, np.ndarray]
    extracted: dict[str, tuple[str, ...]]

    @cached_property
    def place(self) -> dict[str, int]:
        """Row of each question."""
        return {key: row for row, key in enumerate(self.ids)}


class Sheet:
    """One step file: records by question, each question once, in file order.

    `duplicates`: ids of the rows that repeat a question (the first counts); `report`: `file:line: reason` of what
    could not be read or is odd.
    """

    def __init__(self, records: Sequence[dict], report: Sequence[str] = ()):
        self.records: list[dict] = []
        self.duplicates: list[str] = []
        self.report = [clean(line) for line in report]
        seen: set[str] = set()
        for record in records:
            key = clean(record.get("id") or question_id(str(record.get("question", ""))))
            if key in seen:
                self.duplicates.append(key)
                continue
            seen.add(key)
            arms = record.get("arms") if isinstance(record.get("arms"), dict) else {}
            self.records.append(
                record | {"id": key, "arms": {clean(arm): row for arm, row in arms.items() if isinstance(row, dict)}}
            )
        self.arms = ordered_arms({arm for record in self.records for arm in record["arms"]})
        self.cells = np.array([clean(record.get("cell")) for record in self.records], dtype=object)
        answers = {arm: [record["arms"].get(arm, {}) for record in self.records] for arm in self.arms}
        self.verdicts = Verdicts(
            tuple(intern(record["id"]) for record in self.records),
            {
                arm: np.array(
                    [v if (v := row.get("correct")) in (True, False) and v is not None else UNKNOWN for row in rows],
                    dtype=np.int8,
                )
                for arm, rows in answers.items()
            },
            {arm: tuple(intern(clean(row.get("extracted"))) for row in rows) for arm, rows in answers.items()},
        )
        self._flags: dict[tuple[str, str], np.ndarray] = {}
        self._nats: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.records)

    def answer(self, row: int, arm: str) -> dict:
        return self.records[row]["arms"].get(arm, {})

    def flag(self, name: str, arm: str) -> np.ndarray:
        """bool [n]: ``invalid``, ``repeats``, ``copies`` or ``disagree`` of an arm's answers; computed once."""
        if (name, arm) not in self._flags:
            self._flags[name, arm] = np.array(
                [bool(row) and _FLAGS[name](record, row) for record in self.records
                 for row in [record["arms"].get(arm, {})]],
                dtype=bool,
            )  # fmt: skip
        return self._flags[name, arm]

    def nats(self, arm: str) -> np.ndarray:
        """float [n]: what the gold answer costs in an arm (nats), NaN where that was not measured; computed once."""
        if arm not in self._nats:
            values = [record["arms"].get(arm, {}).get("gold_nats") for record in self.records]
            self._nats[arm] = np.array([nats_of(value) for value in values])
        return self._nats[arm]

    def matches(self, words: str) -> np.ndarray:
        """bool [n]: records whose question, gold or any answer holds `words`, case aside."""
        needle = words.casefold()
        return np.array(
            [
                needle in str(record.get("question", "")).casefold()
                or needle == str(record.get("gold", "")).casefold()
                or needle in record["id"]
                or any(needle in str(row.get("text", "")).casefold() for row in record["arms"].values())
                for record in self.records
            ],
            dtype=bool,
        )


def nats_of(value: object) -> float:
    """A number that a file holds, NaN for whatever is none."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number else math.nan


def _text(row: dict) -> str:
    return clean(row.get("text"))


_FLAGS = {
    "invalid": lambda record, row: row.get("extracted") == INVALID,
    "repeats": lambda record, row: repeats_itself(_text(row)),
    "copies": lambda record, row: copies_question(_text(row), clean(record.get("question"))),
    "disagree": lambda record, row: scorers_disagree(_text(row), clean(record.get("gold")), row.get("correct")),
}


def _characters(value: object) -> int:
    """Text in a record, whatever its form; a packed file's size would tell little."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list) else 0


Place = str | Path | Sequence[str | Path]  # a folder, a file, or several


def open_runs(place: Place) -> list[RunFiles]:
    """The runs with samples at `place` (see `lab.runs.find_runs`). A relative path is looked for here and then in the
    folder above, so that a notebook finds the repository's runs from its own folder too. Raises LabError where there
    are none."""
    reason = None
    paths = [Path(path).expanduser() for path in ([place] if isinstance(place, str | Path) else place)]
    for root in (Path(), Path("..")):
        try:
            if runs := [run for run in find_runs([root / path for path in paths]) if run.steps]:
                return runs
        except LabError as error:
            reason = reason or error
    raise LabError(
        f"{', '.join(map(str, paths))}: nothing to browse; train a run first (`make demo`), or give its folder, or a "
        f"folder or file of samples. What can be read: {FORMATS}."
    ) from reason


class Library:
    """The runs at a place. `runs` in the order of their names; sheets are read on demand."""

    def __init__(self, place: Place, kept: int = KEPT):
        self.runs = open_runs(place)
        self._kept = kept
        self._sheets: OrderedDict[tuple[int, object], tuple[Sheet, int]] = OrderedDict()
        self._verdicts: dict[tuple[int, object], Verdicts] = {}

    def steps(self, run: int) -> list[object]:
        """The steps of a run in order: numbers, then "final"."""
        return [step.step for step in self.runs[run].steps]

    def first(self) -> tuple[int, object]:
        """The last step of the first run; where no answer can be read there, the next one that has some."""
        reasons = []
        for run in range(len(self.runs)):
            for step in reversed(self.steps(run)):
                try:
                    sheet = self.sheet(run, step)
                except LabError as error:
                    self._verdicts[run, step] = Verdicts((), {}, {})
                    reasons.append(str(error))
                    continue
                if sheet.arms:
                    return run, step
                reasons += sheet.report[:1]
        why = reasons[0].rstrip(".") if reasons else "the files are empty"
        raise LabError(f"there is no answer to browse: {why}. What can be read: {FORMATS}.")

    def sheet(self, run: int, step: object) -> Sheet:
        """The records of one step; read again if its texts were let go. Raises LabError for an unreadable file."""
        key = (run, step)
        if key in self._sheets:
            self._sheets.move_to_end(key)
            return self._sheets[key][0]
        file = next((file for file in self.runs[run].steps if file.step == step), None)
        if file is None:
            raise LabError(f"run {self.runs[run].name} has no step {step}; it has {self.steps(run)}.")
        read = read_step(file)
        sheet = Sheet(read.records, read.report())
        self._sheets[key] = sheet, sum(_characters(record) for record in sheet.records)
        self._verdicts[key] = sheet.verdicts
        # two always stay: the comparison on the screen
        while len(self._sheets) > 2 and sum(size for _, size in self._sheets.values()) > self._kept:
            self._sheets.popitem(last=False)
        return sheet

    def verdicts(self, run: int, step: object) -> Verdicts | None:
        """What is known of a file; None where it was not read yet."""
        return self._verdicts.get((run, step))

    def read(self, run: int, step: object) -> None:
        """Read a file for its verdicts. One that cannot be opened has none."""
        try:
            self.sheet(run, step)
        except LabError:
            self._verdicts[run, step] = Verdicts((), {}, {})
