"""Samples of other tools: whose file it is, told by its name, and what its reader makes of it.

A new format is a module with one function that gives `Samples`, a line in `origin_of` and one in `lab.runs.reading`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lab.runs.packed import PACKED
from lab.runs.rows import FACTS, StepRows

HARNESS, INSPECT = "lm-evaluation-harness", "Inspect"
FORMATS = (
    "eval_samples_step_*.jsonl of this workbench, new or in the older wide form; train.log; samples_*.jsonl of "
    "lm-evaluation-harness (--log_samples); .eval and .json logs of Inspect"
)
_TIME = r"\d{4}-\d\d-\d\dT\d\d[:-]\d\d[:-]\d\d"
_HARNESS = re.compile(rf"samples_(?P<task>.+)_(?P<time>{_TIME})(?:\.\d+)?\.jsonl{PACKED}")
_INSPECT = re.compile(rf"(?P<time>{_TIME})[^_]*(?:_(?P<task>[^_]+))?.*\.(?:eval|json)")


class Origin(NamedTuple):
    """What a file's name says: the tool that wrote it, the task ("" if it does not say), and when."""

    tool: str
    task: str
    time: str


def origin_of(path: Path) -> Origin | None:
    """Whose file it is, by its name; None where no other tool names its files so."""
    if found := _HARNESS.fullmatch(path.name):
        return Origin(HARNESS, found["task"], found["time"])
    if found := _INSPECT.fullmatch(path.name):
        return Origin(INSPECT, found["task"] or "", found["time"])
    return Origin(INSPECT, "", "") if path.suffix == ".eval" else None


@dataclass
class Samples(StepRows):
    """One file of another tool: one model's answers to one task.

    The arms of its records are the rules that scored them (a harness's filter, a scorer), "" where there is only one.
    A verdict may be None: scored, but neither right nor wrong. `tool`: the one that wrote it; `places`: the line on which each question came first.
    """

    tool: str = ""
    model: str = ""
    task: str = ""
    time: str = ""
    places: dict[str, int] = field(default_factory=dict)


def foreign_answer(**facts: object) -> dict:
    """An answer of a record; what the tool does not say is None. Every arm of another tool reads its prompt as text."""
    return dict.fromkeys(FACTS) | {"context_aware": True} | facts
