"""What reading gives: records, and by its line whatever is none. And the lines of a JSONL file, however it was kept."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError
from lab.runs.logs import read_tolerantly

_SURROGATE = re.compile("[\ud800-\udfff]")
# of an answer in a record; what a file does not say is None
FACTS = ("text", "extracted", "correct", "saw", "context_aware", "prompt_tokens", "soft_tokens", "new_tokens")


@dataclass
class StepRows:
    """One file, read; or several of other tools, put side by side (`parts`; `failed`: those that could not be read).

    `records`: today's format, facts that a row does not hold are None. A wide row also keeps its `prompt` (what
    source and target read, instruction and shots included), `gold_text` (the gold solution) and `index`.
    `problems`: (line number, reason) of lines that are no record. `warnings`: (line number, what to know) of records
    that were read although something is missing or odd. Where each line is a record, as in files of this workbench,
    ``len(records) + len(problems) == lines``.
    """

    path: Path
    records: list[dict] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    warnings: list[tuple[int, str]] = field(default_factory=list)
    lines: int = 0
    parts: list["StepRows"] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def report(self, limit: int = 10) -> list[str]:
        """`file:line: reason` of the first problems and warnings, equal warnings told once with their count."""
        if self.parts:
            return self.failed + [line for part in self.parts for line in part.report(limit)]
        told = [f"{self.path}:{line}: {reason}" for line, reason in self.problems[:limit]]
        if len(self.problems) > limit:
            told.append(f"{self.path}: {len(self.problems) - limit} more lines could not be read")
        counts, first = Counter(text for _, text in self.warnings), {}
        for line, text in self.warnings:
            first.setdefault(text, line)
        for text, count in counts.most_common(limit):
            told.append(f"{self.path}:{first[text]}: {text}" + (f" ({count} lines)" if count > 1 else ""))
        return told


class Problem(Exception):
    """Why a line is no record."""


def read_lines(path: Path) -> tuple[list[bytes], str | None]:
    """The lines of a file, packed or not, and what was wrong with the file itself. Raises LabError if it cannot be
    opened. Lines end in \\n alone: texts may hold other separators. An empty rest after the last one is no line."""
    try:
        data, damage = read_tolerantly(path)
    except OSError as error:
        raise LabError(f"{path}: cannot be read ({error.strerror or error}); give a file with samples.") from error
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return lines if lines[-1] else lines[:-1], damage


def _no_constant(name: str) -> None:
    raise ValueError(name)


def json_row(raw: bytes, notes: list[str], constant: Callable[[str], object] = _no_constant) -> dict:
    """A line as an object; `notes` takes what is odd about it. Raises Problem where it is none.

    `constant`: what becomes of NaN and infinity, which are not JSON."""
    if not raw.strip():
        raise Problem("an empty line")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
        notes.append("not UTF-8, read as Windows-1252")
    try:
        row = json.loads(text, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        # the message quotes no text of the file
        reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise Problem(f"not valid JSON ({reason})") from None
    if not isinstance(row, dict):
        raise Problem(f"a {type(row).__name__} where a JSON object belongs")
    if "\\u" in text and _has_surrogates(row):
        row = _without_surrogates(row)
        notes.append("half a surrogate pair, replaced by U+FFFD")
    return row


def _has_surrogates(row: dict) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, RecursionError):
        return True
    return False


def _without_surrogates(value):
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(inner) for key, inner in value.items()}
    return [_without_surrogates(inner) for inner in value] if isinstance(value, list) else value


def text_of(row: Mapping, key: str) -> str | None:
    """A text of a row, None where it is missing or null. Another type is a problem."""
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise Problem(f"'{key}' is a {type(value).__name__}, not a text")
    return value


def name_repeated(rows: StepRows, numbers: Iterable[int]) -> None:
    """Warn of every record whose question occurs more than once; `numbers`: the line of each record."""
    counts = Counter(record["id"] for record in rows.records)
    if len(counts) == len(rows.records):
        return
    for number, record in zip(numbers, rows.records, strict=True):
        if counts[record["id"]] > 1:
            rows.warnings.append((number, f"question {record['id']} occurs {counts[record['id']]} times"))
