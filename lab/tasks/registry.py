"""Which tasks there are, and how one is made from a config. A new task is a file, and a line here."""

from __future__ import annotations

from typing import Protocol

from lab.errors import LabError
from lab.tasks.contract import Question, Task
from lab.tasks.gsm8k import GSM8K
from lab.tasks.hotpotqa import HotpotQA
from lab.tasks.jsonl import Jsonl
from lab.tasks.minigsm import MiniGSM
from lab.tasks.twohop import TwoHop

TASKS: dict[str, type[Task]] = {kind.name: kind for kind in (MiniGSM, GSM8K, HotpotQA, Jsonl, TwoHop)}


class TaskSettings(Protocol):
    """What a task is made from: the fields that all have, and those that it `takes`. `lab.config.TaskConfig` is one."""

    task: str
    train_questions: int
    dev_questions: int
    test_questions: int


class LimitedTask(Task):
    """The first so many questions of each split of another task (0: all of them); everything else is that task's."""

    ITS_OWN = (
        "name", "instruction", "max_new_tokens", "evidence_may_answer", "chooses", "content", "sound_hint",
        "extract", "answer_end", "grades", "correct",
    )  # fmt: skip

    def __init__(self, task: Task, train_questions: int = 0, dev_questions: int = 0, test_questions: int = 0) -> None:
        self.whole = task
        vars(self).update({name: getattr(task, name) for name in self.ITS_OWN})
        self.limits = {"train": train_questions, "dev": dev_questions, "test": test_questions}

    def __getattr__(self, name: str) -> object:
        if name == "whole":  # not set yet, as while unpickling: no recursion
            raise AttributeError(name)
        return getattr(self.whole, name)

    @property
    def most_shots(self) -> int:  # some tasks have to read their file for it
        return self.whole.most_shots

    def train(self, count: int, seed: int) -> list[Question]:
        limit = self.limits["train"]
        return self.whole.train(min(count, limit) if count and limit else count or limit, seed)

    def dev(self) -> list[Question]:
        return self.whole.dev()[: self.limits["dev"] or None]

    def test(self) -> list[Question]:
        return self.whole.test()[: self.limits["test"] or None]

    def exemplars(self, shots: int) -> list[Question]:
        return self.whole.exemplars(shots)


def load_task(settings: TaskSettings) -> Task:
    """The task that `settings.task` names, with its limits. Raises LabError for an unknown name."""
    kind = TASKS.get(settings.task)
    if kind is None:
        raise LabError(f"task={settings.task!r} is not known; choose one of {', '.join(TASKS)}.")
    task = kind(**{name: getattr(settings, name) for name in kind.takes})
    limits = (settings.train_questions, settings.dev_questions, settings.test_questions)
    return LimitedTask(task, *limits) if any(limits) else task
