"""One side beside itself: the same arm at other steps and in other runs, and the table of who is right where another
is wrong. Files are read one at a time, when somebody asks for the next."""

from lab.samples.answers import clean
from lab.samples.comparison import Side, flips
from lab.samples.sheets import Library

TABLE, STEPS = 16, 24  # steps or runs in the table of flips, steps of a question; more would not be read
KINDS = ("arms", "steps", "runs")


class Across:
    """What stands around a side of `library`. `kind`: what the table of flips compares, one of `KINDS`."""

    def __init__(self, library: Library):
        self.library, self.kind = library, "arms"
        self._rows: list[Side] = []  # of the table as it was shown last

    def tabulate(self, kind: str) -> None:
        """What the table of flips compares: arms, steps or runs."""
        self.kind = kind if kind in KINDS else self.kind

    def steps(self, side: Side) -> list[object]:
        """The steps of its run that are shown beside each other: those around its own."""
        steps = self.library.steps(side.run)
        return _around(steps, steps.index(side.step), STEPS)

    def sides(self, side: Side) -> list[Side]:
        """What the table of flips compares: all arms, or the steps or runs around the one on the screen."""
        library, steps, runs = self.library, self.library.steps(side.run), range(len(self.library.runs))
        if self.kind == "steps":
            return _around([Side(side.run, step, side.arm) for step in steps], steps.index(side.step), TABLE)
        if self.kind == "runs":
            return _around([Side(run, library.steps(run)[-1], side.arm) for run in runs], side.run, TABLE)
        return [Side(side.run, side.step, arm) for arm in library.sheet(side.run, side.step).arms]

    def unread(self, side: Side) -> list[Side]:
        own = [Side(side.run, step, side.arm) for step in self.steps(side)]
        return [other for other in own + self.sides(side) if self.library.verdicts(other.run, other.step) is None]

    def read_more(self, side: Side) -> bool:
        """Read one more file of those around `side`; whether there was one. The page asks for it when it is idle."""
        unread = self.unread(side)
        if unread:
            self.library.read(unread[0].run, unread[0].step)
        return bool(unread)

    def flips(self, side: Side) -> dict:
        """Counts of questions that the row's side has right and the column's wrong. `left_out`: how many steps or runs
        there are besides."""
        sides, known = [], []
        for other in self.sides(side):
            found = self.library.verdicts(other.run, other.step)
            if found is not None and other.arm in found.correct:
                sides.append(other)
                known.append((found, other.arm))
        names = {
            "arms": lambda side: side.arm,
            "steps": lambda side: str(side.step),
            "runs": lambda side: clean(self.library.runs[side.run].name),
        }
        self._rows = sides
        existing = {"arms": 0, "steps": len(self.library.steps(side.run)), "runs": len(self.library.runs)}[self.kind]
        return {
            "kind": self.kind, "names": [names[self.kind](side) for side in sides],
            "left_out": max(0, existing - TABLE),
            "counts": [[None if i == j else flips(known[i], known[j]) for j in range(len(sides))]
                       for i in range(len(sides))],
        }  # fmt: skip

    def clicked(self, row: int, column: int) -> tuple[Side, Side] | None:
        """The row's side and the column's of a cell of the table as it was shown last; None where there is none."""
        within = 0 <= row < len(self._rows) and 0 <= column < len(self._rows) and row != column
        return (self._rows[row], self._rows[column]) if within else None


def _around(items: list, here: int, count: int) -> list:
    """At most `count` neighbours of place `here`."""
    start = max(0, min(here - count // 2, len(items) - count))
    return items[start : start + count]
