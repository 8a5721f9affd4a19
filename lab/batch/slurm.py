"""A submission given to SLURM: one job array, a task for each run, which saves and queues itself again when warned.

What the machine is stands in `papermill_jobs/cluster.yaml`, what a task does in `papermill_jobs/cluster.sh`, a template
that is filled in and kept with the submission. A task finds at its start how far its run is.
"""

from __future__ import annotations

import difflib
import getpass
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from lab.batch.signals import SECONDS_TO_SAVE
from lab.batch.submission import ABOUT, Submission, read_submission
from lab.config import load_yaml
from lab.errors import LabError
from lab.places import ROOT
from lab.runs import write_text

SETTINGS, TEMPLATE = ROOT / "papermill_jobs" / "cluster.yaml", ROOT / "papermill_jobs" / "cluster.sh"
SCRIPT, JOB = "job.sh", "slurm_job"  # in a submission's folder: the filled-in template, the number of the array
WORD = re.compile(r"[\w.,:@%+=/\[\]*-]*")
SPARE = 15  # seconds between the last moment for saving and the moment at which the job is ended
WARNED, TERMINATED = (128 + int(signum) for signum in (signal.SIGUSR1, signal.SIGTERM))  # how a task ends by them


@dataclass(frozen=True)
class Cluster:
    """What a job asks of the cluster; empty and 0: what the cluster gives by itself. `papermill_jobs/cluster.yaml`
    says what each is."""

    partition: str = ""
    account: str = ""
    time: str = "24:00:00"
    nodes: int = 1
    processes_per_node: int = 1
    gpus_per_node: int = 1
    cpus_per_task: int = 0
    memory: str = ""
    modules: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    at_once: int = 0
    warning_seconds: int = 120
    requeue: bool = True
    most_restarts: int = 100

    def __post_init__(self) -> None:
        for item in fields(self):
            value, kind = getattr(self, item.name), type(item.default)
            if kind is tuple and isinstance(value, list):
                object.__setattr__(self, item.name, value := tuple(value))
            if type(value) is not kind or kind is tuple and not all(isinstance(one, str) for one in value):
                wanted = "a list, such as [first, second]" if kind is tuple else f"of type {kind.__name__}"
                raise LabError(f"{item.name} is {value!r}, it has to be {wanted}")
            if kind is int and value < 0:
                raise LabError(f"{item.name} is {value}; 0 or more")
            words = value if item.name in ("modules", "options") else (value,) if kind is str else ()
            if bad := next((word for word in words if not WORD.fullmatch(word)), None):
                raise LabError(f"{item.name} has {bad!r}, which is no single word that sbatch could read")
        if not self.nodes or not self.processes_per_node:
            raise LabError("nodes and processes_per_node are at least 1")
        if self.warning_seconds < SECONDS_TO_SAVE + SPARE:
            raise LabError(
                f"warning_seconds is {self.warning_seconds}; a run may take {SECONDS_TO_SAVE} s to save, so give at "
                f"least {SECONDS_TO_SAVE + SPARE}"
            )


def read_cluster(path: Path = SETTINGS) -> Cluster:
    """The settings in a YAML file. Raises LabError naming what is unknown or of the wrong kind."""
    try:
        found = load_yaml(path.read_text(encoding="utf-8")) or {}
        known = {item.name for item in fields(Cluster)}
        for name in found:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
                raise LabError(f"{name!r} is not known; " + (f"did you mean {near[0]!r}?" if near else "it has: " +
                               ", ".join(sorted(known))))  # fmt: skip
        return Cluster(**found)
    except (OSError, yaml.YAMLError, TypeError, LabError, ValueError) as error:
        raise LabError(f"{path}: {' '.join(str(getattr(error, 'strerror', None) or error).split())}") from None


def script(submission: Submission, cluster: Cluster, template: Path = TEMPLATE) -> str:
    """The batch script of a submission."""
    from jinja2 import Environment, StrictUndefined, TemplateError

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    environment.filters["quoted"] = lambda value: shlex.quote(str(value))
    facts = {"folder": submission.folder, "name": submission.runs[0].parent.name, "root": ROOT,
             "python": sys.executable, "script": submission.folder / SCRIPT,
             "warned": WARNED, "terminated": TERMINATED}  # fmt: skip
    try:
        return environment.from_string(template.read_text(encoding="utf-8")).render(**asdict(cluster), **facts)
    except (OSError, TemplateError) as error:
        raise LabError(f"{template} cannot be filled in ({error}); put back what was there") from None


@dataclass(frozen=True)
class Queued:
    """`tasks` of `runs` were given to SLURM as an `array`, none where it is empty. `before`: names of runs that were
    there already -> their tasks."""

    array: str
    tasks: int
    runs: int
    before: Mapping[str, str]

    def __str__(self) -> str:
        if not self.array and not self.before:
            return "all runs are finished"
        new = f"array {self.array}: {self.tasks} of {self.runs} runs are queued" if self.array else "nothing is queued"
        return new + "".join(f"; {name} is there already as {task}" for name, task in self.before.items())


def queue(submission: Submission, cluster: Cluster) -> Queued:
    """Give to SLURM what is not done and not there yet. Raises LabError with its reason, or for a run that is there
    with other parameters."""
    if not shutil.which("sbatch"):
        raise LabError("--slurm needs `sbatch`, which is not on this machine; submit from a login node of the cluster")
    there = _there()
    before, todo = {}, []
    for index, run in enumerate(submission.runs):
        if submission.is_done(index):
            continue
        if run not in there:
            todo.append(index)
            continue
        before[run.name], other, number = there[run]
        if (_text(submission, index), submission.keeping) != (_text(other, number), other.keeping):
            raise LabError(
                f"the run {run} is task {before[run.name]} of SLURM already, with other parameters or another "
                f"--preserve: `scancel {before[run.name]}` first, or choose another name"
            )
    if not todo:
        return Queued("", 0, len(submission.runs), before)
    path = submission.folder / SCRIPT
    write_text(path, script(submission, cluster))
    array = ",".join(map(str, todo)) + (f"%{cluster.at_once}" if cluster.at_once else "")
    said = _ask("sbatch", "--parsable", f"--array={array}", str(path))
    number = said.strip().partition(";")[0]
    write_text(submission.folder / JOB, number + "\n")
    return Queued(number, len(todo), len(submission.runs), before)


def _there() -> dict[Path, tuple[str, Submission, int]]:
    """Run -> the task of SLURM in which it waits or runs, its submission, and which of its runs it is. A task is known
    by its script, which stays the same however often it is queued again."""
    asked = ("--array", "--noheader", f"--user={getpass.getuser()}", "--states=PENDING,RUNNING,SUSPENDED")
    found = {}
    for line in _ask("squeue", *asked, "--format=%i %K %o").splitlines():
        task, index, *script = line.split(" ", 2)
        path = Path(*script)
        if path.name == SCRIPT and (path.parent / ABOUT).is_file():
            other = read_submission(path.parent)
            found[other.runs[int(index)]] = task, other, int(index)
    return found


def _text(submission: Submission, index: int) -> str:
    return submission.file(index).read_text(encoding="utf-8")


def _ask(*words: str | Sequence[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{words[0]} refused the job: {' '.join(done.stderr.split()) or done.returncode}")
    return done.stdout
