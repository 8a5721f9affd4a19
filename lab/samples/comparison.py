"""Side a against side b on the same questions: alignment, flip matrix, filters, the paired result of a selection.

A side is one arm at one step of one run, so arm against arm, step against step and run against run are one thing.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module

import numpy as np

from lab.errors import LabError
from lab.evidence import LATENT, ORACLE, mcnemar, wilson
from lab.samples.sheets import RIGHT, UNKNOWN, WRONG, Sheet, Verdicts

with suppress(ModuleNotFoundError):  # the tests load it when they are asked; loaded here, the first view need not wait
    import_module("statsmodels.stats.contingency_tables")
    import_module("statsmodels.stats.proportion")

SHUFFLED = f"{LATENT}_shuffled"
# "only a right" and "all wrong" ask whether anyone else could: each model alone, the control with another question's
# soft tokens, and b. Other arms share a's soft tokens or are further controls; an oracle was told, even as b.
RIVALS = ("source", "target", SHUFFLED)
TOLD = (ORACLE, "text_hint")
# (b right?, a right?), regressions first
FLIPS = {"broken": (RIGHT, WRONG), "fixed": (WRONG, RIGHT), "both_wrong": (WRONG, WRONG), "both_right": (RIGHT, RIGHT)}
FILTERS = {
    "fixed": "fixed by {a}",
    "broken": "broken by {a}",
    "only": "only {a} right",
    "all_wrong": "all wrong",
    "invalid": "{a} invalid",
    "repeats": "{a} repeats itself",
    "copies": "{a} copies the question",
    "disagree": "scorers disagree on {a}",
}
SORTINGS = {"most": "gold answer likelier in {a}", "least": "gold answer likelier in {b}"}  # by `Comparison.told`


@dataclass(frozen=True)
class Side:
    """One arm at one step of one run (its number in the library)."""

    run: int
    step: object
    arm: str


def aligned(a: Verdicts, arm_a: str, b: Verdicts, arm_b: str) -> tuple[np.ndarray, np.ndarray]:
    """(rows of a, rows of b), int [m]: the questions that both sides answered and scored, in the order of a."""
    correct_a, correct_b = a.correct[arm_a], b.correct[arm_b]
    if a.ids == b.ids:
        rows = np.flatnonzero((correct_a != UNKNOWN) & (correct_b != UNKNOWN))
        return rows, rows
    pairs = [(row, b.place[key]) for row, key in enumerate(a.ids) if key in b.place]
    pairs = [(i, j) for i, j in pairs if correct_a[i] != UNKNOWN and correct_b[j] != UNKNOWN]
    found = np.array(pairs, dtype=int).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def flips(row: tuple[Verdicts, str], column: tuple[Verdicts, str]) -> int:
    """How many questions the row's side has right and the column's wrong."""
    rows, columns = aligned(*row, *column)
    right, wrong = row[0].correct[row[1]][rows] == RIGHT, column[0].correct[column[1]][columns] == WRONG
    return int((right & wrong).sum())


class Comparison:
    """The aligned questions of two sides. All arrays have one entry per aligned question, in the order of side a."""

    def __init__(self, a: Sheet, arm_a: str, b: Sheet, arm_b: str):
        for sheet, arm in ((a, arm_a), (b, arm_b)):
            if arm not in sheet.arms:
                raise LabError(f"there is no arm {arm!r} in these records; choose one of {', '.join(sheet.arms)}.")
        self.a, self.arm_a, self.b, self.arm_b = a, arm_a, b, arm_b
        self.rows_a, self.rows_b = aligned(a.verdicts, arm_a, b.verdicts, arm_b)
        self.right_a = a.verdicts.correct[arm_a][self.rows_a] == RIGHT
        self.right_b = b.verdicts.correct[arm_b][self.rows_b] == RIGHT
        self.cells = a.cells[self.rows_a]

    def __len__(self) -> int:
        return len(self.rows_a)

    @property
    def ids(self) -> list[str]:
        return [self.a.verdicts.ids[row] for row in self.rows_a]

    def left_out(self) -> dict[str, list[str]]:
        """The ids that are not compared, by reason: in one side only, without a scored answer, twice in a file."""
        ids_a, ids_b = set(self.a.verdicts.ids), set(self.b.verdicts.ids)
        kept = set(self.ids)
        found = {
            "only in a": [key for key in self.a.verdicts.ids if key not in ids_b],
            "only in b": [key for key in self.b.verdicts.ids if key not in ids_a],
            "not scored": [key for key in self.a.verdicts.ids if key in ids_b and key not in kept],
            "twice in a": self.a.duplicates,
            "twice in b": self.b.duplicates if self.b is not self.a else [],
        }
        return {reason: keys for reason, keys in found.items() if keys}

    def flip(self, name: str) -> np.ndarray:
        """bool [m]: the questions of one cell of the flip matrix."""
        right_b, right_a = FLIPS[name]
        return (self.right_b == right_b) & (self.right_a == right_a)

    def filtered(self, name: str) -> np.ndarray:
        """bool [m]: the questions that a filter of `FILTERS` keeps. Flags are those of side a's answers."""
        if name in ("fixed", "broken"):
            return self.flip(name)
        if name in ("only", "all_wrong"):
            correct = self.a.verdicts.correct
            others = [correct[arm][self.rows_a] == RIGHT for arm in RIVALS if arm in correct and arm != self.arm_a]
            others += [] if self.arm_b in TOLD else [self.right_b]
            anyone = np.any(others, axis=0) if others else np.zeros(len(self), dtype=bool)
            return ~anyone & (self.right_a if name == "only" else ~self.right_a)
        return self.a.flag(name, self.arm_a)[self.rows_a]

    def rivals(self) -> list[str]:
        """Whom "only a right" and "all wrong" ask about besides a."""
        found = [arm for arm in RIVALS if arm in self.a.arms and arm != self.arm_a]
        return found if self.arm_b in TOLD or (self.b is self.a and self.arm_b in found) else [*found, "the other side"]

    def in_cell(self, cell: str) -> np.ndarray:
        """bool [m]: questions of a cell or of a group (``lore/long`` holds ``lore/long/seen``); "" is all."""
        return np.array([not cell or name == cell or name.startswith(cell + "/") for name in self.cells], dtype=bool)

    def searched(self, words: str) -> np.ndarray:
        return self.a.matches(words)[self.rows_a] if words.strip() else np.ones(len(self), dtype=bool)

    @cached_property
    def told(self) -> np.ndarray:
        """float [m]: bits that the gold answer costs less in a than in b, NaN where a file does not say."""
        costs = (sheet.nats(arm)[rows] for sheet, arm, rows in ((self.a, self.arm_a, self.rows_a),
                                                                (self.b, self.arm_b, self.rows_b)))  # fmt: skip
        ours, theirs = costs
        return (theirs - ours) / math.log(2)

    def order(self, mask: np.ndarray, sorting: str = "") -> np.ndarray:
        """The places that `mask` keeps. `sorting` "": regressions first, then repairs, then the rest; "most" or
        "least": by `told`, questions without it last. File order within."""
        if sorting and not np.isnan(self.told).all():
            kept = np.flatnonzero(mask)
            key = self.told[kept] * (-1 if sorting == "most" else 1)
            return kept[np.argsort(np.where(np.isnan(key), np.inf, key), kind="stable")]
        rank = np.full(len(self), 2)
        rank[self.flip("broken")], rank[self.flip("fixed")] = 0, 1
        kept = np.flatnonzero(mask)
        return kept[np.argsort(rank[kept], kind="stable")]

    def matrix(self, mask: np.ndarray) -> dict[str, int]:
        """Counts of the flip matrix within `mask`."""
        return {name: int((self.flip(name) & mask).sum()) for name in FLIPS}

    def result(self, mask: np.ndarray) -> dict | None:
        """The paired result of a selection: accuracies with Wilson's intervals, and McNemar's test; None if empty."""
        right_a, right_b = self.right_a[mask], self.right_b[mask]
        if not len(right_a):
            return None
        test = mcnemar(right_a.tolist(), right_b.tolist())
        sides = {
            name: {"right": int(right.sum()), "accuracy": float(right.mean()),
                   "ci95": list(wilson(int(right.sum()), len(right)))}
            for name, right in (("a", right_a), ("b", right_b))
        }  # fmt: skip
        return test | sides

    def accuracies(self, mask: np.ndarray) -> dict[str, tuple[int, int]]:
        """(right, scored) of every arm of side a's step within the selection."""
        found = {}
        for arm in self.a.arms:
            correct = self.a.verdicts.correct[arm][self.rows_a][mask]
            found[arm] = int((correct == RIGHT).sum()), int((correct != UNKNOWN).sum())
        return found


def usual_sides(arms: list[str]) -> tuple[str, str]:
    """The two arms to begin with: latent (else the last one) against target (else another one)."""
    first = LATENT if LATENT in arms else arms[-1]
    others = [arm for arm in arms if arm != first] or [first]
    return first, "target" if "target" in others else others[0]


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"
