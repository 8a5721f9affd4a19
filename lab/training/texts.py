"""The texts of steps to come are tokenised by a thread of their own, while this one gives a GPU its work.

Between two small models that may take as long as all else that the host does in a step. What is tokenised is remembered
by the models; a step whose texts are not there yet tokenises them itself, and what goes wrong here goes wrong there
again, where it is told.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from lab.config import Layout
from lab.models import FrozenModel, tokenise
from lab.training.objective import Batch
from lab.translators import Bridge

STEPS_AHEAD = 4  # of what the target reads; the source reads windows of steps at once


class TextsAhead:
    """Tokenises what source and target read in steps to come. `wanted`: on a CPU the arithmetic has the cores."""

    def __init__(self, bridge: Bridge, target: FrozenModel) -> None:
        self.bridge, self.target, self.wanted = bridge, target, target.device.type == "cuda"
        self._thread = ThreadPoolExecutor(1, "texts")  # it begins with the first text, and ends with this object
        self._last: Future | None = None

    def tokenise(self, read: Batch, answered: Batch, layout: Layout) -> None:
        """Begin with the questions of `read` for the source, with those of `answered` in `layout` for the target; not
        while there is work from before, so that none piles up."""
        if self._last is None or self._last.done():
            self._last = self._thread.submit(self._tokenise, read, answered, layout)

    def _tokenise(self, read: Batch, answered: Batch, layout: Layout) -> None:
        self.bridge.tokenise(read.questions)
        tokenise(self.target, self.target.reads(layout), answered.contexts, answered.answers)
