"""The two splits that are measured on, as types: only dev questions can choose, and no test question is one."""

from __future__ import annotations

from collections.abc import Sequence

from lab.errors import LabError
from lab.tasks.contract import Question, Task, normalised_text


class Dev(tuple[Question, ...]):
    """The dev questions of a task: the only ones on which a checkpoint or a prompt may be chosen. See `Dev.of`."""

    @classmethod
    def of(cls, task: Task) -> Dev:
        """Raises LabError if one of them is a test question, by its text and whatever its id."""
        questions, test = task.dev(), {normalised_text(question.question) for question in task.test()}
        shared = [question.id for question in questions if normalised_text(question.question) in test]
        if shared:
            raise LabError(
                f"selection on test: {len(shared)} dev questions of task {task.name!r} are test questions, first "
                f"{shared[0]}; mend its splits."
            )
        return cls(questions)


class Test(tuple[Question, ...]):
    """The test questions of a task: what is reported, and never chosen on."""

    __test__ = False  # no test of pytest's

    @classmethod
    def of(cls, task: Task) -> Test:
        return cls(task.test())


def check_dev(questions: Sequence[Question], purpose: str) -> None:
    """Raise LabError unless these are the dev questions of a task: nothing else may choose."""
    if not isinstance(questions, Dev):
        raise LabError(f"selection on test: {purpose} takes dev questions alone; give it `Dev.of(task)`.")
