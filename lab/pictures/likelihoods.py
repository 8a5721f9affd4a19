"""What soft tokens tell, to read and to look at: nats of the gold answers by arm, question by question, and over K."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from lab.evidence import LATENT
from lab.pictures.cost_figures import axis_title, said, styled
from lab.pictures.intervals import CLUSTERED, bars
from lab.pictures.looks import LATENT_COLOUR, MUTED, arm_label, look
from lab.pictures.numbers import format_p, percent
from lab.pictures.tables import Table
from lab.pictures.theme import CLEAR, GRID, INK, QUIET_INK

NOT_TOLD = "These records do not say how likely the gold answers are: they are of a version that did not measure it."
NO_SCALE = "No run has both trained prompts, so nothing says what was recovered: train with text_tuned=true."


def likelihood_table(found: Mapping) -> Table:
    """What `information` gives, an arm a row: nats per token of the gold answers with their interval, bits per
    character, what the arm costs more than latent, the information recovered."""
    columns = [
        "arm",
        "nats per token",
        CLUSTERED,
        "bits/char",
        "arm - latent",
        CLUSTERED,
        "p",
        "recovered, %",
        CLUSTERED,
    ]
    rows = []
    for arm, entry in found.get("arms", {}).items():
        versus, told = entry.get("versus"), found["recovered"].get(arm)
        rows.append(
            [arm, f"{entry['nats']:.3f}", _ends(entry), f"{entry['bits_per_character']:.3f}",
             *([f"{versus['difference']:+.3f}", _ends(versus), format_p(versus["p"])]
               if versus else ["", "", ""]),
             *([percent(told["value"]), f"{percent(told['low'])} - {percent(told['high'])}"] if told else ["", ""])]
        )  # fmt: skip
    return Table(columns, rows, empty=NOT_TOLD)


def _ends(found: Mapping) -> str:
    """The ends of an interval; empty where nothing is known of them."""
    return "" if found["low"] is None else f"{found['low']:.3f} - {found['high']:.3f}"


def likelihood_figure(found: Mapping, title: str = "What the gold answers cost") -> go.Figure:
    """Nats per token of every arm of the target, the least below, with the two ends between which latent is put."""
    if not found:
        return said(NOT_TOLD)
    arms = {arm: entry for arm, entry in found["arms"].items() if arm != "source"}  # it counts other tokens
    order = sorted(arms, key=lambda arm: -arms[arm]["nats"])
    figure, rows = styled(go.Figure(), title, 760, 150 + 40 * len(order)), range(len(order))[::-1]
    for arm, row in zip(order, rows, strict=True):
        entry, colour = arms[arm], look(arm).colour
        figure.add_scatter(
            x=[entry["nats"]], y=[row], mode="markers+text", text=[f"{entry['nats']:.3f}"], textposition="top center",
            marker={"size": 9, "color": colour}, cliponaxis=False, textfont={"size": 12},
            error_x=_bar(entry, colour),
            hovertemplate=f"{html.escape(arm_label(arm))}: %{{x:.4f}} nats per token<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(tickvals=list(rows), ticktext=[html.escape(arm_label(arm)) for arm in order], showgrid=True,
                        range=[-0.6, len(order) - 0.2])  # fmt: skip
    told = found["recovered"].get(LATENT)
    share = f"latent recovers {percent(told['value'])} % of what the text tells; " if told else ""
    figure.update_xaxes(title=axis_title("nats per token"))
    about = f"<br><sub>{share}n = {found['n']:,}, bars {CLUSTERED}</sub>"
    figure.update_layout(title_text=f"<b>{title}</b>{about}", showlegend=False)
    return figure.update_layout(margin={"l": 170, "r": 40, "t": 80, "b": 60})


def _bar(entry: Mapping, colour: str) -> dict | None:
    if entry["low"] is None:
        return None
    return bars([entry["nats"]], [entry["low"]], [entry["high"]], unit=1, color=colour, thickness=2, width=5)


def gains_figure(
    gains: Mapping[str, float], title: str = "What the soft tokens tell, question by question"
) -> go.Figure:
    """How many bits of its answer each question gains over the constant prompt (see `lab.evidence.gains`)."""
    if not gains:
        return said(NOT_TOLD)
    values = np.array(list(gains.values()))
    figure = styled(go.Figure(), title, 760, 340)
    figure.add_histogram(x=values, nbinsx=60, marker={"color": LATENT_COLOUR, "line": {"width": 0}}, name="questions")
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    figure.add_vline(x=float(values.mean()), line={"color": INK, "width": 2, "dash": "dot"},
                     annotation={"text": f"mean {values.mean():.1f}", "font": {"color": INK, "size": 12}})  # fmt: skip
    worse = percent(float((values < 0).mean()))
    figure.update_xaxes(title=axis_title(f"bits of the gold answer gained over a constant prompt; below 0: {worse} %"))
    figure.update_yaxes(title=axis_title(f"questions (n = {len(values):,})"))
    return figure.update_layout(showlegend=False, bargap=0.05, margin={"l": 70, "r": 30, "t": 70, "b": 60})


def recovered_figure(
    points: Sequence[tuple[str, Mapping]], axis: str, title: str = "Information recovered"
) -> go.Figure:
    """The information recovered over a setting: (its value as text, what `information` gives) from left to right.

    Latent, and another question's soft tokens; small dots are single seeds.
    """
    shown = [(label, found) for label, found in points if found and found["recovered"].get(LATENT)]
    if not shown:
        return said(NO_SCALE)
    figure, labels = styled(go.Figure(), title, 620, 400), [label for label, _ in shown]
    for arm, colour in ((LATENT, LATENT_COLOUR), ("latent_shuffled", MUTED)):
        told = [found["recovered"].get(arm) for _, found in shown]
        if not all(told):
            continue
        values, lows, highs = ([entry[name] for entry in told] for name in ("value", "low", "high"))
        figure.add_scatter(
            x=labels, y=[100 * value for value in values], name=arm_label(arm), mode="lines+markers",
            line={"color": colour, "width": 2}, marker={"size": 8, "color": colour},
            error_y=bars(values, lows, highs, color=colour, thickness=1.8, width=5),
        )  # fmt: skip
        for label, entry in zip(labels, told, strict=True):
            if len(entry["per_seed"]) > 1:
                figure.add_scatter(
                    x=[label] * len(entry["per_seed"]), y=[100 * value for value in entry["per_seed"]], mode="markers",
                    marker={"size": 4, "color": QUIET_INK}, showlegend=False,
                    hovertemplate="one seed: %{y:.1f} %<extra></extra>",
                )  # fmt: skip
    counts = sorted({found["n"] for _, found in shown})
    figure.update_xaxes(
        type="category", title=axis_title(f"{axis}; n = {', '.join(map(str, counts))}, bars {CLUSTERED}")
    )
    figure.update_yaxes(title=axis_title("of what the text tells, per cent"), gridcolor=GRID, rangemode="tozero")
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "bgcolor": CLEAR}
    return figure.update_layout(legend=legend, margin={"l": 70, "r": 30, "t": 90, "b": 60})
