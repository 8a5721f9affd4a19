"""What a job will take, as two tables: memory by term, and each kind of GPU."""

from __future__ import annotations

from collections.abc import Mapping

from lab.pictures.tables import Table


def preflight_text(found: Mapping) -> str:
    """The tables of `lab.preflight.rows`, and below them what they rest on."""
    terms = list(found["memory"][0]["GiB"])
    kept = [name for name in terms if any(row["GiB"][name] >= 0.005 for row in found["memory"])]
    parts = Table(
        ["GiB in", "weights", *kept, "peak"],
        [[row["when"], f"{row['GiB']['source'] + row['GiB']['target']:.1f}",
          *(f"{row['GiB'][name]:.2f}" for name in kept), f"{row['peak']:.1f}"] for row in found["memory"]],
    )  # fmt: skip
    kinds = Table(
        ["GPU", "needed GiB", "has", "fits", "s a step", "training", "evaluations", "hours"],
        [[row["gpu"] + ("" if row["measured"] else " *"), f"{row['needed_gib']:.1f}", f"{row['usable_gib']:.1f}",
          "yes" if row["fits"] else "no", f"{row['step_s']:.3f}", _minutes(row["training_s"]),
          _minutes(row["evaluations_s"]), f"{row['hours']:.2f}"] for row in found["gpus"]],
    )  # fmt: skip
    notes = [
        "peak: of all tensors; needed: with what graphs of training keep beside an evaluation.",
        "* scaled by its data sheet, not measured.",
    ]
    if not found["exact"]:
        notes.append("Tokens were counted without the models' tokenizers.")
    return f"{parts}\n\n{kinds}\n{' '.join(notes)}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"
