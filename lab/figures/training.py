"""Training curves: what was measured on dev while the main recipe trained, its best look and its last one."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev

import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy.special import stdtrit

from lab.evidence import LATENT, Run, wilson
from lab.figures.material import Material, Missing
from lab.figures.plate import LOG, Plate, counted, named, sources_of
from lab.pictures import INK, arm_label, bars, column, look

ACCURACY, NATS = "accuracy", "nats"
TITLES = {ACCURACY: "right on dev, per cent", NATS: "gold answers on dev,<br>nats per token"}


def training_curves(material: Material) -> Plate:
    """A panel for accuracy with the three arms, one for nats where runs were chosen by likelihood."""
    shown = {measure: runs for measure in (ACCURACY, NATS) if (runs := _first_with(material, measure))}
    if not shown:
        raise Missing("a run that logged at least two evaluations on dev (metrics.jsonl, eval_every above 0)")
    figure, rows = make_subplots(len(shown), 1, vertical_spacing=0.12, shared_xaxes=False), []
    for place, (measure, runs) in enumerate(shown.items(), start=1):
        own = [row for row in _rows(runs, measure)]
        _draw(figure, own, place)
        rows += own
        figure.update_yaxes(title_text=TITLES[measure], row=place, col=1)
    figure.update_xaxes(title_text="training step", row=len(shown), col=1)
    column(
        figure,
        215 * len(shown) + 30 * (len(shown) - 1),
        legend=sum(trace.showlegend is not False for trace in figure.data),
        legend_columns=2,
        left=76 if NATS in shown else 62,
    )
    return Plate("training_curves", "Training", figure, _caption(shown), rows,
                 sources_of([run for runs in shown.values() for run in runs], (LOG,)))  # fmt: skip


def looks_of(run: Run, measure: str) -> dict[int, dict]:
    """step -> the row that training logged there, where it holds this measure; the later of two wins."""
    return {row["step"]: row for row in run.log if row.get("kind") == "evaluation" and row.get(measure) is not None}


def _first_with(material: Material, measure: str) -> list[Run]:
    """The replicates of the first recipe that logged this measure twice."""
    for runs in material.evidence.recipes():
        able = [run for run in runs if len(looks_of(run, measure)) > 1]
        if able:
            return able
    return []


def _rows(runs: Sequence[Run], measure: str) -> list[dict]:
    """A row for each seed and step of the latent arm, then for the mean over seeds of every arm, with its interval."""
    looks = [looks_of(run, measure) for run in runs]
    rows = [{"measure": measure, "arm": LATENT, "seed": run.seed, "step": step, "value": row[measure], "low": None,
             "high": None, "n": row["n"], "mark": ""}
            for run, own in zip(runs, looks, strict=True) for step, row in sorted(own.items())]  # fmt: skip
    steps = sorted(set.intersection(*(set(own) for own in looks)))
    arms = {LATENT: measure} | ({"source": "source", "target": "target"} if measure == ACCURACY else {})
    for arm, key in arms.items():
        values = {step: [own[step].get(key) for own in looks] for step in steps}
        means = {step: fmean(those) for step, those in values.items() if None not in those}
        best = max(means, key=lambda step: means[step] * (1 if measure == ACCURACY else -1), default=None)
        for step, mean in means.items():
            n = min(own[step]["n"] for own in looks)
            low, high = wilson(mean * n, n) if measure == ACCURACY else _over_seeds(values[step])
            marked = [word for word, at in (("peak", best), ("last", steps[-1])) if at == step and arm == LATENT]
            rows.append({"measure": measure, "arm": arm, "seed": "mean", "step": step, "value": mean, "low": low,
                         "high": high, "n": n, "mark": " and ".join(marked)})  # fmt: skip
    return rows


def _over_seeds(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Ends of the t interval over seeds: a log holds one mean, so of one seed nothing is known of its spread."""
    if len(values) < 2:
        return None, None
    half = -float(stdtrit(len(values) - 1, 0.025)) * stdev(values) / len(values) ** 0.5
    return fmean(values) - half, fmean(values) + half


