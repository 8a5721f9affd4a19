"""How a checkpoint is chosen: by measuring it on dev questions, which nothing else can stand in for."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from lab.tasks import Dev, check_dev


@dataclass(frozen=True)
class Selection:
    """`measure(translator, step, questions)` gives {"accuracy", "n", ...} of these dev questions.

    There is no selection on test questions: it cannot be made of them. Raises LabError.
    """

    questions: Dev
    measure: Callable[[nn.Module, int, Dev], dict]

    def __post_init__(self) -> None:
        check_dev(self.questions, "choosing a checkpoint")

    def __call__(self, translator: nn.Module, step: int) -> dict:
        return self.measure(translator, step, self.questions)
