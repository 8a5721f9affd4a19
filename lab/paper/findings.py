"""What the paper says is computed once: verdicts of each world, and the suites of ablations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lab.evidence import Run, differs, information, recipe_rows
from lab.paper.reading import Preserved, World


@dataclass(frozen=True)
class Findings:
    """What the preserved runs say. A world that nothing was preserved of is None."""

    preserved: Preserved

    @property
    def embedded(self) -> World | None:
        return self.preserved.worlds.get("embedded")

    @property
    def gsm8k(self) -> World | None:
        return self.preserved.worlds.get("gsm8k")

    @property
    def twohop(self) -> World | None:
        return self.preserved.worlds.get("twohop")

    @cached_property
    def documents(self) -> dict | None:
        """The verdicts of the documents' family on the embedded world."""
        return self.embedded and self.embedded.judged("documents")

    @cached_property
    def likelihood(self) -> dict | None:
        """The verdicts of the likelihood family on GSM8K between pretrained models."""
        return self.gsm8k and self.gsm8k.judged("likelihood")

    @cached_property
    def told(self) -> dict:
        """What the soft tokens of the main recipe on GSM8K tell, in nats; {} without runs."""
        return information([run.records for run in self.gsm8k.main]) if self.gsm8k else {}

    @cached_property
    def suites(self) -> dict[str, list[dict]]:
        """World -> the rows of its largest suite, the recipe in the middle first; a world without one is left out."""
        worlds = {"embedded": self.embedded, "gsm8k": self.gsm8k}
        found = {name: suite_of(world) for name, world in worlds.items() if world}
        return {name: rows for name, rows in found.items() if rows}


def suite_of(world: World) -> list[dict]:
    """`recipe_rows` of the largest group of recipes with one training length and task; [] where none has a second.

    The middle, against which the others are held, is the recipe from which they differ in the fewest settings.
    """
    groups: dict[tuple, list[list[Run]]] = {}
    for runs in world.evidence.recipes():
        groups.setdefault((runs[0].settings["task"], runs[0].settings["steps"]), []).append(runs)
    recipes = max(groups.values(), key=len)
    if len(recipes) < 2:
        return []
    middle = min(recipes, key=lambda runs: _apart(runs, recipes))
    ordered = [middle, *(runs for runs in recipes if runs is not middle)]
    return recipe_rows(replace(world.evidence, runs=tuple(run for runs in ordered for run in runs)))


def _apart(runs: Sequence[Run], recipes: Sequence[Sequence[Run]]) -> int:
    return sum(len(differs(runs[0], other[0])) for other in recipes)
