"""Stability: accuracy on dev over steps with and without the stability fixes, the spread of seeds as a band."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import plotly.graph_objects as go

from lab.evidence import CLAIMS, NotRun, Run
from lab.figures.material import Material, Missing
from lab.figures.plate import LOG, Plate, counted, named, sources_of
from lab.pictures import MUTED, column, look

FIXES = next(claim.test.setting for claim in CLAIMS if claim.key == "fixes_prevent_collapse")
WITH, WITHOUT = "with the fixes", "without"


def stability_comparison(material: Material) -> Plate:
    """The runs that the claim on collapse compares: seed against seed, nothing else changed."""
    try:
        sides = dict(zip((WITH, WITHOUT), FIXES.sides(material.evidence), strict=True))
    except NotRun as reason:
        raise Missing(f"runs with and without the stability fixes, nothing else changed: {reason}") from None
    if short := [named(run) for runs in sides.values() for run in runs if len(run.looks) < 2]:
        raise Missing(f"runs with and without the fixes that logged evaluations on dev (not {short[0]})")
    rows = [row for side, runs in sides.items() for row in _rows(side, runs)]
    figure = go.Figure()
    for side in (WITHOUT, WITH):
        _draw(figure, side, [row for row in rows if row["side"] == side])
    column(figure, 220, legend=2, legend_columns=2)
    figure.update_xaxes(title_text="training step")
    figure.update_yaxes(title_text="latent, right on dev, per cent", rangemode="tozero")
    both = [run for runs in sides.values() for run in runs]
    return Plate("stability_comparison", "Stability", figure, _caption(sides), rows, sources_of(both, (LOG,)))


def _rows(side: str, runs: Sequence[Run]) -> list[dict]:
    """A row for each step that a run of this side looked at: mean, least and most over the seeds that have it."""
    steps = sorted({step for run in runs for step in run.looks})
    found = {step: [run.looks[step] for run in runs if step in run.looks] for step in steps}
    return [
        {"side": side, "step": step, "mean": fmean(value for value, _ in those), "low": min(those)[0],
         "high": max(those)[0], "seeds": len(those), "n": min(n for _, n in those)}
        for step, those in found.items()
    ]  # fmt: skip


def _draw(figure: go.Figure, side: str, rows: Sequence[dict]) -> None:
    colour, dash, symbol, fill = (
        (look("latent").colour, "solid", "circle", "rgba(213,94,0,0.22)") if side == WITH
        else (MUTED, "dash", "square", "rgba(154,160,166,0.28)")
    )  # fmt: skip
    steps, lows, highs = ([row[name] for row in rows] for name in ("step", "low", "high"))
    figure.add_scatter(
        x=steps + steps[::-1], y=[100 * value for value in highs + lows[::-1]], fill="toself", fillcolor=fill,
        mode="lines", line={"width": 0.6, "color": colour, "dash": dash}, showlegend=False, hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=steps, y=[100 * row["mean"] for row in rows], mode="lines+markers", name=side,
        legendrank=1 if side == WITH else 2,
        line={"color": colour, "dash": dash, "width": 2.4}, marker={"size": 7, "symbol": symbol, "color": colour},
        hovertemplate=f"{side}, step %{{x}}: %{{y:.1f}} %<extra></extra>",
    )  # fmt: skip


def _caption(sides: dict[str, list[Run]]) -> str:
    runs = sides[WITH]
    looks = [n for run in runs for _, n in run.looks.values()]
    differing = FIXES.contrast([sides[WITH], sides[WITHOUT]])
    one = " One seed on each side decides nothing." if len(runs) < 2 else ""
    return (
        f"Latent accuracy on dev with and without the stability fixes ({differing}); nothing else differs. "
        f"{counted(looks, [len(runs)], 'dev questions')} on each side. Lines are means over seeds, bands reach from "
        f"the lowest to the highest seed; they are no confidence intervals.{one}"
    )
