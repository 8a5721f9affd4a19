"""Comparisons: one effect with its interval and the evidence for and against it, out of answers, numbers or shares.

Rows that share a lore word are one cluster, training seeds are a level of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

from lab.evidence.read import ALL, Run, rows_of
from lab.evidence.stats import Z95, mean_interval, paired_difference, score_p_below

WORTH = 0.01  # one point of accuracy: less is not worth a sentence


class NotRun(Exception):
    """Why a claim has no evidence here. `refused`: it could never have, with these runs."""

    def __init__(self, reason: str, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True)
class Comparison:
    """One effect with its 95 % interval. `p_greater`, `p_less`: one-sided, for the claim and against it."""

    label: str
    effect: float
    low: float
    high: float
    p_greater: float
    p_less: float
    n: int
    clusters: int
    seeds: int
    unit: str = "accuracy"
    detail: dict = field(default_factory=dict)

    @property
    def p(self) -> float:
        """Two-sided, of no effect at all."""
        return min(1.0, 2 * min(self.p_greater, 1 - self.p_greater))


def _one_sided(p: float, effect: float) -> tuple[float, float]:
    """(p that it is greater, p that it is less) out of a two-sided p."""
    return (p / 2, 1 - p / 2) if effect > 0 else (1 - p / 2, p / 2) if effect < 0 else (0.5, 0.5)


def compare_arms(runs: Sequence[Run], better: str, worse: str, groups: Sequence[str] = (ALL,)) -> Comparison:
    """`better` - `worse` within `runs` (replicates), on the questions of `groups`, clustered by word."""
    rows = rows_of(runs, groups)
    if not rows.records:
        raise NotRun(f"the records hold no question of {', '.join(groups)}")
    place = f" in {', '.join(groups)}" if tuple(groups) != (ALL,) else ""
    return of_values(f"{better} - {worse}{place}", rows.values(runs, better), rows.values(runs, worse), rows.clusters)


def of_values(label: str, better: np.ndarray, worse: np.ndarray, clusters: Sequence[str]) -> Comparison:
    """Mean of paired right answers, `better` - `worse`, both [seeds, n]; evidence against it is less than `WORTH`."""
    found = paired_difference(better, worse, clusters)
    greater, _ = _one_sided(found["p"], found["difference"])
    small = mean_interval(better - worse - WORTH, clusters)
    _, less = _one_sided(small["p"], small["mean"])
    # The t test knows words and seeds, but takes a handful of discordant rows for certainty; the score test does not.
    share = found["pairs"] / found["n"]
    less = max(less, score_p_below(found["only_a"] * share, found["only_b"] * share, found["pairs"], WORTH))
    return Comparison(
        label, found["difference"], found["low"], found["high"], greater, less, found["n"], found["clusters"],
        found["seeds"], detail={key: found[key] for key in ("only_a", "only_b", "per_seed", "pairs")}
        | {"discordant": (found["only_a"] + found["only_b"]) / found["n"]},
    )  # fmt: skip


def of_numbers(
    label: str, values: np.ndarray, clusters: Sequence[str], worth: float, margin: float = 0.0, unit: str = "accuracy"
) -> Comparison:
    """Mean of per-question numbers against `margin`; evidence against it is a mean below margin + worth."""
    found, above = mean_interval(values, clusters), mean_interval(values - margin, clusters)
    if not np.isfinite(found["low"]):
        raise NotRun("all questions share one word: they say nothing about others")
    below = mean_interval(values - margin - worth, clusters)
    return Comparison(
        label, found["mean"], found["low"], found["high"], _one_sided(above["p"], above["mean"])[0],
        _one_sided(below["p"], below["mean"])[1], values.shape[-1], found["clusters"], found["seeds"], unit,
    )  # fmt: skip


def variance_of_gap(one: float, other: float, n: int) -> float:
    """Variance of the difference of two accuracies on n questions each.

    The log holds no answers, so the two count as independent: too wide rather than too narrow. One more right and one
    more wrong answer each, so that it does not vanish at 0 % and 100 %.
    """
    return sum(share * (1 - share) / n for share in ((x * n + 1) / (n + 2) for x in (one, other)))


def of_shares(
    label: str, gaps: Sequence[float], variances: Sequence[float], n: int, margin: float, detail: dict
) -> Comparison:
    """Mean over seeds of gaps between two accuracies on n dev questions, against `margin`.

    The same n questions serve every seed, so their variances are averaged; seeds are a level of their own.
    """
    half = Z95 * float(np.sqrt(np.mean(variances)))
    if len(gaps) > 1:
        spread = mean_interval(gaps)
        half = float(np.hypot(half, (spread["high"] - spread["low"]) / 2))
    effect = float(np.mean(gaps))
    z = (effect - margin) / half * Z95 if half else np.copysign(np.inf, effect - margin)
    return Comparison(label, effect, effect - half, effect + half, float(norm.sf(z)), float(norm.cdf(z)), n, n,
                      len(gaps), detail=detail | {"per_seed": list(gaps)})  # fmt: skip
