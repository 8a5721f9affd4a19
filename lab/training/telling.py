"""What the steps of a training came to: told when the device has done them.

A GPU works on its own time. Whoever reads a loss waits until it has been computed, and meanwhile gives the GPU nothing
more to do; so the next step is given before the numbers of this one are read.
"""

from __future__ import annotations

import math

from lab.config import TrainConfig
from lab.errors import LabError
from lab.models import Moment
from lab.progress import tqdm
from lab.runs import RunDirectory
from lab.training.step import Underway
from lab.training.tracking import Track

LOG_EVERY = 20


class Telling:
    """What steps come to, told when the next one has been given: to the run's files, its tracker and a progress bar."""

    def __init__(self, run: RunDirectory, track: Track, label: str, settings: TrainConfig, step: int) -> None:
        self.run, self.track, self.label, self.settings, self.step = run, track, label, settings, step
        self.bar = tqdm(initial=step, total=settings.steps, desc=label, unit="step", mininterval=1)
        self._underway: Underway | None = None
        self._before: Moment | None = None  # when the step right before was done

    def add(self, underway: Underway) -> None:
        """The step after all others: the one before it is told now, on a CPU this one too. Raises LabError as
        `catch_up`."""
        self._tell()
        self._underway = underway
        if underway.numbers.there.is_now:  # not where it happens to be done: all ranks have to tell at the same moment
            self._tell()

    def close(self) -> None:
        self.catch_up()
        self.bar.close()

    def catch_up(self) -> None:
        """Tell what was not told yet: something else comes now. Raises LabError if its loss or gradient is no longer a
        finite number."""
        self._tell()
        self._before = None

    def _tell(self) -> None:
        if self._underway is None:
            return
        told, self._underway = self._underway, None
        row, self._before = told.row(self._before), told.numbers.there
        self.step += 1
        self.bar.update()
        self.run.metric({"kind": "step", "step": self.step, **row})
        self.track(row, self.step)
        if not (math.isfinite(row["loss"]) and math.isfinite(row["grad_norm"])):
            raise LabError(_diverged(self.label, self.step, row, self.settings.learning_rate))
        if self.step % LOG_EVERY == 0 or self.step == self.settings.steps:
            self.bar.set_postfix(loss=f"{row['loss']:.3f}")
            line = f"Step {self.step}/{self.settings.steps} | Loss {row['loss']:.4f} | LR {row['lr']:.2e}"
            self.run.log(line)


def _diverged(label: str, step: int, row: dict, rate: float) -> str:
    """What is no longer a number, in one sentence: the terms, or of finite terms the gradient."""
    terms = [f"{name} is {value}" for name, value in row["terms"].items() if not math.isfinite(value)]
    found = " and ".join(terms) or f"every term is finite, but the gradient of the loss is {row['grad_norm']}"
    return (
        f"{label}: at step {step} the loss is {row['loss']}: {found}; the last checkpoint is from before that: lower "
        f"learning_rate={rate} or the weight of the term."
    )
