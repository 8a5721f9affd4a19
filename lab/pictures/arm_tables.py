"""Tables of arms: accuracies with intervals, latent against each of the others, what each was right about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.evidence import LATENT, ordered_arms
from lab.pictures.intervals import CLUSTERED, WILSON
from lab.pictures.numbers import format_p, interval, percent, points
from lab.pictures.tables import Table

if TYPE_CHECKING:
    import pandas

GROUPS = {
    "plain": "plain",
    "lore/short": "lore short",
    "lore/long/seen": "both seen",
    "lore/long/held_out": "both held out",
}
PLACES = {"all": "latent - arm", "both_held_out": "both skills, held out"}
TEXT_TRANSFER = ("cascade", "same_bytes", "text_hint")


def _groups(summary: Mapping) -> dict[str, str]:
    """Group -> title: the world's groups, or else the task's own cells."""
    groups = sorted(next(iter(summary["arms"].values()))["cells"])
    known = {group: name for group, name in GROUPS.items() if group in groups}
    own = {group: group for group in groups if "/" not in group}
    return known or (own if len(own) > 1 else {})


def arms_table(summary: Mapping) -> Table:
    """In per cent: arm, accuracy, 95 % Wilson interval, word F1 where the task has it, groups, p against the latent arm
    (exact McNemar, not corrected); below them n."""
    if not summary.get("arms"):
        raise LabError("tables: the summary holds no arm; give what `summarise` returns.")
    arms, groups = ordered_arms(summary["arms"]), _groups(summary)
    f1 = ["F1"] if any("f1" in entry for entry in summary["arms"].values()) else []
    rows = []
    for arm in arms:
        entry, test = summary["arms"][arm], summary["tests"].get(f"{LATENT}_vs_{arm}", {})
        own_f1 = [percent(entry["f1"]) if "f1" in entry else "" for _ in f1]
        cells = [percent(entry["cells"][group]["accuracy"]) for group in groups]
        accuracy = [percent(entry["accuracy"]), interval(*entry["ci95"])]
        rows.append([arm, *accuracy, *own_f1, *cells, format_p(test.get("p"))])
    counts = [str(summary["arms"][arms[0]]["cells"][group]["n"]) for group in groups]
    return Table(
        ["arm", "accuracy", WILSON, *f1, *groups.values(), "p vs latent"],
        rows,
        ["n", str(summary["n"]), "", *("" for _ in f1), *counts, ""],
    )


def arm_name(row: Mapping) -> str:
    """The arm, and the one before it whose every answer it repeats: two names for one result are no two rivals."""
    return row["arm"] + (f" (= {row['same_as']})" if row.get("same_as") else "")


def rivals_table(rows: Sequence[Mapping]) -> Table:
    """Rows of `arm_rows`, in per cent and points: accuracy with interval, whether the target read the question, latent
    minus the arm with its interval and its p after Holm, and every seed where there are several."""
    places = list(dict.fromkeys(place for row in rows for place in row["versus"]))
    several = any(len(row["per_seed"]) > 1 for row in rows)
    columns = ["arm", "reads the question", "right, %", CLUSTERED]
    for place in places:
        columns += [PLACES[place], CLUSTERED, "p Holm"]
    table = []
    for row in rows:
        reads = "" if row["context_aware"] is None else "yes" if row["context_aware"] else "no"
        line = [arm_name(row), reads, percent(row["accuracy"]), interval(row["low"], row["high"])]
        for place in places:
            line += _versus(row["versus"].get(place))
        table.append(line + [" ".join(map(percent, row["per_seed"]))] * several)
    return Table(columns + ["seeds"] * several, table)


def _versus(found: Mapping | None) -> list[str]:
    if not found:
        return ["", "", ""]
    return [points(found["effect"]), interval(found["low"], found["high"]), format_p(found["p_holm"])]


def text_transfer_sentence(rows: Sequence[Mapping]) -> str:
    """Who wins, soft tokens or text: said in words, so that a table cannot hide it."""
    by_arm, said = {row["arm"]: row for row in rows}, []
    for arm in TEXT_TRANSFER:
        if arm not in by_arm or "all" not in by_arm[arm]["versus"]:
            continue
        row = by_arm[arm]
        if row.get("same_as") in TEXT_TRANSFER:
            said.append(f"{arm} gives the answers of {row['same_as']}, letter for letter.")
            continue
        found = row["versus"]["all"]
        verb = "beats" if found["effect"] > 0 else "loses to" if found["effect"] < 0 else "equals"
        chance = f" (p {format_p(found['p_holm'])} after Holm)." if found["p_holm"] < 0.05 else ", within chance."
        said.append(f"Latent {verb} {arm} by {abs(100 * found['effect']):.1f} points{chance}")
    return " ".join(said)


def cascade_table(cascade: tuple[str, Mapping[str, float]]) -> Table:
    """What `choose_cascade_prompt` found: each place for the source's answer, its accuracy on dev, the chosen one."""
    chosen, accuracies = cascade
    rows = [[name, percent(right), "chosen" if name == chosen else ""] for name, right in accuracies.items()]
    return Table(["cascade prompt", "right on dev, %", ""], rows, empty="No arm hands the source's answer over.")


def cells_table(accuracies: Mapping[str, Mapping[str, float]]) -> Table:
    """Accuracies by name and cell (fractions), in per cent: one row per name."""
    cells = list(dict.fromkeys(cell for by_cell in accuracies.values() for cell in by_cell))
    rows = [[name, *(percent(own[cell]) if cell in own else "" for cell in cells)] for name, own in accuracies.items()]
    return Table(["", *cells], rows)


def rules_table(frame: pandas.DataFrame) -> Table:
    """The frame of `extraction_table`, in per cent."""
    rows = [
        [arm, rule, percent(row.accuracy), interval(row.low, row.high),
         *(str(int(count)) for count in (row.n, row.invalid, row.gained, row.lost))]
        for (arm, rule), row in frame.iterrows()
    ]  # fmt: skip
    return Table(["arm", "rule", "right, %", WILSON, "n", "unreadable", "gained", "lost"], rows)
