"""The cost frontier: accuracy against what an answer costs, in bytes on the wire, bytes of cache, and seconds."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from plotly.subplots import make_subplots

from lab.errors import LabError
from lab.figures.material import COSTS, Material, Missing
from lab.figures.plate import Plate, Source
from lab.pictures import arm_label, bars, column, look

# What is paid -> its axis, and its unit in what was measured
PANELS = {
    "wire_bytes": ("bytes on the wire", 1),
    "kv_bytes": ("cache at the end, KiB", 1024),
    "first_token": ("first token, ms", 1e-3),
    "end_to_end": ("whole answer, ms", 1e-3),
}
TEXT_OF_QUESTION = "target"  # reads the question: what crosses the wire to it is the question's text


def cost_frontier(material: Material) -> Plate:
    """Four panels over the first measurement of costs that is given; up and to the left is better."""
    if not material.costs:
        raise Missing(f"a folder of notebook 04_inference_metrics ({COSTS})")
    file, costs = material.costs[0]
    try:
        rows = _rows(costs)
    except (KeyError, TypeError, AttributeError) as error:
        raise LabError(f"{file} lacks {error}: measure the costs again") from None
    if not any(row["panel"] == "end_to_end" for row in rows):
        raise Missing("costs with a clock (timed_questions above 0)")
    figure = make_subplots(2, 2, shared_yaxes=True, horizontal_spacing=0.1, vertical_spacing=0.24)
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    for place, panel in enumerate(PANELS):
        _draw(figure, [row for row in rows if row["panel"] == panel], place // 2 + 1, place % 2 + 1)
    for arm in arms:  # a legend of markers alone, in the order of the arms
        figure.add_scatter(x=[None], y=[None], mode="markers", name=html.escape(arm_label(arm)),
                           marker=look(arm).marker | {"size": 9}, row=1, col=1)  # fmt: skip
    top = max(row["high"] for row in rows)
    figure.update_yaxes(range=[-0.05 * 100 * top, 106 * top])
    for row in (1, 2):
        figure.update_yaxes(title_text="right, %", row=row, col=1)
    column(figure, 340, top=24, legend=len(arms), legend_columns=2)
    return Plate("cost_frontier", "Accuracy against costs", figure, _caption(costs), rows, [_source(file, costs)])


def _rows(costs: Mapping) -> list[dict]:
    rows = []
    for arm, entry in costs["arms"].items():
        for panel, spread in _paid(arm, entry, costs).items():
            rows.append({
                "arm": arm, "panel": panel, "cost": spread["median"], "cost_low": spread["low"],
                "cost_high": spread["high"], "accuracy": entry["em"]["accuracy"], "low": entry["em"]["low"],
                "high": entry["em"]["high"], "n": entry["em"]["n"], "timed": costs["timed"],
            })  # fmt: skip
    return rows


def _paid(arm: str, entry: Mapping, costs: Mapping) -> dict[str, Mapping]:
    """Panel -> median and the middle nine tenths of an arm's cost, where it was measured; bytes have no spread."""
    found, wire = {}, costs["wire"].get(arm.removeprefix("latent_"))
    size = wire["bytes"] if wire else costs["sizes"]["text_bytes"] if arm == TEXT_OF_QUESTION else None
    if size is not None:
        found["wire_bytes"] = {"median": size, "low": size, "high": size}
    if entry["cost"]:
        names = {"kv_bytes": "kv_bytes", "first_token": "seconds_to_first_token", "end_to_end": "seconds"}
        found |= {panel: entry["cost"][name] for panel, name in names.items()}
    return found


def _draw(figure, rows: Sequence[Mapping], row: int, col: int) -> None:
    panel = rows[0]["panel"] if rows else None
    for one in rows:
        unit = 1 / PANELS[panel][1]
        shown = look(one["arm"])
        cost = [one["cost"]], [one["cost_low"]], [one["cost_high"]]
        figure.add_scatter(
            x=[unit * one["cost"]], y=[100 * one["accuracy"]], mode="markers", showlegend=False,
            marker=shown.marker | {"size": 9}, row=row, col=col, cliponaxis=False,
            error_x=bars(*cost, unit=unit, color=shown.colour, thickness=1.2, width=0),
            error_y=bars([one["accuracy"]], [one["low"]], [one["high"]], color=shown.colour, thickness=1.2, width=3),
            hovertemplate=f"{html.escape(arm_label(one['arm']))}: %{{x:,.3g}}, %{{y:.1f}} %<extra></extra>",
        )  # fmt: skip
    if rows:
        figure.update_xaxes(type="log", title_text=PANELS[panel][0], row=row, col=col, **_ticks(rows, unit))


def _ticks(rows: Sequence[Mapping], unit: float) -> dict:
    """Ticks at 1, 2 and 5 of a decade within reach, at most four of them, with room at both ends."""
    from math import log10

    least, most = (unit * function(row[name] for row in rows)
                   for function, name in ((min, "cost_low"), (max, "cost_high")))  # fmt: skip
    least, most = least / 1.35, most * 1.35
    every = [digit * 10.0**power for power in range(-4, 13) for digit in (1, 2, 5)]
    ticks = [tick for tick in every if least <= tick <= most]
    while len(ticks) > 4:
        ticks = ticks[::2]
    return {"range": [log10(least), log10(most)], "tickvals": ticks, "ticktext": [f"{tick:,g}" for tick in ticks]}


def _source(file: Path, costs: Mapping) -> Source:
    return Source(str(costs.get("run", file.parent.name)), str(costs.get("config_hash", "")), (file,))


def _caption(costs: Mapping) -> str:
    why = f" No compression: {costs['why_no_compression']}." if costs.get("why_no_compression") else ""
    return (
        f"Accuracy against costs, run {costs.get('run', '')}, device {costs.get('device', 'not told')}: up and to the "
        f"left is better. Accuracies of n = {costs['n']:,} test questions with 95 % intervals, questions that share a "
        f"word as one cluster; costs of {costs['timed']:,} of them, one at a time, medians with the middle nine tenths "
        "(no confidence intervals); the source's pass is in the times. What crosses the wire is soft tokens, or for "
        f"the target alone the question's text.{why}"
    )
