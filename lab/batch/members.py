"""Which runs a submission has: every job file with every seed, all checked before anything is begun or queued."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from lab.batch.jobs import Job, notebook_of, notebook_parameters, plan
from lab.config import NOT_SCIENTIFIC, RunConfig
from lab.errors import LabError
from lab.runs import RunDirectory

Overrides = Sequence[tuple[str, str]]
SAME_RESULTS = {*NOT_SCIENTIFIC, "runs", "resume"}  # parameters that change no result


def plan_all(
    files: Sequence[Path], seeds: Sequence[int], overrides: Overrides, runs: Path | None, again: bool = False
) -> list[Job]:
    """Every file with every seed (`<name>-seed<seed>`), or once as it is where no seed is given.

    `again`: a run that is finished is left, and done once more as `<name>-2`. Raises LabError for the first
    that could not run, could not be gone on with, or would take a finished run of other parameters for its own.
    """
    found = []
    for file in files:
        _check_resumes(file)
        for seed in seeds or (None,):
            given = [("resume", "true"), *overrides]
            job = plan(file, given, runs)
            if seed is not None:
                given += [("name", f"{job.parameters['name']}-seed{seed}"), ("seed", str(seed))]
                job = plan(file, given, runs)
            if again and is_finished(job.run):
                job = plan(file, [*given, ("name", _beside(job.run))], runs)
            found.append(job)
    names = [job.run for job in found]
    twice = sorted({run.name for run in names if names.count(run) > 1})
    if twice:
        raise LabError(f"two of these jobs have the run name {', '.join(twice)}: give each file its own `name`")
    for job in found:
        if is_finished(job.run) and (changed := _changed_since(job)):
            raise LabError(
                f"the run {job.run} is finished, but with another {', '.join(changed)}: its results would pass for "
                "these; choose another --runs folder, `--again`, or move it away"
            )
    return found


def _beside(run: Path) -> str:
    """The first name of `<run>-2`, `<run>-3`, ... that is not finished: what was begun there is gone on with."""
    return next(name for number in count(2) if not is_finished(run.with_name(name := f"{run.name}-{number}")))


def _check_resumes(file: Path) -> None:
    """What is stopped goes on where it was: raise LabError for a notebook that cannot."""
    notebook = notebook_of(file)
    if "resume" not in notebook_parameters(notebook):
        raise LabError(
            f"{file} cannot be submitted: notebook {notebook.stem} has no parameter `resume`, so that it could not go "
            f"on where it was stopped; execute it with `python -m lab run {file}`"
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
