"""A computation captured once for one set of shapes and replayed since: a thousand launches become one (CUDA graphs).

A small model's pass, or a large one's over a few rows, takes the GPU less time than Python takes to ask for it. What is
captured runs on the tensors it was captured with, so a replay copies its inputs there first.

An allocator keeps the memory of each stream and each pool apart. So plain passes beside the graphs run on the stream
they are captured on, from their pool, and find there what a graph has left free; but for what a backward pass makes, in
a thread that no pool reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

MOST = 64  # of one model: a run has a few dozen shapes


class Graph:
    """`stages`, each given what the one before it returned (the first: `given`), captured and replayed as one.

    All graphs of a `pool` share their memory, so what a replay returns has to be used or copied before the next one.
    """

    def __init__(
        self, stages: Sequence[tuple[str, Callable]], given: Sequence[Tensor], pool: tuple[int, int],
        stream: torch.cuda.Stream,
    ) -> None:  # fmt: skip
        self.given = [value.detach().clone() for value in given]
        self.graphs, made = [], tuple(self.given)
        for name, stage in stages:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, stream=stream):
                made = stage(*made)
            self.graphs.append((name, graph))
            self.kept = (getattr(self, "kept", ()), made)  # what a later stage reads must not be freed
        self.made = made

    def __call__(self, given: Sequence[Tensor], within: Callable = nullcontext) -> Any:
        for mine, value in zip(self.given, given, strict=True):
            mine.copy_(value, non_blocking=True)
        for name, graph in self.graphs:
            with within(name):
                graph.replay()
        return self.made


class Graphs:
    """The graphs of one model by their shapes, in one pool of memory; a shape is captured when it comes again."""

    def __init__(self) -> None:
        self._pool, self._stream, self.known, self.seen = None, None, {}, set()
        self.held: set[tuple] = set()  # kinds of launches that were compared with the plain pass

    @property
    def pool(self) -> torch.cuda.MemPool:
        if self._pool is None:
            self._pool = torch.cuda.MemPool()
        return self._pool

    @property
    def stream(self) -> torch.cuda.Stream:
        if self._stream is None:
            self._stream = torch.cuda.Stream()
        return self._stream

    def beside(self, work: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """What `work` makes, a plain pass on the memory of the graphs: both are never at work at once. It has to be
        used or copied before the next replay, as what a replay returns."""
        outside = torch.cuda.current_stream()
        self.stream.wait_stream(outside)
        try:
            with torch.cuda.stream(self.stream), torch.cuda.use_mem_pool(self.pool):
                made = work()
        finally:
            outside.wait_stream(self.stream)
        for value in made:
            value.record_stream(outside)  # where it is used, so that its memory is not given back before
        return made

    def forget(self) -> bool:
        """Give the memory of all of them back; what comes again is captured again. Whether there were any."""
        there = bool(self.known)
        if there and torch.cuda.is_available():
            torch.cuda.synchronize()  # replays run on another stream than the one that their memory belongs to
        self.known.clear()
        self._pool = None
        return there

    def at(self, key: tuple, stages: Sequence[tuple[str, Callable]], given: Sequence[Tensor]) -> Graph | None:
        """The graph of `key`, which holds all that decides what is computed but for the values of `given`; None for
        one that is met for the first time: it may be the last, and a plain run warms up what a capture needs."""
        if key in self.known:
            return self.known[key]
        if key not in self.seen or len(self.known) >= MOST:
            self.seen.add(key)
            return None
        self.known[key] = Graph(stages, given, self.pool.id, self.stream)
        return self.known[key]
