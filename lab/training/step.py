"""One optimiser step, given to the device, whose numbers come when the device has done it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lab import ranks
from lab.clock import part
from lab.config import RunConfig
from lab.models import Moment, Returning
from lab.training.losses import weighted_sum
from lab.training.objective import due_weights
from lab.training.optimizer import schedule


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
