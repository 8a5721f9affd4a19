"""Leaving out one soft token at a time: what the gold answers cost, and who is still right, without what it carries.

It is replaced, not masked: every token keeps its position and every prompt its length, so that nothing but what the
soft token says is missing. In its place stands the mean of that place over the *other* questions, at their mean norm as
in `latent_mean`: form without this question's content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lab.answers.evaluation import Evaluation
from lab.answers.gold import gold_likelihoods
from lab.answers.latent import Change, LatentArm
from lab.answers.together import answer_together
from lab.errors import LabError
from lab.tasks import Question
from lab.translators import Bridge

LATENT = "latent"


@dataclass(frozen=True)
class LeftOut:
    """Of n questions and K places: `counts` [n] soft tokens of each question; `tokens` [n] of each gold answer, which
    costs `whole` [n] nats with all soft tokens, `without` [K, n] with one replaced, `all_gone` [n] with every one.

    Of a place that a question does not have `without` says nothing. `right`: the same three as right answers, or None
    where none was generated.
    """

    counts: np.ndarray
    tokens: np.ndarray
    whole: np.ndarray
    without: np.ndarray
    all_gone: np.ndarray
    right: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None


def leave_out(evaluation: Evaluation, answers: bool = False) -> LeftOut:
    """Every soft token of the latent arm left out in turn. `answers`: generate them as well, once for each place.

    Raises LabError for fewer than two questions: there is no other to take the mean of.
    """
    bridge = evaluation.bridges[LATENT]
    means = Means.of(bridge, evaluation)
    changes: dict[str, Change | None] = {LATENT: None}
    changes |= {f"{LATENT} without {place + 1}": means.without([place]) for place in range(means.places)}
    changes |= {f"{LATENT} without any": means.without(range(means.places))}
    nats, right, first = [], [], None
    with evaluation.pair.source_at_home():
        for name, change in changes.items():
            arm = LatentArm(name, evaluation, bridge, None, change)
            found = gold_likelihoods(evaluation, [arm])[arm.name]
            first = first or (found, [arm.given[index][0] for index in range(len(found))])
            nats.append([-one.nats for one in found])
            if answers:
                answer_together(evaluation, [arm])
                right.append([_right(evaluation, index, answer.text) for index, answer in enumerate(arm.answers())])
    likely, counts = first
    return LeftOut(np.array(counts), np.array([one.tokens for one in likely]), *_parts(nats),
                   _parts(right) if answers else None)  # fmt: skip


def _parts(rows: Sequence[Sequence[float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(rows, dtype=float)
    return table[0], table[1:-1], table[-1]


def _right(evaluation: Evaluation, index: int, text: str) -> bool:
    task, question = evaluation.task, evaluation.questions[index]
    return task.correct(task.extract(text), question.gold)


@dataclass(frozen=True)
class Means:
    """Sums over all questions that have a place: `total` [K, d] of its soft tokens, `norms` [K] of their lengths,
    `rows` [K] how many questions these are. In double precision: one question is taken off again."""

    total: Tensor
    norms: Tensor
    rows: Tensor

    @property
    def places(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, bridge: Bridge, evaluation: Evaluation) -> Means:
        if len(evaluation.questions) < 2:
            raise LabError("leaving out a soft token needs two questions at least: the mean is over the others.")
        sums = None
        for batch in evaluation.batches(evaluation.questions, "mean soft tokens", lambda one: len(one.question)):
            output = bridge.write(batch)
            soft = output.soft_tokens.double()
            there = torch.ones_like(soft[..., 0]) if output.mask is None else output.mask.to(soft)
            found = [(soft * there[..., None]).sum(dim=0), (soft.norm(dim=-1) * there).sum(dim=0), there.sum(dim=0)]
            sums = found if sums is None else [_added(one, other) for one, other in zip(sums, found, strict=True)]
        return cls(*sums)

    def without(self, places: Sequence[int]) -> Change:
        """The change that leaves out these places. One that no other question has stays as it is."""

        def change(soft: Tensor, questions: list[Question]) -> Tensor:
            changed = soft.clone()
            for place in places:
                if place < soft.shape[1] and self.rows[place] > 1:
                    changed[:, place] = self._of_others(place, soft[:, place].double()).to(soft)
            return changed

        return change

    def _of_others(self, place: int, own: Tensor) -> Tensor:
        """own [B, d], each among the sums -> [B, d], the mean over the others at their mean norm."""
        mean = self.total[place].to(own) - own
        norm = (self.norms[place].to(own) - own.norm(dim=-1, keepdim=True)) / (self.rows[place].to(own) - 1)
        return mean * (norm / mean.norm(dim=-1, keepdim=True).clamp_min(1e-12))


def _added(one: Tensor, other: Tensor) -> Tensor:
    """Sums of batches with different numbers of places."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    longer = longer.clone()
    longer[: len(shorter)] += shorter
    return longer
