"""Ablations: every recipe against the one it differs least from, grouped by what changed: source layers, loss, ..."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence

from plotly.subplots import make_subplots

from lab.evidence import LATENT, neighbours
from lab.figures.material import Material, Missing
from lab.figures.plate import BY_WORD, Plate, counted, named, sources_of
from lab.pictures import COLUMN, INK, MUTED, bars, column, lines_of, look, mark

# The section of the config that differs -> what the group is called, from top to bottom.
GROUPS = {
    "pair": "Source layers", "losses": "Loss", "translator": "Translator", "layout": "Layout",
    "training": "Training", "task": "Questions", "evaluation": "Evaluation", "": "Other",
}  # fmt: skip
MEASURES = {"effect": (100, "points of<br>accuracy"), "told": (1, "nats per<br>token saved")}
LETTERS, ROW = 25, 38  # of a label's line; pixels
LEFT, RIGHT, GAP = 188, 14, 0.06  # of the page, pixels; between the panels, of their ground
SHARES = {1: (1.0,), 2: (0.42, 0.58)}  # of the ground: nats have more digits than points
DIGIT = 9  # pixels that a letter of a number takes


def ablation_results(material: Material) -> Plate:
    """Effects with intervals, in points and, where the records hold likelihoods, in nats per token saved."""
    found = neighbours(material.evidence)
    if not found:
        raise Missing("two recipes asked the same questions, sharing a seed, that differ in one section of the config")
    order = list(GROUPS)
    found.sort(key=lambda row: order.index(row["section"]) if row["section"] in GROUPS else len(order))
    rows = [_row(one, measure) for one in found for measure in MEASURES if one[measure]]
    measures = [measure for measure in MEASURES if any(one[measure] for one in found)]
    figure = make_subplots(1, len(measures), shared_yaxes=True, horizontal_spacing=GAP,
                           column_widths=SHARES[len(measures)])  # fmt: skip
    heights, heads = _heights(found)
    for place, measure in enumerate(measures, start=1):
        at = [height for height, one in zip(heights, found, strict=True) if one[measure]]
        wide = (COLUMN - LEFT - RIGHT) * (1 - GAP * (len(measures) - 1)) * SHARES[len(measures)][place - 1]
        _draw(figure, [row for row in rows if row["measure"] == measure], at, place, wide)
        figure.update_xaxes(title_text=MEASURES[measure][1], row=1, col=place)
        figure.add_vline(x=0, line={"color": INK, "width": 1}, row=1, col=place)
    labels = _labels(found)
    top = max(heads) + 0.5
    figure.update_yaxes(tickvals=heights, ticktext=labels, range=[-0.7, top], showgrid=False)
    column(figure, int(ROW * (top + 0.7)), left=LEFT, right=RIGHT, bottom=70)
    for height, head in heads.items():
        figure.add_annotation(text=f"<b>{head}</b>", x=0, xref="paper", xanchor="right", xshift=-6, y=height,
                              yref="y", showarrow=False, font={"size": 14})  # fmt: skip
    runs = [run for one in found for run in (*one["against"], *one["runs"])]
    return Plate("ablation_results", "Ablations", figure, _caption(found), rows, sources_of(runs))


def _row(one: Mapping, measure: str) -> dict:
    effect = one[measure]
    return {
        "group": GROUPS.get(one["section"], one["section"]), "runs": " ".join(map(named, one["runs"])),
        "against": " ".join(map(named, one["against"])), "changes": changed(one["differs"]), "measure": measure,
        **{name: effect[name] for name in ("effect", "low", "high", "p", "p_holm", "seeds")}, "n": one["n"],
    }  # fmt: skip


def changed(differs: Mapping[str, Sequence]) -> str:
    """`soft_tokens 8 (32)`: what is otherwise than in the other recipe (in brackets)."""
    return ", ".join(f"{name} {mine} ({other})" for name, (other, mine) in differs.items())


def _label(differs: Mapping[str, Sequence]) -> str:
    """The same in two lines of a margin; of many changes the first, and how many more."""
    # a weight says more than what shapes it
    (name, (other, mine)), *more = sorted(differs.items(), key=lambda item: not item[0].endswith("_weight"))
    text = f"{name.removesuffix('_weight').replace('_', ' ')}: {mine} ({other})"
    return lines_of(text, LETTERS, 2) + (f" +{len(more)}" if more else "")


def _labels(found: Sequence[Mapping]) -> list[str]:
    """A label for each row; of recipes that change the same the run says which is which."""
    labels = [_label(one["differs"]) for one in found]
    often = Counter(labels)
    runs = [lines_of(f"in {named(one['runs'][0])}", LETTERS, 1) for one in found]
    return [f"{label.split('<br>')[0]}<br>{run}" if often[label] > 1 else label
            for label, run in zip(labels, runs, strict=True)]  # fmt: skip


def _heights(found: Sequence[Mapping]) -> tuple[list[float], dict[float, str]]:
    """(the height of each row, height -> head of a group), counted from the bottom up."""
    heights, heads, y, last = [], {}, 0.0, None
    for one in reversed(found):
        if last is not None and one["section"] != last:
            heads[y - 0.2] = html.escape(GROUPS.get(last, last))
            y += 0.8
        heights.append(y)
        last = one["section"]
        y += 1
    heads[y - 0.2] = html.escape(GROUPS.get(last, last))
    return heights[::-1], heads


def _draw(figure, rows: Sequence[Mapping], at: Sequence[float], place: int, wide: float) -> None:
    """One panel, `wide` pixels of it."""
    unit = MEASURES[rows[0]["measure"]][0]
    sure = [row["p_holm"] <= 0.05 and row["seeds"] > 1 for row in rows]
    bounds = [[row[name] for row in rows] for name in ("effect", "low", "high")]
    figure.add_scatter(
        x=[unit * row["effect"] for row in rows], y=at, mode="markers", showlegend=False,
        marker={"size": 9, "color": [look(LATENT).colour if one else MUTED for one in sure],
                "symbol": ["circle" if one else "circle-open" for one in sure], "line": {"width": 2}},
        error_x=bars(*bounds, unit=unit, color=INK, thickness=1.3, width=4), row=1, col=place,
        customdata=[html.escape(row["changes"]) for row in rows],
        hovertemplate="%{customdata}: %{x:.3g}<extra></extra>",
    )  # fmt: skip
    reach = [unit * row[end] for row in rows for end in ("low", "high")] + [0]
    shown = [f"{unit * row['effect']:+.1f}" if unit == 100 else f"{row['effect']:+.3f}" for row in rows]
    effects = [unit * row["effect"] for row in rows]
    ends, sides = with_room(effects, [DIGIT * len(text) / wide for text in shown], min(reach), max(reach))
    figure.update_xaxes(range=ends, nticks=4, tickangle=0, row=1, col=place)
    mark(figure, effects, [y + 0.06 for y in at], shown, [f"top {side}" for side in sides], row=1, col=place)


def with_room(
    values: Sequence[float], widths: Sequence[float], low: float, high: float
) -> tuple[list[float], list[str]]:
    """(the ends of an axis from `low` to `high` that has room for a number at each value, on which side it stands).

    `widths`: of the numbers, as shares of the axis. One stands over its mark, or beside the line at zero where it would
    stand on that.
    """
    step = 0.02 * ((high - low) or 1)
    ends, sides = [low - step, high + step], []
    for _ in range(400):
        whole = [share * (ends[1] - ends[0]) for share in widths]
        sides = ["center" if abs(value) > wide / 2 else "left" if value < 0 else "right"
                 for value, wide in zip(values, whole, strict=True)]  # fmt: skip
        left = {"center": 0.5, "left": 1, "right": 0}  # how much of it stands left of its mark
        over = list(zip(values, whole, map(left.get, sides), strict=True))
        short = [min(value - wide * part for value, wide, part in over) < ends[0],
                 max(value + wide * (1 - part) for value, wide, part in over) > ends[1]]  # fmt: skip
        if not any(short):
            break
        ends = [ends[0] - step * short[0], ends[1] + step * short[1]]
    return ends, sides


def _caption(found: Sequence[Mapping]) -> str:
    effects = [one[measure] for one in found for measure in MEASURES if one[measure]]
    return (
        "What each piece matters: the latent arm of each recipe minus that of the one in brackets, on the same "
        "questions, seed against seed; right of zero the change helps. Full marks: p at most .05 after Holm over "
        f"{len(effects)} comparisons and two seeds at least; open marks decide nothing. "
        f"{counted([one['n'] for one in found], [effect['seeds'] for effect in effects])}. {BY_WORD}"
    )
