"""The shapes of a run, from lengths alone: which rows go through a model together, padded to what width.

The same rules as the run's own (`lab.models.nll.passes`, `lab.training.reading.ReadAhead`), to which tests hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from lab.config import RunConfig
from lab.preflight.decoder import Decoder
from lab.preflight.workload import Row
from lab.training import Batches

NEVER = 2**62
MOST_GRAPHS = 64


@dataclass(frozen=True)
class Ways:
    """How a run computes on a GPU; `of` a config. The other fields are what benchmarks take away or had earlier:
    padding to multiples of `step`, bytes of a state per token and layer that a pass may have (`at_once`), whether the
    `shared` beginning is read once, and whether it counted towards `at_once`, whether the source reads steps `ahead`,
    logits in pieces of `chunk`."""

    graphs: bool = True
    fused: bool = False
    leaves: bool = False
    step: int = 32
    at_once: int = 2**30
    shared: bool = True
    shared_counts: bool = False
    ahead: bool = True
    chunk: int = 2**28

    @classmethod
    def of(cls, config: RunConfig) -> Ways:
        """Losses that read the distributions themselves take a batch at once, with all its logits."""
        pair, losses = config.pair, config.losses
        own = cls(pair.cuda_graphs, pair.fused_kernels, pair.source_leaves)
        whole = losses.kl_weight or losses.format_weight
        return replace(own, graphs=False, at_once=NEVER, chunk=NEVER, shared=False) if whole else own

    @classmethod
    def straightforward(cls) -> Ways:
        """As `benchmarks/speed.py` ran its plain path when its records were made: rows went in groups all the same."""
        return cls(False, False, False, step=1, shared=False, ahead=False, chunk=NEVER)

    def padded(self, tokens: int, rows: int = 2) -> int:
        step = self.step if rows > 1 else 1
        return -(-tokens // step) * step


@dataclass(frozen=True)
class Group:
    """Rows that go through the target in one pass: padded `width`, `shared` tokens read before, `scored` positions."""

    rows: int
    width: int
    shared: int
    scored: int

    @property
    def tokens(self) -> int:
        return self.rows * self.width


def groups(rows: Sequence[Row], soft: int, shared: int, target: Decoder, element: int, ways: Ways) -> list[Group]:
    """A step's passes through the target; see `lab.models.nll.passes`."""
    shared = shared if ways.shared else 0
    lengths = [row.prompt + soft + row.answer for row in rows]
    width = ways.padded(max(lengths), len(rows)) - (0 if ways.shared_counts else shared)
    most = ways.at_once // (width * target.layers * target.hidden * element)
    count = -(-len(rows) // max(1, min(most, len(rows))))
    order = sorted(range(len(rows)), key=lambda row: (lengths[row], row))
    found = []
    for group in range(count):
        chosen = order[len(rows) * group // count : len(rows) * (group + 1) // count]
        longest = ways.padded(max(lengths[row] for row in chosen), len(rows))
        scored = sum(rows[row].answer for row in chosen)
        if ways.graphs:
            step = max(64, 1 << max(0, scored.bit_length() - 3))
            scored = -(-scored // step) * step
        found.append(Group(len(chosen), longest - shared, shared, scored))
    return found


def captured(steps: Iterable[Sequence[Group]]) -> tuple[set[Group], int]:
    """(the shapes that come again and are captured, how many passes were plain because their shape was new or one too
    many); see `lab.models.graphs.Graphs`."""
    seen, known, plain = set(), set(), 0
    for passes in steps:
        for one in passes:
            if one in known:
                continue
            if one in seen and len(known) < MOST_GRAPHS:
                known.add(one)
            else:
                seen.add(one)
                plain += 1
    return known, plain


@dataclass(frozen=True)
class Window:
    """Steps whose questions the source reads at once: `passes` are (rows, padded width), `tokens` real ones."""

    steps: int
    passes: list[tuple[int, int]]
    tokens: int


def steps_of(batches: Batches, rows: Sequence[Row], steps: Sequence[int]) -> Iterator[list[Row]]:
    for step in steps:
        yield [rows[index] for index in batches.indices(step)]


def window_of(
    rows: Sequence[Row], batches: Batches, steps: int, source: Decoder, picked: int, element: int, ways: Ways
) -> Window:
    """The first window; see `lab.training.reading.ReadAhead`."""
    size = sum(row.source for row in rows) / len(rows) * source.hidden * element
    if not ways.ahead:
        many, most = 1, batches.batch_size
    else:
        kept = size * picked
        questions = 2**33 // kept if ways.leaves else min(2**31 // kept, 1024)
        many = int(min(max(1, questions // batches.batch_size), steps))
        most = int(min(1024, max(1, 2**31 // (size * (picked + source.layers + 1)))))
    indices = {index for step in range(many) for index in batches.indices(step)}
    if not ways.ahead:  # the widest of the steps stands for all
        indices = max((set(batches.indices(step)) for step in range(min(steps, 200))),
                      key=lambda some: max(rows[index].source for index in some))  # fmt: skip
    order = sorted(indices, key=lambda index: (rows[index].order, index))
    passes = []
    for start in range(0, len(order), most):
        chosen = order[start : start + most]
        passes.append((len(chosen), ways.padded(max(rows[index].source for index in chosen), len(chosen))))
    return Window(many, passes, sum(rows[index].source for index in order))
