"""Information recovered over K and over source layers: how far latent comes from a prompt that knows nothing to text.

The scale has two trained ends, the constant prompt (0) and the text with its trained prompt (100 per cent).
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from lab.evidence import LATENT, Run, families, has_likelihoods, information
from lab.figures.material import Material, Missing
from lab.figures.plate import BY_WORD, Plate, counted, named, sources_of
from lab.pictures import INK, arm_label, bars, column, look

ARMS = ("latent_shuffled", LATENT)
DASHES, SYMBOLS = ("solid", "dash", "dot", "dashdot"), ("circle", "square-open", "diamond", "cross")


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
    names = _names(told)
    for arm in ARMS:
        for number in told:
            own = [row for row in rows if (row["arm"], row["family"]) == (arm, number)]
            if own:
                _line(figure, own, names[number] if arm == LATENT else arm_label(arm))
    column(figure, 210, legend=len(told) + 1, legend_columns=2 if len(told) == 1 else 1)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=values, title_text=axis)
    figure.update_yaxes(title_text="recovered, per cent", rangemode="tozero")
    figure.add_hline(y=0, line={"color": INK, "width": 1})
    runs = [run for family in told.values() for _, recipe, _ in family for run in recipe]
    caption = (
        f"Information recovered over {axis}: nats of the gold answers that latent saves, of those that the text with "
        "its trained prompt saves over a constant prompt (100 per cent); grey is another question's soft tokens; "
        "recipes without both trained prompts are left out. "
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


def _names(told: dict) -> dict[int, str]:
    """Family -> what its line is called: by its layout where that tells families apart, else by its first run."""
    firsts = {number: family[0][1][0] for number, family in told.items()}
    layouts = {number: str(run.settings["layout"]).replace("_", " ") for number, run in firsts.items()}
    if len(told) == 1:
        return dict.fromkeys(told, arm_label(LATENT))
    apart = len(set(layouts.values())) == len(told)
    return {
        number: f"{arm_label(LATENT)}, {layouts[number] if apart else named(run)}" for number, run in firsts.items()
    }


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _rows(number: int, value: str, runs: Sequence[Run], found: dict) -> list[dict]:
    return [
        {"family": number, "value": value, "arm": arm, "recovered": told["value"], "low": told["low"],
         "high": told["high"], "per_seed": " ".join(f"{one:.6f}" for one in told["per_seed"]), "n": found["n"],
         "seeds": found["seeds"], "runs": " ".join(map(named, runs))}
        for arm in ARMS if (told := found["recovered"].get(arm))
    ]  # fmt: skip


def _line(figure: go.Figure, rows: Sequence[dict], name: str) -> None:
    shown, number, latent = look(rows[0]["arm"]), rows[0]["family"], rows[0]["arm"] == LATENT
    ends = [[row[end] for row in rows] for end in ("recovered", "low", "high")]
    figure.add_scatter(
        x=[row["value"] for row in rows], y=[100 * row["recovered"] for row in rows], mode="lines+markers",
        name=html.escape(name), showlegend=latent or number == 1, legendrank=1 if latent else 2,
        marker=shown.marker | {"size": 9} | ({"symbol": SYMBOLS[(number - 1) % 4]} if latent else {}),
        line=shown.line | {"width": 2} | ({"dash": DASHES[(number - 1) % 4]} if latent else {}),
        error_y=bars(*ends, color=shown.colour, thickness=1.4, width=4),
        hovertemplate="%{x}: %{y:.1f} %<extra></extra>",
    )  # fmt: skip
