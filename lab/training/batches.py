"""Which questions a training step reads: a pure function of the seed and the step."""

from collections.abc import Sequence

import numpy as np

from lab import ranks

WINDOW = 8  # batches that are sorted by length together
EPOCHS = 8  # whose orders are remembered: steps to come are asked for beside the one that is done


class Batches:
    """Which questions a step trains on: a function of the seed and the step alone.

    Every epoch is one seeded permutation of all questions. Within windows of `WINDOW` batches they are sorted by
    length, so that little of a batch is padding; the batches of a window come in random order.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed = np.asarray(lengths), batch_size, seed
        self._orders: dict[int, np.ndarray] = {}

    def indices(self, step: int) -> list[int]:
        """The questions of `step` (from 0); a batch at the end of an epoch goes on in the next one."""
        first, count = step * self.batch_size, len(self.lengths)
        found = []
        for epoch in range(first // count, (first + self.batch_size - 1) // count + 1):
            start, stop = max(first - epoch * count, 0), min(first + self.batch_size - epoch * count, count)
            found += self._order_of(epoch)[start:stop].tolist()
        return found

    def own(self, step: int) -> list[int]:
        """Of these the ones that this rank trains on: dealt out in turn, as the longest stand beside one another."""
        return ranks.mine(self.indices(step))

    def _order_of(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            rng = np.random.default_rng([self.seed, epoch])
            order, size = rng.permutation(len(self.lengths)), self.batch_size
            batches = []
            for start in range(0, len(order), WINDOW * size):
                window = order[start : start + WINDOW * size]
                window = window[np.argsort(self.lengths[window], kind="stable")]
                pieces = [window[i : i + size] for i in range(0, len(window), size)]
                batches += [pieces[i] for i in rng.permutation(len(pieces))]
            if len(self._orders) == EPOCHS:
                del self._orders[min(self._orders)]
            self._orders[epoch] = np.concatenate(batches)
        return self._orders[epoch]
