"""Batches that do not fit into the memory of a GPU are halved, and the evaluation goes on.

What a training has captured, which it can capture again, makes room first. Which batch a question was in changes no
answer (in half precision: by rounding, as everything beside it does).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from lab.errors import LabError
from lab.progress import tqdm

Row, Found = TypeVar("Row"), TypeVar("Found")


class Halving:
    """Does `work` on batches, in parts that fit: once memory ran out, no part is larger than what fitted then.

    `spare`, asked once, before any batch is halved, gives back what can be spared, and says whether there was any.
    `fitted` remembers by `what` how many rows fitted once memory had run out: the next evaluation of a training begins
    with as many, so that what the training has captured since need not be spared again. A run that is resumed begins
    without it.
    """

    def __init__(
        self, work: Callable[[Sequence[Row]], Found], what: str, spare: Callable[[], bool] = lambda: False,
        fitted: dict[str, int] | None = None,
    ) -> None:  # fmt: skip
        self.work, self.what, self.spare = work, what, spare
        self.fitted = {} if fitted is None else fitted
        self.most = self.fitted.get(what, 0)

    def __call__(self, batch: Sequence[Row]) -> Iterator[Found]:
        """What `work` finds, part by part. Raises LabError where a single row does not fit."""
        start = 0
        while start < len(batch):
            rows = batch[start : start + (self.most or len(batch))]
            try:
                found = self.work(rows)
            except torch.OutOfMemoryError:
                found = None
            if found is None:  # here nothing of the failed attempt is held any more
                self._make_room(len(rows))
                continue
            if self.most:
                self.fitted[self.what] = self.most
            yield found
            start += len(rows)

    def _make_room(self, count: int) -> None:
        spared = self.spare()
        self.spare = lambda: False
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if spared:
            tqdm.write(f"{self.what}: out of memory with {count} questions at a time, trying once more without graphs")
            return
        if count == 1:
            raise LabError(
                f"{self.what}: the GPU's memory holds not one question at a time; lower max_new_tokens or shots, or "
                "choose a smaller model, target_bits or another device."
            )
        self.most = count // 2
        tqdm.write(f"{self.what}: out of memory with {count} questions at a time, going on with {self.most}")
