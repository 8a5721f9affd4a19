"""Information recovered over K and over source layers: how far latent comes from a prompt that knows nothing to text.

The scale has two trained ends, the constant prompt (0) and the text with its trained prompt (100 per cent).
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from lab.evidence import LATENT, Run, families, has_likelihoods, information
from lab.figures.material import Material, Missing
from lab.figures.plate import BY_WORD, Plate, counted, sources_of
from lab.pictures import INK, arm_label, bars, column, look

ARMS = ("latent_shuffled", LATENT)
DASHES = ("solid", "dash", "dot", "dashdot")


def information_over_tokens(material: Material) -> Plate:
    return _plate(material, "information_over_tokens", "soft_tokens", "soft tokens K")


def information_over_layers(material: Material) -> Plate:
    return _plate(material, "information_over_layers", "source_layers", "source layers that are read")


def _plate(material: Material, name: str, field: str, axis: str) -> Plate:
    """A line for each family of recipes that differ in this setting alone, for latent and another question's tokens."""
    told = {number: family for number, family in enumerate(_told(material, field), start=1)}
    if not told:
        raise Missing(
            f"two recipes that differ in {field} alone, with the nats of the gold answers and both trained prompts "
            "(control and text_tuned)"
        )
    rows = [row for number, family in told.items() for value, runs, found in family
            for row in _rows(number, value, runs, found)]  # fmt: skip
    figure = go.Figure()
    values = list(dict.fromkeys(row["value"] for row in rows))
    for arm in ARMS:
        for number, family in told.items():
            own = [row for row in rows if (row["arm"], row["family"]) == (arm, number)]
            if own:
                _line(figure, own, f"{arm_label(arm)}{f', {family[0][1][0].name}' * (len(told) > 1)}")
    entries = len(figure.data)
    column(figure, 210, legend_rows=(entries + 1) // 2 if len(told) == 1 else entries)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=values, title_text=axis)
    figure.update_yaxes(title_text="of what the text tells, per cent", rangemode="tozero")
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    runs = [run for family in told.values() for _, recipe, _ in family for run in recipe]
    caption = (
        f"Information recovered over {axis}: nats of the gold answers that latent saves, of those that the text with "
        "its trained prompt saves over a constant prompt (100 per cent); grey is another question's soft tokens. "
        f"{counted([row['n'] for row in rows], [row['seeds'] for row in rows])}. {BY_WORD}"
    )
    return Plate(name, f"Information recovered over {axis}", figure, caption, rows, sources_of(runs))


def _told(material: Material, field: str) -> list[list[tuple[str, list[Run], dict]]]:
    """Families of (value, replicates, what `information` gives), of recipes with both ends of the scale."""
    found = []
    for family in families(material.evidence, field):
        able = [(_text(runs[0].settings[field]), runs, told) for runs in family
                if all(has_likelihoods(run.records) for run in runs)
                and (told := information([run.records for run in runs])) and told["recovered"].get(LATENT)]  # fmt: skip
        found += [able] if len(able) > 1 else []
    return found


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _rows(number: int, value: str, runs: Sequence[Run], found: dict) -> list[dict]:
    return [
        {"family": number, "value": value, "arm": arm, "recovered": told["value"], "low": told["low"],
         "high": told["high"], "per_seed": " ".join(f"{one:.6f}" for one in told["per_seed"]), "n": found["n"],
         "seeds": found["seeds"], "runs": " ".join(run.name for run in runs)}
        for arm in ARMS if (told := found["recovered"].get(arm))
    ]  # fmt: skip


def _line(figure: go.Figure, rows: Sequence[dict], name: str) -> None:
    shown, number = look(rows[0]["arm"]), rows[0]["family"]
    ends = [[row[end] for row in rows] for end in ("recovered", "low", "high")]
    figure.add_scatter(
        x=[row["value"] for row in rows], y=[100 * row["recovered"] for row in rows], mode="lines+markers",
        name=html.escape(name), marker=shown.marker | {"size": 9},
        line=shown.line | {"width": 2} | ({"dash": DASHES[(number - 1) % 4]} if rows[0]["arm"] == LATENT else {}),
        error_y=bars(*ends, color=shown.colour, thickness=1.4, width=4),
        hovertemplate="%{x}: %{y:.1f} %<extra></extra>",
    )  # fmt: skip
