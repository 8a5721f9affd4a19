"""The table of experiments: a row per job file, from the comment on its top. `python -m lab.batch.catalogue` writes it.

A job says for itself what it is, so that a reader of the file and a reader of the table read the same sentence. What
is known of an experiment from elsewhere stands below it, in a fixed form, and becomes a column:

    # Do InfoNCE and early stopping prevent collapse? With them.
    # Reported: 68.0 -> 64.5
    # Known: The raw rows give peak 68.0 at step 1500, not 250.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.batch.jobs import read_job
from lab.errors import LabError
from lab.places import ROOT
from lab.runs import write_text

JOBS = ROOT / "papermill_jobs"
CLUSTER, RECORDS = "cluster.yaml", "records.yaml"
FACTS = {"Reported": "Reported", "Known": "What is known"}  # word in the file -> head of its column
FACT = re.compile(rf"({'|'.join(FACTS)}): +(\S.*)")
# Where a folder's table goes: `<!-- jobs in documents -->`, then the table, then `<!-- end -->`; the top folder is `.`.
TABLE = re.compile(r"(?P<head><!-- jobs in (?P<folder>\S+) -->\n).*?(?P<tail><!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One job: its file's name, its notebook, its sentence, its facts by word, and the file that it builds on."""

    file: Path
    notebook: str
    sentence: str
    facts: Mapping[str, str]
    base: Path | None


def job_files(folder: Path = JOBS) -> list[Path]:
    """Every job in a folder and below it; the cluster and the list of records lie there, too, and are none."""
    return sorted(file for file in folder.rglob("*.yaml") if file.name not in (CLUSTER, RECORDS))


def entry(file: Path) -> Entry:
    """What a job file says of itself. Raises LabError if it begins with no comment."""
    lines = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    if not lines or not lines[0] or FACT.fullmatch(lines[0]):
        raise LabError(f"{file} does not say what it is: begin it with one comment line, `# What does it ask?`")
    facts = dict(found.groups() for line in lines if (found := FACT.fullmatch(line)))
    base = yaml.safe_load(file.read_text(encoding="utf-8")).get("base")
    return Entry(file, read_job(file)["notebook"], lines[0], facts, (file.parent / base).resolve() if base else None)


def in_order(entries: Sequence[Entry]) -> list[Entry]:
    """Every job below the one of its folder that it builds on, those beside each other by name, 96 before 128."""
    by_file = {one.file.resolve(): one for one in entries}

    def place(one: Entry) -> list[list]:
        above = place(by_file[one.base]) if one.base in by_file else []
        return [*above, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", one.file.stem)]]

    return sorted(entries, key=place)


def table(entries: Sequence[Entry]) -> str:
    """The Markdown table of one folder's jobs. A column that says nothing here is left out."""
    named = len({one.notebook for one in entries}) > 1
    words = [word for word in FACTS if any(word in one.facts for one in entries)]
    head = ["Job", *["Notebook"] * named, "What it does", *(FACTS[word] for word in words)]
    rows = [
        [f"`{one.file.stem}`", *[f"`{one.notebook}`"] * named, one.sentence, *(one.facts.get(w, "-") for w in words)]
        for one in in_order(entries)
    ]
    lines = [head, ["---"] * len(head), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_tables(text: str, jobs: Path = JOBS) -> str:
    """`text` with every table written anew. Raises LabError where a folder of jobs has no place in it."""
    folders = {}
    for file in job_files(jobs):
        folders.setdefault(file.parent.relative_to(jobs).as_posix(), []).append(entry(file))
    places = [found["folder"] for found in TABLE.finditer(text)]
    if sorted(places) != sorted(folders):
        raise LabError(
            f"the tables are for {', '.join(places) or 'no folder'}, the jobs lie in {', '.join(folders)}: "
            "give each folder one `<!-- jobs in FOLDER -->` and `<!-- end -->`"
        )
    return TABLE.sub(lambda found: f"{found['head']}{table(folders[found['folder']])}{found['tail']}", text)


if __name__ == "__main__":
    readme = JOBS / "README.md"
    write_text(readme, with_tables(readme.read_text(encoding="utf-8")))
    print(readme)
