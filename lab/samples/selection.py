"""Which questions of a comparison are looked at, in which order, and which one is on the screen. No widget here."""

import numpy as np

from lab.errors import LabError
from lab.samples.answers import clean
from lab.samples.comparison import FILTERS, FLIPS, SORTINGS, Comparison
from lab.samples.tags import Tags


class Selection:
    """The questions of `comparison` that the filters keep, and a place among them.

    `order`: int [m], their rows in the comparison; `place`: the one on the screen; `mask`: bool [n], the same ones;
    `unflipped`: those that all filters but the flip matrix keep, which its counts are of. `blind`: nothing may be
    chosen by outcome, for it would name the arm. A change keeps the question that was looked at, where it can.
    """

    def __init__(self, tags: Tags, comparison: Comparison):
        self.tags, self.comparison, self.blind, self.place, self.sorting = tags, comparison, False, 0, ""
        self.order = np.arange(0)
        self.clear()

    def compare(self, comparison: Comparison, flip: str | None = None) -> None:
        """Take another comparison; the filters stay, but for a cell that it does not have. `flip`: look at this cell
        of its flip matrix."""
        key, self.comparison = self.key, comparison
        if flip is not None and not self.blind:
            self.flip = flip
        if self.cell and not comparison.in_cell(self.cell).any():
            self.cell = ""
        self._apply(key)

    def _apply(self, key: str | None = None) -> None:
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
        self.order = np.flatnonzero(self.mask) if self.blind else comparison.order(self.mask, self.sorting)
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
        return int(self.order[self.place]) if len(self.order) else None

    @property
    def key(self) -> str | None:
        return None if self.row is None else self.comparison.ids[self.row]

    def __len__(self) -> int:
        return len(self.order)

    def record(self, place: int) -> dict:
        """The record at a place of the selection, that of side a's file."""
        return self.comparison.a.records[self.comparison.rows_a[self.order[place]]]

    def records(self, count: int) -> list[dict]:
        """The first records of the selection."""
        return [self.record(place) for place in range(min(count, len(self)))]

    # ---- moving

    def go(self, place: int) -> None:
        self.place = min(max(int(place), 0), max(len(self) - 1, 0))

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

    # ---- narrowing

    def toggle_filter(self, name: str) -> None:
        if name not in FILTERS:
            raise LabError(f"there is no filter {name!r}; choose one of {', '.join(FILTERS)}.")
        if not self.blind:
            self.filters ^= {name}
        self._apply()

    def choose(self, flip: str | None = None, cell: str | None = None, words: str | None = None,
               tag: str | None = None) -> None:  # fmt: skip
        """Narrow by a cell of the flip matrix, a cell of the task, words, a tag; "" takes it away again."""
        if flip is not None and not self.blind:
            self.flip = flip if flip in FLIPS and flip != self.flip else ""
        self.cell = self.cell if cell is None else cell
        self.words = self.words if words is None else words
        self.tag = self.tag if tag is None else tag
        self._apply()

    def sort(self, by: str) -> None:
        """By a key of `SORTINGS`; the questions stay the same ones."""
        if not self.blind:
            self.sorting = by if by in SORTINGS else ""
        self._apply()

    def clear(self, key: str | None = None) -> None:
        """Take all filters away, and look at the question `key` (None: the same as before)."""
        self.filters: set[str] = set()
        self.flip, self.cell, self.words, self.tag = "", "", "", ""
        self._apply(key)

    def toggle_blind(self) -> None:
        """Into blind mode nothing that was chosen by outcome may follow: a filter would name the arm."""
        self.blind = not self.blind
        if self.blind:
            self.filters, self.flip, self.sorting = set(), "", ""
        self._apply()
