"""One optimiser step: given to the device, and told when the device has done it.

A GPU works on its own time. Whoever reads a loss waits until it has been computed, and meanwhile gives the GPU nothing
more to do; so the next step is given before the numbers of this one are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lab import ranks
from lab.clock import part
from lab.config import RunConfig, TrainConfig
from lab.errors import LabError
from lab.models import Moment, Returning
from lab.progress import tqdm
from lab.runs import RunDirectory
from lab.training.losses import weighted_sum
from lab.training.objective import due_weights
from lab.training.optimizer import schedule
from lab.training.tracking import Track

LOG_EVERY = 20


@dataclass(frozen=True)
class Underway:
    """A step that the device may still be busy with: gradient norm, loss and `terms` are on their way from there.
    `begun`: when the device begins it."""

    terms: tuple[str, ...]
    weights: Mapping[str, float]
    rate: float
    begun: Moment
    numbers: Returning

    def row(self, before: Moment | None) -> dict:
        """Its row of `metrics.jsonl`, of all ranks: the loss that is optimised, its terms and their weights, learning
        rate, gradient norm, and the seconds since the step right `before` it was done, with its batch's reading in
        them; None: since it was begun, when its batch had been read. Waits for it."""
        norm, loss, *terms = self.numbers.tolist()
        return {
            "loss": loss,
            "terms": dict(zip(self.terms, terms, strict=True)),
            "weights": self.weights,
            "lr": self.rate,
            "grad_norm": norm,
            "seconds": self.numbers.there.seconds_since(before or self.begun),
        }


def take_step(
    translator: nn.Module, optimizer: torch.optim.Optimizer, config: RunConfig, step: int,
    terms_at: Callable[[], dict[str, Tensor]],
) -> Underway:  # fmt: skip
    """The optimiser step after `step` others, down the gradient of the terms that `terms_at` gives. Nothing here waits
    for the device; of the terms the answer's likelihood does not, once its shapes are captured."""
    begun, factor = Moment(next(translator.parameters()).device), schedule(step, config.training)
    translator.train()
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    with _fast_products():
        terms, weights = terms_at(), due_weights(config, step + 1)
        loss = weighted_sum(terms, weights)
        with part("backward"):
            loss.backward()
        with part("optimiser"):
            ranks.sum_gradients(translator)
            norm = torch.nn.utils.clip_grad_norm_(translator.parameters(), config.training.gradient_clip)
            optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    parts = ranks.summed(torch.stack([loss, *terms.values()]).detach())
    numbers = Returning(torch.cat([norm[None], parts]))
    return Underway(tuple(terms), weights, config.training.learning_rate * factor, begun, numbers)


@contextmanager
def _fast_products() -> Iterator[None]:
    """TF32 inside (a GPU's fast products of float32, with 10 bits of mantissa). Answers stay plain float32, also after
    a step that was interrupted."""
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


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
