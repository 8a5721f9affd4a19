"""Looks at the test split: each is noted in the run whose translator was measured, so that none is forgotten.

The first look settles the translator: its weights are noted with it. Measuring these again (another table, costs) is
counted and shown; measuring others under the same run would be choosing after a look, and is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime

from lab.errors import LabError
from lab.runs import RunDirectory


def looks(run: RunDirectory) -> list[dict]:
    """The looks so far: {"what", "weights", "at"} each."""
    return run.manifest().get("test_looks", [])


def note_look(run: RunDirectory, what: str, weights: str) -> int:
    """Note a look at test with translator `weights`, and return how many there were with it.

    Raises LabError if an earlier look was taken with other weights.
    """
    before = looks(run)
    if before and before[0]["weights"] != weights:
        raise LabError(
            f"{run.path}: its test split was looked at with another translator ({before[0]['what']}, "
            f"{before[0]['at']}); what is reported is settled by the first look, start another run."
        )
    at = datetime.now(UTC).isoformat(timespec="seconds")
    run.note(test_looks=[*before, {"what": what, "weights": weights, "at": at}])
    return len(before) + 1
