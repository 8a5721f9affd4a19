"""Trackers: what `metrics.jsonl` holds, shown while it is made, by Accelerate's trackers.

TensorBoard writes into the run's folder `tracker`; Weights & Biases and Trackio keep theirs where they always do. The
run's own files never depend on a tracker, and one that is resumed may show some steps twice.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from lab import ranks
from lab.config import RunConfig
from lab.errors import LabError
from lab.runs import RunDirectory

Track = Callable[[Mapping, int], None]  # a row of metrics, and its step
BY_DEFAULT, FOLDER, PROJECT = "tensorboard", "tracker", "lab"


@contextmanager
def tracking(run: RunDirectory, config: RunConfig, label: str) -> Iterator[Track]:
    """Inside, rows that are given are shown by the config's tracker; on the first rank alone. Raises LabError where the
    tracker is not installed, on all of them."""
    name = BY_DEFAULT if config.training.tracker == "auto" else config.training.tracker
    if name == "none":
        yield lambda row, step: None
        return
    if missing := [package for package in ("accelerate", name) if importlib.util.find_spec(package) is None]:
        raise LabError(f"tracker={name!r} needs {missing[0]}, which is not installed: `pip install {missing[0]}`.")
    if not ranks.is_first():
        yield lambda row, step: None
        return
    tracker = _tracker(name, run, label)
    tracker.start()
    tracker.store_init_configuration(_plain(config.parameters()))
    try:
        yield lambda row, step: tracker.log(dict(_numbers(row)), step=step)
    finally:
        tracker.finish()


def _tracker(name: str, run: RunDirectory, label: str):
    from accelerate import tracking as accelerates

    if name == "tensorboard":
        return accelerates.TensorBoardTracker(label, str(run.path / FOLDER))
    kind = {"wandb": accelerates.WandBTracker, "trackio": accelerates.TrackioTracker}[name]
    return kind(PROJECT, name=run.path.name if label == "translator" else f"{run.path.parent.name} {run.path.name}")


def _numbers(row: Mapping, before: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a row, those inside another as `outer/inner`."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{before}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and name != "step":
            yield f"{before}{name}", value


def _plain(parameters: Mapping) -> dict:
    """Lists as text: TensorBoard's hyperparameters are single values."""
    return {name: str(value) if isinstance(value, list) else value for name, value in parameters.items()}
