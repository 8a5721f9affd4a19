"""Archived runs, read once: what their rows and logs say of each step, found by the names that documents use."""

import re
from collections.abc import Mapping
from pathlib import Path

from lab.audit.reported import RUNS
from lab.errors import LabError
from lab.pictures import summarize
from lab.places import ROOT
from lab.runs import FINAL, RunFiles, StepFile, find_runs, read_step


def find_folder(path: str | Path) -> Path | None:
    """`path` as a folder, from the working directory or else from the repository's root; None where there is none."""
    for candidate in (Path(path), ROOT / path):
        if str(path) and candidate.is_dir():
            return candidate.resolve()
    return None


def find_archive(path: str | Path) -> list[RunFiles]:
    """The runs below `path`; none, rather than an error, where the folder is missing or empty."""
    folder = find_folder(path)
    try:
        return find_runs(folder) if folder else []
    except LabError:
        return []


class Archive:
    """Archived runs with their counts, read once. An empty one is fine: then nothing can be recomputed."""

    def __init__(self, path: str | Path):
        self.runs, self.reports = find_archive(path), []
        self.steps = summarize(find_folder(path), self.reports) if self.runs else []
        self._of = {(entry["run"], entry["step"]): entry for entry in self.steps}

    def run(self, short: str) -> RunFiles | None:
        """The run that the documents mean by one of the names in RUNS; None if it is not here."""
        found = [run for run in self.runs if re.search(RUNS[short], run.name)]
        return max(found, key=lambda run: (len(run.log.evaluations), len(run.steps)), default=None)

    def step(self, short: str, step: int | str) -> Mapping | None:
        """What `summarize` says of a step; step "peak" is the best evaluation while training."""
        run = self.run(short)
        if run is None or step != "peak":
            return self._of.get((run.name, step)) if run else None
        looks = [entry for entry in self.steps if entry["run"] == run.name and entry["step"] != FINAL]
        return max(looks, key=lambda entry: either(entry, "bridged_acc")[0] or 0, default=None)

    def label(self, run: RunFiles) -> str:
        """The short name that the documents' run has in RUNS, or else the run's own name."""
        return next((short for short in RUNS if self.run(short) is run), run.name)

    def read(self, file: StepFile) -> list[dict]:
        """The records of one file; none where it cannot be opened, which `reports` says already."""
        try:
            return read_step(file.path).records
        except LabError:
            return []

    def last(self, run: RunFiles) -> list[dict]:
        """The records of a run's last evaluation; none without files."""
        return self.read(run.steps[-1]) if run.steps else []


def either(entry: Mapping | None, name: str) -> tuple[float | None, str]:
    """A number of a step with its basis: from the rows, or else from the log."""
    if entry is None:
        return None, ""
    if entry[name] is not None:
        return entry[name], "rows"
    logged = (entry["log"] or {}).get(name)
    return (logged, "log") if logged is not None else (None, "")
