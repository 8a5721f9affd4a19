"""Answers that are chosen: of a question's options the one that a model finds likeliest. None is generated.

Each option is scored as the answer that training would write, ``#### option`` after the prompt: the sum of the
log-probabilities of the option's tokens, given the prompt and the marker. `chooses` of a task says what is compared:
``sum`` that sum (lm-evaluation-harness: acc), ``per_character`` the sum divided by the option's characters (acc_norm),
so that a long option is no worse for being long. A record keeps the sums, so a choice can be made again from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.tasks.scoring import INVALID

if TYPE_CHECKING:
    from lab.tasks.contract import Task

MARKER = "####"
DIGITS = 4  # decimals of the nats that are kept and compared: what a batch rounds otherwise lies below


def marked(option: str) -> str:
    """An option as an answer gives it."""
    return f"{MARKER} {option}"


def preferred(nats: Sequence[float], options: Sequence[str], chooses: str) -> int:
    """The place of the likeliest option, the first of equals. Raises LabError where they do not belong together."""
    if len(nats) != len(options) or len(options) < 2 or chooses not in ("sum", "per_character"):
        raise LabError(f"{len(nats)} log-likelihoods of {len(options)} options, chosen by {chooses!r}, tell no choice.")
    sizes = [len(option) if chooses == "per_character" else 1 for option in options]
    scores = [value / size for value, size in zip(nats, sizes, strict=True)]
    return scores.index(max(scores))


def judged(task: Task, record: Mapping, answer: Mapping) -> tuple[str, bool]:
    """(answer, right) of an arm's part of a record, by the task's rule: read from its text, which of a chosen answer
    has to be what its options' log-likelihoods prefer (``[invalid]`` and wrong where it is not)."""
    extracted = task.extract(answer["text"])
    if task.chooses and "choices" in record:
        nats, options = answer.get("options") or [], record["choices"]
        sound = len(nats) == len(options) > 1
        if not sound or answer["text"] != marked(options[preferred(nats, options, task.chooses)]):
            extracted = INVALID
    return extracted, task.correct(extracted, record["gold"])
