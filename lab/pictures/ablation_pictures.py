"""Every recipe of a suite against the main one: the table of effects, the same as a picture, curves over a setting."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from lab.errors import LabError
from lab.evidence import LATENT
from lab.pictures.cost_figures import axis_title, said, styled
from lab.pictures.intervals import CLUSTERED, bars
from lab.pictures.looks import LATENT_COLOUR
from lab.pictures.numbers import format_p, percent, points
from lab.pictures.tables import Table
from lab.pictures.theme import INK, QUIET_INK

NOTHING_PAIRED = (
    "No other recipe can be compared with the main one by this: other questions, another target, or no seed in common."
)
LONGEST = 60  # letters of what a recipe changes


def changed(row: Mapping) -> str:
    """`soft_tokens 8 (32), width 256 (512)`: what a recipe has otherwise than the main one (in brackets)."""
    said = ", ".join(f"{name} {mine} ({main})" for name, (main, mine) in row["differs"].items())
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


def ablations_table(rows: Sequence[Mapping]) -> Table:
    """Rows of `recipe_rows`: accuracy of latent, and of each recipe its effect against the main one, in points and in
    nats per token that the gold answers cost less."""
    columns = ["runs", "changes (main)", "seeds", "n", "right, %", CLUSTERED, "effect, points", CLUSTERED, "p (Holm)",
               "recovered, %", "nats saved", CLUSTERED, "p (Holm)"]  # fmt: skip
    shown = []
    for number, row in enumerate(rows):
        accuracy, told = row["accuracy"], row["information"].get("recovered", {}).get(LATENT)
        shown.append(
            [row["runs"][0] + f" +{len(row['runs']) - 1}" * (len(row["runs"]) > 1), changed(row) if number else "main",
             str(len(row["seeds"])), str(row["n"]), percent(accuracy["accuracy"]),
             f"{percent(accuracy['low'])} - {percent(accuracy['high'])}", *_effect(row["effect"], points, percent),
             percent(told["value"]) if told else "", *_effect(row["told"], "{:+.3f}".format, "{:.3f}".format)]
        )  # fmt: skip
    return Table(columns, shown)


def _effect(found: Mapping | None, shown, end) -> list[str]:
    if not found:
        return ["", "", ""]
    p = format_p(found["p_holm"]) if found["seeds"] > 1 else "one seed"  # two seeds of one recipe differ as well
    return [shown(found["effect"]), f"{end(found['low'])} - {end(found['high'])}", p]


def ablations_figure(
    rows: Sequence[Mapping], measure: str = "effect", title: str = "What each piece matters"
) -> go.Figure:
    """Effects against the main recipe with their intervals: `measure` "effect" in points, or "told" in nats per token
    that the gold answers cost less. Right of zero a recipe is better than the main one."""
    shown = [row for row in rows if row[measure]]
    if not shown:
        return said(NOTHING_PAIRED)
    factor, unit = (
        (100, "points of accuracy") if measure == "effect" else (1, "nats per token that an answer costs less")
    )
    figure = styled(go.Figure(), title, 900, 150 + 40 * len(shown))
    found, heights = [row[measure] for row in shown], list(range(len(shown)))[::-1]
    figure.add_scatter(
        x=[factor * one["effect"] for one in found], y=heights, mode="markers",
        marker={"size": 9, "color": LATENT_COLOUR,
                "symbol": ["circle" if one["p_holm"] <= 0.05 and one["seeds"] > 1 else "circle-open" for one in found]},
        error_x=bars(*([one[name] for one in found] for name in ("effect", "low", "high")), unit=factor,
                     color=QUIET_INK, thickness=2, width=5),
        hovertemplate="%{x:.3g}<extra></extra>",
    )  # fmt: skip
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    figure.update_yaxes(tickvals=heights, ticktext=[html.escape(changed(row)) for row in shown], showgrid=True,
                        range=[-0.6, len(shown) - 0.4])  # fmt: skip
    figure.update_xaxes(title=axis_title(unit))
    figure.update_layout(
        title_text=f"<b>{title}</b><br><sub>bars {CLUSTERED}; full dots: p ≤ .05 (Holm), two seeds at least</sub>"
    )
    return figure.update_layout(showlegend=False, margin={"l": 330, "r": 30, "t": 80, "b": 60})


def curve_figure(points_of: Sequence[tuple[str, Mapping]], axis: str, title: str = "Right answers") -> go.Figure:
    """Accuracy of the latent arm over a setting (`lab.evidence.curve`), with its interval; small dots are single
    seeds."""
    if not points_of:
        raise LabError("curve_figure: no run was given that differs from the main one in this setting alone.")
    labels, found = [label for label, _ in points_of], [row["accuracy"] for _, row in points_of]
    figure = styled(go.Figure(), title, 620, 400)
    figure.add_scatter(
        x=labels, y=[100 * one["accuracy"] for one in found], mode="lines+markers", name="latent",
        line={"color": LATENT_COLOUR, "width": 2}, marker={"size": 8},
        error_y=bars(*([one[name] for one in found] for name in ("accuracy", "low", "high")), color=LATENT_COLOUR,
                     thickness=1.8, width=5),
    )  # fmt: skip
    for label, one in zip(labels, found, strict=True):
        if len(one["per_seed"]) > 1:
            figure.add_scatter(x=[label] * len(one["per_seed"]), y=[100 * value for value in one["per_seed"]],
                               mode="markers", marker={"size": 4, "color": QUIET_INK},
                               hovertemplate="one seed: %{y:.1f} %<extra></extra>")  # fmt: skip
    counts = sorted({row["n"] for _, row in points_of})
    figure.update_xaxes(
        type="category", title=axis_title(f"{axis}; n = {', '.join(map(str, counts))}, bars {CLUSTERED}")
    )
    figure.update_yaxes(title=axis_title("right, per cent"), rangemode="tozero")
    return figure.update_layout(showlegend=False)
