"""What all arms share: an answer, with all that it was shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lab.answers.generation import Generation
from lab.config import Layout
from lab.models import count_tokens
from lab.tasks import Question

if TYPE_CHECKING:
    from lab.models import FrozenModel

SKETCH_SEED, SKETCHED = 11, 4


@dataclass(frozen=True)
class Answer:
    """What one arm said to the question `id`, and all that it was shown (`saw`, with a mark where soft tokens stand).

    `handed`: texts in `saw` that are neither instruction, exemplars nor the whole question (a hint, the source's
    answer, a cut question). `soft_from`: the question whose source states became the soft tokens, "" if none did.
    `sketch`: of the soft tokens that entered, see `sketches`.
    """

    id: str
    generation: Generation
    saw: str
    context_aware: bool
    prompt_tokens: int
    soft_tokens: int = 0
    soft_from: str = ""
    handed: tuple[str, ...] = ()
    sketch: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        return self.generation.text


def answer_of(
    question: Question, generation: Generation, model: FrozenModel, layout: Layout, context: dict[str, str],
    soft_tokens: int = 0, soft_from: str = "", handed: tuple[str, ...] = (), sketch: tuple[float, ...] = (),
) -> Answer:  # fmt: skip
    """A generation with what it was shown, told from the layout that was filled."""
    saw = layout.visible_text(**context, soft_tokens=soft_tokens)
    prompt_tokens = count_tokens(model, layout, context)
    return Answer(
        question.id, generation, saw, layout.context_aware, prompt_tokens, soft_tokens, soft_from, handed, sketch
    )


def sketches(soft: Tensor, mask: Tensor | None = None) -> list[tuple[float, ...]]:
    """A few numbers for each question's soft tokens [B, K, d] (those of `mask`), by which two of them can be compared:
    their projections on one fixed direction."""
    direction = torch.randn(soft.shape[-1], generator=torch.Generator().manual_seed(SKETCH_SEED))
    lines = soft.float() @ direction.to(soft.device)
    return [tuple((line if mask is None else line[mask[row]]).tolist()[:SKETCHED]) for row, line in enumerate(lines)]
