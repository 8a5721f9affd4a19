"""Tables of `lab.evidence.claims.arm_rows`: every arm with its interval and its seeds, and latent minus the arm.

For a page (pandas), for a terminal, and in a sentence that says who wins, soft tokens or text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lab.evidence import LATENT
from lab.pictures.intervals import CLUSTERED
from lab.pictures.tables import format_p

if TYPE_CHECKING:
    import pandas

PLACES = {"all": "latent - arm", "both_held_out": "both skills, held out"}
TEXT_TRANSFER = ("cascade", "same_bytes", "text_hint")


def printable(text: str) -> str:
    """A name out of a file must not steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def arm_name(row: Mapping) -> str:
    """The arm, and the one before it whose every answer it repeats: two names for one result are no two rivals."""
    return printable(row["arm"]) + (f" (= {row['same_as']})" if row.get("same_as") else "")


def rivals_table(rows: Sequence[Mapping]) -> pandas.DataFrame:
    """For a page: accuracy with interval, whether the target read the question, every seed, and latent minus the arm
    with its interval and its p after Holm; in per cent and points."""
    import pandas

    table = []
    for row in rows:
        shown = {
            "arm": arm_name(row),
            "reads the question": "" if row["context_aware"] is None else "yes" if row["context_aware"] else "no",
            f"right, % [{CLUSTERED}]": f"{100 * row['accuracy']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]",
            "seeds": " ".join(f"{100 * value:.1f}" for value in row["per_seed"]),
        }
        for place, found in row["versus"].items():
            effect = f"{100 * found['effect']:+.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
            shown |= {PLACES[place]: effect, f"p (Holm), {PLACES[place]}": format_p(found["p_holm"])}
        table.append(shown)
    return pandas.DataFrame(table, dtype=object).fillna("").set_index("arm")


def rivals_lines(rows: Sequence[Mapping]) -> list[str]:
    """The same for a terminal."""
    places = list(dict.fromkeys(place for row in rows for place in row["versus"]))
    several = any(len(row["per_seed"]) > 1 for row in rows)
    head = ["arm", "right, %", CLUSTERED]
    for place in places:
        head += [PLACES[place], CLUSTERED, "p Holm"]
    table = [head + ["seeds"] * several]
    for row in rows:
        line = [arm_name(row), f"{100 * row['accuracy']:.1f}", f"{100 * row['low']:.1f} - {100 * row['high']:.1f}"]
        for place in places:
            line += _versus(row["versus"].get(place))
        table.append(line + [" ".join(f"{100 * value:.1f}" for value in row["per_seed"])] * several)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in table]


def _versus(found: Mapping | None) -> list[str]:
    if not found:
        return ["", "", ""]
    interval = f"{100 * found['low']:.1f} - {100 * found['high']:.1f}"
    return [f"{100 * found['effect']:+.1f}", interval, format_p(found["p_holm"])]


def text_transfer_sentence(rows: Sequence[Mapping]) -> str:
    """Who wins, soft tokens or text: said in words, so that a table cannot hide it."""
    by_arm, said = {row["arm"]: row for row in rows}, []
    for arm in TEXT_TRANSFER:
        if arm not in by_arm or LATENT not in by_arm:
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
