"""Comparisons: one effect with its interval and the evidence for and against it, out of answers, numbers or shares.

Rows that share a lore word are one cluster, training seeds are a level of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np
from scipy.special import stdtr

from lab.evidence.crossed import half_width, mean_interval, mean_variance, p_value, paired_difference
from lab.evidence.read import ALL, Run, rows_of
from lab.evidence.stats import ALPHA, Z95, minimum_detectable_effect, score_p_below

WORTH = 0.01  # one point of accuracy: less is not worth a sentence
POWER = 0.8
DIGITS = {"nats per token": 3}  # of effects in a unit where one is too few
NORMAL = NormalDist()
RECORDS, LOG = "records of the test split", "log of training, dev split"
BY_WORD = "signs turned word by word, all patterns counted"
T_TEST = "t, words as clusters and seeds as a level of their own"
PAIRED = {
    1: f"{BY_WORD}; against it {T_TEST}, and Tango's score test, the larger p",
    2: f"{BY_WORD}, and {T_TEST}, the larger p; against it the t test and Tango's score test, the larger p",
}
ON_DEV = "two independent accuracies (Agresti and Caffo), over seeds t with Satterthwaite's degrees of freedom"


class NotRun(Exception):
    """Why a claim has no evidence here. `refused`: it could never have, with these runs."""

    def __init__(self, reason: str, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True)
class Comparison:
    """One effect with its 95 % interval. `p_greater`, `p_less`: one-sided, that it is above `margin` and against it."""

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
    margin: float = 0.0
    detail: dict = field(default_factory=dict)
    test: str = ""
    data: str = RECORDS
    runs: tuple[str, ...] = ()

    def of(self, runs: Sequence[Run]) -> Comparison:
        """The same, with the names of the runs that it compares."""
        return replace(self, runs=tuple(run.name for run in runs))

    @property
    def p(self) -> float:
        """Two-sided, of no effect at all."""
        return min(1.0, 2 * min(self.p_greater, 1 - self.p_greater))

    def detectable(self, alpha: float = ALPHA) -> float | None:
        """The least true effect that rows like these show at `alpha` with a power of 80 %; None where they show none.

        Without it an absent effect and a small sample look alike. Of paired answers by the exact test at the effective
        number of pairs; of numbers and shares from the width of their interval.
        """
        if "pairs" not in self.detail:
            reach = NORMAL.inv_cdf(1 - alpha / 2) + NORMAL.inv_cdf(POWER)
            return self.margin + reach * (self.high - self.low) / (2 * Z95)
        if not (pairs := int(self.detail["pairs"])) or not self.detail["discordant"]:
            return None
        return minimum_detectable_effect(pairs, self.detail["discordant"], POWER, alpha)


def effect_of(compare: Callable[[], Comparison]) -> dict | None:
    """{"effect", "low", "high", "p", "seeds"} of a comparison, for a table; None where it has no evidence, as where two
    sides do not differ in a single answer: nothing is known of the spread."""
    try:
        found = compare()
    except NotRun:
        return None
    return {name: getattr(found, name) for name in ("effect", "low", "high", "p", "seeds")}


def _one_sided(p: float, effect: float) -> tuple[float, float]:
    """(p that it is greater, p that it is less) out of a two-sided p."""
    return (p / 2, 1 - p / 2) if effect > 0 else (1 - p / 2, p / 2) if effect < 0 else (0.5, 0.5)


def _need_words(clusters: int) -> None:
    if clusters < 2:
        raise NotRun("all questions share one word: they say nothing about others")


def need_arms(runs: Sequence[Run], arms: Sequence[str]) -> None:
    """Raise NotRun unless every run has every arm."""
    missing = [arm for arm in arms if any(arm not in run.arms for run in runs)]
    if missing:
        raise NotRun(f"the records lack the arm{'s' * (len(missing) > 1)} {', '.join(missing)}")


def compare_arms(runs: Sequence[Run], better: str, worse: str, groups: Sequence[str] = (ALL,)) -> Comparison:
    """`better` - `worse` within `runs` (replicates), on the questions of `groups`, clustered by word."""
    rows = rows_of(runs, groups)
    if not rows.records:
        raise NotRun(f"the records hold no question of {', '.join(groups)}")
    place = f" in {', '.join(groups)}" if tuple(groups) != (ALL,) else ""
    sides = [rows.values(runs, arm) for arm in (better, worse)]
    return of_values(f"{better} - {worse}{place}", *sides, rows.clusters).of(runs)


def of_values(label: str, better: np.ndarray, worse: np.ndarray, clusters: Sequence[str]) -> Comparison:
    """Mean of paired right answers, `better` - `worse`, both [seeds, n]; evidence against it is less than `WORTH`.

    Raises NotRun where all questions share one cluster.
    """
    found = paired_difference(better, worse, clusters)
    _need_words(found["clusters"])
    greater, _ = _one_sided(found["p"], found["difference"])
    small = mean_variance(better - worse - WORTH, clusters)
    _, less = _one_sided(p_value(small), small["mean"])
    # The t test knows words and seeds, but takes a handful of discordant rows for certainty; the score test does not.
    share = found["pairs"] / found["n"]
    less = max(less, score_p_below(found["only_a"] * share, found["only_b"] * share, found["pairs"], WORTH))
    return Comparison(
        label, found["difference"], found["low"], found["high"], greater, less, found["n"], found["clusters"],
        found["seeds"], detail={key: found[key] for key in ("only_a", "only_b", "per_seed", "pairs")}
        | {"discordant": (found["only_a"] + found["only_b"]) / found["n"]}, test=PAIRED[min(found["seeds"], 2)],
    )  # fmt: skip


def of_numbers(
    label: str, values: np.ndarray, clusters: Sequence[str], worth: float, margin: float = 0.0, unit: str = "accuracy"
) -> Comparison:
    """Mean of per-question numbers [seeds, n] against `margin`; evidence against it is a mean below margin + worth.

    Raises NotRun where nothing is known of their spread: all share one cluster, or no number differs from another.
    """
    found, above = mean_interval(values, clusters), mean_interval(values - margin, clusters)
    _need_words(found["clusters"])
    if not np.isfinite(found["low"]):
        value = f"{100 * found['mean']:g} points" if unit == "accuracy" else f"{found['mean']:g} {unit}"
        raise NotRun(f"every question gives {value}: without spread there is no interval and no test")
    below = mean_interval(values - margin - worth, clusters)
    return Comparison(
        label, found["mean"], found["low"], found["high"], _one_sided(above["p"], above["mean"])[0],
        _one_sided(below["p"], below["mean"])[1], values.shape[-1], found["clusters"], found["seeds"], unit, margin,
        test=T_TEST,
    )  # fmt: skip


def of_shares(
    label: str, counts: Sequence[tuple[float, int, float, int]], margin: float, detail: dict, optimism: float = 0.0
) -> Comparison:
    """Mean over seeds of gaps between two accuracies on dev, against `margin`; the log holds no answers to pair.

    `counts`: right, n, right, n for each seed. The variance of a gap is that of Agresti and Caffo (Am. Stat. 54:280,
    2000), which counts one more right and one more wrong answer each, so that it does not vanish at 0 % and 100 %. The
    two count as independent, and as the same questions serve every seed, seeds do not lessen it: too wide rather than
    too narrow. How far the seeds differ beyond that is a level of its own in the interval. `optimism`: what picking one
    of several looks has added to the gap, taken off before it is evidence against the claim.
    """
    gaps, shrunk = (
        np.array([(k + add) / (n + 2 * add) - (j + add) / (m + 2 * add) for k, n, j, m in counts]) for add in (0, 1)
    )
    tried = [((k + 1) / (n + 2), n + 2) for count in counts for k, n in (count[:2], count[2:])]
    variance = 2 * float(np.mean([share * (1 - share) / n for share, n in tried]))
    seeds, questions = len(counts), min(n for _, n in tried) - 2
    apart = float(gaps.var(ddof=1)) if seeds > 1 else 0.0
    levels = {"clusters": questions, "seeds": seeds, "variance_clusters": variance,
              "variance_seeds": max(apart - variance, 0.0) / seeds}  # fmt: skip
    centre, half = float(shrunk.mean()), half_width(levels, ALPHA)
    greater = _p_above(centre - margin, variance, apart / seeds, questions, seeds)
    less = _p_above(margin - centre - optimism, variance, apart / seeds, questions, seeds)
    return Comparison(
        label, float(gaps.mean()), centre - half, centre + half, greater, less, questions, questions, seeds,
        margin=margin, detail=detail | {"per_seed": gaps.tolist()}, test=ON_DEV, data=LOG,
    )  # fmt: skip


def _p_above(mean: float, sampling: float, between: float, questions: int, seeds: int) -> float:
    """One-sided p of a mean above 0 whose variance is the sum of two: t with Satterthwaite's degrees of freedom.

    At the strict levels of a family the square sum of two t quantiles, as intervals have it, asks three seeds to
    agree to a hundredth of their spread.
    """
    total = sampling + between
    freedom = total**2 / (sampling**2 / (questions - 1) + between**2 / max(seeds - 1, 1))
    least = max(2.0**-questions, 1e-200)  # as `p_value` has it
    return float(np.clip(stdtr(freedom, -mean / np.sqrt(total)), least, 1 - least))
