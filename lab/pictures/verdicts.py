"""Verdicts to read: claims as text for a terminal, as a table, and as a picture of effects with their intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.evidence import DIGITS, INCONCLUSIVE, NATS, NOT_RUN, REFUTED, SUPPORTED, ordered_arms
from lab.pictures.arm_tables import rivals_table
from lab.pictures.intervals import CLUSTERED, bars
from lab.pictures.numbers import format_p, percent
from lab.pictures.tables import Table, printable

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from lab.evidence import Evidence

MARKS = {SUPPORTED: "+", REFUTED: "-", INCONCLUSIVE: "?", NOT_RUN: "."}
# Okabe and Ito; the symbol says it too, so that nothing hangs on colour alone
LOOKS = {SUPPORTED: ("#009E73", "circle"), REFUTED: ("#D55E00", "x"), INCONCLUSIVE: ("#9AA0A6", "circle-open")}


def _rows(judged: Mapping) -> list[Mapping]:
    if not judged.get("claims"):
        raise LabError("verdicts: there are no claims; give what `judge` returns.")
    return judged["claims"]


def effect_text(row: Mapping) -> str:
    """`+12.3 [10.1, 14.5]`: points of accuracy, or the claim's own unit."""
    if row.get("effect") is None:
        return ""
    factor = 100 if row["unit"] == "accuracy" else 1
    unit = "" if row["unit"] == "accuracy" else f" {row['unit']}"
    digits = DIGITS.get(row["unit"], 1)
    low, high = (f"{factor * row[end]:.{digits}f}" for end in ("low", "high"))
    return f"{factor * row['effect']:+.{digits}f} [{low}, {high}]{unit}"


def claims_table(judged: Mapping) -> Table:
    """One row per claim: verdict, effect with interval (points), p after Holm, n, clusters, seeds, why."""
    counts = ("n", "clusters", "seeds")
    columns = ["claim", "documents", "verdict", f"effect [{CLUSTERED}]", "p (Holm)", *counts, "why"]
    rows = [
        [row["sentence"], row["reported"], row["verdict"], effect_text(row), format_p(row["p_holm"]),
         *(str(row.get(name, "")) if row.get("effect") is not None else "" for name in counts), row["reason"]]
        for row in _rows(judged)
    ]  # fmt: skip
    return Table(columns, rows)


def seeds_table(evidence: Evidence) -> Table:
    """Accuracy of every arm in every run, in per cent: one row per run, replicates beside each other."""
    arms = ordered_arms(set().union(*(run.arms for run in evidence.runs)))
    rows = []
    for number, recipe in enumerate(evidence.recipes(), start=1):
        for run in recipe:
            about = ["main" if number == 1 else str(number), run.name, run.seed, len(run.records),
                     run.settings["layout"], run.settings["soft_tokens"]]  # fmt: skip
            right = {arm: list(run.right(arm).values()) for arm in run.arms}
            rows.append([*map(str, about), *(percent(fmean(right[arm])) if arm in right else "" for arm in arms)])
    return Table(["recipe", "run", "seed", "n", "layout", "K", *arms], rows)


def claims_text(judged: Mapping, width: int = 118) -> str:
    """All verdicts for a terminal, each with effect, interval, p, n and reason; the scenario first."""
    runs = ", ".join(map(printable, judged["main"]))
    story = judged["scenario"]
    lines = [
        f"main recipe: {runs} ({len(judged['seeds'])} seed{'s' * (len(judged['seeds']) != 1)}, n = {judged['n']}, "
        f"layout {printable(judged['layout'])})",
        f"scenario: {story['name']} ({printable(story['sentence'])})",
        f"family: {judged['family']} claims declared, {judged['tested']} tested; p after Holm over all of them",
        f"intervals: {CLUSTERED}; questions that share a word, and seeds, are not taken as independent",
    ]
    if judged["unfinished"]:
        lines.append("left out, not finished: " + ", ".join(map(printable, judged["unfinished"])))
    lines += ["", str(rivals_table(judged["arms"]))]
    for row in _rows(judged):
        lines.append("")
        lines.append(f"{MARKS[row['verdict']]} {row['verdict'].upper():<13}{row['sentence']}")
        about = []
        if row.get("effect") is not None:
            about.append(effect_text(row) + (" points" if row["unit"] == "accuracy" else ""))
            about.append(
                f"p {format_p(row['p_holm'])}, n = {row['n']}, clusters {row['clusters']}, seeds {row['seeds']}"
            )
        about.append(printable(row["reason"]))
        lines += textwrap.wrap("; ".join(about), width, initial_indent=" " * 15, subsequent_indent=" " * 15)
    return "\n".join(lines)


