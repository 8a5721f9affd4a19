"""The documents' rule for the hybrid test: soft tokens beside the literal question go on where latent reaches the
target.

They asked whether soft tokens override the text, and decided by one number: at or above the target's accuracy the
direction is continued, below it is abandoned. That number is here the target's own in the same records, and as either
side of it may be luck, the paired difference decides: *go* with its interval above 0, *stop* below, else *undecided*.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.evidence.comparisons import Comparison, NotRun, compare_arms, effect_of
from lab.evidence.crossed import proportion
from lab.evidence.likelihood import KNOWS_NOTHING
from lab.evidence.read import Evidence, Run, rows_of
from lab.evidence.summary import LATENT

GO, STOP, UNDECIDED, NOT_RUN = "go", "stop", "undecided", "not run"
ADAPTER, BESIDE = "added to the prompt's embeddings", "before the prompt"
JOBS = {  # kind -> what makes such runs: of the embedded pair, of the documents' own
    ADAPTER: ("papermill_jobs/effects/effect_adapter.yaml", "papermill_jobs/documents/phase2_hybrid_adapter.yaml"),
    BESIDE: ("papermill_jobs/effects/effect_beside_text.yaml",
             "papermill_jobs/documents/phase2_prompt_soft_plus_text.yaml"),
}  # fmt: skip


def hybrid_rows(evidence: Evidence) -> list[dict]:
    """One row per recipe whose target reads the question beside the soft tokens, the adapters first.

    Each {"kind", "runs", "seeds", "n", "threshold" (the target's accuracy in these records), "latent", "rule" (go or
    stop, by these two numbers alone), "effect", "low", "high" (latent - target), "detectable" (the least difference
    that such rows show with a power of 80 %, or None), "verdict", "beyond_prompt" (latent - the constant prompt trained
    in the same place, or None: what a prompt gives is no message of the source)}. A kind without runs has one row
    {"kind", "runs": [], "verdict": "not run", "jobs"}. Verdicts are by each row's own 95 % interval, as the rule is of
    one run: of many rows one will err.
    """
    found = {kind: [] for kind in JOBS}
    for runs in evidence.recipes():
        if kind := kind_of(runs):
            found[kind].append(_row(kind, runs))
    missing = {kind: {"kind": kind, "runs": [], "verdict": NOT_RUN, "jobs": list(jobs)} for kind, jobs in JOBS.items()}
    return [row for kind in JOBS for row in found[kind] or [missing[kind]]]


def kind_of(runs: Sequence[Run]) -> str:
    """Where the soft tokens of a recipe stand beside the question; "" where the target does not read it as text."""
    if any(not {LATENT, "target"} <= run.arms for run in runs) or not runs[0].context_aware():
        return ""
    return ADAPTER if runs[0].settings["injection"] == "adapter" else BESIDE


def _row(kind: str, runs: Sequence[Run]) -> dict:
    rows = rows_of(runs)
    target, latent = (proportion(rows.values(runs, arm), rows.clusters)["accuracy"] for arm in ("target", LATENT))
    prompted = all(KNOWS_NOTHING in run.arms for run in runs)
    try:
        found = compare_arms(runs, LATENT, "target")
    except NotRun:  # one word: nothing is known of others
        found = None
    return {
        "kind": kind, "runs": [run.name for run in runs], "seeds": [run.seed for run in runs], "n": len(rows.records),
        "threshold": target, "latent": latent, "rule": GO if latent >= target else STOP,
        **{name: getattr(found, name, None) for name in ("effect", "low", "high")},
        "detectable": found.detectable() if found else None, "verdict": verdict(found),
        "beyond_prompt": effect_of(lambda: compare_arms(runs, LATENT, KNOWS_NOTHING)) if prompted else None,
    }  # fmt: skip


def verdict(found: Comparison | None) -> str:
    """Of latent - target."""
    if found is None or found.low <= 0 <= found.high:
        return UNDECIDED
    return GO if found.low > 0 else STOP
