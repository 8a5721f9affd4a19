"""Records: JSON, one object per line, one question with every arm's answer in each.

``{"id", "question", "gold", "cell", "word", "gold_text", "arms": {arm: {"text", "extracted", "correct", "saw",
"gold_nats", "gold_tokens", ...}}}``: what each arm said, and what the gold solution costs it, end token included. They
are the only bridge from the models to the analysis, so reading is strict: a broken line is never skipped.
"""

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path

from lab.errors import LabError
from lab.runs.packed import unpack


def write_text(path: str | Path, text: str) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never half of one.

    Raises LabError, in one sentence, where that cannot be: no room, no permission, a name too long.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise LabError(f"{path} cannot be written: its text holds half a surrogate pair, which is no UTF-8.") from None
    write_bytes(path, data)


def write_bytes(path: str | Path, data: bytes) -> None:
    """The same for what is no text."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(beside, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise LabError(f"{path} cannot be written ({error.strerror}); what stood there before is whole.") from None


def json_line(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> None:
    """Write `rows`, one JSON object per line, atomically. NaN and infinity are refused: they are not JSON."""
    try:
        text = "".join(json_line(row) for row in rows)
    except (TypeError, ValueError) as error:
        raise LabError(f"{path}: a row cannot be written as JSON ({error}); use plain finite values.") from error
    write_text(path, text)


def read_jsonl(path: str | Path) -> list[dict]:
    """All rows of a JSONL file. Raises LabError naming file and line at the first line that is not a JSON object.

    What could not be written again is not read: NaN and numbers without end, half a surrogate pair.
    """
    rows = []
    try:
        # bytes split at \n only: texts may hold U+2028, where str.splitlines would cut a row in two
        lines = _content(Path(path)).split(b"\n")
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        raise LabError(f"{path}: cannot be read ({reason}); give the path of a JSONL file.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"), parse_constant=_no_number, parse_float=_finite_number)
            if b"\\u" in line:
                json.dumps(row, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise LabError(f"{path}:{number}: half a surrogate pair in a text; write U+FFFD for it.") from None
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else error
            raise LabError(f"{path}:{number}: not valid JSON ({reason}); remove the line or write it again.") from error
        if not isinstance(row, dict):
            raise LabError(f"{path}:{number}: a {type(row).__name__} where a JSON object belongs; one object per line.")
        rows.append(row)
    return rows


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked, without a byte-order mark."""
    return unpack(path).removeprefix(b"\xef\xbb\xbf")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _finite_number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is more than a float can hold")
    return number
