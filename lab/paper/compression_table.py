"""The table of compression: soft tokens against the question's own, measured; at full size as arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

from lab.audit import compression_table
from lab.evidence import LATENT, Run, proportion, rows_of
from lab.paper.cost_macros import cached
from lab.paper.findings import Findings
from lab.paper.latex import NOT_RUN_CELL, Tabular, decimal, ends, percent, whole
from lab.paper.reading import World
from lab.paper.world_macros import question_tokens

SHAPE = {"soft_tokens", "soft_tokens_cap", "layout", "injection", "adapter_scale"}


def compression(findings: Findings) -> str:
    """A row per recipe by its number of soft tokens; no ratio where the target reads the question as well."""
    head = ["$K$", "target reads", "steps", "ratio", "cached", "right", r"\ci"]
    table = Tabular("rlrrrrl", head)
    world = findings.embedded
    if world is None:
        table.rows.append(table.spanning(NOT_RUN_CELL))
    else:
        tokens = question_tokens(world)
        table.rows += [_row(runs, tokens) for runs in sorted(_sizes(findings, world), key=_size)]
    table.rows += [None, table.spanning(r"\emph{Llama-3.1-8B, GSM8K questions: arithmetic, no run}")]
    for row in compression_table():
        saved = decimal(row["KV saved without the question, MiB"], 2)
        ratio = decimal(row["mean question / soft tokens"], 2)
        table.rows.append(
            [whole(row["soft tokens"]), "soft only", "", ratio, rf"\multicolumn{{3}}{{l}}{{{saved} MiB saved}}"]
        )
    return table.text()


def _sizes(findings: Findings, world: World) -> list[Sequence[Run]]:
    """The main recipe, and those of the suite that differ in nothing but what the soft tokens are and stand beside."""
    chosen = [row["runs"] for row in findings.suites.get("embedded", ()) if set(row["differs"]) <= SHAPE]
    return [runs for runs in world.evidence.recipes() if runs == world.main or [run.name for run in runs] in chosen]


def _size(runs: Sequence[Run]) -> tuple:
    return runs[0].context_aware(), runs[0].settings["soft_tokens"], -runs[0].settings["steps"], runs[0].name


def _row(runs: Sequence[Run], tokens: float) -> list[str]:
    soft, aware, rows = runs[0].settings["soft_tokens"], runs[0].context_aware(), rows_of(runs)
    found = proportion(rows.values(runs, LATENT), rows.clusters)
    ratio = "none" if aware or not soft else decimal(tokens / soft, 2)
    steps = whole(runs[0].settings["steps"])
    return [whole(soft), "question, too" if aware else "soft only", steps, ratio, cached(runs)["TokensSoft"],
            percent(found["accuracy"]), ends(found["low"], found["high"], factor=100)]  # fmt: skip
