"""Files of one JSON value per line, each with the place that an error names."""

from __future__ import annotations

import json
from pathlib import Path

from lab.errors import LabError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def json_lines(path: Path) -> list[tuple[str, object]]:
    """(file:line, value) of each line that is not empty. Raises LabError, naming the line, for one that is no JSON."""
    rows = []
    try:
        data = path.read_bytes().removeprefix(BYTE_ORDER_MARK)
    except OSError as error:
        raise LabError(f"{path}: cannot be read ({error.strerror}).") from None
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            rows.append((f"{path}:{number}", json.loads(line.decode("utf-8"))))
        except UnicodeDecodeError as error:
            raise LabError(f"{path}:{number}: not UTF-8 (its byte {error.start + 1}); save it as such.") from None
        except (ValueError, RecursionError) as error:  # broken JSON and deep nesting
            raise LabError(f"{path}:{number}: not a line of JSON ({error}); repair or remove it.") from error
    return rows
