"""The figures of the paper and of the README, each of one named world: `figures/<world>/<figure>`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lab.figures import ENDINGS, Material, Missing, Plate, figures_of, sources_of, write_figures
from lab.paper.cost_macros import COSTS
from lab.paper.reading import Preserved, World

# World -> its figures in the paper. The audit's is of no run.
FIGURES: dict[str, tuple[str, ...]] = {
    "embedded": ("arms_and_controls", "stability_comparison", "compression_tradeoff", "cost_frontier"),
    "gsm8k": ("training_curves", "information_over_tokens"),
    "twohop": ("training_curves", "people_curve"),
    "audit": ("reported_and_recomputed",),
}
README = {  # the same, of what the README shows
    "embedded": ("arms_and_controls",), "gsm8k": ("information_over_tokens",),
    "twohop": ("arms_and_controls", "people_curve"),
}  # fmt: skip
OF_ARMS = "arms_and_controls"  # with the controls that are runs of their own as arms
OVER_PEOPLE = "people_curve"  # of the build of the models of which it is longest
OF_MAIN = ("training_curves",)  # of the main recipe alone; else a figure chooses among all runs of its world


def draw(preserved: Preserved, into: str | Path, archive: str | Path = "") -> Iterator[tuple[Path, Missing | None]]:
    """Draw every figure; (its files without an ending, what it needs where it could not be made).

    Files of a figure that these runs cannot give are taken away: an earlier one would be of other runs.
    """
    for name in FIGURES:
        made = plates(preserved, name, archive) if name == "audit" or name in preserved.worlds else {}
        for figure in of_world(name):
            if not isinstance(made.get(figure), Plate):
                for ending in ENDINGS:
                    (Path(into) / name / f"{figure}.{ending}").unlink(missing_ok=True)
                yield Path(into) / name / figure, made.get(figure, Missing(f"the main recipe of the world {name}"))
        for paths in write_figures(made, Path(into) / name):
            yield paths[0].with_suffix(""), None


def of_world(name: str) -> list[str]:
    """The figures of one world, each once."""
    return list(dict.fromkeys([*FIGURES[name], *README.get(name, ())]))


def plates(preserved: Preserved, name: str, archive: str | Path = "") -> dict[str, Plate | Missing]:
    """Figure -> its plate, or what it needs, of one world or of the audit."""
    if name == "audit":
        return dict(figures_of(Material([], archive), of_world(name)))
    return {figure: _plate(preserved.worlds[name], figure) for figure in of_world(name)}


def _plate(world: World, figure: str) -> Plate | Missing:
    (made,) = dict(figures_of(_material(world, figure), [figure])).values()
    if figure != OF_ARMS or isinstance(made, Missing) or not world.of_every_seed:
        return made
    controls = [run for runs in world.of_every_seed.values() for run in runs]
    said = f" The last {len(world.of_every_seed)} arms were trained anew, in runs of their own."
    return replace(made, caption=made.caption + said, sources=[*made.sources, *sources_of(controls)])


def _material(world: World, figure: str) -> Material:
    evidence = world.widest("people") if figure == OVER_PEOPLE else world.evidence
    if figure in OF_MAIN:
        evidence = replace(evidence, runs=tuple(world.main))
    elif figure == OF_ARMS and world.of_every_seed:
        evidence = world.with_controls()
    beside = next((folder for folder in world.beside() if (folder / COSTS).is_file()), None)
    costs = beside or world.measured_in(COSTS)
    return Material([costs] if costs else [], evidence=evidence)
