"""What a job shows in the terminal when it is done: the tables of its run."""

import json
from pathlib import Path

from lab.pictures.arm_tables import arms_table, rivals_table
from lab.pictures.likelihoods import likelihood_table
from lab.pictures.tables import Table


def result_tables(run: Path) -> list[Table]:
    """The arms of a run that was trained and tested, and what the gold answers cost in each where both ends of the
    scale were trained; or both of trained runs side by side (`evidence.json`). Nothing for a run of another kind."""
    for name, arms in (("summary.json", arms_table), ("evidence.json", lambda found: rivals_table(found["arms"]))):
        if (path := run / name).is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            told = found.get("likelihood") or {}
            compared = any(told.get("recovered", {}).values()) or name == "evidence.json" and told
            return [arms(found), *([likelihood_table(told)] if compared else [])]
    return []
