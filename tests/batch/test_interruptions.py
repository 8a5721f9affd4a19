"""Stopping `lab run` in every way a person or a machine does: one line, no process left, and the run goes on later."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from notebook_project import STEPS

from lab.places import ROOT
from lab.runs import RunDirectory

# `python -m lab`, with the repository of the test in the place of this one.
LAB = """
import sys
from functools import partial
from pathlib import Path
from lab import __main__, batch
root = Path(sys.argv.pop(1))
batch.plan, batch.execute = partial(batch.plan, root=root), partial(batch.execute, root=root)
__main__.main()
"""
BODY = "import os; open(f'{runs}/kernel', 'w').write(str(os.getpid()))\n" + STEPS
SECONDS = 60


@pytest.fixture
def start(project):
    """Start the job; returns the process once it writes metrics, or has ended."""
    processes = []

    def run(*words, body=BODY, sign="runs/j/metrics.jsonl"):
        command = [sys.executable, "-c", LAB, str(project.root), "run", str(project(body)), "-p", "steps", "60", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes)
        processes.append(process)
        wait_until(lambda: process.poll() is not None or (project.root / sign).exists())
        return process

    yield run
    for process in processes:
        process.kill()
        process.wait()


def wait_until(true) -> None:
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def is_alive(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def kernel_of(project) -> str:
    return (project.root / "runs" / "kernel").read_text()


def left_beside(project) -> list[str]:
    return sorted(os.listdir(project.root / "runs"))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["INT", "TERM", "HUP", "INT, then TERM"])
def test_an_interrupted_run_says_one_line_and_goes_on(project, start, how):
    process = start("-p", "rate", "0.2")
    signum = getattr(signal, f"SIG{how.split(',')[0]}")
    os.killpg(process.pid, signum)
    if how.endswith("then TERM"):  # Ctrl-C of a suite: from the terminal, and then from the suite
        process.terminate()
    _, errors = process.communicate(timeout=SECONDS)
    run = project.root / "runs" / "j"
    assert errors == f"interrupted: {run} is safe; the same command with `-p resume True` goes on\n"
    assert process.returncode == 128 + signum
    assert not is_alive(kernel_of(project))
    assert RunDirectory(run).status == "interrupted" and left_beside(project) == ["j", "kernel"]
    assert "step 0" in (run / "notebook.ipynb").read_text()
    again = start("-p", "resume", "True")
    again.communicate(timeout=SECONDS)
    assert again.returncode == 0 and RunDirectory(run).status == "finished"


@pytest.mark.slow
def test_a_run_interrupted_before_it_began_leaves_nothing(project, start):
    process = start(body="open(f'{runs}/began', 'w'); import time; time.sleep(60)", sign="runs/began")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=SECONDS)
    assert errors == f"interrupted: nothing of {project.root}/runs/j was begun or changed\n"
    assert left_beside(project) == ["began"]


@pytest.mark.slow
def test_a_killed_run_leaves_no_kernel_and_its_leftovers_are_swept(project, start):
    process = start("-p", "rate", "0.2")
    process.kill()
    process.wait()
    wait_until(lambda: not is_alive(kernel_of(project)))
    run = RunDirectory(project.root / "runs" / "j")
    assert run.status == "dead" and ".j.executing.ipynb" in left_beside(project)
    again = start("-p", "resume", "True")
    again.communicate(timeout=SECONDS)
    assert again.returncode == 0 and run.status == "finished" and left_beside(project) == ["j", "kernel"]


@pytest.mark.slow
def test_a_run_ends_with_the_suite_that_started_it(project):
    """The suite is killed: nobody is left to ask its runs to stop."""
    suite = subprocess.Popen([sys.executable, "-c", SUITE, LAB, str(project.root), str(project(BODY))], cwd=ROOT)
    metrics = project.root / "runs" / "j" / "metrics.jsonl"
    wait_until(metrics.exists)
    suite.kill()
    suite.wait()
    run = RunDirectory(project.root / "runs" / "j")
    wait_until(lambda: run.status == "interrupted")
    wait_until(lambda: not is_alive(kernel_of(project)))


SUITE = """
import os, subprocess, sys
program, root, job = sys.argv[1:]
words = [sys.executable, "-c", program, root, "run", job, "-p", "rate", "0.2", "-p", "steps", "60"]
subprocess.run(words, env={**os.environ, "LAB_ENDS_WITH": str(os.getpid())})
"""


@pytest.mark.slow
def test_a_reader_that_leaves_does_not_fail_the_run(project, start):
    process = start("-p", "rate", "0.02")
    assert process.stdout.readline()
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=SECONDS) == 0
    run = project.root / "runs" / "j"
    assert RunDirectory(run).status == "finished" and len(RunDirectory(run).metrics()) == 60
    assert "step 59" in json.dumps(json.loads((run / "notebook.ipynb").read_text()))


def test_a_reader_that_leaves_is_no_error(tmp_path):
    """`lab summarize ... | head -1`"""
    (tmp_path / "train.log").write_text("Step 1/2 | Loss 3.0 | LR 1e-3\n" * 3)
    command = f"{sys.executable} -m lab summarize {tmp_path} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("0\n", "")
