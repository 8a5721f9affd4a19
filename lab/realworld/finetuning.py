"""Fine-tuning of one pretrained model on its half of the world: documents drawn as they are needed, one plain loop.

The layers learn; embeddings and head stay as they are (half of such a small model's weights, and no name is a token),
so the loss needs no logits that are kept, and what a soft token is measured by does not move.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from lab.config import PairConfig, short_name
from lab.errors import LabError
from lab.models import FrozenModel, head_nll, load_pair, positions
from lab.progress import tqdm
from lab.realworld.corpus import DOCUMENTS, Document
from lab.runs import check_folder, whole_folder

WARM_UP = 0.05  # of the steps
LAST_RATE = 0.01  # of the learning rate, at the end of its cosine


@dataclass(frozen=True)
class Recipe:
    """How a model of one role is fine-tuned: `documents` of its corpus are read once, `batch_size` a step."""

    role: str
    documents: int
    batch_size: int = 256
    learning_rate: float = 5e-4
    seed: int = 1234

    def __post_init__(self) -> None:
        if self.role not in DOCUMENTS:
            raise LabError(f"role {self.role!r} is not known; choose one of {', '.join(DOCUMENTS)}.")
        if not (self.documents >= self.batch_size >= 1 and self.learning_rate > 0):
            raise LabError(
                f"{self.role}: {self.documents} documents in batches of {self.batch_size} at a learning rate of "
                f"{self.learning_rate} are no training; give at least one batch, and a rate above 0."
            )

    @property
    def steps(self) -> int:
        return self.documents // self.batch_size

    @property
    def side(self) -> str:
        """Which model of a pair it begins with."""
        return self.role.partition("_")[0]


def loss_of(model: FrozenModel, batch: Sequence[Document]) -> Tensor:
    """Mean negative log-likelihood of what the documents teach, end token included (nats per token)."""
    bos, eos = model.tokenizer.bos_token_id, model.tokenizer.eos_token_id
    read = [([] if bos is None else [bos]) + row for row in model.tokens([document.read for document in batch])]
    going_on = iter(model.tokens([document.learned for document in batch if document.read], continued=True))
    beginning = iter(model.tokens([document.learned for document in batch if not document.read]))
    end = [] if eos is None else [eos]
    taught = [next(going_on if document.read else beginning) + end for document in batch]
    ids, mask = model.padded([one + other for one, other in zip(read, taught, strict=True)], side="right")
    keep = torch.zeros_like(mask, dtype=torch.bool)  # the positions that predict a taught token
    for row, (one, other) in enumerate(zip(read, taught, strict=True)):
        keep[row, max(len(one) - 1, 0) : len(one) + len(other) - 1] = True
    labels, embeds, places = ids.roll(-1, dims=1)[keep], model.embed(ids), positions(mask)
    if model.head_is_last:
        states = model.run_headless(keep, embeds, mask, places)
        return head_nll(model.model.get_output_embeddings(), states, labels)
    return F.cross_entropy(model.run(keep, embeds, mask, places).logits.float(), labels)


def _rate(step: int, steps: int) -> float:
    """The part of the learning rate that step `step` (from 0) takes: linear warm-up, then a cosine."""
    warm = max(1, round(WARM_UP * steps))
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return min((step + 1) / warm, LAST_RATE + (1 - LAST_RATE) * cosine)


def learn(
    model: FrozenModel, draw: Callable[[random.Random], Document], steps: int, batch_size: int, learning_rate: float,
    seed: int, label: str = "fine-tune",
) -> list[float]:  # fmt: skip
    """Train the layers of `model` in place on `batch_size` documents a step; returns the loss of every step.

    AdamW without decay, gradients clipped at 1, bfloat16 autocast on a GPU over weights in their own dtype. Raises
    LabError if the loss is no longer a finite number.
    """
    network, device = model.model, model.device.type
    network.requires_grad_(True)
    for module in (network.get_input_embeddings(), network.get_output_embeddings()):
        module.requires_grad_(False)
    layers = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(layers, learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=device == "cuda")
    rng, losses = random.Random(f"{label} {seed}"), []
    bar = tqdm(range(steps), desc=label, unit="step", mininterval=2)
    with torch.enable_grad(), model.plainly():
        for step in bar:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * _rate(step, steps)
            batch = [draw(rng) for _ in range(batch_size)]
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                loss = loss_of(model, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(layers, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach())
            if step % 50 == 49 or step + 1 == steps:  # else nobody waits for the device
                bar.set_postfix(loss=f"{losses[-1].item():.3f}")
                if not math.isfinite(losses[-1].item()):
                    raise LabError(f"{label}: the loss is no number at step {step + 1}; lower {learning_rate=}.")
    network.requires_grad_(False)
    return torch.stack(losses).tolist()


def fine_tune(model: FrozenModel, recipe: Recipe) -> dict:
    """Train `model` in place by `recipe`; returns the facts: steps, first and last loss, seconds, parameters."""
    began = time.time()
    losses = learn(model, DOCUMENTS[recipe.role], recipe.steps, recipe.batch_size, recipe.learning_rate, recipe.seed,
                   f"fine-tune {recipe.role}")  # fmt: skip
    last = losses[-max(1, len(losses) // 20) :]
    return {
        "steps": recipe.steps,
        "first_loss": round(losses[0], 4),
        "last_loss": round(sum(last) / len(last), 4),
        "seconds": round(time.time() - began, 1),
        "device": model.device.type,
        "parameters": sum(weight.numel() for weight in model.model.parameters()),
    }


def built(recipe: Recipe, config: PairConfig, folder: Path) -> dict:
    """The fine-tuned model of `recipe.role` in `folder`/role, in bfloat16 with its tokenizer; returns the facts.

    It begins with the source or the target of `config`. A folder that is there already with the same recipe is left as
    it is, so that a job that was killed goes on. Raises LabError where it has another one, or is damaged.
    """
    place = folder / recipe.role
    begin = dict(zip(("source", "target"), map(short_name, config.models), strict=True))[recipe.side]
    if place.is_dir():
        kept = check_folder(place)
        if kept.get("recipe") != asdict(recipe) or kept.get("begin") != begin:
            raise LabError(f"{place} holds a model of another recipe; choose another name, or remove it.")
        return kept["facts"]
    torch.manual_seed(recipe.seed)
    model = getattr(load_pair(config), recipe.side)
    if model.dtype != torch.float32:
        raise LabError(f"{recipe.role} is fine-tuned in float32, not in {str(model.dtype)[6:]}; set dtype='float32'.")
    facts = fine_tune(model, recipe)
    place.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(place, recipe=asdict(recipe), begin=begin, facts=facts) as beside:
        model.model.to(torch.bfloat16).save_pretrained(beside)
        model.tokenizer.save_pretrained(beside)
    return facts