def claims_figure(judged: Mapping, title: str = "What the records say of each claim") -> go.Figure:
    """Effects with their 95 % intervals, one row per tested claim: in points, or of a family that asks likelihoods in
    nats per token. Every seed's own value is a small dot."""
    import plotly.graph_objects as go

    from lab.pictures.figures import FONT, HOVER
    from lab.pictures.theme import CLEAR, GRID, INK

    tested = [row for row in _rows(judged) if row.get("effect") is not None]
    unit = NATS if any(row["unit"] == NATS for row in tested) else "accuracy"
    rows, factor, digits = (
        [row for row in tested if row["unit"] == unit],
        1 if unit == NATS else 100,
        DIGITS.get(unit, 1),
    )
    shown = NATS if unit == NATS else "points"
    figure = go.Figure()
    height = {row["key"]: len(rows) - 1 - place for place, row in enumerate(rows)}
    for row in rows:
        colour, symbol = LOOKS[row["verdict"]]
        y, effect = height[row["key"]], factor * row["effect"]
        decisive = next(c for c in row["comparisons"] if c["effect"] == row["effect"] and c["low"] == row["low"])
        seeds = [factor * value for value in decisive["detail"].get("per_seed", [])]
        if len(seeds) > 1:
            figure.add_scatter(
                x=seeds, y=[y - 0.22] * len(seeds), mode="markers", marker={"size": 4, "color": colour, "opacity": 0.6},
                hovertemplate=f"one seed: %{{x:.{digits}f}} {shown}<extra></extra>",
            )  # fmt: skip
        figure.add_scatter(
            x=[effect], y=[y], mode="markers", marker={"size": 9, "color": colour, "symbol": symbol},
            error_x=bars([row["effect"]], [row["low"]], [row["high"]], factor, color=colour, thickness=2, width=5),
            hovertemplate=f"{row['verdict']}: %{{x:.{digits}f}} {shown}<extra></extra>",
        )  # fmt: skip
        figure.add_annotation(
            x=1.01, xref="paper", xanchor="left", y=y, showarrow=False, font={"size": 12, "color": INK},
            text=f"{row['verdict']}, p {format_p(row['p_holm'])}",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    names = [textwrap.fill(row["sentence"], 52).replace("\n", "<br>") for row in rows]
    figure.update_layout(
        title={"text": f"{title}<br><sub>weakest comparison of each claim; bars are {CLUSTERED}, small dots single "
                       f"seeds; n = {judged['n']:,}</sub>"},
        width=1040, height=150 + 52 * max(len(rows), 1), paper_bgcolor=CLEAR, plot_bgcolor=CLEAR, showlegend=False,
        hoverlabel=HOVER,
        font={"family": FONT, "size": 13, "color": INK}, margin={"l": 380, "r": 160, "t": 90, "b": 60},
        xaxis={"title": f"effect, {shown}" + " of accuracy" * (unit != NATS), "gridcolor": GRID, "zeroline": False},
        yaxis={"tickvals": [height[row["key"]] for row in rows], "ticktext": names, "gridcolor": GRID,
               "zeroline": False, "range": [-0.6, max(len(rows), 1) - 0.4]},
    )  # fmt: skip
    return figure
