"""Tasks that have so many questions and no more, each of them in one of four parts."""

from __future__ import annotations

import random
from abc import abstractmethod

from lab.tasks.contract import Question, Task, first_of


class PooledTask(Task):
    """A task whose questions lie in a file or on the Hub. Nothing is read before the first part is asked for."""

    @property
    @abstractmethod
    def parts(self) -> dict[str, list[Question]]:
        """Train, dev, exemplars and (unless `test` is overridden) test, in a fixed order; no question is in two."""

    def train(self, count: int = 0, seed: int = 0) -> list[Question]:
        """`count` training questions in an order drawn from `seed` (0: all of them; more than there are: all)."""
        pool = list(self.parts["train"])
        random.Random(seed).shuffle(pool)
        return pool[:count] if count else pool

    def dev(self) -> list[Question]:
        return list(self.parts["dev"])

    def test(self) -> list[Question]:
        return list(self.parts["test"])

    def exemplars(self, shots: int) -> list[Question]:
        return first_of(self.parts["exemplars"], shots, self.name)
