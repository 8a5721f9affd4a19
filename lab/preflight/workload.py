"""What a job reads, in tokens: the lengths that its time and its memory depend on. No text is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lab.config import SOFT, TEXT, RunConfig
from lab.tasks import Question, load_task, source_text, surroundings

Count = Callable[[str, str], int]  # ("source" or "target", text) -> tokens
MOST = 8192  # training questions that are looked at: more are like them
LEAST_SHARED = 64  # tokens that all rows begin with, from which on they are read once; see `lab.models.prefix`
BEGINS = 1  # a beginning-of-text token
# Where no tokenizer is at hand, tokens are words, numbers, and runs of signs, and so many more. On GSM8K that is within
# 5 % of the tokenizers of Mistral, Llama 3, SmolLM2 and Gemma 3, of which Llama 3 alone takes three digits as one.
MORE = 1.09


@dataclass(frozen=True)
class Row:
    """A training question: what it is sorted by (characters), and tokens of the source's text, of the target's prompt
    without soft tokens, and of the answer with its end token."""

    order: int
    source: int
    prompt: int
    answer: int


@dataclass(frozen=True)
class Asked:
    """A question of an evaluation: tokens of the prompt of the source and of the target alone, of the target's text
    beside soft tokens, of what the source reads for the translator, and of the gold answer with its end."""

    source: int
    target: int
    latent: int
    read: int
    answer: int = 0


@dataclass(frozen=True)
class Workload:
    """`shared`: tokens that all training rows begin with and that the target reads once, 0 for few."""

    training: list[Row]
    dev: list[Asked]
    test: list[Asked]
    shared: int = 0
    exact: bool = True

    @classmethod
    def of(cls, config: RunConfig, count: Count, exact: bool) -> Workload:
        """The questions of the config's task, counted. Raises LabError where they cannot be read."""
        task, shots = load_task(config.task), config.task.shots
        shared, layout = surroundings(task, shots), config.layout.at()
        used = min(config.training.steps * config.training.batch_size, MOST)

        def text(side: str, layout, question: Question) -> int:
            parts = layout.segments(**shared, question=question.question)
            return BEGINS + sum(count(side, part) for part in parts if part is not SOFT)

        def read(question: Question) -> int:
            return BEGINS + count("source", source_text(question.question, question.evidence))

        def gold(question: Question) -> int:
            return count("target", f" {question.answer}") + 1

        def asked(questions: list[Question]) -> list[Asked]:
            return [Asked(text("source", TEXT, q), text("target", TEXT, q), text("target", layout, q), read(q), gold(q))
                    for q in questions]  # fmt: skip

        rows = [
            Row(len(q.question) + len(q.answer), read(q), text("target", layout, q), gold(q))
            for q in task.train(used, config.training.seed)[:used]
        ]
        first = layout.segments(**shared, question="")[0]
        begin = BEGINS + count("target", first) if first is not SOFT else BEGINS
        return cls(rows, asked(task.dev()), asked(task.test()), begin if begin >= LEAST_SHARED else 0, exact)


def about(text: str, digits: int = 1) -> int:
    """Tokens of a text, counted without a tokenizer, in which a number's `digits` are one."""
    return round(MORE * len(re.findall(rf"[^\W\d_]+|\d{{1,{digits}}}|[^\w\s]+|_+|\n", text)))
