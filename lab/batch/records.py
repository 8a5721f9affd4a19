"""The list of what README and paper rest on, `papermill_jobs/records.yaml`: which commands make each preserved folder.

`python -m lab.batch.records` lists them with what they take, `--make` (`make records`) runs them one after the other,
into `runs/records/NAME`; nothing preserved is touched, and the last line of each says how to preserve it.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.batch.catalogue import JOBS, RECORDS
from lab.batch.jobs import all_parameters, notebook_of, notebook_parameters
from lab.batch.members import is_finished
from lab.config import RunConfig, load_yaml
from lab.errors import LabError
from lab.places import ROOT
from lab.runs import PRESERVED, RunDirectory

LAB = "python -m lab"
DATA = "FOLDER"  # where GSM8K lies, where nobody said


@dataclass(frozen=True)
class Entry:
    """One folder of `runs/preserved`, by the keys of the list; what they mean stands on its top."""

    name: str
    jobs: Sequence[str] = ()
    seeds: Sequence[int] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    before: str = ""
    then: str = ""
    recipe: str = ""
    data: bool = False
    gpu: bool = True
    planned: str = ""
    gpu_minutes: int | None = None

    def commands(self, data: str = DATA) -> list[str]:
        """What makes it, in order; the last one preserves it."""
        where = f"runs/records/{self.name}"
        made = [self.before] if self.before else []
        if self.jobs:
            given = dict(self.parameters) | ({"data": data} if self.data else {})
            files = " ".join(f"papermill_jobs/{job}" for job in self.jobs)
            made.append(
                f"{LAB} submit {files}" + (f" --seeds {','.join(map(str, self.seeds))}" if self.seeds else "")
                + "".join(f" -p {name} {_text(value)}" for name, value in given.items())
                + ("" if self.then else f" --runs {where}")  # what is run on them finds them in runs/
            )  # fmt: skip
        if self.then:
            where = f"runs/{Path(self.then).stem}"
            resumes = "resume" in notebook_parameters(notebook_of(JOBS / self.then))
            made.append(f"{LAB} {'submit' if resumes else 'run'} papermill_jobs/{self.then}")
        return [*made, f"{LAB} preserve {where} --name {self.name} --why WHY --claim CLAIM"]

    def hashes(self, data: str) -> dict[tuple[str, int | None], str]:
        """(job, seed) -> the hash that the config of its run has, with the task's files in the folder `data`.

        Of evidence the runs are those of the translators: the first job's, or the recipe's (for no job, no seed).
        """
        if self.recipe:
            return {("", None): RunConfig.from_yaml(ROOT / self.recipe).hash()}
        given = [(name, _text(value)) for name, value in self.parameters.items()]
        found = {}
        for job in self.jobs[:1] if self.then else self.jobs:
            _, parameters = all_parameters(JOBS / job, given)
            config = RunConfig.from_notebook(parameters)
            config = config.replace(data=data) if self.data else config
            for seed in self.seeds or (config.training.seed,):
                found[job, seed] = config.replace(seed=seed).hash()
        return found

    def minutes(self, preserved: Path = PRESERVED) -> float | None:
        """GPU minutes: as the manifests of the preserved runs have it, else by the list; None where nobody knows."""
        hours = [RunDirectory(path).manifest().get("gpu_hours") or 0 for path in runs_in(preserved / self.name)]
        return 60 * sum(hours) or self.gpu_minutes  # evidence was trained in runs of its own


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def runs_in(folder: Path) -> list[Path]:
    """The runs in a preserved folder, itself or those in it, without the trainings of their controls."""
    found = [path.parent for path in sorted(folder.rglob("config.yaml"))]
    return [run for run in found if not any(above in found for above in run.parents)]


def read_records(path: Path = JOBS / RECORDS) -> list[Entry]:
    """The list. Raises LabError for a key that is not known or a name that stands twice."""
    try:
        entries = [Entry(**row) for row in load_yaml(path.read_text(encoding="utf-8"))]
    except TypeError as error:
        raise LabError(f"{path}: {error}") from None
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise LabError(f"{path} has {', '.join(twice)} twice.")
    return entries


def has_gpu() -> bool:
    """Whether a GPU of NVIDIA is here, asked without torch."""
    tool = shutil.which("nvidia-smi")
    found = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False).stdout if tool else ""
    return "GPU" in found


def needed(entries: Sequence[Entry]) -> str:
    """One sentence: what making all of it takes."""
    minutes = sum(entry.minutes() or 0 for entry in entries)
    return (
        f"making the records of {len(entries)} folders needs an NVIDIA GPU of 80 GB for about {minutes:.0f} minutes of "
        "training processes as measured (several share a card), requirements-real.lock and requirements-fast.lock, and "
        "DATA=FOLDER with GSM8K's train.jsonl and test.jsonl"
    )


def listed(entries: Sequence[Entry]) -> str:
    """The commands, each folder under a line of what it takes."""
    lines = []
    for entry in entries:
        minutes = entry.minutes() if entry.gpu else 0
        known = f"{minutes:.0f} minutes of GPU processes" if minutes else "not measured"
        takes = known if entry.gpu else "two CPU cores"
        state = f"; not preserved yet: {entry.planned}" if entry.planned else ""
        lines += [f"# runs/preserved/{entry.name}: {takes}{state}", *entry.commands(), ""]
    return "\n".join(lines)


def make(entries: Sequence[Entry], data: str) -> None:
    """Run everything but the preserving. Raises LabError before anything begins, or where a command fails."""
    if not has_gpu() or not Path(data or DATA).is_dir():
        raise LabError(f"{needed(entries)}: {'the data are' if has_gpu() else 'a GPU is'} not here.")
    for entry in entries:
        *commands, preserving = entry.commands(str(Path(data).resolve()))
        for command in commands:
            if command.startswith(f"{LAB} run") and is_finished(ROOT / "runs" / Path(entry.then).stem):
                continue  # what is submitted finds for itself what is finished
            print(command, flush=True)
            python, *rest = shlex.split(command)
            if subprocess.run([sys.executable, *rest], cwd=ROOT, check=False).returncode:
                raise LabError(f"{entry.name} is not made: {command} failed; given again, it goes on from there")
        print(f"to keep it: {preserving}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="List what README and paper rest on, or make it anew.")
    parser.add_argument("--make", action="store_true", help="Run the commands; needs a GPU.")
    parser.add_argument("--data", default="", help="GSM8K's folder.")
    given = parser.parse_args()
    try:
        if given.make:
            make(read_records(), given.data)
        else:
            print(listed(read_records()), end="")
    except LabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
