"""Many jobs, several at a time, each in a process of its own; a suite that was stopped goes on where it was.

What is finished is skipped, what was begun is resumed, what failed is named at the end. Nothing is kept about a suite
but its runs: their manifests say how far it is.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tqdm import tqdm

from lab.batch.jobs import Job, notebook_of, notebook_parameters, plan
from lab.batch.signals import PARENT, Interrupted, killed_by, stoppable
from lab.config import NOT_SCIENTIFIC, RunConfig
from lab.errors import LabError
from lab.places import ROOT
from lab.runs import RunDirectory

Overrides = list[tuple[str, str]]
SECONDS_TO_END = 30  # for a process that was asked to stop
SAME_RESULTS = {*NOT_SCIENTIFIC, "runs", "resume"}  # parameters that change no result


@dataclass(frozen=True)
class Member:
    """One run of a suite: the job's file, what the suite overrides, and the planned job."""

    file: Path
    overrides: Overrides
    job: Job


@dataclass(frozen=True)
class Outcome:
    """`status` is finished, failed, or skipped (it was finished before); `error` is a failed run's last line."""

    name: str
    status: str
    error: str = ""


def members(files: Sequence[Path], seeds: Sequence[int], overrides: Overrides, runs: Path | None) -> list[Member]:
    """Every file with every seed (`<name>-seed<seed>`), or once as it is where no seed is given; all checked first."""
    found = []
    for file in files:
        _check_resumes(file)
        for seed in seeds or (None,):
            given = [("resume", "true"), *overrides]
            job = plan(file, given, runs)
            if seed is not None:
                given += [("name", f"{job.parameters['name']}-seed{seed}"), ("seed", str(seed))]
                job = plan(file, given, runs)
            found.append(Member(file, given, job))
    names = [member.job.run for member in found]
    twice = sorted({run.name for run in names if names.count(run) > 1})
    if twice:
        raise LabError(f"two jobs of this suite have the run name {', '.join(twice)}: give each file its own `name`")
    for member in found:
        if is_finished(member.job.run) and (changed := _changed_since(member.job)):
            raise LabError(
                f"the run {member.job.run} is finished, but with another {', '.join(changed)}: its results would pass "
                "for this suite's; choose another --runs folder, or move it away"
            )
    return found


def _check_resumes(file: Path) -> None:
    """A suite that is stopped goes on where it was: raise LabError for a notebook that cannot."""
    notebook = notebook_of(file)
    if "resume" not in notebook_parameters(notebook):
        raise LabError(
            f"{file} is no job for a suite: notebook {notebook.stem} has no parameter `resume`, so a suite that was "
            f"stopped could not go on with it; execute it with `python -m lab run {file}`"
        )


def _changed_since(job: Job) -> list[str]:
    """The parameters in which `job` differs from what its finished run was made with: by the notebook that was
    executed, where it lies in the run, and by the config that training wrote."""
    defaults = {name: parameter.default for name, parameter in notebook_parameters(job.notebook).items()}
    now, changed = defaults | job.parameters, set()
    executed = _executed_parameters(job.run / "notebook.ipynb")
    if executed is not None:
        before = defaults | executed
        changed = {name for name in {*before, *now} - SAME_RESULTS if before.get(name) != now.get(name)}
    if (job.run / "config.yaml").exists():
        theirs = RunConfig.from_yaml(job.run / "config.yaml").parameters()
        ours = RunConfig.from_notebook(now).parameters()
        changed |= {name for name in set(ours) - SAME_RESULTS if theirs[name] != ours[name]}
    elif executed is None:
        raise LabError(
            f"the run {job.run} is finished, but has neither its notebook nor its config.yaml: nothing says with what; "
            "choose another --runs folder, or move it away"
        )
    return sorted(changed)


