"""Many jobs, several at a time, each in a process of its own; a suite that was stopped goes on where it was.

What is finished is skipped, what was begun is resumed, what failed is named at the end. Nothing is kept about a suite
but its runs: their manifests say how far it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tqdm import tqdm

from lab.batch.jobs import Job, notebook_parameters, plan
from lab.config import NOT_SCIENTIFIC
from lab.errors import LabError
from lab.places import ROOT
from lab.runs import RunDirectory

Overrides = list[tuple[str, str]]
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
        if changed := _changed_since(member.job):
            raise LabError(
                f"the run {member.job.run} is finished, but with another {', '.join(changed)}: its results would pass "
                "for this suite's; choose another --runs folder, or move it away"
            )
    return found


def _changed_since(job: Job) -> list[str]:
    """The parameters in which `job` differs from the one whose notebook lies in its finished run."""
    notebook = job.run / "notebook.ipynb"
    if not is_finished(job.run) or not notebook.is_file():
        return []
    executed = json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get("papermill", {}).get("parameters", {})
    defaults = {name: parameter.default for name, parameter in notebook_parameters(job.notebook).items()}
    before, now = defaults | executed, defaults | job.parameters
    return sorted(name for name in {*before, *now} - SAME_RESULTS if before.get(name) != now.get(name))


def is_finished(run: Path) -> bool:
    return RunDirectory(run).manifest().get("status") == "finished"


def run_suite(suite: Sequence[Member], parallel: int, gpus: Sequence[str] = ()) -> list[Outcome]:
    """Run what is not finished, `parallel` at a time. A failed run does not stop the others.

    Each process gets its share of the cores (torch's threads and the tokenizers'): else each starts one per core.
    Of several `gpus` (as in CUDA_VISIBLE_DEVICES) each process sees one, in turn.
    """
    outcomes = [Outcome(m.job.run.name, "skipped") for m in suite if is_finished(m.job.run)]
    todo = [member for member in suite if not is_finished(member.job.run)]
    threads = max(1, (os.cpu_count() or 1) // max(1, min(parallel, len(todo))))
    slots: SimpleQueue[str] = SimpleQueue()
    for number in range(parallel):
        slots.put(gpus[number % len(gpus)] if gpus else "")

    def take_turn(member: Member) -> Outcome:
        gpu = slots.get()
        try:
            return _execute(member, threads, gpu)
        finally:
            slots.put(gpu)

    with ThreadPoolExecutor(parallel) as pool, tqdm(total=len(suite), initial=len(outcomes), unit="run") as bar:
        for future in as_completed([pool.submit(take_turn, member) for member in todo]):
            outcome = future.result()
            bar.write(f"{outcome.status} {outcome.name}" + (f": {outcome.error}" if outcome.error else ""))
            bar.update()
            outcomes.append(outcome)
    return outcomes


def _execute(member: Member, threads: int, gpu: str = "") -> Outcome:
    name, folder = member.job.run.name, member.job.run.parent
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "lab", "run", str(member.file.resolve()), "--runs", str(folder)]
    for key, value in member.overrides:
        words += ["-p", f"{key}={value}"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    if gpu:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    log = folder / f"{name}.log"
    with log.open("a") as file:
        done = subprocess.run(words, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
    if done.returncode == 0:
        log.unlink()  # all of it is in the run's own notebook and log
        return Outcome(name, "finished")
    lines = log.read_text(errors="replace").strip().splitlines()
    return Outcome(name, "failed", f"{lines[-1] if lines else 'no output'} (log: {log})")
