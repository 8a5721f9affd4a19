"""What each soft token carries, as a picture: how much dearer, or how much less often right, without it."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from lab.pictures.cost_figures import axis_title, said, styled
from lab.pictures.intervals import CLUSTERED, bars
from lab.pictures.looks import LATENT_COLOUR
from lab.pictures.numbers import percent
from lab.pictures.theme import CLEAR, INK, QUIET_INK

NONE_LEFT_OUT = "No soft token was left out: set left_out_questions to two at least."
NOTHING_CHANGES = "Left out one by one, no soft token changes anything here."
NOT_ANSWERED = "No answer was generated without a soft token: set left_out_answers."


def left_out_figure(found: Mapping, measure: str = "told", title: str = "What each soft token carries") -> go.Figure:
    """A bar for each soft token with its interval, of what `lab.studies.left_out` gives: `measure` "told", nats per
    token that the gold answers cost more without it, or "right", points of accuracy that are lost. A full bar survives
    Holm's correction over the soft tokens."""
    if not found:
        return said(NONE_LEFT_OUT)
    if measure == "right" and found["all_right"] is None:
        return said(NOT_ANSWERED)
    shown = [row for row in found["places"] if row[measure]]
    if not shown:
        return said(NOTHING_CHANGES)
    factor, unit = (1, "nats per token") if measure == "told" else (100, "points of right answers lost")
    effects = [row[measure] for row in shown]
    figure = styled(go.Figure(), title, 900, 400)
    figure.add_bar(
        x=[row["place"] for row in shown], y=[factor * one["effect"] for one in effects],
        marker={"color": [LATENT_COLOUR if one["p_holm"] <= 0.05 else CLEAR for one in effects],
                "line": {"color": LATENT_COLOUR, "width": 1}},
        error_y=bars(*([one[name] for one in effects] for name in ("effect", "low", "high")), unit=factor,
                     color=QUIET_INK, thickness=1.8, width=4),
        hovertemplate="soft token %{x}: %{y:.3g}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    figure.update_xaxes(title=axis_title("soft token left out"), dtick=1 if len(shown) <= 32 else 8, showgrid=False)
    figure.update_yaxes(title=axis_title(unit))
    about = f"n = {found['questions']:,}, bars {CLUSTERED}; full: p ≤ .05 (Holm){_together(found, measure)}"
    figure.update_layout(title_text=f"<b>{title}</b><br><sub>{about}</sub>", showlegend=False)
    return figure.update_layout(margin={"l": 80, "r": 30, "t": 80, "b": 60})


def _together(found: Mapping, measure: str) -> str:
    """What all of them carry together, beside the sum of what each does."""
    if measure == "right":
        return f"; without any {percent(found['all_right']['effect'])}"
    if not found["all"] or not found["sum"]:
        return ""
    return f"; all bars {found['sum']['effect']:.3f}, without any {found['all']['effect']:.3f}"
