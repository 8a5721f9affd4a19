"""Flips between arms: how many questions the row's arm has right and the column's wrong."""

from __future__ import annotations

import plotly.graph_objects as go

from lab.evidence import LATENT, ordered_arms, rows_of
from lab.figures.material import Material, Missing
from lab.figures.plate import Plate, counted, named, sources_of
from lab.pictures import GRID, column, lines_of

SHOWN = ("source", "target", "cascade", "text_hint", "text_tuned", LATENT, "latent_constant", "latent_shuffled")
SHORT = {
    "source": "Source", "target": "Target", "cascade": "Cascade", "text_hint": "Gold gloss",
    "text_tuned": "Text, tuned",
    LATENT: "Latent", "latent_constant": "Constant", "latent_shuffled": "Shuffled",
}  # fmt: skip
CELL = 44  # pixels
DARK = (8, 48, 107)  # of a full cell; an empty one is white


def flips(material: Material) -> Plate:
    """Of the main recipe, over its seeds: means of counts."""
    runs = material.evidence.main
    arms = [arm for arm in ordered_arms(set.intersection(*(run.arms for run in runs))) if arm in SHOWN]
    if len(arms) < 2:
        raise Missing("records with two of the arms " + ", ".join(SHOWN))
    both = rows_of(runs)
    right = {arm: both.values(runs, arm) for arm in arms}
    counts = {
        (one, other): float((right[one] * (1 - right[other])).sum(axis=1).mean())
        for one in arms for other in arms if one != other
    }  # fmt: skip
    rows = [{"right": one, "wrong": other, "questions": count, "n": len(both.ids), "seeds": len(runs)}
            for (one, other), count in counts.items()]  # fmt: skip
    caption = (
        f"Questions that the row's arm answers right and the column's wrong, run {named(runs[0])}; "
        f"{counted([len(both.ids)], [len(runs)])}{', mean over seeds' * (len(runs) > 1)}. Counts, so there is no "
        "interval; paired tests of these counts stand in the tables."
    )
    return Plate("flips", "Flips between arms", _draw(arms, counts, len(both.ids)), caption, rows, sources_of(runs))


def _draw(arms: list[str], counts: dict[tuple[str, str], float], n: int) -> go.Figure:
    table = [[counts.get((one, other)) for other in arms] for one in arms]
    most = max(counts.values()) or 1
    names = [lines_of(SHORT[arm], 12) for arm in arms]
    figure = go.Figure(
        go.Heatmap(
            z=table, x=names, y=names, zmin=0, zmax=most, showscale=False, xgap=2, ygap=2, hoverongaps=False,
            colorscale=[[0, "rgb(255,255,255)"], [1, f"rgb{DARK}"]],
            hovertemplate="%{y} right, %{x} wrong: %{z:.1f}<extra></extra>",
        )
    )  # fmt: skip
    for row, one in enumerate(arms):
        for place, other in enumerate(arms):
            if one != other:
                value = counts[one, other]
                figure.add_annotation(
                    x=place, y=row, text=f"{value:,.0f}", showarrow=False, name="count",
                    font={"color": "rgb(255,255,255)" if value > 0.45 * most else f"rgb{DARK}"},
                )  # fmt: skip
    column(figure, CELL * len(arms), left=92, top=22, bottom=86)
    figure.update_yaxes(autorange="reversed", showgrid=False, title_text="")
    figure.update_xaxes(showgrid=False, tickangle=-40, title_text="")
    place = {"showarrow": False, "xref": "paper", "yref": "paper", "font": {"size": 14}}
    figure.add_annotation(text="right in the row, wrong in the column", x=0.5, y=1, yanchor="bottom", **place)
    return figure.update_layout(plot_bgcolor=GRID)
