"""Submissions here: every job is checked before any runs, failures are named, what is finished is not run again."""

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab import __main__ as main
from lab import batch
from lab.__main__ import app
from lab.batch import Interrupted, Keeping, local, read_submission, write_submission
from lab.batch import submission as batch_submission
from lab.batch.jobs import notebook_parameters
from lab.batch.members import plan_all
from lab.config import RunConfig
from lab.errors import LabError

JOB = "notebook: 01_train\nparameters:\n  name: {}\n  steps: 3\n"


@pytest.fixture()
def files(tmp_path):
    paths = [tmp_path / f"{name}.yaml" for name in ("one", "two")]
    for path in paths:
        path.write_text(JOB.format(path.stem))
    return paths


def run(jobs, parallel, gpus=()):
    return local.run_here(write_submission(jobs), parallel, gpus)


def finish(run, status="finished"):
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps({"status": status, "started": str(time.time_ns())}))


def test_every_file_runs_with_every_seed(files, tmp_path):
    found = plan_all(files, [1, 2], [("steps", "5")], tmp_path / "runs")
    assert [job.run.name for job in found] == ["one-seed1", "one-seed2", "two-seed1", "two-seed2"]
    assert [job.parameters["seed"] for job in found] == [1, 2, 1, 2]
    assert all(job.parameters["steps"] == 5 and job.parameters["resume"] is True for job in found)


def test_a_bad_member_stops_the_submission_before_it_begins(files, tmp_path):
    with pytest.raises(LabError, match="stepz"):
        plan_all(files, [], [("stepz", "5")], tmp_path / "runs")
    files[1].write_text(JOB.format("one"))
    with pytest.raises(LabError, match="run name one"):
        plan_all(files, [], [], tmp_path / "runs")


def test_what_is_finished_is_skipped_and_what_was_begun_goes_on(files, tmp_path, monkeypatch):
    found = plan_all(files, [], [], tmp_path / "runs")
    finish(found[0].run)
    finish(found[1].run, "running")
    calls = []

    def execute(submission, index, threads, gpu, processes):
        calls.append(submission.runs[index].name)
        return local.Outcome(submission.runs[index].name, "finished")

    monkeypatch.setattr(local, "_execute", execute)
    outcomes = run(found, parallel=2)
    assert calls == ["two"]
    assert {outcome.name: outcome.status for outcome in outcomes} == {"one": "skipped", "two": "finished"}


def test_a_finished_run_with_other_parameters_is_not_passed_off_as_this_one(files, tmp_path):
    (first, _) = plan_all(files, [], [], tmp_path / "runs")
    finish(first.run)
    executed = {"metadata": {"papermill": {"parameters": {**first.parameters, "resume": False, "device": "cpu"}}}}
    (first.run / "notebook.ipynb").write_text(json.dumps(executed))
    assert len(plan_all(files, [], [("batch_size", "32")], tmp_path / "runs")) == 2  # its default
    with pytest.raises(LabError, match="one is finished, but with another seed, steps"):
        plan_all(files, [], [("steps", "5"), ("seed", "2")], tmp_path / "runs")


SMALL = [("warmup_steps", "1")]


def test_a_finished_run_without_its_notebook_is_known_by_its_config(files, tmp_path):
    (first, _) = plan_all(files, [], SMALL, tmp_path / "runs")
    finish(first.run)
    with pytest.raises(LabError, match="one is finished, but has neither its notebook nor its config.yaml"):
        plan_all(files, [], SMALL, tmp_path / "runs")
    defaults = {name: parameter.default for name, parameter in notebook_parameters(first.notebook).items()}
    RunConfig.from_notebook(defaults | first.parameters).to_yaml(first.run / "config.yaml")
    assert len(plan_all(files, [], [*SMALL, ("device", "cuda")], tmp_path / "runs")) == 2
    with pytest.raises(LabError, match="one is finished, but with another learning_rate, seed"):
        plan_all(files, [], [*SMALL, ("seed", "2"), ("learning_rate", "0.1")], tmp_path / "runs")


