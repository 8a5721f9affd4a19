"""The costs of an answer as tables: what every arm reads and gets right, and what the clocked ones take."""

from __future__ import annotations

from collections.abc import Mapping

from lab.pictures.intervals import CLUSTERED
from lab.pictures.numbers import interval, one_digit, percent
from lab.pictures.tables import Table

# Column -> what of an arm's cost it shows, and how many of its units make one of the column's.
CLOCKED = {
    "first token, ms": ("seconds_to_first_token", 1e-3),
    "source pass, ms": ("source_seconds", 1e-3),
    "end to end, ms": ("seconds", 1e-3),
    "tokens/s": ("tokens_per_second", 1),
    "KV cache at the end, KiB": ("kv_bytes", 1024),
}


def costs_table(summary: Mapping) -> Table:
    """The aggregate of `inference_rows`, one row per arm: exact match, F1 where it is another number, mean tokens."""
    arms = summary["arms"]
    f1 = any(abs(entry["f1"] - entry["em"]["accuracy"]) > 1e-9 for entry in arms.values())
    rows = [
        [arm, percent(entry["em"]["accuracy"]), interval(entry["em"]["low"], entry["em"]["high"]),
         *([percent(entry["f1"])] if f1 else []), one_digit(entry["prompt_tokens"]), str(int(entry["soft_tokens"])),
         one_digit(entry["new_tokens"])]
        for arm, entry in arms.items()
    ]  # fmt: skip
    tokens = ["prompt tokens", "soft tokens", "new tokens"]
    return Table(["arm", "EM, %", CLUSTERED, *["F1, %"] * f1, *tokens], rows)


def times_table(summary: Mapping) -> Table:
    """The arms that were timed: medians of one question at a time, and the most device memory where there is a GPU."""
    timed = {arm: entry for arm, entry in summary["arms"].items() if entry["cost"]}
    peaks = any(entry["peak_bytes"] is not None for entry in timed.values())
    rows = []
    for arm, entry in timed.items():
        medians = [one_digit(entry["cost"][name]["median"] / unit) for name, unit in CLOCKED.values()]
        rows.append([arm, *medians, *([one_digit(entry["peak_bytes"] / 2**20)] if peaks else [])])
    return Table(["arm", *CLOCKED, *["peak, MiB"] * peaks], rows, (), "no question was timed")
