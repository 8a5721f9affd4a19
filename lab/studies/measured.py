"""What is measured of a finished run: its own config, and what a notebook sets instead is checked, said and stored.

A translator means nothing without the models, the task and the layout that it was trained with, so they come from its
run. What made it (steps, width, seed) cannot be set after the fact; how it is measured (questions, limits, device,
another task) can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from lab.answers import DEFAULT_CASCADE, Evaluation, weights_of
from lab.config import OF_TASKS, EvalConfig, PairConfig, RunConfig, TaskConfig, short_name
from lab.errors import LabError
from lab.models import Pair, can_fuse, device_of
from lab.places import ROOT, below_root
from lab.runs import RunDirectory
from lab.studies.looks import note_look
from lab.tasks import Question, Task, Test
from lab.translators import Bridge

__all__ = ["Candidate", "as_it_runs_here", "measured_config", "recipe_config", "said", "trained_config"]

MAY_BE_SET = {item.name for kind in (PairConfig, TaskConfig, EvalConfig) for item in fields(kind)} | {"layout"}
MAY_BE_SET -= {"source_layers", "train_questions", "people"}  # those were trained with
OF_A_TASK = {item.name: item.default for item in fields(TaskConfig) if item.name in OF_TASKS}


@dataclass(frozen=True)
class Candidate:
    """One seed: the trained bridge, the config that it is measured with, its retrained controls by arm, what its
    training logged, its run's folder, and the config that it was trained with."""

    config: RunConfig
    bridge: Bridge
    controls: Mapping[str, Bridge] = field(default_factory=dict)
    metrics: Sequence[dict] = ()
    run: str = ""
    trained: RunConfig | None = None

    def evaluation(
        self, pair: Pair, task: Task, questions: Sequence[Question], cascade_prompt: str = DEFAULT_CASCADE
    ) -> Evaluation:
        """These questions put to this seed's bridges, as its own config says. Test questions are a look, which its run
        notes: raises LabError if that was looked at with another translator."""
        run = run_of(ROOT / self.run) if self.run and isinstance(questions, Test) else None
        if run and (run / "manifest.json").is_file():  # a bare translator's folder has none
            note_look(RunDirectory(run), "measured beside others", weights_of(self.bridge.translator))
        return Evaluation(self.config, pair, task, questions, {"latent": self.bridge, **self.controls}, cascade_prompt)

    def time_and_memory(self) -> dict:
        """Where the time and memory of its own run went, see `RunDirectory.time_and_memory`."""
        run = run_of(ROOT / self.run) if self.run else None
        return RunDirectory(run).time_and_memory() if run else {}

    def set_here(self) -> dict[str, dict[str, Any]]:
        """What is measured otherwise than it was trained: name -> {"trained": ..., "measured": ...}."""
        before, now = (self.trained or self.config).parameters(), self.config.parameters()
        return {
            name: {"trained": before[name], "measured": now[name]}
            for name in now
            if name != "name" and before[name] != now[name]
        }

    def about(self) -> dict[str, Any]:
        """What an artefact says of itself: run, task, models, the config's hash, and what was set here."""
        return self.config.about(self.run) | {
            "trained_config_hash": (self.trained or self.config).hash(),
            "set_here": self.set_here(),
        }


def said(candidates: Sequence[Candidate]) -> str:
    """Which run is measured, on what, with which controls, and what was set otherwise than the run has it."""
    lines = []
    for candidate in candidates:
        about = candidate.about()
        source, target = about["models"].values()
        lines += [
            f"{about['run']}: task {about['task']}, {source} -> {target}",
            f"  layout {candidate.config.layout.layout!r}, config {about['config_hash']}",
        ]
        if candidate.controls:
            lines.append(f"  controls: {', '.join(candidate.controls)}")
        for name, was in about["set_here"].items():
            lines.append(f"  set here: {name} = {was['measured']!r} (the run: {was['trained']!r})")
    return "\n".join(lines)


def run_of(folder: str | Path) -> Path | None:
    """The run that `folder` is, or (a checkpoint) lies in; None where there is no config."""
    inside = Path(folder).resolve()
    places = (Path(folder), *([inside.parents[1]] if inside.parent.name == "checkpoints" else []))
    return next((place for place in places if (place / "config.yaml").is_file()), None)


def trained_config(folder: str | Path) -> RunConfig:
    """The config of the run that `folder` is, or (a checkpoint) lies in. Raises LabError where there is none."""
    if run := run_of(folder):
        return RunConfig.from_yaml(run / "config.yaml")
    raise LabError(
        f"{folder} has no config.yaml, so nobody knows its models, task and layout; give the folder of a run, or put "
        "the config.yaml of the run that trained it beside the weights."
    )


def recipe_config(folder: str | Path, given: Mapping[str, Any]) -> RunConfig:
    """The config to train with: that of the run in `folder` with `given` set in it."""
    return _with(trained_config(folder), given)


def _with(config: RunConfig, given: Mapping[str, Any]) -> RunConfig:
    """`config` with `given` set in it. Another task takes none of the old one's own `data`, `evidence` and `scorer`."""
    other = given.get("task", config.task.task) != config.task.task
    config = config.replace(**({**OF_A_TASK, **given} if other else given))
    return config if "fused_kernels" in given else as_it_runs_here(config)


def as_it_runs_here(config: RunConfig) -> RunConfig:
    """The config of a finished run without the fused kernels that its machine had, where this one has none: they made
    it fast, and a translator that was trained with them is measured on a laptop all the same."""
    if config.pair.fused_kernels and not can_fuse(device_of(config.pair.device)):
        return config.replace(fused_kernels=False)
    return config


def measured_config(folder: str | Path, given: Mapping[str, Any]) -> tuple[RunConfig, RunConfig]:
    """(measured, trained): the config of the run in `folder` with `given` set in it, and as it is.

    Raises LabError for what training has settled: other models, steps, sizes, a seed.
    """
    trained = trained_config(folder)
    flat = trained.parameters()
    if name := next((name for name in given if name not in MAY_BE_SET and given[name] != flat[name]), None):
        raise LabError(
            f"{below_root(folder)} was trained with {name}={flat[name]!r}, which {name}={given[name]!r} cannot change "
            "now; leave it at None, or train another run."
        )
    measured = _with(trained, given)
    theirs, ours = (" and ".join(map(short_name, config.pair.models)) for config in (trained, measured))
    if theirs != ours:
        raise LabError(f"{below_root(folder)} was trained with {theirs}, not with {ours}; leave pair, source and "
                       "target at None, or give folders of the same models.")  # fmt: skip
    return measured, trained
