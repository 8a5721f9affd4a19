"""A bridge: a translator and the frozen source it reads. Training and evaluation read questions through it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from lab.clock import part
from lab.models import FrozenModel, SourceStates
from lab.tasks import Question, source_text
from lab.translators.contract import TranslatorOutput


@dataclass(frozen=True)
class Bridge:
    """A translator, trained or in training, and its source. Which layers it reads is the translator's own."""

    source: FrozenModel
    translator: nn.Module

    @property
    def source_layers(self) -> str | list[int]:
        """The hidden states that the translator was built for; see `lab.models.layer_indices`."""
        return self.translator.layers

    def read(self, questions: Sequence[Question]) -> SourceStates:
        """The source's states of each question; empty ones where the translator looks at no source."""
        if self.translator.needs_source:
            return self.source.source_states(_texts(questions), self.source_layers)
        blank = torch.zeros(len(questions), 0, device=next(self.translator.parameters()).device)
        return SourceStates(blank, blank, blank)

    def tokenise(self, questions: Sequence[Question]) -> None:
        """Look up the tokens that `read` is going to ask for, which the source remembers."""
        if self.translator.needs_source:
            self.source.rows(_texts(questions))

    @torch.no_grad()
    def write(self, questions: Sequence[Question]) -> TranslatorOutput:
        """What the translator writes for what the source reads of each question: soft tokens [B, K, d_target].

        Training, which needs the gradient and may add a teacher, calls the translator on `read` itself.
        """
        states = self.read(questions)
        with part("translator"):
            return self.translator(states)

    def write_anew(self, questions: Sequence[Question]) -> TranslatorOutput:
        """The same of states that are read now, whatever the source has kept: for checks and clocks."""
        with self.source.without_cache():
            return self.write(questions)


def _texts(questions: Sequence[Question]) -> list[str]:
    return [source_text(question.question, question.evidence) for question in questions]