def _executed_parameters(notebook: Path) -> dict | None:
    """The parameters that papermill put into an executed notebook; None where there is none."""
    if not notebook.is_file():
        return None
    try:
        found = json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get("papermill", {}).get("parameters", {})
        return dict(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise LabError(f"{notebook} is damaged, so nothing says how its run was made; move the run away") from None


def is_finished(run: Path) -> bool:
    return RunDirectory(run).status == "finished"


def run_suite(suite: Sequence[Member], parallel: int, gpus: Sequence[str] = ()) -> list[Outcome]:
    """Run what is not finished, `parallel` at a time. A failed run does not stop the others.

    Each process gets its share of the cores (torch's threads and the tokenizers'): else each starts one per core.
    Of several `gpus` (as in CUDA_VISIBLE_DEVICES) each process sees one, in turn. Raises Interrupted on Ctrl-C, SIGTERM
    and SIGHUP, once every process that was started has ended.
    """
    outcomes = [Outcome(m.job.run.name, "skipped") for m in suite if is_finished(m.job.run)]
    todo = [member for member in suite if not is_finished(member.job.run)]
    threads = max(1, (os.cpu_count() or 1) // max(1, min(parallel, len(todo))))
    processes = Processes()
    slots: SimpleQueue[str] = SimpleQueue()
    for number in range(parallel):
        slots.put(gpus[number % len(gpus)] if gpus else "")

    def take_turn(member: Member) -> Outcome:
        gpu = slots.get()
        try:
            return _execute(member, threads, gpu, processes)
        finally:
            slots.put(gpu)

    with (
        stoppable(processes.stop) as stop,
        ThreadPoolExecutor(parallel) as pool,
        tqdm(total=len(suite), initial=len(outcomes), unit="run") as bar,
    ):
        try:
            for future in as_completed([pool.submit(take_turn, member) for member in todo]):
                stop.check()
                outcome = future.result()
                bar.write(f"{outcome.status} {outcome.name}" + (f": {outcome.error}" if outcome.error else ""))
                bar.update()
                outcomes.append(outcome)
        except BaseException:
            processes.stop()
            pool.shutdown(cancel_futures=True)
            if not stop.signum:
                raise
    if stop.signum:
        done = sum(is_finished(member.job.run) for member in suite)
        raise Interrupted(
            stop.signum, f"interrupted: {done} of {len(suite)} runs are finished; the same command goes on"
        )
    return outcomes


class Processes:
    """The processes that are running; once stopped, none is started any more."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen] = set()
        self._starting = threading.Lock()
        self._deadline = math.inf

    def run(self, words: Sequence[str], **settings) -> int:
        """Run a command to its end: its exit code, negative for the signal that ended it."""
        with self._starting:
            if self._deadline < math.inf:
                return -signal.SIGTERM
            process = subprocess.Popen(words, **settings)
            self._running.add(process)
        while True:
            try:
                return process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                if time.monotonic() > self._deadline:
                    process.kill()

    def stop(self) -> None:
        """Ask each to stop, as Ctrl-C does: it ends its kernel and says what is safe. One that does not is killed."""
        with self._starting:
            self._deadline = min(self._deadline, time.monotonic() + SECONDS_TO_END)
        for process in self._running:
            if process.poll() is None:
                process.terminate()


def _execute(member: Member, threads: int, gpu: str, processes: Processes) -> Outcome:
    name, folder = member.job.run.name, member.job.run.parent
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "lab", "run", str(member.file.resolve()), "--runs", str(folder)]
    for key, value in member.overrides:
        words += ["-p", f"{key}={value}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    environment[PARENT] = str(os.getpid())
    if gpu:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    log = folder / f"{name}.log"
    with log.open("a") as file:
        code = processes.run(words, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
    if code == 0:
        log.unlink()  # all of it is in the run's own notebook and log
        return Outcome(name, "finished")
    return Outcome(name, "failed", f"{_reason(code, log)} (log: {log})")


def _reason(code: int, log: Path) -> str:
    """Why a process failed: the signal that killed it, else the last line that it wrote."""
    if code < 0:
        return killed_by(-code)
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"no output, exit code {code}"
