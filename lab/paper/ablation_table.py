"""The table of ablations: what each piece matters, in points on the embedded pair and in nats on pretrained models."""

from __future__ import annotations

from collections.abc import Mapping

from lab.evidence import LATENT
from lab.paper.findings import Findings
from lab.paper.latex import Tabular, code, ends, p_cell, percent, signed, whole
from lab.samples import latex_text

# World -> what the block is called, what is compared, its factor and digits, and what to type where nothing is there.
SUITES = {
    "embedded": ("embedded pair", "effect", 100, 1, "papermill_jobs/effects/*.yaml --seeds 1,2,3"),
    "gsm8k": ("GSM8K, pretrained", "told", 1, 3, "papermill_jobs/real/gsm8k*.yaml -p data FOLDER"),
}
UNITS = {"effect": "right in per cent, effect in points", "told": "recovered in per cent, effect in nats a token"}
LONGEST = 3  # settings of one recipe that are named
WATCHED = {"eval_every", "dev_questions"}  # how often a run is looked at: named where nothing else differs


def ablations(findings: Findings) -> str:
    """A block per suite: the middle recipe, then what each other one changes and what that does."""
    head = ["changes", "seeds", "level", "effect", r"\ci", "$p$ (Holm)"]
    table = Tabular(r"p{0.34\columnwidth}rrrlr", head)
    for number, (world, (name, measure, factor, digits, jobs)) in enumerate(SUITES.items()):
        if number:
            table.rows.append(None)
        rows = findings.suites.get(world)
        if not rows:
            table.rows.append(table.spanning(rf"\emph{{{name}}}: \notrun{{}}: {code('python -m lab submit')}"))
            table.rows.append(table.spanning(code(jobs)))
            continue
        steps, n = whole(rows[0]["settings"]["steps"]), whole(rows[0]["n"])
        table.rows.append(table.spanning(rf"\emph{{{name}}}, {steps} steps, $n={n}$; {UNITS[measure]}"))
        table.rows += [_row(row, measure, factor, digits, main=row is rows[0]) for row in rows]
    return table.text()


def _row(row: Mapping, measure: str, factor: float, digits: int, main: bool) -> list[str]:
    told = row["information"].get("recovered", {}).get(LATENT)
    level = percent(row["accuracy"]["accuracy"]) if measure == "effect" else percent(told["value"]) if told else ""
    said = "the recipe that the others change" if main else changes(row)
    cells = [rf"\raggedright {said}", str(len(row["seeds"])), level]
    found = row[measure]
    if not found:
        return [*cells, "", "", ""]
    p = p_cell(found["p_holm"]) if found["seeds"] > 1 else "one seed"
    effect, interval = signed(factor * found["effect"], digits), ends(found["low"], found["high"], digits, factor)
    return [*cells, effect, interval, p]


def changes(row: Mapping) -> str:
    """`soft tokens 8 (16)`: what a recipe has otherwise than the middle one (in brackets)."""
    shown = {name: values for name, values in row["differs"].items() if name not in WATCHED} or row["differs"]
    said = [f"{_plain(name)} {_plain(mine)} ({_plain(main)})" for name, (main, mine) in shown.items()]
    more = f" and {len(said) - LONGEST} more" if len(said) > LONGEST else ""
    return latex_text("; ".join(said[:LONGEST]) + more)


def _plain(value: object) -> str:
    text = str(value) if value != "" else "none"
    return text.rpartition("/")[2].replace("_", " ")[:28]
