"""What an estimate says, as plain values: a row for each kind of GPU."""

from __future__ import annotations

from collections.abc import Sequence

from lab.preflight.estimate import Work
from lab.preflight.gpus import GPU, GPUS, H100
from lab.preflight.memory import GIB

TERMS = ("translator", "optimizer", "gradients", "states", "activations", "logits", "graphs", "kv")


def memory_rows(work: Work) -> list[dict]:
    """GiB by term, in training and in evaluation: the same on every kind of GPU."""
    found = work.on(H100)
    return [
        {"when": when, "GiB": {name: terms.get(name, 0) / GIB for name in ("source", "target", *TERMS)},
         "peak": sum(terms.values()) / GIB}
        for when, terms in (("training", found.training), ("evaluation", found.evaluation))
    ]  # fmt: skip


def rows(work: Work, gpus: Sequence[GPU] = GPUS) -> dict:
    """{"memory": by term, "gpus": one row each, "exact": whether tokens were counted by tokenizers}."""
    found = [work.on(gpu) for gpu in gpus]
    return {
        "memory": memory_rows(work),
        "gpus": [
            {"gpu": one.gpu.name, "needed_gib": one.needed_gib, "usable_gib": one.gpu.usable, "fits": one.fits,
             "step_s": one.step_s, "training_s": one.training_s, "evaluations_s": one.evaluations_s,
             "hours": one.hours, "measured": one.gpu.measured}
            for one in found
        ],
        "exact": work.main.workload.exact,
    }  # fmt: skip
