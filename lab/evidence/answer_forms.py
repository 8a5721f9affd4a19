"""A hundred forms of an answer, read by the rule of every record and by the harness's: `lab/tasks/ANSWERS.md`.

    python -m lab.evidence.answer_forms [--count RUNS GSM8K]

writes that page anew from `answer_forms.yaml`, where each form stands with what its writer states and what each rule
reads; the tests hold the rules to it. With `--count` it prints instead which forms occur, and how often, in the
generations of the runs below one folder and in the gold answers of GSM8K's files in another.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from lab.errors import LabError
from lab.evidence.extraction import EXTRACTORS, extractor
from lab.places import PACKAGE
from lab.runs import find_runs, read_jsonl, read_step, write_text
from lab.tasks import INVALID, cut_at_stop

DATA = Path(__file__).with_name("answer_forms.yaml")
PAGE = PACKAGE / "tasks" / "ANSWERS.md"
COLUMNS = {
    "lab": "period_safe",
    "gsm8k": "harness_strict",
    "gsm8k_cot": "harness_cot_strict",
    "flexible": "harness_flexible",
}
HEAD = """# How an answer is read

Generated from `lab/evidence/answer_forms.yaml` by `python -m lab.evidence.answer_forms`; the tests hold the code to it.
The rules are in `lab/tasks/scoring.py`, the grammar of a number is in `lab/tasks/numbers.py`.

`lab` is the rule of every record, gold answers included. `gsm8k` and `gsm8k_cot` are the strict filters of
lm-evaluation-harness's tasks of that name (`#### number`, `The answer is number.`), `flexible` is the filter that both
share (the last number). All read the text before the next question; a right answer is judged as each judges it. – reads
nothing, ✗ reads another number than the text states. Where the second column is empty, the text states none, or more
than one. (The harness also ends a text at any `Q:`: there `Her IQ: 120` ends at `Her I`.)"""
_ODD = re.compile(r"[\u00a0\u2009\u202f]")


@dataclass(frozen=True)
class Form:
    """One text. `states`: the number that its writer means, "" where there is none or more than one. `reads`: what
    each column of the page reads."""

    section: str
    text: str
    states: str
    reads: dict[str, str]

    def right(self, column: str) -> bool:
        """Whether that column's rule credits the number that the text states."""
        return bool(self.states) and extractor(COLUMNS[column]).score(self.text, self.states)[1]

    def another(self, column: str) -> bool:
        """Whether it reads a number that the text does not state: neither right nor `[invalid]`."""
        return self.reads[column] != INVALID and not self.right(column)


@cache
def forms() -> tuple[Form, ...]:
    """All forms, in the order of the page."""
    return tuple(
        Form(section, text, states, dict(zip(COLUMNS, reads, strict=True)))
        for section, rows in yaml.safe_load(DATA.read_text("utf-8"))["forms"].items()
        for text, states, *reads in rows
    )


def shape(text: str) -> str:
    """The line behind the first `####` before the next question, its digits as 9 and its words as w."""
    _, found, rest = cut_at_stop(text).partition("####")
    if not found:
        return "no ####"
    line = re.sub(r"[^\W\d_]+", "w", re.sub(r"\d+", "9", rest.partition("\n")[0].strip()))
    return re.sub(r"w( w)+", "w ...", line) or "an empty line"


def counted(runs: str | Path, gsm8k: str | Path) -> dict[str, dict[str, int]]:
    """How often each shape occurs: `generations` of all arms of archived runs, and the `golds` of GSM8K's files."""
    steps = [file.path for run in find_runs(runs) for file in run.steps]
    records = [record for path in steps for record in read_step(path).records]
    texts = {
        "generations": [arm["text"] or "" for record in records for arm in record["arms"].values()],
        "golds": [row["answer"] for split in ("train", "test") for row in read_jsonl(Path(gsm8k) / f"{split}.jsonl")],
    }
    return {kind: dict(Counter(map(shape, some)).most_common()) for kind, some in texts.items()}


def page() -> str:
    """The page as Markdown."""
    rows, n = forms(), len(forms())
    lines = [*HEAD.split("\n"), "", f"| Of {n} forms | right | nothing read | another number |", "|---|---|---|---|"]
    for column in COLUMNS:
        right, other = (sum(judge(form, column) for form in rows) for judge in (Form.right, Form.another))
        lines.append(f"| {column} | {right} | {n - right - other} | {other} |")
    for section in dict.fromkeys(form.section for form in rows):
        lines += ["", f"## {section}", "", "| Text | states | " + " | ".join(COLUMNS) + " |", "|---" * 6 + "|"]
        lines += [_row(form) for form in rows if form.section == section]
    lines += ["", "## What occurs", ""] + _occurs()
    return "\n".join(lines) + "\n"


def _row(form: Form) -> str:
    cells = [
        "–" if read == INVALID else _code(read) + (" ✗" if form.another(column) else "")
        for column, read in form.reads.items()
    ]
    return f"| {_code(form.text)} | {_code(form.states) if form.states else ''} | {' | '.join(cells)} |"


def _code(text: str) -> str:
    """Text as code in a table's cell, with its line ends and unusual spaces in sight."""
    shown = _ODD.sub(lambda found: f"[U+{ord(found.group()):04X}]", text.replace("\n", "⏎")).replace("|", r"\|")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"


def _occurs() -> list[str]:
    lines = [
        "Behind the first `####` before the next question, digits as 9, words as w",
        "(`python -m lab.evidence.answer_forms --count RUNS GSM8K`, RUNS a folder of archived runs, GSM8K one with",
        "`train.jsonl` and `test.jsonl`). What never occurs is read as nothing where it could be misread.",
        "",
        "| | form | times |",
        "|---|---|---|",
    ]
    for kind, counts in yaml.safe_load(DATA.read_text("utf-8"))["occurs"].items():
        lines += [f"| {kind} | {_code(form)} | {times} |" for form, times in counts.items()]
    return lines


def main(words: Sequence[str]) -> None:
    if words[:1] == ["--count"] and len(words) == 3:
        print(json.dumps(counted(*words[1:]), indent=1, ensure_ascii=False))
    elif words:
        raise LabError("answer_forms takes nothing, or --count RUNS GSM8K.")
    else:
        write_text(PAGE, page())
        print(f"{PAGE}: {len(forms())} forms, {len(COLUMNS)} rules of {len(EXTRACTORS)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
