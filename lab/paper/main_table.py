"""The table of main results: every arm on the same questions, and latent minus it."""

from __future__ import annotations

from lab.paper.arm_names import GROUPS, NAMES
from lab.paper.findings import Findings
from lab.paper.latex import NOT_RUN_CELL, Tabular, camel, p_cell
from lab.paper.macros import Macros

OVER = (
    r" & \multicolumn{5}{c}{all questions} & \multicolumn{3}{c@{}}{both skills, held-out words} \\"
    r" \cmidrule(lr){2-6} \cmidrule(l){7-9}"
)
ALWAYS_SHOWN = {"latent_constant", "latent_random_source", "latent_no_lore_source", "latent_target_source"}


def main_results(findings: Findings, macros: Macros) -> str:
    """A row per arm. One that repeats another's every text is left out; a control that is not run says so."""
    head = ["arm", "right", r"\ci", r"latent $-$ arm", r"\ci", "$p$ (Holm)", "right", r"latent $-$ arm", r"\ci"]
    table = Tabular("lrlrlrrrl", head, over=OVER)
    rows = {row["arm"]: row for row in (findings.documents or {"arms": ()})["arms"]}
    for number, group in enumerate(GROUPS):
        shown = [arm for arm in group if arm in rows or arm in ALWAYS_SHOWN]
        if number and shown and table.rows:
            table.rows.append(None)
        for arm in shown:
            if arm not in rows:
                table.rows.append([NAMES[arm], NOT_RUN_CELL, *[""] * 7])
            elif not rows[arm]["same_as"]:
                table.rows.append(_row(arm, rows[arm], macros))
    return table.text()


def _row(arm: str, row: dict, macros: Macros) -> list[str]:
    said = [macros[f"{what}{camel(arm)}"] for what in ("Right", "RightCi")]
    if arm == "latent":
        return [NAMES[arm], *said, "", "", "", macros["RightHeldLatent"], "", ""]
    less = [macros[f"{what}{camel(arm)}"] for what in ("Less", "LessCi")]
    held = [macros[f"{what}{camel(arm)}"] if "both_held_out" in row["versus"] else ""
            for what in ("RightHeld", "LessHeld", "LessHeldCi")]  # fmt: skip
    return [NAMES[arm], *said, *less, p_cell(row["versus"]["all"]["p_holm"]), *held]
