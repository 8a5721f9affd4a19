"""The experiments of the documents at full size: which are preserved, and what to type for those that are not."""

from __future__ import annotations

from lab.batch import JOBS, entry, in_order, job_files
from lab.paper.findings import Findings
from lab.paper.latex import NOT_RUN_CELL, Tabular, code
from lab.samples import latex_text

FOLDER = "documents"


def experiments(findings: Findings) -> str:
    """A row per job file: its name, what it asks, whether a run of it is preserved."""
    table = Tabular(r"lp{0.62\textwidth}l", ["job", "what it asks", "state"])
    known = findings.preserved.of_full_size()
    for job in in_order([entry(file) for file in job_files(JOBS / FOLDER)]):
        name = job.file.stem
        done = any(run == name or run.startswith(f"{name}-seed") for run in known)
        table.rows.append([code(name), rf"\raggedright {latex_text(job.sentence)}",
                           "preserved" if done else NOT_RUN_CELL])  # fmt: skip
    return table.text()
