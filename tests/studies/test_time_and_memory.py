"""Where an experiment's time and memory went: in its summary, its control's beside it, every session counted."""

import json

import pytest

from lab.clock import OTHER
from lab.config import RunConfig
from lab.evidence.verify import verify_run
from lab.pictures import breakdown_figure, breakdown_table
from lab.runs import TIME_AND_MEMORY, RunDirectory
from lab.studies.experiment import CONTROLS, start, test_once, train_constant, train_translator
from lab.studies.measured import Candidate

CONFIG = RunConfig.from_parameters(
    name="t", device="cpu", steps=3, batch_size=4, warmup_steps=1, soft_tokens=3, width=16, depth=1, heads=2,
    dev_questions=6, test_questions=12, max_new_tokens=8, eval_every=0,
)  # fmt: skip
CONTROL = CONTROLS["latent_constant"]
INSIDE_EVALUATION = ["evaluation: source", "evaluation: translator", "evaluation: generation"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run whose test was taken in another session than its training: (folder, summary)."""
    runs = tmp_path_factory.mktemp("runs")
    first = start(CONFIG, runs)
    train_translator(first), train_constant(first)
    first.run.finish()
    again = start(CONFIG, runs, resume=True)
    translator, constant = (train(again).translator for train in (train_translator, train_constant))
    test_once(again, translator, constant)
    return runs / "t", json.loads((runs / "t" / "summary.json").read_text())


def test_the_summary_says_where_everything_went(finished):
    spent = finished[1][TIME_AND_MEMORY]
    parts = spent["parts"]
    assert {"load", "checks", "source", "translator", "target forward", "backward", "optimiser", "evaluation",
            "checkpoint", OTHER, *INSIDE_EVALUATION} <= set(parts)  # fmt: skip
    for record in (spent, spent[CONTROL]):
        assert all(part["seconds"] > 0 for part in record["parts"].values())
        assert sum(part["seconds"] for part in record["parts"].values()) == pytest.approx(record["seconds"], abs=1e-9)
        assert all(record["parts"][name]["times"] == 3 for name in ("translator", "backward", "optimiser"))


def test_the_controls_parts_are_its_own(finished):
    control = finished[1][TIME_AND_MEMORY][CONTROL]
    assert "source" not in control["parts"] and "load" not in control["parts"]  # it reads no source, and loads nothing


def test_both_sessions_are_counted(finished):
    spent = finished[1][TIME_AND_MEMORY]
    assert len(spent["sessions"]) == len(set(spent["sessions"])) == 2 and spent["parts"]["load"]["times"] == 2
    # the steps, and the look at dev before the first and after the last, were done once; then test
    assert spent["parts"]["source"]["times"] == 3 and spent["parts"]["evaluation"]["times"] == 3
    assert len(spent[CONTROL]["sessions"]) == 2 and spent[CONTROL]["parts"]["evaluation"]["times"] == 2


def test_a_reader_finds_it_and_a_verifier_does_not_mind(finished):
    folder, summary = finished
    candidate = Candidate(CONFIG, None, run=str(folder / "checkpoints" / "best"))
    assert candidate.time_and_memory() == summary[TIME_AND_MEMORY]
    assert verify_run(folder) == []
    assert len(breakdown_table(candidate.time_and_memory())) >= 10


def test_a_run_that_was_trained_and_not_tested_tells_of_its_training(finished, tmp_path):
    manifest = (finished[0] / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(manifest)
    assert RunDirectory(tmp_path).time_and_memory()["parts"]["backward"]["times"] == 3


def test_a_run_of_before_there_was_a_clock_tells_nothing(tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    spent = RunDirectory(tmp_path).time_and_memory()
    assert spent == {} and Candidate(CONFIG, None).time_and_memory() == {}
    assert "does not say" in str(breakdown_table(spent)) and "does not say" in breakdown_figure(spent).layout.title.text
