"""Pictures of the evidence: all arms with all seeds, the probe, the counterfactual."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lab.pictures.cost_figures import styled
from lab.pictures.intervals import bars
from lab.pictures.looks import COLOURS, arm_label, look
from lab.pictures.theme import INK


def arms_figure(rows: Sequence[Mapping]) -> go.Figure:
    """Every arm's accuracy: the mean with its 95 % interval, by word and seed, and each seed as a point of its own."""
    figure, names = go.Figure(), [arm_label(row["arm"]) for row in rows]
    for row, name in zip(rows, names, strict=True):
        colour = look(row["arm"]).colour
        mean = 100 * row["accuracy"]
        figure.add_scatter(
            x=[mean], y=[html.escape(name)], mode="markers", showlegend=False,
            marker=look(row["arm"]).marker | {"size": 9},
            error_x=bars([row["accuracy"]], [row["low"]], [row["high"]], color=colour),
        )  # fmt: skip
        if len(row["per_seed"]) > 1:
            figure.add_scatter(
                x=[100 * value for value in row["per_seed"]], y=[html.escape(name)] * len(row["per_seed"]),
                mode="markers", showlegend=False, marker={"size": 7, "symbol": "line-ns-open", "color": INK},
            )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    title = "Right answers, per cent, with 95 % intervals by word; ticks are seeds"
    figure.update_xaxes(title_text=title, range=[-2, 102])
    figure.update_layout(margin={"l": 210})
    return styled(figure, "All arms", 900, 120 + 30 * len(rows))


def probe_figure(rows: Sequence[Mapping]) -> go.Figure:
    """A panel per quantity: accuracy of the linear read-out by layer, a line per position; dotted: best constant."""
    quantities = list(dict.fromkeys(row["quantity"] for row in rows))
    figure = make_subplots(1, len(quantities), subplot_titles=[name.capitalize() for name in quantities])
    colours = dict(zip(dict.fromkeys(row["position"] for row in rows), ("#D55E00", "#0072B2", "#009E73"), strict=False))
    for column, name in enumerate(quantities, start=1):
        own = [row for row in rows if row["quantity"] == name]
        for position, colour in colours.items():
            line = [row for row in own if row["position"] == position]
            figure.add_scatter(
                x=[row["layer"] for row in line], y=[100 * row["accuracy"] for row in line], mode="lines+markers",
                name=position, legendgroup=position, showlegend=column == 1, line={"color": colour}, row=1, col=column,
            )  # fmt: skip
        figure.add_hline(y=100 * own[0]["constant"], line={"dash": "dot", "color": INK}, row=1, col=column)
    figure.update_xaxes(title_text="Layer", dtick=1)
    figure.update_yaxes(range=[-2, 102])
    return styled(figure, "What a linear read-out finds in the source's states, per cent right", 1050)


def follow_figure(counts: Mapping[str, Mapping]) -> go.Figure:
    """Latent answers before and after the edit: how many are those of the old world and of the edited one."""
    figure = make_subplots(1, len(counts), subplot_titles=[f"{name} (n = {c['n']})" for name, c in counts.items()])
    for column, entry in enumerate(counts.values(), start=1):
        for world, colour in (("before", COLOURS["target"]), ("after", COLOURS["latent"])):
            figure.add_bar(
                x=["source as it was", "source edited"], name=f"answers of the world {world} the edit",
                y=[100 * entry[f"source {when}: answers of the world {world}"] / entry["n"]
                   for when in ("before", "after")],
                marker={"color": colour}, legendgroup=world, showlegend=column == 1, row=1, col=column,
            )  # fmt: skip
    figure.update_yaxes(range=[0, 102], title_text="per cent")
    figure.update_layout(legend={"orientation": "h", "y": -0.15})
    return styled(figure, "Counterfactual: do the answers follow the edit?", 900, 430)
