"""Pictures of the audit: a run's evaluations with their intervals, and reported numbers beside recomputed ones."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from lab.audit.archive import Archive
from lab.audit.recomputed import ABSENT, DIFFERS
from lab.evidence import wilson
from lab.pictures import CLEAR, COLOURS, FONT, GRID, HOVER, INK, LATENT_COLOUR, MUTED, WILSON, bars
from lab.runs import FINAL


def _figure(title: str, width: int, height: int, left: int = 70) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        title={"text": title, "x": 0, "xref": "paper", "font": {"size": 15}},
        width=width,
        height=height,
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        hoverlabel=HOVER,
        font={"family": FONT, "size": 13, "color": INK},
        margin={"l": left, "r": 150, "t": 50, "b": 50},
        legend={"x": 1.02, "y": 1, "font": {"size": 12}},
    )
    return figure


def _empty(figure: go.Figure, text: str) -> go.Figure:
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.add_annotation(text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    return figure


def steps_figure(archive: Archive, short: str, title: str) -> go.Figure:
    """The latent arm at each evaluation of a run (a name of `RUNS`), in per cent, over the target and source lines.

    Full dots come from rows, with 95 % Wilson intervals; rings are evaluations of which only the log's number is left.
    """
    figure, run = _figure(title, 900, 380), archive.run(short)
    entries = [entry for entry in archive.steps if run and entry["run"] == run.name]
    if not entries:
        return _empty(figure, ABSENT)
    places = [str(entry["step"]) for entry in entries]
    lines = {}
    for entry in entries:
        for arm in ("source", "target"):
            value = entry[f"{arm}_acc"] if entry["n"] else (entry["log"] or {}).get(f"{arm}_acc")
            lines.setdefault(arm, []).append(None if value is None else 100 * value)
    for arm, values in lines.items():
        if any(value is not None for value in values):
            line = {"color": COLOURS[arm], "width": 1.5, "dash": "dot"}
            figure.add_scatter(x=places, y=values, mode="lines", line=line, name=f"{arm} alone")
    rows = [entry for entry in entries if entry["bridged_acc"] is not None]
    logged = [entry for entry in entries if entry["bridged_acc"] is None and entry["log"]]
    ends = [wilson(round(entry["bridged_acc"] * entry["n"]), entry["n"]) for entry in rows]
    figure.add_scatter(
        x=[str(entry["step"]) for entry in rows],
        y=[100 * entry["bridged_acc"] for entry in rows],
        error_y=bars(
            [entry["bridged_acc"] for entry in rows],
            [low for low, _ in ends],
            [high for _, high in ends],
            thickness=1.5,
            width=4,
        ),
        mode="markers",
        marker={"color": LATENT_COLOUR, "size": 10},
        name="latent, from rows",
    )
    figure.add_scatter(
        x=[str(entry["step"]) for entry in logged],
        y=[None if (value := entry["log"]["bridged_acc"]) is None else 100 * value for entry in logged],
        mode="markers",
        marker={"color": CLEAR, "size": 9, "line": {"color": LATENT_COLOUR, "width": 2}},
        name="latent, log only",
    )
    figure.update_xaxes(title="training step", type="category", categoryarray=places, showgrid=False)
    return figure.update_yaxes(title=f"right, per cent, {WILSON}", gridcolor=GRID, range=[-3, 103], zeroline=False)


def differences_figure(rows: Sequence[Mapping]) -> go.Figure:
    """Accuracies that were reported (rings) beside what rows or log give (dots), where the two differ.

    Grey dots are what an earlier reading of rows gave that are not here.
    """
    shown = [row for row in rows if row["unit"] == "%" and row["verdict"] == DIFFERS]
    shown += [row for row in rows if row["unit"] == "%" and row["verdict"] == ABSENT
              and row["reread"] is not None and abs(row["reread"] - row["reported"]) > 0.051]  # fmt: skip
    figure = _figure("Reported accuracies that rows or logs do not give", 900, 130 + 24 * len(shown), 330)
    if not shown:
        return _empty(figure, "none differs, or no rows are here")
    names = [f"{row['place']}  {row['what'].replace('_', ' ').replace(f' {FINAL}', ' the end')}" for row in shown]
    found = [row["recomputed"] if row["verdict"] == DIFFERS else row["reread"] for row in shown]
    colours = [LATENT_COLOUR if row["verdict"] == DIFFERS else MUTED for row in shown]
    for name, row, value in zip(names, shown, found, strict=True):
        line = {"color": GRID, "width": 4}
        figure.add_scatter(x=[row["reported"], value], y=[name] * 2, mode="lines", line=line, showlegend=False)
    ring = {"color": CLEAR, "size": 11, "line": {"color": INK, "width": 2}}
    figure.add_scatter(x=[row["reported"] for row in shown], y=names, mode="markers", marker=ring, name="reported")
    for label, verdict in (("recomputed here", DIFFERS), ("earlier reading", ABSENT)):
        chosen = [index for index, row in enumerate(shown) if row["verdict"] == verdict]
        if chosen:
            figure.add_scatter(
                x=[found[index] for index in chosen],
                y=[names[index] for index in chosen],
                mode="markers",
                marker={"color": colours[chosen[0]], "size": 11},
                name=label,
            )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure.update_xaxes(title="right, per cent", gridcolor=GRID, zeroline=False)