@pytest.mark.parametrize("text", ["{", "[]", '{"metadata": 3}', "[" * 100_000])
def test_a_damaged_notebook_of_a_finished_run_is_one_sentence(files, tmp_path, text):
    (first, _) = plan_all(files, [], SMALL, tmp_path / "runs")
    finish(first.run)
    (first.run / "notebook.ipynb").write_text(text)
    with pytest.raises(LabError, match="notebook.ipynb is damaged"):
        plan_all(files, [], SMALL, tmp_path / "runs")


def test_a_notebook_that_cannot_resume_is_no_member(files, tmp_path):
    files[1].write_text("notebook: 05_browse_samples\n")
    with pytest.raises(LabError, match="two.yaml cannot be submitted: notebook 05_browse_samples has no"):
        plan_all(files, [], [], tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_failed_run_is_named_with_its_last_line(files, tmp_path, monkeypatch):
    found = plan_all(files, [], [], tmp_path / "runs")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho step 1\necho error: no memory\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(local.sys, "executable", str(python))
    outcomes = run(found, parallel=2)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    assert all("error: no memory" in outcome.error for outcome in outcomes)


def test_processes_are_spread_over_the_gpus_given(files, tmp_path, monkeypatch):
    seen = []

    def execute(submission, index, threads, gpu, processes):
        seen.append(gpu)
        barrier.wait(timeout=10)  # both at once: neither takes the other's place
        return local.Outcome(submission.runs[index].name, "finished")

    barrier = threading.Barrier(2)
    monkeypatch.setattr(local, "_execute", execute)
    run(plan_all(files, [1, 2], [], tmp_path / "runs"), parallel=2, gpus=["0", "3"])
    assert sorted(seen) == ["0", "0", "3", "3"]


def pretend(tmp_path, monkeypatch, script):
    """Let its processes be this shell script."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(local.sys, "executable", str(python))


def test_a_run_killed_by_a_signal_is_told_so(files, tmp_path, monkeypatch):
    """Its last line is of something else: nobody tells a killed process why."""
    pretend(tmp_path, monkeypatch, "echo step 1\nkill -9 $$")
    (outcome, _) = run(plan_all(files, [], [], tmp_path / "runs"), parallel=1)
    assert outcome.error.startswith("killed by SIGKILL, most often for lack of memory (output: ")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_submission_stops_its_runs_and_starts_no_other(files, tmp_path, monkeypatch, signum):
    pretend(tmp_path, monkeypatch, f"echo $$ >> {tmp_path}/started\nexec sleep 60")
    found = plan_all(files, [1, 2], [], tmp_path / "runs")
    finish(found[3].run)

    def stop():
        while not (tmp_path / "started").exists() or len((tmp_path / "started").read_text().split()) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signum)

    threading.Thread(target=stop).start()
    with pytest.raises(Interrupted, match="interrupted: 1 of 4 runs are finished; the same command goes on") as stopped:
        run(found, parallel=2)
    assert stopped.value.exit_code == 128 + signum
    started = (tmp_path / "started").read_text().split()
    assert len(started) == 2 and not any(Path("/proc", process).exists() for process in started)


def test_a_run_that_does_not_stop_is_killed(files, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "SECONDS_TO_END", 0)
    pretend(tmp_path, monkeypatch, f"trap '' TERM\necho $$ > {tmp_path}/started\nwhile true; do sleep 0.1; done")

    def stop():
        while not (tmp_path / "started").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop).start()
    with pytest.raises(Interrupted):
        run(plan_all(files[:1], [], [], tmp_path / "runs"), parallel=1)
    assert not Path("/proc", (tmp_path / "started").read_text().strip()).exists()


def test_what_was_submitted_is_what_runs_whatever_is_edited_meanwhile(files, tmp_path):
    (first, _) = jobs = plan_all(files, [], [("steps", "5")], tmp_path / "runs")
    made = write_submission(jobs)
    files[0].write_text(JOB.format("other"))
    again = read_submission(made.folder)
    assert again == made and again.runs == tuple(job.run for job in jobs)
    job = again.job(0)
    assert (job.run, job.notebook) == (first.run, first.notebook)
    assert job.parameters["steps"] == 5 and job.parameters["resume"] is True
    assert job.parameters.keys() == notebook_parameters(first.notebook).keys()  # defaults may change, too
    with pytest.raises(LabError, match="holds no submission"):
        read_submission(tmp_path)


def test_what_is_finished_is_done_again_only_if_told_so_and_beside_it(files, tmp_path):
    (first, _) = plan_all(files, [], [], tmp_path / "runs")
    finish(first.run)
    assert [job.run.name for job in plan_all(files, [], [], tmp_path / "runs", again=True)] == ["one-2", "two"]
    finish(tmp_path / "runs" / "one-2", "interrupted")
    assert [job.run.name for job in plan_all(files, [], [], tmp_path / "runs", again=True)] == ["one-2", "two"]


def submit(*words):
    return CliRunner().invoke(app, ["submit", *map(str, words)])


@pytest.fixture
def executed(monkeypatch):
    """Jobs are not executed: each leaves a finished run with its notebook."""

    def execute(job):
        finish(job.run)
        notebook = {"metadata": {"papermill": {"parameters": job.parameters}}}
        (job.run / "notebook.ipynb").write_text(json.dumps(notebook))
        return job.run

    def here(submission, parallel, gpus):
        codes = [CliRunner().invoke(app, ["task", str(submission.folder), str(i)]) for i in range(len(submission.runs))]
        return [local.Outcome(run.name, "failed" if done.exception else "finished", str(done.exception))
                for run, done in zip(submission.runs, codes, strict=True)]  # fmt: skip

    monkeypatch.setattr(batch, "execute", execute)
    monkeypatch.setattr(batch, "run_here", here)


def test_a_submission_may_have_a_folder_named_by_its_time(files, tmp_path, executed):
    done = submit(*files, "--runs", tmp_path / "runs", "--by-time")
    assert done.exit_code == 0, done.exception
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)
    assert {path.name for path in folder.iterdir()} == {"one", "two", "summary.log", ".submissions"}


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Preserving copies a run's manifest alone, into a folder of the test; the calls."""
    calls = []

    def keep(run, why, claim, folder, weights):
        calls.append((run.name, why, claim, folder.name, weights))
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_bytes((run / "manifest.json").read_bytes())

    monkeypatch.setattr(main, "_preserve", keep)
    monkeypatch.setattr(batch_submission, "PRESERVED", tmp_path / "preserved")
    return calls


def test_each_run_is_preserved_as_it_ends(files, tmp_path, executed, kept):
    words = (*files, "--runs", tmp_path / "sweep", "--preserve", "to see", "--claim", "none")
    done = submit(*words)
    assert done.exit_code == 0, done.exception
    assert kept == [(name, "to see", "none", f"sweep-{name}", False) for name in ("one", "two")]
    assert submit(*words).exit_code == 0 and len(kept) == 2
    wrong = submit(*files, "--runs", tmp_path / "sweep", "--weights")
    assert "--weights goes with --preserve" in str(wrong.exception)


def test_a_run_that_ended_before_it_was_preserved_is_preserved_by_the_same_command(files, tmp_path, executed, kept):
    """It is not executed again: `finish` could not make its folder twice."""
    runs = tmp_path / "sweep"
    assert submit(*files, "--runs", runs).exit_code == 0 and not kept
    for job in plan_all(files[:1], [], [], runs):  # killed between the two
        assert not write_submission([job], Keeping("why", "what")).is_done(0) and write_submission([job]).is_done(0)
    done = submit(*files, "--runs", runs, "--preserve", "to see")
    assert done.exit_code == 0, done.exception
    assert [call[0] for call in kept] == ["one", "two"]


def test_another_run_that_is_preserved_under_the_name_stops_the_submission_before_it_begins(
    files, tmp_path, executed, kept
):
    finish(tmp_path / "preserved" / "sweep-two")
    done = submit(*files, "--runs", tmp_path / "sweep", "--preserve", "to see")
    assert isinstance(done.exception, LabError) and "sweep-two is preserved of another run" in str(done.exception)
    assert not (tmp_path / "sweep").exists() and not kept


def test_nothing_is_written_where_a_job_or_the_cluster_is_wrong(files, tmp_path):
    for words, message in ((["-p", "stepz=3"], "stepz"), (["--slurm", "--cluster", tmp_path / "x.yaml"], "x.yaml")):
        done = submit(*files, "--runs", tmp_path / "runs", *words)
        assert isinstance(done.exception, LabError) and message in str(done.exception)
    assert not (tmp_path / "runs").exists()
