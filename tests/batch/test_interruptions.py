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
from lab.batch import signals
signals.SECONDS_TO_SAVE = 2
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


def codes(how: str) -> set[int]:
    """How a run may end by these signals: of two that come at once, the system says which is dealt with first."""
    return {128 + getattr(signal, f"SIG{name}") for name in how.split(", then ")}


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
    assert process.stdout.readline() == "step 0\n"
    os.killpg(process.pid, getattr(signal, f"SIG{how.split(',')[0]}"))
    if how.endswith("then TERM"):  # Ctrl-C of a submission: from the terminal, and then from it
        process.terminate()
    _, errors = process.communicate(timeout=SECONDS)
    run = project.root / "runs" / "j"
    assert errors == f"interrupted: {run} is safe; the same command with `-p resume True` goes on\n"
    assert process.returncode in codes(how)
    assert not is_alive(kernel_of(project))
    assert RunDirectory(run).status == "interrupted" and left_beside(project) == ["j", "kernel"]
    assert "step 0" in (run / "notebook.ipynb").read_text()
    again = start("-p", "resume", "True")
    again.communicate(timeout=SECONDS)
    assert again.returncode == 0 and RunDirectory(run).status == "finished"


TRAINS = STEPS.replace(
    "    time.sleep(rate)\n",
    "    time.sleep(rate)\n    if asked:\n        raise LabError(f'saved after step {step}')\n",
).replace("for step", "asked = asked_to_stop().__enter__()\nfor step")
TRAINS = "from lab.errors import LabError\nfrom lab.training.stopping import asked_to_stop\n" + TRAINS


@pytest.mark.slow
@pytest.mark.parametrize("how", ["TERM", "USR1", "HUP", "USR1, then TERM"])
def test_a_run_that_is_warned_ends_by_itself(project, start, how):
    process = start("-p", "rate", "0.2", body=TRAINS)
    for name in how.split(", then "):
        process.send_signal(getattr(signal, f"SIG{name}"))
    _, errors = process.communicate(timeout=SECONDS)
    run = project.root / "runs" / "j"
    said = [line for line in errors.splitlines() if line.startswith(("interrupted", "error"))]  # torchao speaks as well
    assert said == [f"interrupted: {run} is safe; the same command with `-p resume True` goes on"]
    assert errors.splitlines()[-1] == said[0]
    assert process.returncode in codes(how)
    assert "saved after step" in (run / "notebook.ipynb").read_text()
    assert RunDirectory(run).status == "interrupted"


DEAF = BODY.replace("import os;", "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["TERM", "TERM, then INT"])
def test_a_run_that_does_not_end_by_itself_is_ended(project, start, how):
    """After `SECONDS_TO_SAVE`, or at once by Ctrl-C."""
    process = start("-p", "rate", "0.5", body=DEAF)
    for name in how.split(", then "):
        process.send_signal(getattr(signal, f"SIG{name}"))
        time.sleep(0.2)
    _, errors = process.communicate(timeout=SECONDS)
    assert errors.startswith("interrupted: ") and errors.count("\n") == 1
    assert process.returncode in codes(how) and not is_alive(kernel_of(project))


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
    wait_until(lambda: run.status == "dead")  # a kernel's files close a moment after it is seen to have gone
    assert ".j.executing.ipynb" in left_beside(project)
    again = start("-p", "resume", "True")
    again.communicate(timeout=SECONDS)
    assert again.returncode == 0 and run.status == "finished" and left_beside(project) == ["j", "kernel"]


@pytest.mark.slow
def test_a_run_ends_with_the_command_that_started_it(project):
    """That is killed: nobody is left to ask its runs to stop."""
    starter = subprocess.Popen([sys.executable, "-c", STARTER, LAB, str(project.root), str(project(BODY))], cwd=ROOT)
    metrics = project.root / "runs" / "j" / "metrics.jsonl"
    wait_until(metrics.exists)
    starter.kill()
    starter.wait()
    run = RunDirectory(project.root / "runs" / "j")
    wait_until(lambda: run.status == "interrupted")
    wait_until(lambda: not is_alive(kernel_of(project)))


STARTER = """
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


SMALL = dict(steps=8, warmup_steps=2, batch_size=4, eval_every=2, dev_questions=4, test_questions=8, max_new_tokens=8,
             width=32, heads=2, depth=1, control=False)  # fmt: skip


def train(runs, name, **more) -> subprocess.Popen:
    given = {**SMALL, "name": name, **more}.items()
    words = [word for key, value in given for word in ("-p", f"{key}={value}")]
    command = [sys.executable, "-m", "lab", "run", "papermill_jobs/base.yaml", "--runs", str(runs), *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_training_killed_now_and_then_ends_in_the_same_bytes(tmp_path):
    """The whole path: `lab run`, its kernel and its models, killed without warning, twice."""
    assert train(tmp_path, "whole").wait(timeout=300) == 0
    begun = False
    for step in (2, 6):
        process = train(tmp_path, "killed", resume=begun)
        wait_until(lambda step=step: (tmp_path / "killed" / "checkpoints" / f"step_{step}").exists())
        process.kill()
        process.wait()
        wait_until(lambda: RunDirectory(tmp_path / "killed").status == "dead")
        begun = True
    last = train(tmp_path, "killed", resume=True)
    assert last.wait(timeout=300) == 0, last.stderr.read()
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for name in ("best/model.safetensors", "last/model.safetensors", "last/optimizer.safetensors", "last/state.json"):
        assert (whole / "checkpoints" / name).read_bytes() == (killed / "checkpoints" / name).read_bytes(), name
    name = "eval_samples_step_final.jsonl"
    assert (whole / name).read_bytes() == (killed / name).read_bytes()
    metrics = [[row | {"seconds": 0} for row in RunDirectory(run).metrics()] for run in (whole, killed)]
    assert metrics[0] == metrics[1]
