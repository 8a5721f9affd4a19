"""A submission: the jobs that were asked for together, written down before any of them begins.

`<runs>/.submissions/<time>/` holds one complete job file for each, with every parameter, so that an edit made while it
waits in a queue changes nothing; how far a run is stands in the run alone, and is found when it starts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import yaml

from lab.batch.jobs import Job, notebook_parameters, plan
from lab.batch.members import is_finished
from lab.errors import LabError
from lab.places import ROOT
from lab.runs import PRESERVED, is_copy_of, new_folder, write_text

FOLDER, ABOUT, BY_TIME = ".submissions", "submission.json", "%Y-%m-%d_%H-%M-%S"


@dataclass(frozen=True)
class Keeping:
    """How each run is preserved when it ends: see `lab.runs.preserve`."""

    why: str
    claim: str
    weights: bool = False

    def folder(self, run: Path) -> Path:
        """Where a run is preserved: under its own name, outside of runs/ after that of its folder."""
        return PRESERVED / (run.name if run.parent == ROOT / "runs" else f"{run.parent.name}-{run.name}")

    def check(self, run: Path) -> None:
        """Raise LabError where another run is preserved under its name: that would come to light when it ends."""
        folder = self.folder(run)
        if folder.exists() and not is_copy_of(folder, run):
            raise LabError(f"{folder} is preserved of another run than {run}; choose another --runs folder, or move it")


@dataclass(frozen=True)
class Submission:
    """`runs`: the directories of its jobs, in their order. `folder`: what was written down, and the output of each."""

    folder: Path
    runs: tuple[Path, ...]
    keeping: Keeping | None = None

    def is_done(self, index: int) -> bool:
        """Whether nothing is left to do for a run: it is finished and, where that was asked for, preserved."""
        run = self.runs[index]
        return is_finished(run) and (self.keeping is None or is_copy_of(self.keeping.folder(run), run))

    def file(self, index: int) -> Path:
        """The job file of a run."""
        return self.folder / f"{index}.yaml"

    def job(self, index: int, root: Path = ROOT) -> Job:
        """The job as it was submitted, checked again: notebooks may have changed since."""
        return plan(self.file(index), root=root)

    def output(self, index: int) -> Path:
        """Where the output of a job goes, of all its starts."""
        return self.folder / f"{index}.log"


def named_by_time(runs: Path) -> Path:
    """A folder in `runs` that is called after this second."""
    return new_folder(runs, datetime.now().strftime(BY_TIME))


def write_submission(jobs: Sequence[Job], keeping: Keeping | None = None) -> Submission:
    """Write down checked jobs, beside the run of the first. Raises LabError where that cannot be written, or where
    another run is preserved under the name of one."""
    for job in jobs if keeping else ():
        keeping.check(job.run)
    folder = named_by_time(jobs[0].run.parent / FOLDER)
    made = Submission(folder, tuple(job.run for job in jobs), keeping)
    for index, job in enumerate(jobs):
        given = {name: parameter.default for name, parameter in notebook_parameters(job.notebook).items()}
        given |= job.parameters | {"runs": str(job.run.parent)}
        text = yaml.safe_dump({"notebook": job.notebook.stem, "parameters": given}, sort_keys=False, allow_unicode=True)
        write_text(made.file(index), text)
    about = {"runs": [str(run) for run in made.runs], "keeping": asdict(keeping) if keeping else None}
    write_text(folder / ABOUT, json.dumps(about, indent=2) + "\n")
    return made


def read_submission(folder: Path) -> Submission:
    """What `write_submission` wrote. Raises LabError where there is none."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        keeping = Keeping(**about["keeping"]) if about["keeping"] else None
        return Submission(folder, tuple(map(Path, about["runs"])), keeping)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise LabError(f"{folder} holds no submission ({error}); submit the jobs again") from None


def submissions(runs: Path) -> list[Submission]:
    """All submissions whose first run lies in the folder `runs`, in the order in which they were made."""
    return [read_submission(path.parent) for path in sorted((runs / FOLDER).glob(f"*/{ABOUT}"))]
