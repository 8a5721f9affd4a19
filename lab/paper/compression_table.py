"""The table of compression: soft tokens against the question's own, measured; at full size as arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from lab.audit import compression_table
from lab.evidence import LATENT, Run, proportion, rows_of
from lab.paper.cost_macros import cached
from lab.paper.findings import Findings
from lab.paper.latex import NOT_RUN_CELL, Tabular, decimal, ends, percent, whole
from lab.paper.world_macros import question_tokens


def compression(findings: Findings) -> str:
    """A row per recipe by its number of soft tokens; no ratio where the target reads the question as well."""
    head = ["soft tokens", "target reads", "ratio", "cached tokens", r"right", r"\ci"]
    table = Tabular("rlrrrl", head)
    world = findings.embedded
    if world is None:
        table.rows.append(table.spanning(NOT_RUN_CELL))
    else:
        recipes = [runs for runs in world.evidence.recipes() if _fits(runs, world.main)]
        tokens = question_tokens(world)
        table.rows += [_row(runs, tokens) for runs in sorted(recipes, key=_size)]
    table.rows += [None, table.spanning(r"\emph{Llama-3.1-8B, GSM8K questions: arithmetic, no run}")]
    for row in compression_table():
        saved = decimal(row["KV saved without the question, MiB"], 2)
        ratio = decimal(row["mean question / soft tokens"], 2)
        table.rows.append([whole(row["soft tokens"]), "soft only", ratio, f"{saved} MiB saved", "", ""])
    return table.text()


def _fits(runs: Sequence[Run], main: Sequence[Run]) -> bool:
    first, of = runs[0], main[0]
    same = first.settings["task"] == of.settings["task"] and first.about()["models"] == of.about()["models"]
    return same and LATENT in first.arms


def _size(runs: Sequence[Run]) -> tuple:
    return runs[0].context_aware(), runs[0].settings["soft_tokens"], -runs[0].settings["steps"], runs[0].name


def _row(runs: Sequence[Run], tokens: float) -> list[str]:
    soft, aware, rows = runs[0].settings["soft_tokens"], runs[0].context_aware(), rows_of(runs)
    found = proportion(rows.values(runs, LATENT), rows.clusters)
    ratio = "none" if aware or not soft else decimal(tokens / soft, 2)
    return [whole(soft), "question, too" if aware else "soft only", ratio, cached(runs)["TokensSoft"],
            percent(found["accuracy"]), ends(found["low"], found["high"], factor=100)]  # fmt: skip
