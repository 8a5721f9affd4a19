"""A submission executed on this machine: one after another or several at a time, each in a process of its own.

What is finished is skipped, what was begun is resumed, what failed is named at the end; the same command goes on where
it was stopped.
"""

from __future__ import annotations

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

from lab.batch.members import is_finished
from lab.batch.screen import last_line, shown
from lab.batch.signals import PARENT, SECONDS_TO_SAVE, Interrupted, killed_by, stoppable
from lab.batch.submission import Submission
from lab.places import ROOT

SECONDS_TO_END = SECONDS_TO_SAVE + 30  # for a process that was asked to stop


@dataclass(frozen=True)
class Outcome:
    """`status` is finished, failed, or skipped (it was finished before); `error` is a failed run's last line."""

    name: str
    status: str
    error: str = ""


def run_here(submission: Submission, parallel: int = 1, gpus: Sequence[str] = ()) -> list[Outcome]:
    """Run what is not done, `parallel` at a time. A failed run does not stop the others.

    Each process gets its share of the cores (torch's threads and the tokenizers'): else each starts one per core.
    Of several `gpus` (as in CUDA_VISIBLE_DEVICES) each process sees one, in turn. Raises Interrupted on Ctrl-C and the
    other signals of `STOPPING`, once every process that was started has ended.
    """
    todo = [index for index in range(len(submission.runs)) if not submission.is_done(index)]
    outcomes = [Outcome(run.name, "skipped") for index, run in enumerate(submission.runs) if index not in todo]
    threads = max(1, (os.cpu_count() or 1) // max(1, min(parallel, len(todo))))
    processes = Processes()
    slots: SimpleQueue[str] = SimpleQueue()
    for number in range(parallel):
        slots.put(gpus[number % len(gpus)] if gpus else "")

    def take_turn(index: int) -> Outcome:
        gpu = slots.get()
        try:
            return _execute(submission, index, threads, gpu, processes)
        finally:
            slots.put(gpu)

    with stoppable(processes.stop) as stop, ThreadPoolExecutor(parallel) as pool, shown(submission) as write:
        try:
            for future in as_completed([pool.submit(take_turn, index) for index in todo]):
                stop.check()
                outcome = future.result()
                write(f"{outcome.status} {outcome.name}" + (f": {outcome.error}" if outcome.error else ""))
                outcomes.append(outcome)
        except BaseException:
            processes.stop()
            pool.shutdown(cancel_futures=True)
            if not stop.signum:
                raise
    if stop.signum:
        done = sum(map(is_finished, submission.runs))
        raise Interrupted(
            stop.signum, f"interrupted: {done} of {len(submission.runs)} runs are finished; the same command goes on"
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
        """Ask each to stop: it saves, ends its kernel and says what is safe. One that does not is killed."""
        with self._starting:
            self._deadline = min(self._deadline, time.monotonic() + SECONDS_TO_END)
        for process in self._running:
            if process.poll() is None:
                process.terminate()


def _execute(submission: Submission, index: int, threads: int, gpu: str, processes: Processes) -> Outcome:
    name, output = submission.runs[index].name, submission.output(index)
    words = [sys.executable, "-m", "lab", "task", str(submission.folder), str(index)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    environment[PARENT] = str(os.getpid())
    if gpu:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    with output.open("a") as file:
        code = processes.run(words, stdout=file, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
    if code == 0:
        return Outcome(name, "finished")
    return Outcome(name, "failed", f"{_reason(code, output)} (output: {output})")


def _reason(code: int, output: Path) -> str:
    """Why a process failed: the signal that killed it, else the last line that it wrote."""
    return killed_by(-code) if code < 0 else last_line(output) or f"no output, exit code {code}"
