"""Pictures of bridge diagnostics: sizes, collapse, first tokens, attention, nearest words."""

from __future__ import annotations

import html
from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lab.errors import LabError
from lab.pictures.cost_figures import styled
from lab.pictures.looks import COLOURS, MUTED
from lab.pictures.numbers import number
from lab.pictures.tables import Table
from lab.pictures.theme import INK


def collapse_figure(found: Mapping) -> go.Figure:
    """Three panels: size of each slot, its likeness between questions, and the likeness of slots within a question."""
    figure = make_subplots(
        1, 3, subplot_titles=("Size / embedding size", "Cosine between questions", "Cosine of slots within")
    )
    slots = list(range(1, len(found["size"]["per_slot"]) + 1))
    figure.add_bar(x=slots, y=found["size"]["per_slot"], marker={"color": COLOURS["target"]}, row=1, col=1)
    figure.add_hline(y=1, line={"dash": "dot", "color": INK}, row=1, col=1)
    between = found["similarity"]["between_per_slot"]
    figure.add_bar(x=slots, y=between, marker={"color": COLOURS["latent"]}, row=1, col=2)
    figure.add_heatmap(x=slots, y=slots, z=found["similarity"]["slots"], zmin=-1, zmax=1, colorscale="RdBu_r", row=1,
                       col=3)  # fmt: skip
    figure.update_yaxes(range=[-1, 1], row=1, col=2)
    figure.update_xaxes(title_text="Soft token")
    figure.update_layout(showlegend=False)
    return styled(figure, "Soft tokens: size and collapse", 1050)


def first_token_figure(found: Mapping) -> go.Figure:
    """Entropy of the first answer token, bridged against text, one point per question; and the five likeliest."""
    first = found["first_token"]
    figure = make_subplots(1, 2, subplot_titles=("Entropy, nats", "Five likeliest first tokens of one question"))
    figure.add_scatter(x=first["entropy_text"], y=first["entropy_bridged"], mode="markers", showlegend=False,
                       marker={"color": COLOURS["latent"], "opacity": 0.6}, row=1, col=1)  # fmt: skip
    most = max([*first["entropy_text"], *first["entropy_bridged"], 0.1])
    figure.add_scatter(x=[0, most], y=[0, most], mode="lines", line={"dash": "dot", "color": MUTED},
                       showlegend=False, row=1, col=1)  # fmt: skip
    for name, colour in (("text", COLOURS["target"]), ("bridged", COLOURS["latent"])):
        tokens, chances = zip(*first["examples"][name], strict=True)
        figure.add_bar(x=[repr(token) for token in map(html.escape, tokens)], y=chances, name=name,
                       marker={"color": colour}, row=1, col=2)  # fmt: skip
    figure.update_xaxes(title_text="from text", row=1, col=1)
    figure.update_yaxes(title_text="bridged", row=1, col=1)
    return styled(figure, "The first answer token", 980)


def attention_figure(found: Mapping) -> go.Figure:
    """Which source tokens each soft token attends to, mean over heads and blocks."""
    attention = found["example"]["attention"]
    if not attention["weights"]:
        raise LabError("this translator does not attend to the source; there is no attention to show.")
    labels = [f"{place}: {html.escape(repr(token))}" for place, token in enumerate(attention["tokens"])]
    slots = list(range(1, len(attention["weights"]) + 1))
    figure = go.Figure(go.Heatmap(x=labels, y=slots, z=attention["weights"], colorscale="Blues"))
    figure.update_yaxes(title_text="Soft token", autorange="reversed")
    figure.update_xaxes(tickangle=-60)
    figure.update_layout(margin={"b": 120})
    return styled(figure, "Attention of soft tokens over source tokens", 1100, 520)


def gates_table(found: Mapping) -> Table:
    """Every gate as tanh (0: shut), and every loss term with the norm of its gradient (0: it trains nothing)."""
    gates = [["gate", name, number(value, 3), ""] for name, value in found["gates"].items()]
    terms = [
        ["loss term", name, number(value, 3), number(found["gradient_norms"][name], 3)]
        for name, value in found["loss_terms"].items()
    ]
    return Table(["", "name", "value", "gradient norm"], [*gates, *terms])


def nearest_table(found: Mapping) -> Table:
    """The vocabulary entries nearest to each soft token of the example, with their cosines."""
    rows = [
        [str(slot), *(f"{token!r} {cosine:.2f}" for token, cosine in nearest)]
        for slot, nearest in enumerate(found["example"]["nearest_tokens"], start=1)
    ]
    most = max(map(len, rows), default=1)
    return Table(["soft token", *["nearest", *["next"] * (most - 2)][: most - 1]], rows)
