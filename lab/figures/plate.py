"""A plate: one figure with its caption, the numbers that it shows, and the files that they came from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import plotly.graph_objects as go

from lab.evidence import Run, final_records
from lab.places import below_root
from lab.runs import RunDirectory

RECORDS, LOG = "records", "log"
BY_WORD = (
    "Bars are 95 % intervals over questions and seeds; questions that share a word count as one cluster, and seeds are "
    "a level of their own."
)


@dataclass(frozen=True)
class Source:
    """A folder that numbers came from: its name, its config's hash ("" for none), and the files read, by path."""

    run: str
    config_hash: str
    files: tuple[Path, ...]

    def told(self) -> dict:
        """What stands in the figure's JSON: names as they read on every machine, and hashes of the files."""
        return {
            "run": self.run,
            "config_hash": self.config_hash,
            "files": {_place(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in self.files},
        }


def _place(file: Path) -> str:
    """A path that says nothing of the machine: from the repository's root, or else from the run's folder."""
    place = Path(below_root(file))
    return "/".join(file.resolve().parts[-2:]) if place.is_absolute() or ".." in place.parts else place.as_posix()


@dataclass(frozen=True)
class Plate:
    """`caption` says n and what the bars are, for the paper to take; `rows` is the CSV, a row for each mark."""

    name: str
    title: str
    figure: go.Figure
    caption: str
    rows: Sequence[dict]
    sources: Sequence[Source] = field(default_factory=tuple)


def sources_of(runs: Iterable[Run], read: Sequence[str] = (RECORDS,)) -> list[Source]:
    """The runs that a figure came from, with the files of them that it reads: records, log, or both."""
    found = []
    for run in {run.path: run for run in runs}.values():
        files = [run.path / "config.yaml"]
        files += [final_records(run.path)] if RECORDS in read else []
        files += [RunDirectory(run.path).metrics_file()] if LOG in read else []
        kept = tuple(file for file in files if file and file.is_file())
        found.append(Source(named(run), run.about()["config_hash"], kept))
    return found


def named(run: Run) -> str:
    """What a run is called: its folder, with the one above it where that holds one run per seed."""
    return f"{run.path.parent.name}/{run.name}" if re.fullmatch(r"seed_\d+", run.name) else run.name


def counted(questions: Iterable[int], seeds: Iterable[int], of: str = "test questions") -> str:
    """`n = 1,319 test questions, 3 seeds`: ranges where they differ."""
    n, several = sorted(set(questions)), sorted(set(seeds))
    counts = f"{n[0]:,}" if len(n) == 1 else f"{n[0]:,} to {n[-1]:,}"
    word = "seed" if several == [1] else "seeds"
    return f"n = {counts} {of}, {several[0]}{f' to {several[-1]}' if len(several) > 1 else ''} {word}"
