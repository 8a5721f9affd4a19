"""Pictures of costs: time against output length, memory against text, accuracy after quantisation."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lab.pictures.figures import FONT, HOVER
from lab.pictures.intervals import bars
from lab.pictures.looks import COLOURS, arm_label, look
from lab.pictures.theme import CLEAR, GRID, INK


def styled(figure: go.Figure, title: str, width: int = 900, height: int = 380) -> go.Figure:
    """The house style: clear ground, thin grid, title at the left."""
    figure.update_layout(
        title={"text": f"<b>{title}</b>", "x": 0, "xref": "container", "pad": {"l": 22}, "font": {"size": 18}},
        width=width, height=height, paper_bgcolor=CLEAR, plot_bgcolor=CLEAR,
        font={"family": FONT, "size": 13, "color": INK}, hoverlabel=HOVER, margin={"l": 80, "r": 30, "t": 90, "b": 60},
    )  # fmt: skip
    figure.update_xaxes(gridcolor=GRID, zeroline=False)
    figure.update_yaxes(gridcolor=GRID, zeroline=False)
    return figure


def axis_title(text: str) -> dict:
    """What an axis shows, in the size of the other text."""
    return {"text": text, "font": {"size": 13}}


def said(sentence: str) -> go.Figure:
    """A figure that is a sentence: why there is nothing to draw."""
    figure = styled(go.Figure(), sentence, 900, 100).update_layout(title={"font": {"size": 13}})
    return figure.update_xaxes(visible=False).update_yaxes(visible=False)


def time_figure(summary: Mapping) -> go.Figure:
    """Left: end-to-end seconds against answers of forced lengths. Right: the answers as they came, per timed arm.

    Lines and dots are medians, bars the middle nine tenths of the questions.
    """
    figure = make_subplots(
        1, 2, horizontal_spacing=0.1, subplot_titles=("Answers of a forced length", "Answers as they came")
    )
    for arm, lengths in summary["seconds_by_length"].items():
        x = [int(length) for length in lengths]
        y = [value["median"] for value in lengths.values()]
        figure.add_scatter(x=x, y=y, mode="lines+markers", name=arm_label(arm),
                           line=look(arm).line, row=1, col=1)  # fmt: skip
    timed = {arm: value["cost"] for arm, value in summary["arms"].items() if value["cost"]}
    for arm, cost in timed.items():
        seconds, first = cost["seconds"], cost["seconds_to_first_token"]
        figure.add_scatter(
            x=[arm_label(arm)], y=[seconds["median"]], mode="markers", showlegend=False, row=1, col=2,
            marker={"size": 9, "color": look(arm).colour},
            error_y=bars([seconds["median"]], [seconds["low"]], [seconds["high"]], unit=1),
        )  # fmt: skip
        figure.add_scatter(
            x=[arm_label(arm)], y=[first["median"]], mode="markers", showlegend=False, row=1, col=2,
            marker={"size": 9, "symbol": "line-ew-open", "color": INK},
            hovertemplate="first token after %{y:.4f} s<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="Output tokens", row=1, col=1)
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="Seconds, source pass included", row=1, col=1)
    return styled(figure, "Time, one question at a time (dash: first token)", 980, 400)


def wire_figure(summary: Mapping) -> go.Figure:
    """Accuracy against bytes on the wire, one point per format; the text of a question at its own size."""
    figure = go.Figure()
    for name, entry in summary["wire"].items():
        em = entry["em"]
        figure.add_scatter(
            x=[entry["bytes"]], y=[100 * em["accuracy"]], mode="markers+text", text=[name], textposition="top center",
            showlegend=False, marker={"size": 9, "color": COLOURS["latent"]},
            error_y=bars([em["accuracy"]], [em["low"]], [em["high"]]),
        )  # fmt: skip
    # A trace, not `add_vline`: on a logarithmic axis that one's label would stretch the axis to its logarithm.
    text_bytes = summary["sizes"]["text_bytes"]
    figure.add_scatter(x=[text_bytes] * 2, y=[0, 100], mode="lines+text", text=["\u00a0the question as text", ""],
                       textposition="top right", showlegend=False, line={"dash": "dot", "color": INK})  # fmt: skip
    ticks = [digit * 10**power for power in range(9) for digit in (1, 2, 5)]
    figure.update_xaxes(title_text="Bytes per question", type="log", tickvals=ticks, tickformat=",")
    # room for the names above 100
    title = "Right answers, per cent, 95 % by word"
    figure.update_yaxes(title_text=title, range=[-3, 116], tickvals=[0, 20, 40, 60, 80, 100])
    return styled(figure, "What quantised soft tokens cost and keep", 760)


def memory_figure(summary: Mapping) -> go.Figure:
    """KV cache of the target before its answer: the whole prompt as text against what it reads in the latent arm."""
    sizes = summary["sizes"]
    names = {"Prompt as text": "kv_bytes_text", "Latent arm": "kv_bytes_latent"}
    figure = go.Figure(
        go.Bar(
            x=[sizes[name] / 1024 for name in names.values()], y=list(names), orientation="h",
            marker={"color": [COLOURS["target"], COLOURS["latent"]]},
            text=[f"{sizes['prompt_tokens']:.1f} tokens", f"{sizes['latent_tokens']:.1f} tokens"],
        )
    )  # fmt: skip
    figure.update_xaxes(title_text="KiB of keys and values, mean over questions")
    figure.update_layout(margin={"l": 140})
    note = f": no compression, {summary['why_no_compression']}" if summary["why_no_compression"] else ""
    return styled(figure, f"KV cache{note}", 860, 280)
