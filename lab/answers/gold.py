"""How likely each arm finds the gold answers, word for word: where models are too small to answer, this has the power.

An arm's prompts are built as they are to be answered, without the gold; only then the gold stands behind them, written
and ended as training writes an answer, and each of its tokens is scored after all before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from lab.answers.likelihood import Likelihood, log_likelihoods
from lab.answers.text import TextArm
from lab.answers.together import Arm, in_batches
from lab.clock import part
from lab.errors import LabError
from lab.models import answer_rows

if TYPE_CHECKING:
    from lab.answers.evaluation import Evaluation
    from lab.models import FrozenModel, TargetInputs
    from lab.tasks import Question

CHECKED = 2  # questions of each arm that are scored again, alone
# How far a batch may round otherwise, in nats a token. In half precision that is much (.02 for Gemma-3-270M, measured),
# and little beside most other answers or places; another prompt it need not find. What costs more than text ever does
# is rounded by more: behind 128 soft tokens that nobody has trained yet, answers cost some 8 nats a token, 2.6 % apart.
APART, HALF, SHARE, MUCH = 1e-3, 0.2, 0.05, 3.0


@part("likelihood")
def gold_likelihoods(evaluation: Evaluation, arms: Sequence[Arm]) -> dict[str, list[Likelihood]]:
    """Of every arm the likelihood of each question's gold answer, in the order of the questions.

    Raises LabError where a prompt with its answer is longer than the model reads, and where a row that is scored alone
    (an arm of text: from its text's tokens) says something else.
    """
    every, found = range(len(evaluation.questions)), {arm.name: {} for arm in arms}
    for arm, scored in in_batches(evaluation, arms, lambda arm: every, _after):
        found[arm.name] |= scored
    for arm in arms:
        for index in list(every)[:CHECKED]:
            check_alone(arm, evaluation.questions[index], index, found[arm.name])
    return {name: [scored[index] for index in every] for name, scored in found.items()}


def _after(
    evaluation: Evaluation, model: FrozenModel, prompts: TargetInputs, questions: Sequence[Question]
) -> list[Likelihood]:
    return log_likelihoods(model, prompts, answer_rows(model, [question.answer for question in questions]))


def check_alone(arm: Arm, question: Question, index: int, found: Mapping[int, Likelihood]) -> None:
    """Raise LabError unless the arm's likelihood of this gold answer is what it is without a batch; of an arm of text,
    what the model's own logits over the tokens of that text say."""
    ending, batched = answer_rows(arm.model, [question.answer]), found[index]
    if isinstance(arm, TextArm):
        nats = _of_tokens(arm.model, arm.model.rows([arm.shown[index].text])[0], ending[0])
    else:
        nats = log_likelihoods(arm.model, arm.inputs([index]), ending)[0].nats
    allowed = APART * batched.tokens
    if arm.model.dtype != torch.float32:
        allowed = HALF * batched.tokens + SHARE * max(0.0, -nats - MUCH * batched.tokens)
    if batched.tokens != len(ending[0]) or abs(nats - batched.nats) > allowed:
        raise LabError(
            f"arm {arm.name}: the gold answer to question {question.id} has a log-likelihood of {batched.nats:.3f} "
            f"nats in a batch, {nats:.3f} alone; its likelihoods cannot be trusted."
        )


@torch.no_grad()
def _of_tokens(model: FrozenModel, prompt: list[int], ending: list[int]) -> float:
    """The plain way: everything as tokens through the model alone, all its logits."""
    ids = torch.tensor([prompt + ending], device=model.device)
    logits = model.model(input_ids=ids).logits[0, len(prompt) - 1 : -1].float()
    return logits.log_softmax(dim=-1).gather(1, ids[0, len(prompt) :, None]).sum().item()
