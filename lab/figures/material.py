"""What the given folders hold to make figures of: runs with records, their logs, costs, what earlier scripts left.

Everything is read when a figure asks for it, once. What is not there is said in one sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from lab.audit import Archive
from lab.errors import LabError
from lab.evidence import Evidence, arm_rows, final_records, read_evidence, summarise

COSTS = "inference_aggregate.json"  # what notebook 04_inference_metrics leaves


class Missing(LabError):
    """The runs given do not hold what a figure needs; the message says what that is."""


class Material:
    """Folders of runs; the first run's recipe is the main one. `archive`: a folder of what earlier scripts left.
    `evidence`: runs that are read already; of the folders then only measurements of costs are."""

    def __init__(self, paths: Sequence[str | Path], archive: str | Path = "", evidence: Evidence | None = None):
        self.paths, self._archive, self._evidence = [Path(path) for path in paths], archive, evidence
        for path in self.paths:
            if not path.is_dir():
                raise LabError(f"{path} is no folder: give run directories, or folders of them")

    @cached_property
    def evidence(self) -> Evidence:
        """All finished runs, checked for comparison. Raises LabError for runs that would bend one."""
        if self._evidence:
            return self._evidence
        given = [path for path in self.paths if _holds_runs(path)]
        if not given:
            raise Missing("finished runs with records (config.yaml and eval_samples_step_final.jsonl)")
        return read_evidence(given)

    @cached_property
    def arms(self) -> list[dict]:
        """Every arm of the main recipe, see `lab.evidence.arm_rows`."""
        return arm_rows(self.evidence)

    @cached_property
    def summary(self) -> dict:
        """Of the main recipe's first run, see `lab.evidence.summarise`."""
        return summarise(self.evidence.main[0].records)

    @cached_property
    def costs(self) -> list[tuple[Path, Mapping]]:
        """(file, what it says) of every measurement of costs."""
        found = [
            file for path in self.paths for file in (path / COSTS, *sorted(path.glob(f"*/{COSTS}"))) if file.is_file()
        ]
        return [(file, read_object(file)) for file in dict.fromkeys(found)]

    @cached_property
    def archive(self) -> Archive:
        """What earlier scripts left; empty where no folder is named."""
        return Archive(self._archive)


def _holds_runs(path: Path) -> bool:
    inside = [path, *path.iterdir()]
    return any((one / "config.yaml").is_file() and final_records(one) for one in inside if one.is_dir())


def read_object(file: Path) -> dict:
    """A JSON object. Raises LabError naming the file if it holds none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LabError(f"{file} cannot be read ({error}): execute the run again") from None
    if not isinstance(found, dict):
        raise LabError(f"{file} holds no JSON object: execute the run again")
    return found
