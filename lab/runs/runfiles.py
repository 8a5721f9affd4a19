"""The files of a run, found by their names and opened only when asked: evaluations in order, logs, how it ended."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import yaml

from lab.errors import LabError
from lab.runs.foreign import FORMATS, origin_of
from lab.runs.locks import is_written
from lab.runs.logs import FINAL, LogFacts, read_log
from lab.runs.packed import PACKED

STEP_FILE = re.compile(rf"eval_samples_step_(.+?)\.jsonl{PACKED}")
LOG_FILE = re.compile(rf"train[^/]*\.log{PACKED}")
SUMMARY_FILE = re.compile(rf"summary\.log{PACKED}")
FINISHED, EARLY_STOPPED, UNFINISHED = "finished", "early_stopped", "unfinished"
RUNNING, DEAD = "running", "dead"


@dataclass(frozen=True)
class StepFile:
    """The rows of one evaluation: a step (int), "final", or whatever else stands in the file's name. `beside`: other
    files with answers to the same questions, of other tools."""

    step: int | str
    path: Path
    beside: tuple[Path, ...] = ()


@dataclass
class RunFiles:
    """One run's files. Nothing is read before it is asked for. `tools`: what else wrote them, if not this workbench or
    a script before it; the "run" is then a task."""

    name: str
    path: Path
    steps: list[StepFile] = field(default_factory=list)  # 0, 250, ..., other names, final
    log_path: Path | None = None
    summary_path: Path | None = None
    ignored: list[str] = field(default_factory=list)  # files left out, each with the reason
    tools: tuple[str, ...] = ()

    @cached_property
    def log(self) -> LogFacts:
        """What the logs say; empty facts where there is none. The sweep's results come from the summary."""
        found = _facts(self.log_path)
        summary = _facts(self.summary_path)
        return LogFacts(**{**vars(found), "experiments": found.experiments or summary.experiments})

    @cached_property
    def manifest(self) -> dict:
        """The manifest of a run of this workbench; empty for older ones."""
        try:
            found = json.loads((self.path / "manifest.json").read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def config(self) -> dict:
        """The settings: `config.yaml` of a run of this workbench, else what the log printed; empty if neither."""
        try:
            found = yaml.safe_load((self.path / "config.yaml").read_text("utf-8"))
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            found = None
        return found if isinstance(found, dict) else self.log.config

    @cached_property
    def status(self) -> str:
        """ "finished", "early_stopped", "unfinished", "running", or "dead" where a run was killed.

        A run whose patience ran out at its very last step has done all its steps: it is finished. One that has
        neither a final evaluation nor said that it stops early is unfinished.
        """
        if self.tools:
            return FINISHED
        if self.manifest.get("status") == "running":
            return RUNNING if is_written(self.path) else DEAD
        stopped, planned = self.log.stopped_at, self.log.steps_planned
        if stopped is not None and (planned is None or stopped < planned):
            return EARLY_STOPPED
        if "status" in self.manifest:
            return FINISHED if self.manifest["status"] == "finished" else UNFINISHED
        final = FINAL in self.log.evaluations or any(file.step == FINAL for file in self.steps)
        return FINISHED if final or self.log.experiments else UNFINISHED

    def step(self, step: int | str) -> StepFile:
        """The file of one step. Raises LabError naming the steps there are."""
        for file in self.steps:
            if file.step == step:
                return file
        raise LabError(f"{self.name} has no step {step}; it has {', '.join(str(file.step) for file in self.steps)}.")


@lru_cache(maxsize=64)
def _read_facts(path: Path, _changed: int) -> LogFacts:
    return read_log(path)


def _facts(path: Path | None) -> LogFacts:
    """A log's facts, kept while the file stays the same."""
    try:
        return _read_facts(path, path.stat().st_mtime_ns) if path else LogFacts()
    except OSError:
        return LogFacts()


def step_of(name: str) -> int | str | None:
    match = STEP_FILE.fullmatch(name)
    return None if match is None else int(match[1]) if match[1].isascii() and match[1].isdigit() else match[1]


def _order(file: StepFile) -> tuple:
    """0, 250, 1000, then names that are no numbers, and final last."""
    return (isinstance(file.step, str), file.step == FINAL, file.step if isinstance(file.step, int) else 0, file.path)


def find_runs(path: str | Path | Sequence[str | Path]) -> list[RunFiles]:
    """All runs at `path`: one run's folder, a folder of them (nested or not), a single JSONL or log file; or several.

    A run is a folder with `eval_samples_step_*.jsonl` files or a `train*.log`, packed or not; a folder with nothing
    but a sweep's `summary.log` counts, too. Names are folders relative to `path`. Samples of other tools become one
    run per task, their models side by side; files of theirs that are named one by one become one run whatever their
    tasks. Only file names are looked at, so thousands of files cost nothing. Raises LabError where there is no such
    path, or nothing of the kind in it.
    """
    paths = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
    named = [one for one in paths if one.is_file() and origin_of(one)]
    runs = [_of_other_tools(named)] if named else []
    for one in paths:
        if one in named:
            continue
        if one.is_file():
            runs.append(_single(one))
        else:
            runs += _below(one)
    return runs


def _below(root: Path) -> list[RunFiles]:
    if not root.is_dir():
        raise LabError(f"{root} does not exist; give a run, a folder of runs, or one file: {FORMATS}.")
    runs, tasks = [], {}
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        runs += _runs_of(Path(folder), sorted(names), root)
        for file in (Path(folder, name) for name in sorted(names)):
            if origin := origin_of(file):
                # Inspect writes a hyphen where a task has an underscore
                tasks.setdefault(origin.task.replace("_", "-") or file.stem, []).append(file)
    runs += [_of_other_tools(tasks[task]) for task in sorted(tasks)]
    if not runs:
        raise LabError(f"{root} holds no run, in it or below it; what can be read: {FORMATS}.")
    return runs


def _of_other_tools(files: Sequence[Path]) -> RunFiles:
    """Files of other tools as a run with one step; its name is their task's, or those of their tasks."""
    origins = [origin_of(file) for file in files]
    name = ", ".join(dict.fromkeys(origin.task or file.stem for origin, file in zip(origins, files, strict=True)))
    tools = tuple(dict.fromkeys(origin.tool for origin in origins))
    return RunFiles(name, files[0].parent, [StepFile(FINAL, files[0], tuple(files[1:]))], tools=tools)


def _single(path: Path) -> RunFiles:
    """One file as a run: its step, and the logs that lie beside it."""
    name = path.parent.resolve().name
    if ".log" in path.suffixes:
        return RunFiles(name, path.parent, log_path=path)
    beside = sorted(file.name for file in path.parent.iterdir())
    log, summary = _log_among(beside), next(filter(SUMMARY_FILE.fullmatch, beside), None)
    step = step_of(path.name)
    return RunFiles(
        name,
        path.parent,
        [StepFile(path.name.split(".")[0] if step is None else step, path)],
        path.parent / log if log else None,
        path.parent / summary if summary else None,
    )


def _log_among(names: list[str]) -> str | None:
    """train.log, or the only train*.log there is."""
    logs = [name for name in names if LOG_FILE.fullmatch(name)]
    exact = [name for name in logs if name.startswith("train.log")]
    return exact[0] if exact else logs[0] if len(logs) == 1 else None


def _runs_of(folder: Path, names: list[str], root: Path) -> list[RunFiles]:
    steps, ignored = {}, []
    for name in names:
        step = step_of(name)
        if step is None:
            continue
        if step in steps:  # names are sorted: x.jsonl comes before x.jsonl.xz
            ignored.append(f"{name}: step {step} is read from {steps[step].path.name}")
        else:
            steps[step] = StepFile(step, folder / name)
    logs = [name for name in names if LOG_FILE.fullmatch(name)]
    summary = next(filter(SUMMARY_FILE.fullmatch, names), None)
    main = _log_among(names)
    label = folder.relative_to(root).as_posix() if folder != root else folder.resolve().name
    summary_path = folder / summary if summary else None
    files = sorted(steps.values(), key=_order)
    runs = []
    if files or main:
        runs.append(RunFiles(label, folder, files, folder / main if main else None, summary_path, ignored))
    elif not logs and summary_path and _facts(summary_path).experiments:
        runs.append(RunFiles(label, folder, summary_path=summary_path))
    others = [name for name in logs if name != main and not name.startswith("train.log")]
    return runs + [RunFiles(f"{label}/{name.split('.log')[0]}", folder, log_path=folder / name) for name in others]


def facts_beside(path: Path) -> LogFacts:
    """The facts of the log in the file's folder."""
    name = _log_among(sorted(file.name for file in path.parent.iterdir()))
    return _facts(path.parent / name if name else None)
