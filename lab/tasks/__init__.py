"""Tasks: questions, splits, prompts and the scorer, together, so that no arm is scored by another rule."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.tasks.scoring import INVALID, STOP, answer_end, final_answer, same_answer

if TYPE_CHECKING:
    from lab.config import TaskConfig

__all__ = [
    "INVALID", "STOP", "TASKS", "LimitedTask", "Question", "Task", "load_task", "question_id", "shots_text",
    "source_text", "surroundings",
]  # fmt: skip

TASKS = ("minigsm", "gsm8k", "hotpotqa")


def groups_of(cell: str) -> list[str]:
    """``lore/long/seen`` belongs to ``lore``, ``lore/long`` and itself."""
    parts = [part for part in cell.split("/") if part]
    return ["/".join(parts[:i]) for i in range(1, len(parts) + 1)]


def question_id(question: str) -> str:
    """16 hex digits of the SHA-256 of the whitespace-normalised text: the same question has one id everywhere."""
    return hashlib.sha256(" ".join(question.split()).encode("utf-8")).hexdigest()[:16]


@dataclass(frozen=True)
class Question:
    """One question with its gold solution.

    `answer` is the full gold text, ending in ``#### n``; `gold` is n as `extract` reads it.
    `cell` is a path such as ``lore/long/held_out``; each prefix of it is a group of the summary.
    `word` names the cluster a question belongs to (the made-up word it uses), empty if none.
    `evidence` is text that the source alone reads, before the question.
    """

    id: str
    question: str
    answer: str
    gold: str
    cell: str
    word: str = ""
    evidence: str = ""


def shots_text(exemplars: Sequence[Question]) -> str:
    """The exemplars as every arm reads them."""
    return "".join(f"Q: {question.question}\nA: {question.answer}\n\n" for question in exemplars)


def source_text(question: str, evidence: str = "") -> str:
    """What the source reads before its states are translated, in training and evaluation alike.

    The question in the form in which the source answers it, without instruction and shots: the soft tokens are to
    carry the question, and exemplars would be most of the states.
    """
    return f"{evidence}Q: {question}\nA:"


class Task(ABC):
    """What a task gives. Splits are fixed: the same call returns the same questions, in the same order.

    `instruction` is empty or ends in a blank line; `max_new_tokens` is what a solution needs at most.
    """

    name: str = ""
    instruction: str = ""
    max_new_tokens: int = 160

    @abstractmethod
    def train(self, count: int, seed: int) -> list[Question]:
        """`count` training questions (0: all there are), a pure function of (count, seed)."""

    @abstractmethod
    def dev(self) -> list[Question]:
        """The questions on which checkpoints are chosen; never test questions."""

    @abstractmethod
    def test(self) -> list[Question]:
        """The questions that are reported."""

    @abstractmethod
    def exemplars(self, shots: int) -> list[Question]:
        """The first `shots` of the fixed exemplars, which occur in no other split. Raises LabError if too few."""

    def extract(self, text: str) -> str:
        """The final answer in `text`, or ``[invalid]``."""
        return final_answer(text)

    def answer_end(self, text: str) -> int | None:
        """Characters of generated `text` that belong to the answer, None while it may still go on.

        What comes after changes nothing: a text that has ended stays ended, at the same place.
        """
        return answer_end(text)

    def grades(self, extracted: str, gold: str) -> dict[str, float]:
        """Scores of an answer besides right or wrong, by name; none where right or wrong says all."""
        return {}

    def correct(self, extracted: str, gold: str) -> bool:
        """Whether an extracted answer equals the gold; ``[invalid]`` never does, not even ``[invalid]``."""
        return same_answer(extracted, gold)


def surroundings(task: Task, shots: int) -> dict[str, str]:
    """What stands around every question: the task's instruction and its first `shots` worked examples."""
    return {"instruction": task.instruction, "shots": shots_text(task.exemplars(shots))}


class LimitedTask(Task):
    """The first so many questions of each split of another task (0: all of them); everything else is that task's."""

    def __init__(self, task: Task, train_questions: int = 0, dev_questions: int = 0, test_questions: int = 0) -> None:
        self.whole = task
        self.name, self.instruction, self.max_new_tokens = task.name, task.instruction, task.max_new_tokens
        self.extract, self.correct, self.grades = task.extract, task.correct, task.grades
        self.answer_end = task.answer_end
        self.limits = {"train": train_questions, "dev": dev_questions, "test": test_questions}

    def __getattr__(self, name: str) -> object:
        if name == "whole":  # not set yet, as while unpickling: no recursion
            raise AttributeError(name)
        return getattr(self.whole, name)

    def train(self, count: int, seed: int) -> list[Question]:
        limit = self.limits["train"]
        return self.whole.train(min(count, limit) if count and limit else count or limit, seed)

    def dev(self) -> list[Question]:
        return self.whole.dev()[: self.limits["dev"] or None]

    def test(self) -> list[Question]:
        return self.whole.test()[: self.limits["test"] or None]

    def exemplars(self, shots: int) -> list[Question]:
        return self.whole.exemplars(shots)


def load_task(config: TaskConfig) -> Task:
    """The task that `config.task` names, with the limits of `config`. Raises LabError for an unknown name."""
    if config.task == "minigsm":
        from lab.tasks.minigsm import MiniGSM

        task = MiniGSM()
    elif config.task == "gsm8k":
        from lab.tasks.gsm8k import GSM8K

        task = GSM8K(config.data)
    elif config.task == "hotpotqa":
        from lab.tasks.hotpotqa import HotpotQA

        task = HotpotQA(config.data, config.evidence)
    else:
        raise LabError(f"task={config.task!r} is not known; choose one of {', '.join(TASKS)}.")
    limits = (config.train_questions, config.dev_questions, config.test_questions)
    return LimitedTask(task, *limits) if any(limits) else task
