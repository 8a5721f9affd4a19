"""The doctor: one row per law of each model and a training step; what fails is named, and ends with exit code 1."""

import pytest
import torch
from typer.testing import CliRunner

from lab.__main__ import app
from lab.config import RunConfig
from lab.errors import LabError
from lab.models import LAWS, FrozenModel, Pair
from lab.pictures import doctor_table
from lab.studies import check_sound, examine, examine_pair
from lab.tasks import load_task

CONFIG = RunConfig.from_parameters(soft_tokens=3, width=16, depth=1, heads=2, batch_size=4, steps=60, device="cpu")


@pytest.fixture(scope="module")
def task():
    return load_task(CONFIG.task)


def test_a_sound_pair(tiny_pair, task):
    state = torch.get_rng_state()
    found = examine(CONFIG, tiny_pair, task)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(found) == 2 * len(LAWS) + 2
    check_sound(found)
    assert found[-1]["law"] == "training step" and "s for 4 questions; 60 steps take" in found[-1]["measured"]
    shown = repr(doctor_table(found))
    assert f"all {len(found)} hold" in shown and "what to do" in shown


def test_what_fails_is_named(tiny_pair, task, monkeypatch):
    embed = FrozenModel.embed
    monkeypatch.setattr(FrozenModel, "embed", lambda self, ids: 2 * embed(self, ids))
    found = examine(CONFIG, tiny_pair, task)
    failed = [(row["model"], row["law"]) for row in found if row["verdict"] == "fails"]
    assert failed == [(side, "embeddings = tokens") for side in ("source", "target")] + [("target", "answers alike")]
    assert f"3 of {len(found)} fail" in repr(doctor_table(found))
    with pytest.raises(LabError, match="3 of .* laws fail, the first is 'embeddings = tokens' of the source"):
        check_sound(found)


def test_a_step_that_cannot_be_made_is_told(tiny_pair, task, monkeypatch):
    small = FrozenModel(tiny_pair.target.model, tiny_pair.target.tokenizer, "small", torch.device("cpu"), torch.float32)
    monkeypatch.setattr(type(small), "context_length", 64)
    row = examine(CONFIG.replace(soft_tokens=60), Pair(tiny_pair.source, small), task)[-1]
    assert row["verdict"] == "fails" and "reads at most 64 tokens" in row["measured"]


def test_a_model_that_is_not_there_is_a_finding():
    (row,) = examine_pair(CONFIG.replace(pair="custom", source="/no/where", target="/no/where"))
    assert row["law"] == "loads" and "there is no folder" in row["measured"]


def test_the_command_prints_the_table_and_fails_where_something_does():
    done = CliRunner().invoke(app, ["doctor", "-p", "source=/no/where"])
    assert "there is no folder" in done.output and done.exit_code == 1 and isinstance(done.exception, LabError)
    with pytest.raises(LabError, match="parameter 'sauce' is not known"):
        CliRunner().invoke(app, ["doctor", "-p", "sauce=x"], catch_exceptions=False)
