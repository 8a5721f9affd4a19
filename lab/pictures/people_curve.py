"""The curve over people: does a translator that was trained on more of them read the fact, or know more names?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from lab.errors import LabError
from lab.evidence import LATENT, Evidence, proportion
from lab.pictures.cost_figures import styled
from lab.pictures.intervals import CLUSTERED, bars
from lab.pictures.looks import COLOURS, MUTED
from lab.pictures.numbers import interval, percent
from lab.pictures.tables import Table
from lab.tasks import groups_of
from lab.tasks.people import PEOPLE
from lab.tasks.twohop import NEW_FACT, clusters_of

CHANCE = 0.05
LINES = {  # arm, group -> what the line is called, its colour, its dash
    (LATENT, "lore/long/seen"): ("people it was trained on, another attribute", "#E69F00", "solid"),
    (LATENT, "lore/long/held_out"): ("held-out people", COLOURS[LATENT], "solid"),
    (LATENT, NEW_FACT): ("held-out people, a fact kept from training", "#CC79A7", "solid"),
    (LATENT, "lore/long/held_out/new_way"): ("held-out people, asked in a new way", COLOURS[LATENT], "dot"),
    ("latent_shuffled", "lore/long/held_out"): ("held-out people, another question's soft tokens", MUTED, "dash"),
    ("target", "lore/long/held_out"): ("held-out people, the target alone", COLOURS["target"], "dash"),
}


def people_rows(evidence: Evidence) -> list[dict]:
    """A row per number of people, arm and group of `LINES`, from the fewest people on: {"people", "arm", "group",
    "runs", "accuracy", "low", "high", "n", "clusters", "seeds", "per_seed"}, over all seeds, clustered by person; where
    the target's knowledge of a few facts has to answer, by fact, each of which several people are asked about.

    Raises LabError for runs of another task, or that differ in more than the people and the seed.
    """
    rows, recipe = [], evidence.runs[0].recipe(without=("people",))
    for runs in evidence.recipes():
        if runs[0].settings["task"] != "twohop":
            raise LabError(f"run {runs[0].name} is of task {runs[0].settings['task']!r}; the curve is over twohop's.")
        if runs[0].recipe(without=("people",)) != recipe:
            raise LabError(
                f"runs {evidence.runs[0].name} and {runs[0].name} differ in more than the number of people; "
                "a curve changes one thing."
            )
        people = runs[0].settings["people"] or PEOPLE["train"]
        for arm, group in LINES:
            asked = [row for row in runs[0].records if group in groups_of(row["cell"])]
            if not asked or any(arm not in run.arms for run in runs):
                continue
            right = [run.right(arm) for run in runs]
            values = [[float(one[row["id"]]) for row in asked] for one in right]
            found = proportion(values, clusters_of(group, asked))
            rows.append({"people": people, "arm": arm, "group": group, "runs": [run.name for run in runs], **found})
    return sorted(rows, key=lambda row: (row["people"], list(LINES).index((row["arm"], row["group"]))))


def people_table(rows: Sequence[Mapping]) -> Table:
    """Rows of `people_rows`, in per cent."""
    lines = [
        [f"{row['people']:,}", LINES[row["arm"], row["group"]][0], percent(row["accuracy"]),
         interval(row["low"], row["high"]), str(row["n"]), " ".join(map(percent, row["per_seed"]))]
        for row in rows
    ]  # fmt: skip
    return Table(["people", "asked about", "right, %", CLUSTERED, "n", "seeds"], lines)


def people_figure(rows: Sequence[Mapping]) -> go.Figure:
    """Accuracy over the number of people that the translator was trained on, a line per arm and group."""
    figure = go.Figure()
    for (arm, group), (name, colour, dash) in LINES.items():
        own = [row for row in rows if (row["arm"], row["group"]) == (arm, group)]
        if own:
            means, lows, highs = ([row[key] for row in own] for key in ("accuracy", "low", "high"))
            figure.add_scatter(
                x=[row["people"] for row in own], y=[100 * mean for mean in means], name=name, mode="lines+markers",
                line={"color": colour, "dash": dash}, error_y=bars(means, lows, highs, color=colour),
            )  # fmt: skip
    figure.add_hline(100 * CHANCE, line={"color": MUTED, "width": 1}, annotation_text="chance")
    figure.update_xaxes(type="log", title_text="people the translator was trained on",
                        tickvals=sorted({row["people"] for row in rows}))  # fmt: skip
    figure.update_yaxes(range=[-2, 102], title_text="right answers, per cent")
    figure.update_layout(legend={"orientation": "h", "y": -0.2})
    return styled(figure, "Does it read the fact, or know the name?", 900, 520)
