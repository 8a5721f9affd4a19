"""Figures from a summary: every accuracy with its interval, every panel with its n. Never needs a network to show."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio
from plotly.subplots import make_subplots

from lab.errors import LabError
from lab.evidence import LATENT, ordered_arms
from lab.pictures.intervals import bars
from lab.pictures.looks import COLOURS, LATENT_COLOUR, arm_label, is_control, look
from lab.pictures.theme import CLEAR, FAINT_INK, GRID, INK, PAPER_INK, QUIET_INK, on_paper
from lab.runs import write_bytes, write_text

PANELS = {
    "": "All questions",
    "plain": "Plain",
    "lore/short": "Lore, short",
    "lore/long/seen": "Both skills, seen",
    "lore/long/held_out": "Both skills, held out",
}
pio.defaults.mathjax = False  # it would come from the net, and make formulas of prices
FONT = "Inter, Helvetica Neue, Helvetica, Arial, DejaVu Sans, sans-serif"
HOVER = {"bgcolor": "white", "font": {"family": FONT, "size": 13, "color": PAPER_INK}}


def panels_of(summary: Mapping) -> dict[str, str]:
    """Group -> title of what is worth showing: all questions, then the world's groups, or else the task's own cells."""
    groups = sorted(next(iter(summary["arms"].values()))["cells"])
    known = {group: title for group, title in PANELS.items() if group in groups}
    own = {group: group.replace("_", " ").capitalize() for group in groups if "/" not in group}
    # a single group that covers everything would only repeat the first panel
    return {"": PANELS[""]} | (known or (own if len(own) > 1 else {}))


def cell_of(summary: Mapping, arm: str, group: str) -> Mapping:
    """{"accuracy", "n", "ci95"} of an arm in a group, "" being all questions."""
    return summary["arms"][arm] if group == "" else summary["arms"][arm]["cells"][group]


def _style(figure: go.Figure, width: int, height: int) -> go.Figure:
    figure.update_layout(
        width=width,
        height=height,
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        showlegend=False,
        font={"family": FONT, "size": 13, "color": INK},
        hoverlabel=HOVER,
    )
    return figure


def _title(text: str, **place) -> dict:
    bold = f"<b>{html.escape(text)}</b>"
    return {"text": bold, "x": 0, "xref": "container", "pad": {"l": 22}, "font": {"size": 18}} | place


def accuracy_figure(summary: Mapping, title: str = "Accuracy of every arm") -> go.Figure:
    """Arms as rows, groups of questions as panels; dots are accuracies, bars 95 % Wilson intervals, in per cent.

    Arms come in the reading order of `ordered_arms`; the title of each panel says its n.
    """
    if not summary.get("arms"):
        raise LabError("accuracy_figure: the summary holds no arm; give what `summarise` returns.")
    arms, panels = ordered_arms(summary["arms"]), panels_of(summary)
    heads = [_panel_head(name, cell_of(summary, arms[0], group)["n"]) for group, name in panels.items()]
    figure = make_subplots(1, len(panels), shared_yaxes=True, horizontal_spacing=0.022, subplot_titles=heads)
    figure.update_annotations(font_size=13, yshift=4)
    rows = range(len(arms))[::-1]  # the first arm on top
    for column, group in enumerate(panels, start=1):
        for arm, row in zip(arms, rows, strict=True):
            figure.add_trace(_dot(arm, cell_of(summary, arm, group), row), row=1, col=column)
    if LATENT in arms:
        _highlight(figure, rows[arms.index(LATENT)])
    quiet = {"showgrid": True, "gridcolor": GRID, "zeroline": False}
    figure.update_yaxes(
        tickvals=list(rows), ticktext=[_row_label(arm) for arm in arms], range=[-0.6, len(arms) - 0.4],
        ticklabelstandoff=10, **quiet,
    )  # fmt: skip
    small = {"size": 12, "color": FAINT_INK}
    figure.update_xaxes(range=[-4, 104], tickvals=[0, 50, 100], ticks="", tickfont=small, **quiet)
    width = 190 + 142 * max(len(panels), 3)  # five panels fit into a notebook beside JupyterLab's file browser
    _style(figure, width, 174 + 44 * len(arms))
    place = {"xanchor": "left", "y": 0.965, "yref": "container", "yanchor": "top"}
    figure.update_layout(margin={"l": 166, "r": 24, "t": 112, "b": 62}, title=_title(title, **place))
    figure.add_annotation(
        text="Right answers, per cent, with 95 % Wilson intervals", xref="paper", yref="paper", x=0.5, y=0, yshift=-46,
        showarrow=False, font=small,
    )  # fmt: skip
    return figure


def _panel_head(name: str, n: int) -> str:
    lines = name.replace(", ", ",<br>")  # five panels are narrow
    return f"<b>{lines}</b><br><span style='color:{FAINT_INK}'>n = {n:,}</span>"


def _row_label(arm: str) -> str:
    label = html.escape(arm_label(arm))
    if arm == LATENT:
        return f"<b><span style='color:{LATENT_COLOUR}'>{label}</span></b>"
    return f"<span style='color:{FAINT_INK}'>{label}</span>" if is_control(arm) else label


def _dot(arm: str, cell: Mapping, row: int) -> go.Scatter:
    """One accuracy with its interval and its value. Small dots, capped bars: no interval vanishes behind its dot."""
    colour = look(arm).colour
    accuracy, (low, high) = 100 * cell["accuracy"], (100 * end for end in cell["ci95"])
    big = arm == LATENT
    return go.Scatter(
        x=[accuracy],
        y=[row],
        mode="markers+text",
        text=[f"<b>{accuracy:.1f}</b>" if big else f"{accuracy:.1f}"],
        name=arm_label(arm),
        # a label must not be cut at the panel's edge
        textposition="top right" if accuracy < 8 else "top left" if accuracy > 92 else "top center",
        textfont={"size": 12, "color": QUIET_INK if is_control(arm) else INK},
        cliponaxis=False,
        marker=look(arm).marker | {"size": 9 if big else 8},
        error_x=bars(
            [accuracy], [low], [high], unit=1, color=colour, thickness=2.5 if big else 1.8, width=6 if big else 4
        ),
        hovertemplate=f"<b>{html.escape(arm_label(arm))}</b><br>{accuracy:.1f} % [{low:.1f}, {high:.1f}]"
        f"<br>n = {cell['n']:,}<extra></extra>",
    )


def _highlight(figure: go.Figure, row: int) -> None:
    figure.add_shape(
        type="rect", xref="paper", yref="y", x0=0, x1=1, y0=row - 0.5, y1=row + 0.5, fillcolor=LATENT_COLOUR,
        opacity=0.07, line_width=0, layer="below",
    )  # fmt: skip


def _of_evaluations(metrics: Sequence[Mapping], name: str) -> dict[int, float]:
    """step -> `name`, where rows of metrics.jsonl have it."""
    found = {}
    for row in metrics:
        inner = row.get("evaluation") or row.get("eval") or row
        if isinstance(inner, Mapping) and inner.get(name) is not None:
            found[row["step"]] = inner[name]
    return found


def running_mean(values: Sequence[float]) -> list[float]:
    """The mean of a fiftieth of the values on either side, fewer at the ends: centred, so that it does not lag."""
    reach, means = len(values) // 50, []
    for place in range(len(values)):
        side = min(reach, place, len(values) - 1 - place)
        window = values[place - side : place + side + 1]
        means.append(sum(window) / len(window))
    return means


def training_curve(metrics: Sequence[Mapping], title: str = "Training") -> go.Figure:
    """The loss of every step (faint) with its running mean, and what was measured on dev where rows of metrics.jsonl
    give it: accuracy, or the nats that a token of the gold answers costs."""
    # a step done again after a resume counts once, the later row wins
    losses = {row["step"]: row["loss"] for row in metrics if row.get("loss") is not None}
    accuracies = {step: 100 * value for step, value in _of_evaluations(metrics, "accuracy").items()}
    looks = accuracies or _of_evaluations(metrics, "nats")
    if not losses and not looks:
        raise LabError(
            "training_curve: the metrics hold neither a loss nor an accuracy; give the rows of metrics.jsonl."
        )
    figure = make_subplots(1, 2 if looks else 1, horizontal_spacing=0.12)
    steps = sorted(losses)
    values = [losses[step] for step in steps]
    faint, plain = {"color": "rgba(0,114,178,0.25)", "width": 1}, {"color": COLOURS["target"], "width": 2.5}
    figure.add_trace(go.Scatter(x=steps, y=values, mode="lines", name="loss", line=faint), 1, 1)
    figure.add_trace(go.Scatter(x=steps, y=running_mean(values), mode="lines", name="running mean", line=plain), 1, 1)
    figure.update_yaxes(title_text="Loss", rangemode="tozero", row=1, col=1)
    if looks:
        steps = sorted(looks)
        latent = go.Scatter(
            x=steps, y=[looks[step] for step in steps], mode="lines+markers", name="latent",
            line={"color": LATENT_COLOUR, "width": 2.5}, marker={"size": 8},
        )  # fmt: skip
        figure.add_trace(latent, 1, 2)
        if accuracies:
            figure.update_yaxes(title_text="Latent accuracy, per cent", range=[-2, 102], row=1, col=2)
        else:
            figure.update_yaxes(title_text="Gold answers on dev, nats per token", row=1, col=2)
    figure.update_xaxes(title_text="Step", gridcolor=GRID, zeroline=False)
    figure.update_yaxes(gridcolor=GRID, zeroline=False)
    figure.for_each_xaxis(lambda axis: axis.title.update(font_size=13))
    figure.for_each_yaxis(lambda axis: axis.title.update(font_size=13))
    _style(figure, 880 if looks else 620, 360)
    figure.update_layout(margin={"l": 80, "r": 30, "t": 64, "b": 60}, title=_title(title))
    return figure


def write_figure(figure: go.Figure, path: str | Path) -> None:
    """Write `figure` as .html (stands alone), .pdf, .svg or .png (twice the resolution), by the path's ending: in dark
    ink on white, as for paper."""
    path, figure = Path(path), on_paper(figure)
    if path.suffix == ".html":
        return write_text(path, figure.to_html(include_plotlyjs=True, full_html=True, config={"displaylogo": False}))
    if path.suffix not in (".pdf", ".svg", ".png"):
        raise LabError(f"{path}: figures are written as .html, .pdf, .svg or .png; choose one of these endings.")
    try:
        image = figure.to_image(format=path.suffix[1:], scale=2)
    except (ImportError, RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise LabError(
            f"{path}: the image could not be drawn ({reason}); it needs kaleido with Chrome or Chromium, "
            "while .html needs neither."
        ) from error
    write_bytes(path, image)


def flips_figure(table: Mapping, title: str = "Right in the row, wrong in the column") -> go.Figure:
    """The counts of `Desk.flips_table`: how many questions the row has right and the column wrong."""
    names = [html.escape(str(name)) for name in table["names"]]
    figure = go.Figure(
        go.Heatmap(
            z=table["counts"], x=[f"{name}<br>wrong" for name in names], y=[f"{name} right" for name in names],
            colorscale=[[0, "#FFFFFF"], [1, LATENT_COLOUR]], showscale=False, xgap=3, ygap=3,
            texttemplate="%{z}", hovertemplate="%{y}, %{x}: %{z}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, side="bottom")
    figure.update_layout(title=_title(title))
    return _style(figure, 170 + 110 * max(3, len(names)), 150 + 50 * max(3, len(names)))
