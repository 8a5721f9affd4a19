"""Trackers: what a run logs is what they are told, and one that is not installed is refused before anything is done."""

import importlib.util

import accelerate.tracking
import pytest
from sums_task import Sums
from tiny_training import config, fresh, scores

from lab.errors import LabError
from lab.training import tracking
from lab.training.loop import train


class Told:
    """A tracker that remembers."""

    made: list = []

    def __init__(self, *given, **named):
        self.given, self.rows, self.calls = (given, named), [], []
        Told.made.append(self)

    def start(self):
        self.calls.append("start")

    def store_init_configuration(self, values):
        self.values = values

    def log(self, values, step):
        self.rows.append((step, values))

    def finish(self):
        self.calls.append("finish")


@pytest.mark.parametrize("name, kind", [
    ("auto", "TensorBoardTracker"), ("tensorboard", "TensorBoardTracker"), ("wandb", "WandBTracker"),
    ("trackio", "TrackioTracker"),
])  # fmt: skip
def test_a_tracker_is_told_what_the_run_logs(tiny_pair, tmp_path, monkeypatch, name, kind):
    monkeypatch.setattr(Told, "made", [])
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda package: package)
    monkeypatch.setattr(accelerate.tracking, kind, Told)
    settings = config(tracker=name)
    run = fresh(tmp_path / "run", settings)
    train(settings, tiny_pair, Sums(), run, scores(0.1, 0.2, 0.3))
    (tracker,) = Told.made
    assert tracker.calls == ["start", "finish"] and tracker.values["batch_size"] == 4
    steps = [row for row in run.metrics() if row["kind"] == "step"]
    told = [(step, row["loss"]) for step, row in tracker.rows if "loss" in row]
    assert told == [(row["step"], row["loss"]) for row in steps]
    assert all(row["terms/answer_nll"] == row["loss"] for _, row in tracker.rows if "loss" in row)
    assert [(step, row["accuracy"]) for step, row in tracker.rows if "accuracy" in row] == [
        (0, 0.1),
        (3, 0.2),
        (6, 0.3),
    ]


def test_one_that_is_not_installed_is_refused(tiny_pair, tmp_path, monkeypatch):
    inner = importlib.util.find_spec
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None if name == "wandb" else inner(name))
    settings = config(tracker="wandb")
    run = fresh(tmp_path / "run", settings)
    with pytest.raises(LabError, match="tracker='wandb' needs wandb, which is not installed: `pip install wandb`"):
        train(settings, tiny_pair, Sums(), run)
    assert run.metrics() == []


def test_tensorboard_shows_the_losses(tiny_pair, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = config(tracker="auto")
    run = fresh(tmp_path / "run", settings)
    train(settings, tiny_pair, Sums(), run, scores(0.1, 0.2, 0.3))
    events = EventAccumulator(str(run.path / "tracker" / "train"))
    events.Reload()
    found = [(event.step, event.value) for event in events.Scalars("loss")]
    assert found == [(row["step"], pytest.approx(row["loss"])) for row in run.metrics() if row["kind"] == "step"]
