"""Arms with soft tokens: the latent arm, and controls that take something away from its soft tokens.

latent_shuffled gives another question's soft tokens, latent_zero none at all, latent_noise noise of the same norms,
latent_mean the average over all questions. latent_bf16, latent_int8 and latent_int4 send them over the wire first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lab.answers.checks import check_derangement
from lab.answers.common import Answer, answer_of, sketches
from lab.answers.evaluation import Evaluation
from lab.answers.generation import Generation
from lab.answers.model_checks import check_sent, check_token_counts
from lab.answers.wire import WIRES
from lab.config import Layout
from lab.errors import LabError
from lab.models import build_inputs, count_tokens
from lab.tasks import Question
from lab.translators import Bridge, TranslatorOutput

if TYPE_CHECKING:
    from lab.models import FrozenModel, TargetInputs

SHUFFLE_SEED = 20  # fixed, so that two runs shuffle alike
LENGTH_BLOCK = 6  # questions of like length among which soft tokens are exchanged
CONTENTLESS = ("latent_zero", "latent_noise", "latent_mean")  # their soft tokens are of no one question
CHANGED = (*CONTENTLESS, *(f"latent_{name}" for name in WIRES))

Change = Callable[[Tensor, list[Question]], Tensor]  # soft tokens [B, K, d] of these questions -> others


def latent_inputs(
    target: FrozenModel, layout: Layout, output: TranslatorOutput, contexts: Sequence[dict[str, str]]
) -> TargetInputs:
    """What the target is given in an arm with soft tokens: the layout, filled; never an answer."""
    return build_inputs(target, layout, output.soft_tokens.to(target.device), contexts, None, output.mask)


class LatentArm:
    """The target asked with soft tokens (see `lab.answers.together.Arm`)."""

    def __init__(
        self, name: str, evaluation: Evaluation, bridge: Bridge, donors: Sequence[int] | None = None,
        change: Change | None = None,
    ) -> None:  # fmt: skip
        """Question i gets the soft tokens of question `donors[i]` (None: its own), after `change` has had them."""
        self.name, self.model, self.evaluation, self.bridge = name, evaluation.pair.target, evaluation, bridge
        self.donors = range(len(evaluation.questions)) if donors is None else donors
        self.change, self.layout = change, evaluation.layout_of(name)
        self.contexts = [evaluation.context(question) for question in evaluation.questions]
        self.given: dict[int, tuple[int, tuple[float, ...]]] = {}  # how many soft tokens entered, and a sketch of them
        self.known: dict[int, Generation] = {}

    def missing(self) -> list[int]:
        return [index for index in range(len(self.contexts)) if index not in self.known]

    def length(self, index: int) -> int:
        chosen, layout = self.evaluation.config.translator, self.layout
        soft = chosen.soft_tokens or len(self.model.tokens([self._donor(index).question])[0])
        return count_tokens(self.model, layout, self.contexts[index]) + (0 if layout.adapter else soft)

    def inputs(self, indices: Sequence[int]) -> TargetInputs:
        layout, contexts = self.layout, [self.contexts[index] for index in indices]
        output = self.bridge.write([self._donor(index) for index in indices])
        soft, counts = output.soft_tokens.to(self.model.device), output.counts()
        if self.change is not None:
            soft = self.change(soft, [self.evaluation.questions[index] for index in indices])
        inputs = latent_inputs(self.model, layout, replace(output, soft_tokens=soft), contexts)
        check_token_counts(self.model, layout, inputs, contexts, counts)
        drawn = sketches(soft, output.mask)
        self.given |= dict(zip(indices, zip(counts, drawn, strict=True), strict=True))
        return inputs

    def take(self, said: Mapping[int, Generation]) -> None:
        self.known |= said

    def answers(self) -> list[Answer]:
        knows = self.bridge.translator.needs_source and self.name not in CONTENTLESS
        found = []
        for index, question in enumerate(self.evaluation.questions):
            (count, sketch), donor = self.given[index], self._donor(index).id if knows else ""
            found.append(answer_of(question, self.known[index], self.model, self.layout,
                                   self.contexts[index], count, donor, sketch=sketch))  # fmt: skip
        return found

    def _donor(self, index: int) -> Question:
        return self.evaluation.questions[self.donors[index]]


def derangement(cells: Sequence[str], seed: int, lengths: Sequence[int] | None = None) -> list[int]:
    """For each question another one of the same cell and of like length (its index), never itself.

    Within a cell it is a permutation; questions are exchanged among `LENGTH_BLOCK` neighbours in length. A question
    alone in its cell takes one of the nearest enclosing group ("lore/long" for "lore/long/held_out"). Raises LabError
    if there is only one question at all.
    """
    rng, donors = random.Random(seed), [-1] * len(cells)
    groups: dict[str, list[int]] = {}
    for index, cell in enumerate(cells):
        groups.setdefault(cell, []).append(index)
    for cell, members in sorted(groups.items()):
        if len(members) > 1:
            rng.shuffle(members)
            if lengths is not None:
                members.sort(key=lambda index: lengths[index])
            for block in _blocks(members):
                rng.shuffle(block)
                for index, donor in zip(block, block[1:] + block[:1], strict=True):
                    donors[index] = donor
            continue
        donors[members[0]] = rng.choice(_others(cells, members[0], cell))
    check_derangement(donors)
    return donors


def _blocks(members: list[int]) -> list[list[int]]:
    """Neighbours in blocks of `LENGTH_BLOCK`; a last one alone joins the block before."""
    blocks = [members[start : start + LENGTH_BLOCK] for start in range(0, len(members), LENGTH_BLOCK)]
    if len(blocks) > 1 and len(blocks[-1]) == 1:
        blocks[-2:] = [blocks[-2] + blocks[-1]]
    return blocks


def _others(cells: Sequence[str], own: int, cell: str) -> list[int]:
    parent, others = cell, []
    while not others and parent:
        parent = parent.rpartition("/")[0]
        others = [i for i, other in enumerate(cells) if i != own and (not parent or other.startswith(parent + "/"))]
    if not others:
        raise LabError(f"latent_shuffled needs two questions at least; the only one is of cell {cell!r}.")
    return others


def zero(soft: Tensor, questions: list[Question]) -> Tensor:
    """As many soft tokens, all zero: what the places themselves are worth."""
    return torch.zeros_like(soft)


def noise(soft: Tensor, questions: list[Question]) -> Tensor:
    """Gaussian noise with the norm of each soft token; seeded by the question, so no batch or order changes it."""
    rows = []
    for row, question in zip(soft, questions, strict=True):
        generator = torch.Generator().manual_seed(int(question.id[:15], 16))
        rows.append(torch.randn(row.shape, generator=generator))
    drawn = torch.stack(rows).to(soft)
    return drawn * (soft.norm(dim=-1, keepdim=True) / drawn.norm(dim=-1, keepdim=True))


def mean_of(bridge: Bridge, evaluation: Evaluation) -> Change:
    """The change to the average soft tokens of all questions, at the average norm: form without content.

    Slot by slot; where questions have different numbers of soft tokens, one average over all of them.
    """
    total, norms, rows = 0.0, 0.0, 0
    for batch in evaluation.batches(evaluation.questions, "mean soft tokens", lambda question: len(question.question)):
        output = bridge.write(batch)
        soft = output.soft_tokens.double()
        if output.mask is not None:
            soft = soft[output.mask][:, None]  # [tokens, 1, d]: every soft token for itself
        total, norms = total + soft.sum(dim=0), norms + soft.norm(dim=-1, keepdim=True).sum(dim=0)
        rows += len(soft)
    mean = total * (norms / rows) / total.norm(dim=-1, keepdim=True)
    return lambda soft, questions: mean.to(soft).expand_as(soft)


def change_of(arm: str, bridge: Bridge, evaluation: Evaluation) -> Change:
    """What an arm of `CHANGED` does to the soft tokens."""
    if arm == "latent_mean":
        return mean_of(bridge, evaluation)
    if arm in ("latent_zero", "latent_noise"):
        return zero if arm == "latent_zero" else noise
    wire = WIRES[arm.removeprefix("latent_")]
    return lambda soft, questions: check_sent(arm, wire, soft, wire.through(soft))
