"""Which samples of a desk an export shows, and the sentence that says where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab.errors import LabError
from lab.pictures import PAIRED
from lab.samples.answers import clean
from lab.samples.comparison import Side, percent
from lab.samples.export import Sample, write_samples
from lab.samples.tags import CHOICES

if TYPE_CHECKING:
    from lab.samples.desk import Desk

EXPORTED = 20


def choose_samples(desk: Desk, limit: int = EXPORTED) -> list[Sample]:
    """At most `limit` samples: the tagged questions of this comparison, or, where none is tagged, a choice of
    successes, failures and enrichments from the selection, in turn."""
    tagged = desk.tags.tagged()
    rows = {key: row for row, key in enumerate(desk.comparison.ids)}
    chosen = [(tagged[key][0], rows[key]) for key in tagged if key in rows]
    if not chosen:
        chosen = _automatic(desk, limit)
    order = {kind: place for place, kind in enumerate(CHOICES)}
    chosen = sorted(chosen[:limit], key=lambda entry: (order.get(entry[0], len(order)), entry[0]))
    return [_sample(desk, kind, row) for kind, row in chosen]


def _automatic(desk: Desk, limit: int) -> list[tuple[str, int]]:
    """Enrichment: only a is right. Failure: a is wrong, broken ones first. Success: both are right, or a fixed it
    where another arm could too."""
    comparison, mask, taken, chosen = desk.comparison, desk.selection.mask, set(), []
    only, fixed = comparison.filtered("only"), comparison.flip("fixed")
    pools = {
        "enrichment": [*np.flatnonzero(only & mask)],
        "failure": [*np.flatnonzero(comparison.flip("broken") & mask),
                    *np.flatnonzero(comparison.flip("both_wrong") & mask)],
        "success": [*np.flatnonzero(fixed & ~only & mask), *np.flatnonzero(comparison.flip("both_right") & mask)],
    }  # fmt: skip
    while any(pools.values()) and len(chosen) < limit:
        for kind, pool in pools.items():
            if pool and len(chosen) < limit and (row := int(pool.pop(0))) not in taken:
                taken.add(row)
                chosen.append((kind, row))
    return chosen


def _sample(desk: Desk, kind: str, row: int) -> Sample:
    comparison, a, b = desk.comparison, desk.a, desk.b
    record = comparison.a.records[comparison.rows_a[row]]
    key, other = record["id"], comparison.b
    label_a, label_b = desk.labels
    own = {arm: desk.label(Side(a.run, a.step, arm), b) for arm in comparison.a.arms}
    answers = {label: record["arms"][arm] for arm, label in own.items() if arm in record["arms"]}
    if label_b not in answers:
        answers = {label_b: other.answer(other.verdicts.place[key], b.arm)} | answers
    reference = label_a if desk.reference(key) == a else label_b
    return Sample(kind, record, answers, desk.tags.of(key), desk.tags.note_of(key), reference)


def caption(desk: Desk) -> str:
    """One sentence on where the samples come from: the paired result of all aligned questions, unfiltered."""
    comparison = desk.comparison
    result = comparison.result(np.ones(len(comparison), dtype=bool))
    if result is None:
        return "No question was answered by both sides."
    label_a, label_b = desk.labels
    low, high = result["ci95"]
    return (
        f"Run {clean(desk.library.runs[desk.a.run].name)}, step {desk.a.step}, n = {result['n']}: {label_a} "
        f"{percent(result['a']['accuracy'])} %, {label_b} {percent(result['b']['accuracy'])} %, difference "
        f"{100 * result['difference']:+.1f} points ({PAIRED} {100 * low:+.1f} to {100 * high:+.1f}), "
        f"discordant {result['only_a']} and {result['only_b']}, exact McNemar p = {result['p']:.2g}. "
        "The samples were chosen by looking at them, they are no random draw."
    )


def export(desk: Desk, folder: str | Path | None, limit: int = EXPORTED) -> list[Path]:
    """Write the samples as Markdown, LaTeX and one HTML page; the paths. Raises LabError where there is no folder."""
    if folder is None:
        raise LabError("export: no folder was given; use `browse(..., exports=FOLDER)`.")
    return write_samples(folder, choose_samples(desk, limit), caption(desk))
