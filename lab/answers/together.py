"""Arms that ask the same model are answered in the same batches: a step costs a GPU almost the same for 36 rows as for
108.

An arm says what it has not answered yet, how its prompts are built, and takes the answers; which batch a row was in
changes no answer (in half precision: by rounding, as everything beside it does). Several ranks are dealt these batches
in turn, and then tell one another what they found: a batch is the same on any number of them, and so is every answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from lab import ranks
from lab.answers.choosing import respond
from lab.answers.common import Answer
from lab.answers.memory import Halving
from lab.errors import LabError
from lab.models import joined

if TYPE_CHECKING:
    from lab.answers.evaluation import Evaluation
    from lab.answers.generation import Generation
    from lab.models import FrozenModel, TargetInputs
    from lab.tasks import Question

Found = TypeVar("Found")


class Arm(Protocol):
    """One arm on its way to an answer to each question; questions go by their index in the evaluation."""

    name: str
    model: FrozenModel
    given: dict[int, object]  # what has to be remembered of a prompt that was built, by question

    def missing(self) -> Sequence[int]:
        """The questions that have to be asked."""

    def length(self, index: int) -> int:
        """About how many tokens a prompt has: rows of like length stand beside one another."""

    def inputs(self, indices: Sequence[int]) -> TargetInputs:
        """The prompts of these questions, checked."""

    def take(self, said: Mapping[int, Generation]) -> None:
        """What the model said to them."""

    def answers(self) -> list[Answer]:
        """One to each question, in their order, once none is missing."""


def answer_together(evaluation: Evaluation, arms: Sequence[Arm]) -> None:
    """Ask every model what its arms have not answered yet."""
    for arm, said in in_batches(evaluation, arms, lambda arm: arm.missing(), respond):
        arm.take(said)


def in_batches(
    evaluation: Evaluation, arms: Sequence[Arm], wanted: Callable[[Arm], Sequence[int]],
    ask: Callable[[Evaluation, FrozenModel, TargetInputs, Sequence[Question]], Sequence[Found]],
) -> Iterator[tuple[Arm, dict[int, Found]]]:  # fmt: skip
    """What `ask` finds for the prompts of the `wanted` questions of each arm, model by model and batch by batch."""
    for model in {id(arm.model): arm.model for arm in arms}.values():
        own = [arm for arm in arms if arm.model is model]
        rows = [(arm, index) for arm in own for index in wanted(arm)]
        label = ", ".join(arm.name for arm in own)

        def asked(batch: Sequence[tuple[Arm, int]], own=own, model=model) -> list[tuple[Arm, dict[int, Found]]]:
            parts = {arm: [index for other, index in batch if other is arm] for arm in own}
            parts = {arm: indices for arm, indices in parts.items() if indices}
            inputs = joined(model, [arm.inputs(indices) for arm, indices in parts.items()])
            questions = [evaluation.questions[index] for indices in parts.values() for index in indices]
            found = iter(ask(evaluation, model, inputs, questions))
            return [(arm, {index: next(found) for index in indices}) for arm, indices in parts.items()]

        fitted = evaluation.pair.fitted.setdefault(ask, {})  # generating takes other memory than scoring
        fitting = Halving(asked, label, evaluation.pair.forget_graphs, fitted)
        batches = evaluation.batches(rows, label, lambda row: (row[0].length(row[1]), row[1]))
        if ranks.count() == 1:
            for batch in batches:
                for found in fitting(batch):
                    yield from found
        else:
            yield from _dealt(own, batches, fitting)


def _dealt(
    arms: Sequence[Arm], batches: Iterator[list[tuple[Arm, int]]],
    ask: Callable[[list], Iterator[list[tuple[Arm, dict[int, Found]]]]],
) -> Iterator[tuple[Arm, dict[int, Found]]]:  # fmt: skip
    """What all ranks found, each in its own `batches`, in the order of these. A LabError of one is raised on all."""
    told, error = [], ""
    try:
        for number, batch in enumerate(batches):
            if number % ranks.count() == ranks.rank():
                for arm, said in (pair for found in ask(batch) for pair in found):
                    given = {index: arm.given[index] for index in said if index in arm.given}
                    told.append((number, arms.index(arm), said, given))
    except LabError as met:
        error = str(met)
    everyone = ranks.gathered((told, error))
    if errors := [error for _, error in everyone if error]:
        raise LabError(errors[0])
    for _, place, said, given in sorted((one for told, _ in everyone for one in told), key=lambda one: one[:2]):
        arms[place].given |= given
        yield arms[place], said
