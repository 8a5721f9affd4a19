"""How a checkpoint is chosen: by measuring it on dev questions, which nothing else can stand in for."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from lab.tasks import Dev, check_dev


@dataclass(frozen=True)
class Selection:
    """`measure(translator, step, questions)` gives {"accuracy" or "nats", "n", ...} of these dev questions: the more
    accurate the better, or the fewer nats a token of the gold answers costs.

    There is no selection on test questions: it cannot be made of them. Raises LabError.
    """

    questions: Dev
    measure: Callable[[nn.Module, int, Dev], dict]

    def __post_init__(self) -> None:
        check_dev(self.questions, "choosing a checkpoint")

    def __call__(self, translator: nn.Module, step: int) -> dict:
        return self.measure(translator, step, self.questions)


def score(result: dict) -> float:
    """What the best of several looks has the most of."""
    return result["accuracy"] if "accuracy" in result else -result["nats"]


def in_words(result: dict) -> str:
    """The same for a log."""
    if "accuracy" in result:
        return f"Bridged acc: {result['accuracy']:.3f} (n = {result['n']})"
    return f"Bridged nats per token: {result['nats']:.4f} (n = {result['n']})"
