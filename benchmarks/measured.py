"""What was measured once, as tables in three README.md: `python benchmarks/measured.py` writes them.

The values lie in measured.yaml, beside the command, the device and the date of each; of a row or a table with `records`
they are computed from these, in runs/preserved or in a JSON file here. A table stands between two comments that name
it, and whatever stands there is written anew.
"""

import re
from pathlib import Path

import embedded_tables
import preserved_tables
import recorded
import timing_rows
import timings
import yaml

TABLES = preserved_tables.TABLES | embedded_tables.TABLES | timings.TABLES
FINDINGS = recorded.FINDINGS | embedded_tables.FINDINGS | preserved_tables.FINDINGS | timing_rows.FINDINGS
NUMBERS = preserved_tables.NUMBERS | embedded_tables.NUMBERS | timings.NUMBERS  # above a table, between braces
HERE = Path(__file__).resolve().parent
PAGES = (HERE.parent / "README.md", HERE / "README.md", HERE.parent / "papermill_jobs" / "README.md")
# Where findings stand; those that name none stand in the first.
FINDINGS_PLACES = ("findings", "speed", "real_models", "gsm8k_on_dev")
PLACE = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- /measured -->)", re.DOTALL)


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def computed(row: dict) -> dict:
    """A finding with what its records say, where it has some."""
    return row | FINDINGS[row["records"]]() if "records" in row else row


def findings(measured: dict, place: str) -> str:
    """One row for each finding of a place: what, how much, with which command, where and when."""
    rows = [
        [row["what"], row["found"], row["n"], f"`{row['command']}`",
         f"{measured['devices'][row['device']]}, {row['date']}"]
        for row in map(computed, (row for row in measured["findings"] if row.get("place", FINDINGS_PLACES[0]) == place))
    ]  # fmt: skip
    return markdown(["What", "Found", "n", "Command", "Where, when"], rows)


def table(measured: dict, key: str) -> str:
    """A table of its own, under the sentence that says how it was made; typed rows stand below those of records."""
    found = next(entry for entry in measured["tables"] if entry["key"] == key)
    made = f"`{found['command']}`, {measured['devices'][found['device']]}, {found['date']}."
    columns, rows = TABLES[found["records"]]() if "records" in found else (found["columns"], [])
    about = found["about"].format(**NUMBERS[found["records"]]()) if found.get("records") in NUMBERS else found["about"]
    return f"**{found['title']}.** {about} {made}\n\n" + markdown(columns, [*rows, *found.get("rows", [])])


def page(text: str, measured: dict) -> str:
    """`text` with every table written anew."""

    def written(match: re.Match) -> str:
        body = findings(measured, match[2]) if match[2] in FINDINGS_PLACES else table(measured, match[2])
        return f"{match[1]}{body}{match[3]}"

    return PLACE.sub(written, text)


def read() -> dict:
    """The values."""
    return yaml.safe_load((HERE / "measured.yaml").read_text("utf-8"))


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(page(path.read_text("utf-8"), read()), "utf-8")
