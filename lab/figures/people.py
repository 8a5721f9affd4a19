"""Two-hop over the number of people: does the translator read the fact, or know the name?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import plotly.graph_objects as go

from lab.evidence import Run
from lab.figures.material import Material, Missing
from lab.figures.plate import Plate, counted, sources_of
from lab.pictures import CHANCE, LINES, MUTED, bars, column, people_rows

SYMBOLS = ("circle", "square", "diamond", "circle-open", "hourglass", "triangle-up")
SHORT = (
    "trained people, other attribute", "held-out people", "held out, fact never trained", "held out, new wording",
    "held out, shuffled tokens", "held out, target alone",
)  # fmt: skip


def people_curve(material: Material) -> Plate:
    """A line for each arm and group, over the runs of the two-hop task that differ in people alone."""
    runs = _runs(material)
    rows = people_rows(replace(material.evidence, runs=tuple(runs)))
    figure, entries = go.Figure(), 0
    for place, ((arm, group), (_, colour, dash)) in enumerate(LINES.items()):
        own = [row for row in rows if (row["arm"], row["group"]) == (arm, group)]
        if own:
            _line(figure, own, SHORT[place], {"color": colour, "dash": dash}, SYMBOLS[place])
            entries += 1
    people = sorted({row["people"] for row in rows})
    figure.add_hline(y=100 * CHANCE, line={"color": MUTED, "width": 1, "dash": "dot"})
    column(figure, 230, legend=entries)
    figure.update_xaxes(type="log", tickvals=people, ticktext=[f"{count:,}" for count in people],
                        title_text="people the translator was trained on")  # fmt: skip
    figure.update_yaxes(title_text="right, per cent", range=[-3, 104])
    caption = (
        "Two-hop questions about people, over the number of people that the translator was trained on. "
        f"{counted([row['n'] for row in rows], [row['seeds'] for row in rows], 'test questions by line')}. Bars are "
        "95 % intervals over seeds and people, or, where the target's own fact has to answer, over facts. The dotted "
        f"line is chance, {100 * CHANCE:.0f} per cent."
    )
    table = [row | {"runs": " ".join(row["runs"]), "per_seed": " ".join(f"{one:.6f}" for one in row["per_seed"])}
             for row in rows]  # fmt: skip
    return Plate("people_curve", "Two-hop over the number of people", figure, caption, table, sources_of(runs))


def _runs(material: Material) -> list[Run]:
    """The largest set of two-hop runs that differ in people and seed alone, the first given of equal ones."""
    groups: dict[tuple, list[Run]] = {}
    for run in material.evidence.runs:
        if run.settings["task"] == "twohop":
            groups.setdefault(run.recipe(without=("people",)), []).append(run)
    most = max(groups.values(), key=lambda runs: len({run.settings["people"] for run in runs}), default=[])
    if len({run.settings["people"] for run in most}) < 2:
        raise Missing("runs of task twohop that differ in the number of people alone")
    return most


def _line(figure: go.Figure, rows: Sequence[Mapping], name: str, line: Mapping, symbol: str) -> None:
    ends = [[row[key] for row in rows] for key in ("accuracy", "low", "high")]
    figure.add_scatter(
        x=[row["people"] for row in rows], y=[100 * row["accuracy"] for row in rows], name=name, mode="lines+markers",
        line=dict(line) | {"width": 2}, marker={"size": 8, "symbol": symbol, "color": line["color"]},
        error_y=bars(*ends, color=line["color"], thickness=1.2, width=4),
        hovertemplate=f"{name}, %{{x:,}} people: %{{y:.1f}} %<extra></extra>",
    )  # fmt: skip
