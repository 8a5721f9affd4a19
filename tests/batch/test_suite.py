"""Suites: every member is checked before anything runs, failures are named, and what is finished is not run again."""

import json
import threading

import pytest

from lab.batch import suite
from lab.errors import LabError

JOB = "notebook: 01_train\nparameters:\n  name: {}\n  steps: 3\n"


@pytest.fixture()
def files(tmp_path):
    paths = [tmp_path / f"{name}.yaml" for name in ("one", "two")]
    for path in paths:
        path.write_text(JOB.format(path.stem))
    return paths


def finish(run, status="finished"):
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps({"status": status}))


def test_every_file_runs_with_every_seed(files, tmp_path):
    found = suite.members(files, [1, 2], [("steps", "5")], tmp_path / "runs")
    assert [m.job.run.name for m in found] == ["one-seed1", "one-seed2", "two-seed1", "two-seed2"]
    assert [m.job.parameters["seed"] for m in found] == [1, 2, 1, 2]
    assert all(m.job.parameters["steps"] == 5 and m.job.parameters["resume"] is True for m in found)


def test_a_bad_member_stops_the_suite_before_it_begins(files, tmp_path):
    with pytest.raises(LabError, match="stepz"):
        suite.members(files, [], [("stepz", "5")], tmp_path / "runs")
    files[1].write_text(JOB.format("one"))
    with pytest.raises(LabError, match="run name one"):
        suite.members(files, [], [], tmp_path / "runs")


def test_what_is_finished_is_skipped_and_what_was_begun_goes_on(files, tmp_path, monkeypatch):
    found = suite.members(files, [], [], tmp_path / "runs")
    finish(found[0].job.run)
    finish(found[1].job.run, "running")
    calls = []

    def execute(member, threads, gpu):
        calls.append(member.job.run.name)
        return suite.Outcome(member.job.run.name, "finished")

    monkeypatch.setattr(suite, "_execute", execute)
    outcomes = suite.run_suite(found, parallel=2)
    assert calls == ["two"]
    assert {outcome.name: outcome.status for outcome in outcomes} == {"one": "skipped", "two": "finished"}


def test_a_finished_run_with_other_parameters_is_not_passed_off_as_this_one(files, tmp_path):
    (first, _) = suite.members(files, [], [], tmp_path / "runs")
    finish(first.job.run)
    executed = {"metadata": {"papermill": {"parameters": {**first.job.parameters, "resume": False, "device": "cpu"}}}}
    (first.job.run / "notebook.ipynb").write_text(json.dumps(executed))
    assert len(suite.members(files, [], [("batch_size", "32")], tmp_path / "runs")) == 2  # its default
    with pytest.raises(LabError, match="one is finished, but with another seed, steps"):
        suite.members(files, [], [("steps", "5"), ("seed", "2")], tmp_path / "runs")


def test_a_failed_run_is_named_with_its_last_line(files, tmp_path, monkeypatch):
    found = suite.members(files, [], [], tmp_path / "runs")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho step 1\necho error: no memory\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(suite.sys, "executable", str(python))
    outcomes = suite.run_suite(found, parallel=2)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    assert all("error: no memory" in outcome.error for outcome in outcomes)


def test_processes_are_spread_over_the_gpus_given(files, tmp_path, monkeypatch):
    seen = []

    def execute(member, threads, gpu):
        seen.append(gpu)
        barrier.wait(timeout=10)  # both at once: neither takes the other's place
        return suite.Outcome(member.job.run.name, "finished")

    barrier = threading.Barrier(2)
    monkeypatch.setattr(suite, "_execute", execute)
    suite.run_suite(suite.members(files, [1, 2], [], tmp_path / "runs"), parallel=2, gpus=["0", "3"])
    assert sorted(seen) == ["0", "0", "3", "3"]
