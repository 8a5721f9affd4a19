"""What a model says to prompts that are built: generated, or one of each question's options, chosen by likelihood.

The one place where an arm's prompts become answers, so that no arm is asked in another way than the one beside it. The
options are scored after a prompt that is complete without them: which of them is the gold is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from os.path import commonprefix
from typing import TYPE_CHECKING

from lab.answers.generation import Generation, generate
from lab.answers.likelihood import log_likelihoods, repeated
from lab.errors import LabError
from lab.tasks import DIGITS, MARKER, marked, preferred

if TYPE_CHECKING:
    from lab.answers.evaluation import Evaluation
    from lab.models import FrozenModel, TargetInputs
    from lab.tasks import Question


def respond(
    evaluation: Evaluation, model: FrozenModel, inputs: TargetInputs, questions: Sequence[Question]
) -> list[Generation]:
    """The answer to each row of `inputs`, which are the prompts of `questions`; see `Task.chooses`."""
    if not evaluation.task.chooses:
        return generate(model, inputs, evaluation.decoding)
    options = [option_rows(model, question.choices) for question in questions]
    values = option_nats(model, inputs, options, evaluation.config.evaluation.eval_batch_size)
    found = []
    for question, (rows, _), nats in zip(questions, options, values, strict=True):
        place = preferred(nats, question.choices, evaluation.task.chooses)
        text = marked(question.choices[place])
        found.append(Generation(text, 0, tuple(rows[place]), evaluation.decoding, nats))
    return found


def option_rows(model: FrozenModel, choices: Sequence[str]) -> tuple[list[list[int]], int]:
    """Tokens of each option as training writes an answer (without its end), and how many they share as the marker."""
    if len(choices) < 2:
        raise LabError("a question without options cannot be answered by choosing; give it two at least.")
    marker, *rows = model.tokens([f" {MARKER}", *(f" {marked(choice)}" for choice in choices)], continued=True)
    return rows, len(commonprefix([marker, *rows]))


def option_nats(
    model: FrozenModel, prompts: TargetInputs, options: Sequence[tuple[list[list[int]], int]], size: int
) -> list[tuple[float, ...]]:
    """The log-likelihood of every option of every prompt, in nats, `size` of them at a time."""
    flat = [(row, ids, given) for row, (some, given) in enumerate(options) for ids in some]
    nats: list[float] = []
    for start in range(0, len(flat), size):
        rows, endings, given = zip(*flat[start : start + size], strict=True)
        found = log_likelihoods(model, repeated(prompts, rows), endings, given)
        nats += [round(one.nats, DIGITS) for one in found]
    values = iter(nats)
    return [tuple(next(values) for _ in some) for some, _ in options]
