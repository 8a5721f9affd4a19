"""Which figures there are, by the names of their files, and all that given runs can make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lab.errors import LabError
from lab.figures.ablations import ablation_results
from lab.figures.arms import accuracy_by_group, arms_and_controls
from lab.figures.compression import compression_tradeoff
from lab.figures.flips import flips
from lab.figures.frontier import cost_frontier
from lab.figures.information import information_over_layers, information_over_tokens
from lab.figures.material import Material, Missing
from lab.figures.people import people_curve
from lab.figures.plate import Plate
from lab.figures.reported import reported_and_recomputed
from lab.figures.spent import time_and_memory
from lab.figures.stability import stability_comparison
from lab.figures.training import training_curves

FIGURES: dict[str, Callable[[Material], Plate]] = {
    made.__name__: made
    for made in (
        training_curves, stability_comparison, compression_tradeoff, ablation_results, arms_and_controls,
        accuracy_by_group, cost_frontier, flips, time_and_memory, reported_and_recomputed, information_over_tokens,
        information_over_layers, people_curve,
    )
}  # fmt: skip


def figures_of(material: Material, only: Iterable[str] = ()) -> Iterator[tuple[str, Plate | Missing]]:
    """(name, plate) of every figure, or of those in `only`; in a plate's place what it needs and these runs lack."""
    names = list(only) or list(FIGURES)
    if unknown := [name for name in names if name not in FIGURES]:
        raise LabError(f"there is no figure {unknown[0]!r}; there are {', '.join(FIGURES)}")
    for name in names:
        try:
            yield name, FIGURES[name](material)
        except Missing as missing:
            yield name, missing


def missing_sentence(missing: dict[str, Missing]) -> str:
    """One line: which figures were not made, and what they need; empty where none is missing."""
    if not missing:
        return ""
    needs: dict[str, list[str]] = {}
    for name, need in missing.items():
        needs.setdefault(str(need), []).append(name)
    return "not made: " + "; ".join(f"{', '.join(names)} (needs {need})" for need, names in needs.items())
