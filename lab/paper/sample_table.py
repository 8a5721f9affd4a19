"""Real samples, chosen by a rule and not by looking: of every kind the first by content hash, which nobody chose."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lab.paper.findings import Findings
from lab.paper.latex import NOT_RUN_CELL
from lab.samples import clean, latex_text

SHOWN = {"enrichment": 7, "failure": 7, "success": 6}
ARMS = ("source", "target", "latent")
LONGEST = 400  # letters of a text
CALCULATOR = re.compile(r"<<[^<>]*>>")  # GSM8K's notes beside a calculation, which repeat it


def samples(findings: Findings) -> str:
    """A paragraph per sample: question, gold answer, and what each arm wrote."""
    if findings.embedded is None:
        return NOT_RUN_CELL + "\n"
    return samples_of(findings.embedded.main[0].records)


def samples_of(records: Sequence[Mapping]) -> str:
    chosen = choose(records)
    return "\n".join(_text(kind, row) for kind, rows in chosen.items() for row in rows)


def kind_of(row: Mapping) -> str:
    """Enrichment: latent alone is right. Failure: latent is wrong and the target or the source is right, or nobody is.
    Success: latent is right, and another is."""
    right = {arm: row["arms"][arm]["correct"] for arm in ARMS}
    if not right["latent"]:
        return "failure"
    return "success" if right["source"] or right["target"] else "enrichment"


def choose(records: Sequence[Mapping]) -> dict[str, list[Mapping]]:
    """The first of each kind by content hash; among failures those first that an arm alone gets right."""

    def place(row: Mapping) -> tuple[bool, str]:
        broken = kind_of(row) == "failure" and any(row["arms"][arm]["correct"] for arm in ("source", "target"))
        return not broken, row["id"]

    ordered = sorted(records, key=place)
    return {kind: [row for row in ordered if kind_of(row) == kind][:count] for kind, count in SHOWN.items()}


def _text(kind: str, row: Mapping) -> str:
    answers = "".join(_answer(arm, row["arms"][arm]) for arm in ARMS)
    head = rf"\sample{{{kind}}}{{{latex_text(row['cell'])}}}{{{latex_text(row['id'][:8])}}}"
    return f"{head}{{{_short(row['question'])}}}{{{_short(row['gold'])}}}{{{answers}}}"


def _answer(arm: str, answer: Mapping) -> str:
    mark = r"\rightanswer" if answer["correct"] else r"\wronganswer"
    return rf"\answer{{{arm}}}{{{mark}{{}}}}{{{_short(answer['text'])}}}"


def _short(text: str) -> str:
    """One line, escaped, without the calculator's marks; what is too long is cut and says so."""
    line = " ".join(CALCULATOR.sub("", clean(text)).split())
    return latex_text(line if len(line) <= LONGEST else f"{line[:LONGEST]} [...]")
