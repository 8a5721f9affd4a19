"""What the doctor found of a pair, as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.pictures.tables import Table

COLUMNS = ("model", "law", "verdict", "measured", "advice")


def doctor_table(found: Sequence[Mapping[str, str]]) -> Table:
    """One row per finding, in order; below them how many fail."""
    failed = sum(row["verdict"] == "fails" for row in found)
    summary = f"{failed} of {len(found)} fail" if failed else f"all {len(found)} hold"
    rows = [[row[column] for column in COLUMNS] for row in found]
    return Table(["model", "law", "verdict", "measured", "what to do"], rows, ("", "", "", summary, ""))
