"""Arms and controls: every arm's accuracy and latent minus it, as a forest; and by group of questions."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from plotly.subplots import make_subplots

from lab.evidence import LATENT
from lab.figures.material import Material
from lab.figures.plate import BY_WORD, Plate, counted, named, sources_of
from lab.pictures import (
    INK,
    PAGE,
    TEXT,
    accuracy_figure,
    arm_label,
    bars,
    column,
    lines_of,
    look,
)

ROW = 27  # pixels


def arms_and_controls(material: Material) -> Plate:
    """Left the accuracy of every arm, right latent minus it; arms that repeat another's every text stand once."""
    found = [row for row in material.arms if not row["same_as"]]
    again = [f"{arm_label(row['arm'])} repeats {arm_label(row['same_as'])}" for row in material.arms if row["same_as"]]
    paired = any(row["versus"] for row in found)
    figure = make_subplots(1, 2 if paired else 1, shared_yaxes=True, horizontal_spacing=0.11)
    heights = dict(zip([row["arm"] for row in found], range(len(found))[::-1], strict=True))
    for row in found:
        _dot(figure, row["arm"], row | {"middle": row["accuracy"]}, heights[row["arm"]], 1, row["per_seed"])
        if versus := row["versus"].get("all"):
            _dot(figure, row["arm"], versus | {"middle": versus["effect"]}, heights[row["arm"]], 2)
    figure.update_yaxes(tickvals=list(heights.values()), ticktext=[_name(arm) for arm in heights],
                        range=[-0.7, len(found) - 0.3])  # fmt: skip
    figure.update_xaxes(title_text="right, per cent", range=[-4, 104], tickvals=[0, 50, 100], row=1, col=1)
    if paired:
        figure.update_xaxes(title_text="latent minus arm,<br>points", nticks=4, row=1, col=2)
        figure.add_vline(x=0, line={"color": INK, "width": 1}, row=1, col=2)
    column(figure, ROW * len(found), left=166, bottom=70)
    rows = [_row(row) for row in material.arms]
    main = material.evidence.main
    return Plate("arms_and_controls", "Arms and controls", figure, _caption(found, again, main), rows, sources_of(main))


def _name(arm: str) -> str:
    label = lines_of(arm_label(arm), 24)
    return f"<b>{label}</b>" if arm == LATENT else label


def _dot(figure, arm: str, found: Mapping, height: int, place: int, seeds: Sequence[float] = ()) -> None:
    shown = look(arm)
    figure.add_scatter(
        x=[100 * found["middle"]], y=[height], mode="markers", showlegend=False, cliponaxis=False,
        marker=shown.marker | {"size": 10}, row=1, col=place,
        error_x=bars([found["middle"]], [found["low"]], [found["high"]], color=shown.colour, thickness=1.8, width=4),
        hovertemplate=f"{html.escape(arm_label(arm))}: %{{x:.1f}} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
                      "<extra></extra>",
    )  # fmt: skip
    if len(seeds) > 1:
        figure.add_scatter(
            x=[100 * value for value in seeds], y=[height - 0.3] * len(seeds), mode="markers", showlegend=False,
            marker={"size": 6, "symbol": "line-ns-open", "color": INK}, row=1, col=place,
            hovertemplate="one seed: %{x:.1f} %<extra></extra>",
        )  # fmt: skip


def _row(row: Mapping) -> dict:
    versus = row["versus"].get("all", {})
    return {
        **{name: row[name] for name in ("arm", "accuracy", "low", "high", "n", "clusters", "seeds", "context_aware")},
        "per_seed": " ".join(f"{value:.6f}" for value in row["per_seed"]), "same_as": row["same_as"],
        **{f"latent_minus_{name}": versus.get(name) for name in ("effect", "low", "high", "p", "p_holm")},
    }  # fmt: skip


def _caption(found: Sequence[Mapping], again: Sequence[str], main: Sequence) -> str:
    ticks = " Small ticks are seeds." * (found[0]["seeds"] > 1)
    runs = f"run {named(main[0])}{' and its replicates' * (len(main) > 1)}"
    return (
        f"Every arm on the same questions, {runs}: right answers (left), latent minus the arm (right). "
        f"{counted([found[0]['n']], [found[0]['seeds']])}. {BY_WORD}{ticks}"
        + (f" {'; '.join(again)} in every answer." if again else "")
    )


def accuracy_by_group(material: Material) -> Plate:
    """Every arm of the main run's first seed in every group of questions; as wide as a page."""
    summary, run = material.summary, material.evidence.main[0]
    figure = accuracy_figure(summary)
    figure.update_layout(title=None, font_size=TEXT, width=max(PAGE, figure.layout.width), margin={"t": 66, "l": 190})
    figure.layout.height -= 46
    figure.update_annotations(font_size=TEXT)
    figure.update_traces(textfont_size=TEXT)
    figure.update_xaxes(tickfont_size=TEXT)
    figure.update_yaxes(tickfont_size=TEXT)
    groups = next(iter(summary["arms"].values()))["cells"]
    rows = [
        {"arm": arm, "group": group or "all", "accuracy": cell["accuracy"], "low": cell["ci95"][0],
         "high": cell["ci95"][1], "n": cell["n"]}
        for arm, entry in summary["arms"].items() for group in ("", *groups)
        for cell in [entry["cells"][group] if group else entry]
    ]  # fmt: skip
    caption = (
        f"Right answers of every arm by group of questions, run {named(run)}, n = {summary['n']:,} test questions, one "
        "seed; each panel's own n stands above it. Bars are 95 % Wilson intervals, every question taken as independent."
    )
    return Plate("accuracy_by_group", "Accuracy by group of questions", figure, caption, rows, sources_of([run]))
