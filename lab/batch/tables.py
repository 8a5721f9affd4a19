"""What runs look like as lines of text: the table of `lab status` and of a submission, and its `summary.log`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.batch.status import ARM, RunStatus, status_of
from lab.batch.submission import Submission, submissions
from lab.runs import patient_lock, write_text

HEAD = ("run", "state", "step", "accuracy", "left")
SUMMARY, SUMMARY_HEAD = "summary.log", ("run", "state", "step", "peak", "final", "source", "target", "gap", "on")
ABOUT = """# Every run that was submitted here, written anew as each ends. Accuracies in %.
# peak: of the translator on dev, the best look (nats per token where likelihoods chose), and its step.
# final: on test once, else the last look at dev.
# gap: final minus the better of source and target on the same questions, in points.
"""


def row(run: RunStatus) -> tuple[str, ...]:
    """The cells of `HEAD` for one run."""
    looked = percent(run.last) or (look_text(run.looks[-1]) if run.looks else "")
    return run.name, run.state, run.at, looked, duration(run.seconds_left)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Cells as columns of text, two spaces apart."""
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(rows[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip() + "\n"
        for cells in rows
    )


def look_text(look: Mapping) -> str:
    """What a look at dev found: right answers in %, or what a token of the gold answers costs."""
    return percent(look["accuracy"]) if "accuracy" in look else f"{look['nats']:.3f} nats"


def percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.1f}"


def duration(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h 05 min`."""
    if seconds is None:
        return ""
    minutes, hours = round(seconds / 60), round(seconds / 60) // 60
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if not hours else f"{hours} h {minutes % 60:02} min"


def write_summary_log(submission: Submission) -> Path:
    """`summary.log` beside the runs of a submission, with those that other submissions have in the same folder."""
    folder = submission.runs[0].parent
    runs = dict.fromkeys(run for one in submissions(folder) for run in one.runs)
    with patient_lock(submission.folder.parent / ".lock"):  # of two runs that end at once both have to stand in it
        rows = [summary_row(status_of(run)) for run in runs]
        write_text(folder / SUMMARY, ABOUT + aligned([SUMMARY_HEAD, *rows]))
    return folder / SUMMARY


def summary_row(run: RunStatus) -> tuple[str, ...]:
    """The cells of `SUMMARY_HEAD` for one run."""
    peak = f"{look_text(run.peak)} ({run.peak['step']})" if run.peak else ""
    final, on = {}, ""
    if run.test and ARM in run.test:
        final = {arm: run.test[arm]["accuracy"] for arm in ("source", "target", ARM) if arm in run.test}
        on = f"test, n = {run.test[ARM]['n']}"
    elif run.looks and "accuracy" in run.looks[-1]:
        last = run.looks[-1]
        final = {arm: last[arm] for arm in ("source", "target") if arm in last} | {ARM: last["accuracy"]}
        on = f"dev, n = {last['n']}" if "n" in last else "dev"
    cells = [percent(final.get(arm)) for arm in (ARM, "source", "target")]
    gap = f"{100 * (final[ARM] - max(final['source'], final['target'])):+.1f}" if len(final) == 3 else ""
    return run.name, run.state, f"{run.step}/{run.steps or '?'}", peak, *cells, gap, on
