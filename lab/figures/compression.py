"""The trade-off of compression against quality: accuracy over K, and over what a soft token was measured to stand for.

Where the target reads the question beside the soft tokens nothing is compressed: such runs stand apart, with open
marks, and in the first panel only.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lab.evidence import LATENT, NotRun, Run, families, measured_compression, proportion, rows_of
from lab.figures.material import Material, Missing
from lab.figures.plate import BY_WORD, Plate, counted, named, sources_of
from lab.pictures import bars, column, look

ALONE, BESIDE = "soft tokens alone", "question as text beside"
DASHES = ("solid", "dot", "dashdot", "longdash")


def compression_tradeoff(material: Material) -> Plate:
    """A line for each family of recipes that differ in the number of soft tokens alone."""
    found = families(material.evidence, "soft_tokens")
    if not found:
        raise Missing("runs that differ in the number of soft tokens alone")
    rows = [row for number, family in enumerate(found, start=1) for runs in family for row in [_row(number, runs)]]
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.05, column_widths=[0.55, 0.45])
    for number, name in _names(rows).items():
        own = [row for row in rows if row["family"] == number]
        _line(figure, own, "soft_tokens", 1, name)
        _line(figure, own, "compression", 2, name)
    _reference(figure, rows)
    column(figure, 220, legend=len(_names(rows)) + 1)
    _axes(figure, rows)
    runs = [run for family in found for recipe in family for run in recipe]
    return Plate("compression_tradeoff", "Compression against quality", figure, _caption(found, rows), rows,
                 sources_of(runs))  # fmt: skip


def _row(family: int, runs: Sequence[Run]) -> dict:
    both = rows_of(runs)
    right = proportion(both.values(runs, LATENT), both.clusters)
    soft = [row["arms"][LATENT]["soft_tokens"] for run in runs for row in run.records]
    try:
        compression = sum(map(measured_compression, runs)) / len(runs)
    except NotRun:
        compression = None
    target = proportion(both.values(runs, "target"), both.clusters)["accuracy"] if _has(runs, "target") else None
    return {
        "family": family, "runs": " ".join(map(named, runs)), "layout": runs[0].settings["layout"],
        "context_aware": any(run.context_aware() for run in runs), "soft_tokens": sum(soft) / len(soft),
        "compression": compression, "accuracy": right["accuracy"], "low": right["low"], "high": right["high"],
        "n": right["n"], "seeds": right["seeds"], "target": target,
    }  # fmt: skip


def _has(runs: Sequence[Run], arm: str) -> bool:
    return all(arm in run.arms for run in runs)


def _line(figure: go.Figure, rows: Sequence[dict], over: str, place: int, name: str) -> None:
    shown = sorted((row for row in rows if row[over]), key=lambda row: row[over])
    if not shown:
        return
    aware = rows[0]["context_aware"]
    colour = look("text_tuned").colour if aware else look(LATENT).colour
    dash = "dash" if aware else DASHES[(rows[0]["family"] - 1) % len(DASHES)]
    ends = [[row[end] for row in shown] for end in ("accuracy", "low", "high")]
    figure.add_scatter(
        x=[row[over] for row in shown], y=[100 * row["accuracy"] for row in shown], mode="lines+markers",
        name=name, legendgroup=name, showlegend=place == 1, line={"color": colour, "width": 2, "dash": dash},
        marker={"size": 8, "color": colour, "symbol": "square-open" if aware else "circle"},
        error_y=bars(*ends, color=colour, thickness=1.3, width=4), row=1, col=place,
        hovertemplate="%{x:.3g}: %{y:.1f} %<extra></extra>",
    )  # fmt: skip


def _names(rows: Sequence[dict]) -> dict[int, str]:
    """Family -> what the legend calls it; with its number where two would be called the same."""
    kind = {row["family"]: BESIDE if row["context_aware"] else ALONE for row in rows}
    return {number: name if list(kind.values()).count(name) == 1 else f"{name}, {number}"
            for number, name in kind.items()}  # fmt: skip


def _reference(figure: go.Figure, rows: Sequence[dict]) -> None:
    """The target alone with the whole text, where all families have the same."""
    texts = {round(row["target"], 6) for row in rows if row["target"] is not None}
    if len(texts) == 1:
        for place, over in ((1, "soft_tokens"), (2, "compression")):
            ends = [row[over] for row in rows if row[over]]
            if ends:
                figure.add_scatter(
                    x=[min(ends), max(ends)], y=[100 * texts.copy().pop()] * 2, mode="lines", name="target alone",
                    line=look("target").line | {"width": 1.6}, showlegend=place == 1, legendgroup="target", row=1,
                    col=place, hovertemplate="target alone: %{y:.1f} %<extra></extra>",
                )  # fmt: skip


def _axes(figure: go.Figure, rows: Sequence[dict]) -> None:
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title_text="right, per cent", row=1, col=1)
    tokens = sorted({row["soft_tokens"] for row in rows})
    figure.update_xaxes(type="log", tickvals=tokens, ticktext=[f"{value:.3g}" for value in tokens], tickangle=0,
                        title_text="soft tokens K", row=1, col=1)  # fmt: skip
    ratios = sorted({row["compression"] for row in rows if row["compression"]})
    figure.update_xaxes(type="log", tickvals=ratios, ticktext=[f"{value:.2g}" for value in ratios], tickangle=0,
                        title_text="compression, times", row=1, col=2)  # fmt: skip


def _caption(found: Sequence[Sequence[Sequence[Run]]], rows: Sequence[dict]) -> str:
    lines = ". ".join(
        f"Line {number}: {named(family[0][0])} and those that differ in K alone"
        for number, family in enumerate(found, start=1)
    )
    apart = (
        " Open marks: the target reads the question as text as well, so nothing is compressed and they have no place "
        "on the right." * any(row["context_aware"] for row in rows)
    )
    return (
        f"Accuracy of the latent arm over the number of soft tokens K (left) and over the compression measured in the "
        f"records (right): tokens of the target's prompt that one soft token stands for. {lines}.{apart} "
        f"{counted([row['n'] for row in rows], [row['seeds'] for row in rows])}. {BY_WORD}"
    )
