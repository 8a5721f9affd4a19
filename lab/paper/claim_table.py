"""The table of claims: both families, each claim with what the documents said, effect, corrected p and verdict."""

from __future__ import annotations

from collections.abc import Mapping

from lab.evidence import FAMILIES, NOT_RUN, Claim
from lab.paper.claim_macros import effect_parts
from lab.paper.findings import Findings
from lab.paper.latex import NOT_RUN_CELL, Tabular, p_cell, whole
from lab.samples import latex_text

TITLES = {"documents": "family of the documents, by right answers", "likelihood": "family of likelihood, in nats"}
UNITS = {"accuracy": "", "nats per token": " nats"}


def claims(findings: Findings) -> str:
    table = Tabular(
        r"p{0.37\textwidth}p{0.19\textwidth}rlrrl",
        ["claim", "documents", "effect", r"\ci", "$p$ (Holm)", "$n$ (seeds)", "verdict"],
    )
    for number, (family, judged) in enumerate((("documents", findings.documents), ("likelihood", findings.likelihood))):
        if number:
            table.rows.append(None)
        table.rows.append(table.spanning(rf"\emph{{{TITLES[family]}}}"))
        rows = {row["key"]: row for row in judged["claims"]} if judged else {}
        table.rows += [_row(claim, rows.get(claim.key)) for claim in FAMILIES[family]]
    return table.text()


def _reported(claim: Claim) -> str:
    """What the documents say; a number and its per cent sign stay together."""
    return latex_text(claim.reported).replace(r" \%", r"\,\%")


def _row(claim: Claim, row: Mapping | None) -> list[str]:
    sentence = [rf"\raggedright {latex_text(claim.sentence)}", rf"\raggedright {_reported(claim)}"]
    if row is None or row["verdict"] == NOT_RUN:
        return [*sentence, "", "", "", "", r"\emph{refused}" if row and row["refused"] else NOT_RUN_CELL]
    effect, interval = effect_parts(row)
    unit = UNITS.get(row["unit"], f" {row['unit']}")
    counts = f"{whole(row['n'])} ({row['seeds']})"
    return [*sentence, effect + unit, interval, p_cell(row["p_holm"]), counts, rf"\verdict{{{row['verdict']}}}"]
