"""How far runs are, from what they left: state, step, last accuracy, time left. Asks no process and loads no model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import yaml

from lab.batch.submission import submissions
from lab.config import load_yaml
from lab.errors import LabError
from lab.runs import RunDirectory

WAITING = "waiting"  # submitted, and nothing of it is there yet
CONTROLS = ("control_constant", "control_text_tuned")  # sub-runs in which a run trains its prompts, in their order
ARM = "latent"
RECENT = 50  # steps whose median says how long one takes
STEP, LOOK = b'"kind": "step"', b'"kind": "evaluation"'


@dataclass(frozen=True)
class RunStatus:
    """One run. Accuracies are fractions; what cannot be told yet is None or empty."""

    path: Path
    state: str  # waiting, running, finished, interrupted, failed, dead
    steps: int | None = None
    step: int = 0
    seconds_a_step: float | None = None
    looks: Sequence[Mapping] = ()  # at dev: {"step", "n"} and "accuracy", "source", "target", or "nats"
    test: Mapping | None = None  # its summary's arms
    control: RunStatus | None = None  # the one that was begun last

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def at(self) -> str:
        """Where it is, in a few characters: `120/1000`, then `control 20/1000`."""
        if self.state != "finished" and self.control and self.control.step < (self.control.steps or 0):
            return f"control {self.control.at}"
        return f"{self.step}/{self.steps or '?'}" if self.state != WAITING else ""

    @property
    def last(self) -> float | None:
        """The latest accuracy of the translator: on test once there is one, else on dev; None where dev looks were at
        likelihoods."""
        if self.test:
            return self.test.get(ARM, {}).get("accuracy")
        return self.looks[-1].get("accuracy") if self.looks else None

    @property
    def seconds_left(self) -> float | None:
        """Of the training that runs, by its latest steps; evaluations are not counted. None where nothing runs."""
        here = self.control if self.control and self.step == self.steps else self
        if self.state != "running" or here.seconds_a_step is None or here.steps is None:
            return None
        return (here.steps - here.step) * here.seconds_a_step

    @cached_property
    def peak(self) -> Mapping | None:
        """The best look at dev, the first of equals."""
        return max(self.looks, key=lambda look: look.get("accuracy", -look.get("nats", 0.0)), default=None)


def status_of(run: Path) -> RunStatus:
    """Look at one run. What is damaged in it counts as not there: this only tells, and refuses nothing."""
    directory = RunDirectory(run)
    try:
        state = directory.status or WAITING
        summary = directory.summary()
    except LabError:
        state, summary = "damaged", {}
    rows = _rows(run / "metrics.jsonl")
    steps = [row for row in rows if row.get("kind") == "step"]
    seconds = [row["seconds"] for row in steps[-RECENT:] if isinstance(row.get("seconds"), float)]
    return RunStatus(
        path=run,
        state=state,
        steps=_steps(run / "config.yaml"),
        step=steps[-1]["step"] if steps else 0,
        seconds_a_step=median(seconds) if seconds else None,
        looks=tuple(row for row in rows if row.get("kind") == "evaluation"),
        test=summary.get("arms"),
        control=next(
            (status_of(run / name) for name in reversed(CONTROLS) if (run / name / "manifest.json").is_file()), None
        ),
    )


def runs_below(path: Path) -> list[Path]:
    """The run at `path`, or every run in it and every one that was submitted into it, by name.

    Raises LabError where there is none.
    """
    if (path / "manifest.json").is_file():
        return [path]
    found = {file.parent for file in path.glob("*/manifest.json")}
    found |= {run for submission in submissions(path) for run in submission.runs}
    if not found:
        raise LabError(f"{path} holds no run and no submission; give the folder of one, such as runs")
    return sorted(found)


def _rows(path: Path) -> list[dict]:
    """All looks, and the latest steps. A line that is torn or no row is passed over."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return []
    looks = [line for line in lines if LOOK in line]
    steps = [line for line in lines[-4 * RECENT :] if STEP in line]
    found = []
    for line in [*looks, *steps]:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            continue
        if row.get("kind") == "step" or any(isinstance(row.get(name), float) for name in ("accuracy", "nats")):
            found.append(row)
    return found


def _steps(config: Path) -> int | None:
    try:
        return load_yaml(config.read_text(encoding="utf-8"))["steps"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
