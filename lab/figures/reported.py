"""Reported against recomputed: the numbers of earlier documents that rows, logs or arithmetic do not give."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil

from plotly.subplots import make_subplots

from lab.audit import ABSENT, AGREES, DIFFERS, Archive, verdicts
from lab.figures.material import Material, Missing
from lab.figures.plate import Plate, Source
from lab.pictures import INK, LATENT_COLOUR, MUTED, column, lines_of

ROW = 25  # pixels
UNITS = {"x": "×", "MiB": " MiB", "GPU h": " GPU h", "M": " M", "tokens": " tokens", "n": "", "points": " points"}
SIZES = ("x", "MiB")  # what differs by a factor
ROUNDING = 0.051  # of an accuracy in per cent


def reported_and_recomputed(material: Material) -> Plate:
    """Above accuracies, below sizes as the factor by which they were reported too large."""
    judged = verdicts(material.archive)
    accuracies, sizes = _once(filter(_accuracy_differs, judged)), _once(filter(_size_differs, judged))
    counts = [len(accuracies), len(sizes)]
    if not any(counts):
        raise Missing("an archive of earlier rows that differ from what was reported")
    figure = make_subplots(2, 1, vertical_spacing=76 / (ROW * sum(counts) + 76), row_heights=[n + 0.6 for n in counts])
    _accuracies(figure, accuracies)
    _sizes(figure, sizes)
    column(figure, ROW * sum(counts) + 76, left=238, legend=3, right=24)
    runs = material.archive.runs
    return Plate("reported_and_recomputed", "Reported against recomputed", figure, _caption(judged, material.archive),
                 [_row(row) for row in judged], [_source(run) for run in runs])  # fmt: skip


def _accuracy_differs(row: Mapping) -> bool:
    reread = row["reread"] is not None and abs(row["reread"] - row["reported"]) > ROUNDING
    return row["unit"] == "%" and (row["verdict"] == DIFFERS or (row["verdict"] == ABSENT and reread))


def _size_differs(row: Mapping) -> bool:
    return row["unit"] in SIZES and row["verdict"] == DIFFERS and row["recomputed"] > 0


def _once(rows) -> list[Mapping]:
    """A number that several documents repeat stands once."""
    return list({(row["what"], row["reported"]): row for row in rows}.values())


def _accuracies(figure, rows: Sequence[Mapping]) -> None:
    here = [row["verdict"] == DIFFERS for row in rows]
    values = [row["recomputed"] if one else row["reread"] for row, one in zip(rows, here, strict=True)]
    heights = list(range(len(rows)))[::-1]
    for row, value, y in zip(rows, values, heights, strict=True):
        figure.add_scatter(x=[row["reported"], value], y=[y, y], mode="lines", showlegend=False, hoverinfo="skip",
                           line={"color": MUTED, "width": 2}, row=1, col=1)  # fmt: skip
    looks = (
        ("reported", [row["reported"] for row in rows], [True] * len(rows), INK, "circle-open"),
        ("recomputed here", values, here, LATENT_COLOUR, "circle"),
        ("earlier reading of rows not here", values, [not one for one in here], MUTED, "square"),
    )
    for name, points, shown, colour, symbol in looks:
        chosen = [place for place, one in enumerate(shown) if one]
        if chosen:
            figure.add_scatter(
                x=[points[place] for place in chosen], y=[heights[place] for place in chosen], mode="markers",
                name=name, marker={"size": 9, "color": colour, "symbol": symbol, "line": {"width": 2}}, row=1, col=1,
            )  # fmt: skip
    figure.update_xaxes(title_text="right, per cent", row=1, col=1)
    _labels(figure, rows, heights, 1)


def _sizes(figure, rows: Sequence[Mapping]) -> None:
    heights = list(range(len(rows)))[::-1]
    for row, y in zip(rows, heights, strict=True):
        figure.add_scatter(x=[1, row["reported"] / row["recomputed"]], y=[y, y], mode="lines", showlegend=False,
                           hoverinfo="skip", line={"color": MUTED, "width": 2}, row=2, col=1)  # fmt: skip
    factors = [row["reported"] / row["recomputed"] for row in rows]
    unit = [UNITS.get(row["unit"], "") for row in rows]
    figure.add_scatter(
        x=factors, y=heights, mode="markers+text", showlegend=False, row=2, col=1,
        text=[f"\u00a0{row['reported']:g}, is {row['recomputed']:g}{one}\u00a0"
              for row, one in zip(rows, unit, strict=True)],
        textposition="middle right", cliponaxis=False,
        marker={"size": 9, "color": LATENT_COLOUR}, hovertemplate="%{x:.2f} times<extra></extra>", textfont_size=14,
    )  # fmt: skip
    most = max(factors, default=1)
    figure.update_xaxes(
        title_text="times too large, as reported",
        range=[0.5, 2.4 * most],
        tickvals=list(range(1, ceil(most) + 1)),
        row=2,
        col=1,
    )
    figure.add_vline(x=1, line={"color": INK, "width": 1, "dash": "dot"}, row=2, col=1)
    _labels(figure, rows, heights, 2)


def _labels(figure, rows: Sequence[Mapping], heights: Sequence[int], place: int) -> None:
    names = [lines_of(_short(row["what"]), 40) for row in rows]
    figure.update_yaxes(tickvals=list(heights), ticktext=names, range=[-0.8, len(rows) - 0.2], row=place, col=1)


def _short(what: str) -> str:
    """`compression, K = 32`: in one line of a margin."""
    what = re.sub(r"at (\d+) soft tokens", r"at K = \1", what.replace("_", " "))
    return what.replace("points of decline over", "points over").replace(" at final", " at the end")


def _row(row: Mapping) -> dict:
    names = ("place", "what", "unit", "reported", "recomputed", "basis", "difference", "verdict", "reread")
    return {name: row[name] for name in names}


def _source(run) -> Source:
    files = [step.path for step in run.steps] + [path for path in (run.log_path, run.summary_path) if path]
    return Source(run.name, "", tuple(files))


def _caption(judged: Sequence[Mapping], archive: Archive) -> str:
    found = Counter(row["verdict"] for row in judged)
    here = f"{len(archive.runs)} archived runs are here" if archive.runs else "no archived rows are here"
    return (
        f"What earlier documents report and rows, logs or arithmetic do not give; n = {len(judged)} reported numbers, "
        f"of which {found[AGREES]} agree, {found[DIFFERS]} differ and {found[ABSENT]} have no rows here ({here}). "
        "Each is one evaluation, of 200 questions where accuracies are concerned; no intervals are drawn, as the "
        "difference is between two counts of the same answers. Squares are an earlier reading of rows that are not "
        "here. Below: reported sizes over what tokenizers and model configs give."
    )
