"""The costs of an answer as a table: one row per arm."""

from __future__ import annotations

from collections.abc import Mapping

from lab.pictures.numbers import interval, number, percent
from lab.pictures.tables import Table

# Column -> what of an arm's cost it shows, and how many of its units make one of the column's.
TIMED = {
    "first token, ms": ("seconds_to_first_token", 1e-3),
    "source pass, ms": ("source_seconds", 1e-3),
    "end to end, ms": ("seconds", 1e-3),
    "tokens/s": ("tokens_per_second", 1),
    "KV cache at the end, KiB": ("kv_bytes", 1024),
}


def costs_table(summary: Mapping) -> Table:
    """The aggregate of `inference_rows`. Times are medians of one question at a time, where a clock ran."""
    peaks = any(entry["peak_bytes"] is not None for entry in summary["arms"].values())
    rows = []
    for arm, entry in summary["arms"].items():
        em, cost = entry["em"], entry["cost"]
        medians = [number(cost[name]["median"] / unit, 1) if cost else "" for name, unit in TIMED.values()]
        peak = entry["peak_bytes"]
        rows.append([
            arm, percent(em["accuracy"]), interval(em["low"], em["high"]), percent(entry["f1"]),
            number(entry["prompt_tokens"], 1), str(int(entry["soft_tokens"])), number(entry["new_tokens"], 1), *medians,
            *(["" if peak is None else number(peak / 2**20, 1)] if peaks else []),
        ])  # fmt: skip
    tokens = ["prompt tokens", "soft tokens", "new tokens"]
    return Table(["arm", "EM, %", "95 % interval", "F1, %", *tokens, *TIMED, *["peak, MiB"] * peaks], rows)
