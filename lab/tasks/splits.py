"""Splits: no question is in two of them, and only dev questions, a type of their own, can choose anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.errors import LabError
from lab.tasks.contract import Question, Task


class Dev(tuple[Question, ...]):
    """The dev questions of a task: the only ones on which a checkpoint or a prompt may be chosen. See `Dev.of`."""

    @classmethod
    def of(cls, task: Task) -> Dev:
        """Raises LabError if one of them is a test question, in whatever words."""
        questions = task.dev()
        check_disjoint(task, {"test": task.test(), "dev": questions})
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


def check_disjoint(task: Task, splits: Mapping[str, Sequence[Question]]) -> None:
    """Raise LabError if a question is in two of the `splits` (name -> questions), by what `task.content` says of it.

    Linear in the number of questions; name the largest split last, of its contents none is kept.
    """
    seen: dict[str, tuple[str, Question]] = {}
    for number, (name, questions) in enumerate(splits.items(), start=1):
        own: dict[str, tuple[str, Question]] = {}
        shared = []
        for question in questions:
            content = task.content(question)
            if content in seen:
                shared.append((question, *seen[content]))
            elif number < len(splits):
                own[content] = (name, question)
        if shared:
            question, other, twin = shared[0]
            defect = "selection on test" if other == "test" else "splits overlap"
            raise LabError(
                f"{defect}: {len(shared)} questions of the {name} split are {other} questions, the first is "
                f"{question.question[-80:]!r} ({question.id}), there {twin.question[-80:]!r} ({twin.id}); mend the "
                f"splits of task {task.name!r}."
            )
        seen |= own
