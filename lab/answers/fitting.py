"""Whether all that the arms will read fits into the models' contexts, asked before the first of them answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lab.answers.evaluation import TEXT_TUNED, Evaluation
from lab.answers.text import with_evidence
from lab.config import TEXT
from lab.models import check_prompt, check_source_text
from lab.tasks import source_text

if TYPE_CHECKING:
    from lab.models import FrozenModel

ASKING_SOURCE = ("source", "cascade", "same_bytes")  # arms in which the source answers, if only on the way
CUT = ("token_budget", "token_budget_question", "same_bytes")  # arms that read less than the plain prompt


def check_fits(evaluation: Evaluation, arms: Sequence[str], read: Sequence[FrozenModel]) -> None:
    """Raise LabError, naming the question, where a text and its answer are longer than a model's context.

    `read`: the sources whose states are translated. What an arm makes of other answers on its way (the cascade's note)
    is counted at its longest, as many tokens as the source may say.
    """
    source, target = evaluation.pair.source, evaluation.pair.target
    chosen, new = evaluation.config.translator, evaluation.decoding.max_new_tokens
    soft = 0 if evaluation.layout.adapter else chosen.soft_tokens or chosen.soft_tokens_cap
    plain = any(not arm.startswith("latent") and arm not in (*CUT, "source") for arm in arms)
    bridged = any(arm.startswith("latent") for arm in arms)
    for question in evaluation.questions:
        where, context = f"question {question.id} ({question.question[:40]!r})", evaluation.context(question)
        if any(arm in ASKING_SOURCE for arm in arms):
            check_prompt(f"arm source, {where}", source, source.reads(TEXT), with_evidence(context, question), new)
        if plain:
            noted = new if "cascade" in arms else 0
            check_prompt(f"arm target, {where}", target, target.reads(TEXT), context, new + noted)
        if bridged:
            check_prompt(f"arm latent, {where}", target, evaluation.layout, context, soft + new)
        if TEXT_TUNED in arms:
            layout, own = evaluation.layout_of(TEXT_TUNED), chosen.soft_tokens or chosen.soft_tokens_cap
            check_prompt(f"arm {TEXT_TUNED}, {where}", target, layout, context, own + new)
        for model in read:
            text = source_text(question.question, question.evidence)
            check_source_text(f"the source's states, {where}", model, text)
