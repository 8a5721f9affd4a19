"""Laws of a clocked training: the same bits as without, every part named, and resumed sessions added up."""

import json

import pytest
from made_up_time import Ticking
from sums_task import Sums
from tiny_training import Killed, choosing, config, fresh, killed_at, weights_of

from lab.answers.generation import greedy
from lab.clock import Clock
from lab.training import train

SETTINGS = config(steps=6, eval_every=2)
STEP = ["source", "translator", "target forward", "backward", "optimiser"]


def accuracy(translator, step):
    return {"accuracy": step / 10, "n": 2}


def trained(tiny_pair, folder, settings=SETTINGS, clock=None):
    clock = clock or Clock(meter=Ticking())
    with clock.running():
        result = train(settings, tiny_pair, Sums(), fresh(folder, settings), choosing(accuracy), decode=greedy)
    return result, clock


def kept(folder, step) -> dict:
    """What the checkpoint of a step says was spent."""
    return json.loads((folder / "checkpoints" / f"step_{step}" / "manifest.json").read_text())["clock"]


def entered(record) -> dict[str, int]:
    return {name: spent["times"] for name, spent in record["parts"].items()}


def test_a_clock_changes_no_bit(tiny_pair, tmp_path):
    plain = train(SETTINGS, tiny_pair, Sums(), fresh(tmp_path / "plain", SETTINGS), choosing(accuracy))
    clocked, _ = trained(tiny_pair, tmp_path / "clocked", clock=Clock())
    assert weights_of(plain.translator) == weights_of(clocked.translator)
    rows = [
        [row | {"seconds": 0} for row in map(json.loads, (tmp_path / name / "metrics.jsonl").open())]
        for name in ("plain", "clocked")
    ]
    assert rows[0] == rows[1]
    said = json.loads((tmp_path / "plain" / "checkpoints" / "step_6" / "manifest.json").read_text())
    assert "clock" not in said


def test_every_part_of_a_step_is_clocked_once(tiny_pair, tmp_path):
    _, clock = trained(tiny_pair, tmp_path / "run")
    record = clock.record()
    assert {name: record["parts"][name]["times"] for name in STEP} == dict.fromkeys(STEP, 6)
    assert record["parts"]["evaluation"]["times"] == record["parts"]["checkpoint"]["times"] == 4  # at 0, 2, 4 and 6
    assert all(spent["seconds"] > 0 for spent in record["parts"].values())


def test_answers_that_training_decodes_are_a_part(tiny_pair, tmp_path):
    settings = config(steps=2, eval_every=0, decode_weight=0.5, decode_every=1, decode_tokens=4)
    _, clock = trained(tiny_pair, tmp_path / "run", settings)
    assert clock.record()["parts"]["generation"]["times"] == 2


def test_a_killed_run_loses_what_came_after_its_last_checkpoint_and_nothing_else(tiny_pair, tmp_path, monkeypatch):
    _, whole = trained(tiny_pair, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, 5)
        trained(tiny_pair, tmp_path / "run")
    before = kept(tmp_path / "run", 4)
    clock = Clock(meter=Ticking())
    clock.session = "the second"
    trained(tiny_pair, tmp_path / "run", clock=clock)
    record, own = clock.record(), clock.meter.now - 1
    assert record["seconds"] == before["seconds"] + own
    assert len(record["sessions"]) == 2 and entered(record) == entered(whole.record())
    assert kept(tmp_path / "run", 6)["sessions"] == record["sessions"]


def test_a_training_that_is_called_again_adds_nothing_of_its_own(tiny_pair, tmp_path):
    _, clock = trained(tiny_pair, tmp_path / "run")
    before = clock.record()
    trained(tiny_pair, tmp_path / "run", clock=clock)
    after = clock.record()
    assert entered(after) == entered(before) and after["seconds"] - before["seconds"] == 1


def test_a_checkpoint_of_before_there_was_a_clock_goes_on(tiny_pair, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, 5)
        train(SETTINGS, tiny_pair, Sums(), fresh(tmp_path / "run", SETTINGS), choosing(accuracy))
    _, clock = trained(tiny_pair, tmp_path / "run")
    assert clock.record()["parts"]["backward"]["times"] == 2  # of the steps that it saw
