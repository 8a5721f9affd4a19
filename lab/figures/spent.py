"""Where a run's time and memory went, part by part; a fill is a kind of work, whatever part it is done in."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from plotly.subplots import make_subplots

from lab.clock import DEVICE, INSIDE
from lab.figures.material import Material, Missing
from lab.figures.plate import Plate, Source, named
from lab.pictures import INK, MUTED, WORK, column, lines_of, mark, work_of
from lab.runs import RunDirectory

PATTERNS = dict(zip(WORK, ("/", "", "\\", "x", "-", ".", "+"), strict=False))
MIB = 2**20
ROW = 24  # pixels


def time_and_memory(material: Material) -> Plate:
    """Of the first run given that was trained under a clock."""
    found = [(run, spent) for run in material.evidence.runs if (spent := RunDirectory(run.path).time_and_memory())]
    if not found:
        raise Missing("a run that was trained under a clock (time_and_memory in its summary or manifest)")
    run, spent = found[0]
    rows = _rows(spent)
    outer = list(dict.fromkeys(row["part"] for row in rows))
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.1, column_widths=[0.62, 0.38])
    heights = dict(zip(outer, range(len(outer))[::-1], strict=True))
    _seconds(figure, rows, heights, spent["seconds"] or 1)
    _memory(figure, rows, heights)
    names = [lines_of(part, 18) for part in outer]
    figure.update_yaxes(tickvals=list(heights.values()), ticktext=names, range=[-0.6, len(outer) - 0.4], showgrid=False)
    kinds = [work for work in WORK if any(row["work"] == work for row in rows)]
    column(figure, ROW * len(outer), left=122, legend=len(kinds), legend_columns=2, right=34)
    figure.update_layout(barmode="stack", bargap=0.25)
    files = tuple(file for name in ("summary.json", "manifest.json") if (file := run.path / name).is_file())
    source = Source(named(run), run.about()["config_hash"], files)
    return Plate("time_and_memory", "Where time and memory went", figure, _caption(run, spent), rows, [source])


def _rows(spent: Mapping) -> list[dict]:
    return [
        {"part": name.partition(INSIDE)[0], "inside": name.partition(INSIDE)[2], "work": work_of(name),
         "seconds": part["seconds"], "times": part["times"], "peak_bytes": part["peak_bytes"]}
        for name, part in spent["parts"].items()
    ]  # fmt: skip


def _seconds(figure, rows: Sequence[Mapping], heights: Mapping[str, int], whole: float) -> None:
    told = set()
    for row in rows:
        figure.add_bar(
            x=[row["seconds"]], y=[heights[row["part"]]], orientation="h", name=row["work"], legendgroup=row["work"],
            showlegend=row["work"] not in told, row=1, col=1,
            marker={"color": WORK[row["work"]], "line": {"width": 0.6, "color": INK},
                    "pattern": {"shape": PATTERNS[row["work"]], "size": 5, "solidity": 0.25, "fgcolor": INK,
                                "fillmode": "overlay"}},
            hovertemplate=f"{html.escape(row['part'])} {html.escape(row['inside'])}: %{{x:.3g}} s<extra></extra>",
        )  # fmt: skip
        told.add(row["work"])
    sums = {part: sum(row["seconds"] for row in rows if row["part"] == part) for part in heights}
    shares = [f"\u00a0{100 * seconds / whole:.0f} %" for seconds in sums.values()]
    mark(figure, sums.values(), [heights[part] for part in sums], shares, "middle right", row=1, col=1)
    figure.update_xaxes(title_text="seconds", range=[0, 1.32 * max(sums.values())], nticks=4, row=1, col=1)


def _memory(figure, rows: Sequence[Mapping], heights: Mapping[str, int]) -> None:
    peaks = {part: [row["peak_bytes"] for row in rows if row["part"] == part] for part in heights}
    known = {part: max(values) / MIB for part, values in peaks.items() if None not in values}
    figure.add_bar(x=list(known.values()), y=[heights[part] for part in known], orientation="h", showlegend=False,
                   marker={"color": MUTED, "line": {"width": 0.6, "color": INK}}, row=1, col=2,
                   hovertemplate="%{x:,.0f} MiB<extra></extra>")  # fmt: skip
    figure.update_xaxes(title_text="most memory, MiB", rangemode="tozero", nticks=2, row=1, col=2)


def _caption(run, spent: Mapping) -> str:
    kind = {DEVICE: "allocated on the device", None: "not told here"}.get(spent["memory"], "resident, the process")
    return (
        f"Where time and memory went in run {named(run)}: {spent['seconds']:,.1f} s on {spent['device']} "
        f"(n = 1 run, measured once, no interval); memory is {kind}. Per cent of the whole stand beside the bars; a "
        "fill is a kind of work."
    )