def _draw(figure: go.Figure, rows: Sequence[dict], place: int) -> None:
    unit = 100 if rows[0]["measure"] == ACCURACY else 1
    seeds = {row["seed"] for row in rows} - {"mean"}
    for seed in sorted(seeds) if len(seeds) > 1 else []:
        own = [row for row in rows if row["seed"] == seed]
        figure.add_scatter(
            x=[row["step"] for row in own], y=[unit * row["value"] for row in own], mode="lines", showlegend=False,
            line={"color": look(LATENT).colour, "width": 0.8}, opacity=0.55, row=place, col=1,
            hovertemplate=f"seed {seed}, step %{{x}}: %{{y:.3g}}<extra></extra>",
        )  # fmt: skip
    for arm in ("source", "target", LATENT):
        own = [row for row in rows if row["arm"] == arm and row["seed"] == "mean"]
        if own:
            _line(figure, arm, own, unit, place)
    for row in rows:
        if row["mark"]:
            _mark(figure, row, unit, place)


def _line(figure: go.Figure, arm: str, own: Sequence[dict], unit: float, place: int) -> None:
    shown = look(arm)
    known = own[0]["low"] is not None
    ends = [[row[name] for row in own] for name in ("value", "low", "high")]
    figure.add_scatter(
        x=[row["step"] for row in own], y=[unit * row["value"] for row in own], name=arm_label(arm),
        mode="lines+markers", line=shown.line | {"width": 2.4 if arm == LATENT else 1.6},
        marker=shown.marker | {"size": 6 if arm == LATENT else 5},
        error_y=bars(*ends, unit=unit, color=shown.colour, thickness=1.2, width=3) if known else None,
        legendgroup=arm, legendrank=1 if arm == LATENT else 2, showlegend=place == 1, row=place, col=1,
        hovertemplate=f"{arm_label(arm)}, step %{{x}}: %{{y:.3g}}<extra></extra>",
    )  # fmt: skip


def _mark(figure: go.Figure, row: dict, unit: float, place: int) -> None:
    """A ring around the best look, a square around the last one; the legend says their values."""
    peak, accuracy = "peak" in row["mark"], unit == 100
    value = f"{unit * row['value']:.1f}" if accuracy else f"{row['value']:.3f}"
    word = row["mark"] if accuracy else row["mark"].replace("peak", "least")
    step = "" if " " in word else f", step {row['step']:,}"  # "peak and last" fills its place in the legend
    figure.add_scatter(
        x=[row["step"]], y=[unit * row["value"]], mode="markers", name=f"{word} {value}{step}",
        marker={"size": 14, "symbol": "circle-open" if peak else "square-open", "color": INK, "line": {"width": 1.6}},
        hoverinfo="skip", row=place, col=1,
    )  # fmt: skip


def _caption(shown: dict[str, list[Run]]) -> str:
    parts = []
    for measure, runs in shown.items():
        looks = [looks_of(run, measure) for run in runs]
        n = counted([row["n"] for own in looks for row in own.values()], [len(runs)], "dev questions")
        names = f"recipe {named(runs[0])}"
        if measure == ACCURACY:
            parts.append(
                f"Accuracy on dev while training, {names}, {n}. Bars are 95 % Wilson intervals of the mean over seeds "
                "at n questions, as the same questions serve every seed."
            )
        else:
            bars_are = "Bars are 95 % t intervals over seeds" if len(runs) > 1 else "One seed: no interval is known"
            parts.append(f"Nats per token of the gold answers on dev, {names}, {n}. {bars_are}.")
    thin = " Thin lines are single seeds." * any(len(runs) > 1 for runs in shown.values())
    return (
        " ".join(parts)
        + thin
        + (" The ring marks the best look, the square the last one; the best of several is too good by picking alone.")
    )
