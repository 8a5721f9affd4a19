"""The two directions of a pair, and the documents' rule for soft tokens beside the literal question, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.pictures.intervals import CLUSTERED
from lab.pictures.numbers import format_p, percent, points
from lab.pictures.tables import Table

NO_OTHER_WAY = (
    "No run of the other direction was given, so nothing here says whether the direction matters: run "
    "papermill_jobs/effects/effect_swapped.yaml beside effect_base.yaml, or papermill_jobs/real/gsm8k_swapped.yaml "
    "beside gsm8k.yaml, and name both."
)
NOBODY = "not known"


def directions_table(found: Sequence[Mapping]) -> Table:
    """What `lab.evidence.both_ways` gives: a row for each direction and each arm that latent is set against, in points
    of right answers and in bits per character that the gold text costs less."""
    columns = ["runs", "source", "target", "seeds", "n", "stronger alone", "by", "source - target", CLUSTERED,
               "latent minus", "points", CLUSTERED, "p (Holm)", "bits saved", CLUSTERED, "p (Holm)"]  # fmt: skip
    rows = []
    for way in (way for pair in found for way in pair["ways"]):
        about = [_names(way["runs"]), way["source"], way["target"], str(len(way["seeds"])), str(way["n"]),
                 *_stronger(way["stronger"])]  # fmt: skip
        for place, gain in enumerate(way["gains"]):
            rows.append([*(about if not place else [""] * len(about)), gain["over"], *_effects(gain)])
    return Table(columns, rows, empty=NO_OTHER_WAY)


def direction_gains_table(found: Sequence[Mapping]) -> Table:
    """Which way soft tokens gain more: the first direction's gain over an arm minus the second's."""
    columns = ["first way", "minus", "gain over", "points", CLUSTERED, "p (Holm)", "gains more", "bits saved",
               CLUSTERED, "p (Holm)", "gains more"]  # fmt: skip
    rows = []
    for pair in found:
        names = [f"{way['source']} to {way['target']}" for way in pair["ways"]]
        for place, row in enumerate(pair["differences"]):
            right, told = _effects(row)[:3], _effects(row)[3:]
            rows.append([*(names if not place else ["", ""]), row["over"], *right, row["more"]["right"], *told,
                         row["more"]["told"]])  # fmt: skip
    return Table(columns, rows, empty=NO_OTHER_WAY)


def hybrid_table(rows: Sequence[Mapping]) -> Table:
    """What `lab.evidence.hybrid_rows` gives: the documents' threshold and what it says, beside the paired difference
    and what that says. A kind of run that is not there names the jobs that make it."""
    columns = ["soft tokens", "runs", "seeds", "n", "threshold: target, %", "latent, %", "the rule says",
               "latent - target, points", CLUSTERED, "shown at 80 % power", "verdict", "latent - constant prompt",
               CLUSTERED]  # fmt: skip
    shown = []
    for row in rows:
        if not row["runs"]:
            shown.append([row["kind"], "run " + " or ".join(row["jobs"]), *[""] * 8, row["verdict"], "", ""])
            continue
        least = row["detectable"]
        shown.append(
            [row["kind"], _names(row["runs"]), str(len(row["seeds"])), str(row["n"]), percent(row["threshold"]),
             percent(row["latent"]), row["rule"], *_effect(row, points, percent),
             "" if least is None else percent(least), row["verdict"],
             *(_effect(row["beyond_prompt"], points, percent) if row["beyond_prompt"] else ["", ""])]
        )  # fmt: skip
    return Table(columns, shown)


def _names(runs: Sequence[str]) -> str:
    return runs[0] + f" +{len(runs) - 1}" * (len(runs) > 1)


def _stronger(found: Mapping) -> list[str]:
    """Model, by what, and source - target with its interval in that unit."""
    if not found["arm"]:
        return [NOBODY, "", "", ""]
    shown, end = (points, percent) if found["by"] == "accuracy" else ("{:+.3f}".format, "{:.3f}".format)
    return [found["model"], found["by"], *_effect(found, shown, end)]


def _effects(row: Mapping) -> list[str]:
    """Points and bits, each with interval and p."""
    shown = []
    for name, of, end in (("right", points, percent), ("told", "{:+.3f}".format, "{:.3f}".format)):
        effect = row[name]
        shown += [*_effect(effect, of, end), format_p(effect["p_holm"])] if effect else ["", "", ""]
    return shown


def _effect(found: Mapping, shown, end) -> list[str]:
    if found["effect"] is None:
        return ["", ""]
    return [shown(found["effect"]), f"{end(found['low'])} - {end(found['high'])}"]
