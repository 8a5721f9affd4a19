"""A whole run on several processes: by torchrun in a terminal, from a notebook, and refused where it must be."""

import json
import os
import subprocess
import sys

import pytest
from two_ranks import free_port

from lab.batch import execute, plan
from lab.errors import LabError
from lab.places import ROOT
from lab.runs import RunDirectory, read_jsonl
from lab.studies import processes
from lab.studies.processes import gpus, in_processes

SMALL = dict(steps=6, warmup_steps=2, batch_size=4, eval_every=3, dev_questions=4, test_questions=8, max_new_tokens=8,
             width=32, heads=2, depth=1, seed=1, eval_batch_size=4, device="cpu")  # fmt: skip
LAUNCH = """
from lab.config import RunConfig
from lab.studies import in_processes, whole_run
config = RunConfig.from_parameters(name="run", **{settings})
print(in_processes(whole_run, config, {runs!r}, processes={count}), "processes")
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def check_whole(run, processes):
    """One run, finished, with every record; returns its text arms' answers, which no training changes."""
    found = RunDirectory(run)
    assert found.status == "finished" and found.manifest().get("processes", 1) == processes
    assert [row["step"] for row in found.metrics() if row["kind"] == "step"] == list(range(1, 7))
    assert (run / "summary.json").exists() and (run / "control_constant" / "checkpoints" / "last").exists()
    records = read_jsonl(run / "eval_samples_step_final.jsonl")
    assert len(records) == 8 and len(found.manifest()["test_looks"]) == 1
    return [(row["id"], row["arms"]["source"], row["arms"]["target"]) for row in records]


def launched(runs, count):
    code = LAUNCH.replace("{settings}", repr(SMALL)).replace("{runs!r}", repr(str(runs))).replace("{count}", str(count))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{count} processes" in done.stdout
    return check_whole(runs / "run", count)


@pytest.mark.slow
def test_a_notebook_starts_processes_that_make_one_run(tmp_path):
    assert launched(tmp_path / "two", 2) == launched(tmp_path / "one", 1)
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["run"]


@pytest.mark.slow
def test_torchrun_executes_a_job_as_one_run(tmp_path):
    job, runs = tmp_path / "job.yaml", tmp_path / "runs"
    job.write_text(f"notebook: 01_train\nparameters: {json.dumps({**SMALL, 'name': 'run'})}\n")
    started = ["--nproc_per_node", "2", "--rdzv_backend", "c10d", "--rdzv_endpoint", f"localhost:{free_port()}"]
    command = ["-m", "torch.distributed.run", *started, "-m", "lab", "run", str(job), "--runs", str(runs)]
    command = [sys.executable, *command]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    check_whole(runs / "run", 2)
    assert (runs / "run" / "notebook.ipynb").exists() and [path.name for path in runs.iterdir()] == ["run"]
    assert done.stdout.count("run: ") == 1  # the first one speaks


def test_a_notebook_for_one_process_is_refused(tmp_path, monkeypatch):
    (tmp_path / "job.yaml").write_text("notebook: 00_start_here\nparameters: {}\n")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LabError, match="00_start_here is for one process, and 2 were started"):
        execute(plan(tmp_path / "job.yaml", runs=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_the_number_of_gpus_is_asked_for_or_found(monkeypatch):
    monkeypatch.setenv("NUM_GPUS", "3")
    assert gpus() == 3
    monkeypatch.setenv("NUM_GPUS", "two")
    with pytest.raises(LabError, match="NUM_GPUS='two' is no number"):
        gpus()
    monkeypatch.delenv("NUM_GPUS")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(processes.shutil, "which", lambda name: name)
    listed = subprocess.CompletedProcess([], 0, "GPU 0: one\nGPU 1: two\n  MIG 1g\n")
    monkeypatch.setattr(processes.subprocess, "run", lambda *given, **named: listed)
    assert gpus() == 2
    monkeypatch.setattr(processes.shutil, "which", lambda name: None)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 5)
    assert gpus() == 5


def test_one_process_is_no_launch_and_several_cannot_start_several(monkeypatch):
    found = []
    assert in_processes(found.append, 7, processes=1) == 1 and found == [7]
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LabError, match="one of several processes already"):
        in_processes(found.append, 7, processes=2)
