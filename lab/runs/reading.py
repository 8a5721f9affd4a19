"""The one door to samples of any origin: a file of this workbench, an older script's, or another tool's."""

import json
from pathlib import Path

from lab.errors import LabError
from lab.runs.foreign import INSPECT, Samples, origin_of
from lab.runs.harness_samples import is_harness_row, read_harness
from lab.runs.inspect_logs import read_inspect
from lab.runs.legacy import read_rows
from lab.runs.rows import StepRows, read_lines
from lab.runs.runfiles import StepFile
from lab.runs.side_by_side import side_by_side


def read_step(file: StepFile | str | Path) -> StepRows:
    """One evaluation as records of today's format; files of other tools come side by side, an arm for each.

    Of several files those that cannot be read are named in `failed`. Raises LabError where that is all of them: a file
    that cannot be opened, or needs a package that is not installed.
    """
    file = file if isinstance(file, StepFile) else StepFile("", Path(file))
    parts, failed, reason = [], [], None
    for path in (file.path, *file.beside):
        try:
            parts.append(_read(path))
        except LabError as error:
            failed.append(str(error))
            reason = reason or error
    if not parts:
        raise reason
    if not isinstance(parts[0], Samples):
        return parts[0]
    rows = side_by_side(parts)
    rows.failed = failed
    return rows


def _read(path: Path) -> StepRows:
    origin = origin_of(path)
    if path.suffix in (".eval", ".json") or (origin and origin.tool == INSPECT):
        return read_inspect(path)
    lines, damage = read_lines(path)
    read = read_harness if origin or _looks_foreign(lines) else read_rows
    return read(path, lines, damage)


def _looks_foreign(lines: list[bytes]) -> bool:
    """Whether the first line that is an object is a harness's; a file may have been renamed."""
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            return is_harness_row(row)
    return False
