"""Intervals and tests of counts: of one proportion, of pairs, of a family of hypotheses; and what pairs can show.

Every pair counts here as one. Where rows share a word or a seed, `lab.evidence.crossed` says how many they are worth.

Wilson's interval, the exact McNemar test and Holm's correction are those of statsmodels. It has no interval of a
paired difference (Newcombe's method 10), no paired score test with a margin (Tango), and no power of the exact McNemar
test: those are here.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from math import sqrt
from statistics import NormalDist

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtrc
from scipy.stats import binom

from lab.errors import LabError

Z95 = NormalDist().inv_cdf(0.975)
ALPHA = 0.05


@contextmanager
def _needed() -> Iterator[None]:
    """Around the imports of statsmodels. They stand where they are used: models are trained without it, and it brings
    pandas."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = error.name.partition(".")[0]
        raise LabError(
            f"intervals and tests need {missing}, which is not installed: `pip install {missing}`."
        ) from None


def wilson(k: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion k/n (Wilson 1927; method 3 of Newcombe, Stat. Med. 17:857, 1998), statsmodels'.

    Unlike the usual +-1.96 s.e. it keeps its coverage at 0 % and 100 %, where the controls and a saturated arm lie.
    """
    if n <= 0 or not 0 <= k <= n:
        raise LabError(f"wilson: {k} right of {n} is no proportion; it needs n > 0 and 0 <= k <= n.")
    with _needed():
        from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(k, n, alpha=1 - level, method="wilson")
    # exact at the ends, where rounding would leave 1e-17
    return (0.0 if k == 0 else float(low)), (1.0 if k == n else float(high))


def newcombe(both: float, only_a: float, only_b: float, neither: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of the paired difference p_a - p_b: method 10 of Newcombe, Stat. Med. 17:2635 (1998).

    The two Wilson intervals, combined with the continuity-corrected correlation phi of the pairs; statsmodels has it
    for independent samples only. The counts may be fractions: averages over seeds, or scaled to an effective number of
    pairs.
    """
    n = both + only_a + only_b + neither
    if n <= 0 or min(both, only_a, only_b, neither) < 0:
        raise LabError("newcombe: the four counts must not be negative and need at least one pair.")
    right_a, right_b = min(both + only_a, n), min(both + only_b, n)
    p_a, p_b = right_a / n, right_b / n
    (low_a, high_a), (low_b, high_b) = wilson(right_a, n, level), wilson(right_b, n, level)
    margins = right_a * (n - right_a) * right_b * (n - right_b)
    covariance = both * neither - only_a * only_b
    if covariance > 0:
        covariance = max(covariance - n / 2, 0)
    phi = covariance / sqrt(margins) if margins > 0 else 0.0

    def reach(first: float, second: float) -> float:
        return sqrt(max(first**2 - 2 * phi * first * second + second**2, 0.0))

    difference = (only_a - only_b) / n
    return difference - reach(p_a - low_a, high_b - p_b), difference + reach(high_a - p_a, p_b - low_b)


def score_p_below(only_a: float, only_b: float, n: float, margin: float) -> float:
    """One-sided p of p_a - p_b being below `margin`, in n pairs: Tango's score test, Stat. Med. 17:891 (1998).

    The variance is that under the null, so few discordant pairs, or none, do not make it vanish as a t test's does.
    statsmodels has score tests of independent samples only.
    """
    if n <= 0 or min(only_a, only_b) < 0 or not 0 < margin < 1:
        raise LabError("score_p_below: needs n > 0, counts that are not negative, and a margin between 0 and 1.")
    linear = (2 * n - only_a + only_b) * margin - only_a - only_b
    lost = (sqrt(linear**2 + 8 * n * only_b * margin * (1 - margin)) - linear) / (4 * n)  # likeliest share of only_b
    return NormalDist().cdf((only_a - only_b - n * margin) / sqrt(n * (2 * lost + margin * (1 - margin))))


def mcnemar(a_correct: Mapping[str, bool] | Sequence[bool], b_correct: Mapping[str, bool] | Sequence[bool]) -> dict:
    """Exact two-sided McNemar test of two arms on the same questions, statsmodels'.

    Give mappings id -> correct (any order; the ids have to be the same) or two sequences in the same order.
    Returns {"n", "only_a", "only_b", "p", "difference" (a - b, a fraction), "ci95" (Newcombe's method 10)}.
    """
    if isinstance(a_correct, Mapping) != isinstance(b_correct, Mapping):
        raise LabError("mcnemar: one arm comes with ids and the other without; give both as id -> correct.")
    if isinstance(a_correct, Mapping):
        if stray := sorted(a_correct.keys() ^ b_correct.keys()):
            raise LabError(
                f"mcnemar: {len(stray)} questions were answered by one arm only, first {stray[0]}; "
                "pair the arms on the same questions."
            )
        pairs = [(bool(a_correct[key]), bool(b_correct[key])) for key in a_correct]
    else:
        if len(a_correct) != len(b_correct):
            raise LabError(f"mcnemar: {len(a_correct)} answers against {len(b_correct)}; pair the same questions.")
        pairs = [(bool(a), bool(b)) for a, b in zip(a_correct, b_correct, strict=True)]
    if not pairs:
        raise LabError("mcnemar: no questions to compare; give at least one pair.")
    with _needed():
        from statsmodels.stats.contingency_tables import mcnemar as exact

    both, only_a, only_b, neither = map(pairs.count, ((True, True), (True, False), (False, True), (False, False)))
    p = float(exact([[both, only_a], [only_b, neither]]).pvalue)
    low, high = newcombe(both, only_a, only_b, neither)
    return {
        "n": len(pairs),
        "only_a": only_a,
        "only_b": only_b,
        "p": p,
        "difference": (only_a - only_b) / len(pairs),
        "ci95": [low, high],
    }


def holm(p_values: Mapping[str, float], family: int | None = None) -> dict[str, float]:
    """Adjusted p-values (Holm, Scand. J. Stat. 6:65, 1979), statsmodels', over a family declared beforehand.

    `family`: how many hypotheses were declared, those never tested included (they count as p = 1); so leaving a test
    out cannot make another one significant.
    """
    size = len(p_values) if family is None else family
    if size < len(p_values) or any(not 0 <= p <= 1 for p in p_values.values()):
        raise LabError(f"holm: {len(p_values)} p-values for a declared family of {size}; all lie between 0 and 1.")
    with _needed():
        from statsmodels.stats.multitest import multipletests

    untested = [1.0] * (size - len(p_values))
    adjusted = multipletests([*p_values.values(), *untested], method="holm")[1]
    return dict(zip(p_values, map(float, adjusted), strict=False))


@lru_cache(maxsize=64)
def _wins_needed(n: int, level: float) -> np.ndarray:
    """[n + 1] of d = 0 to n discordant pairs the fewest in favour of a with P(as many or more | 1/2) <= level."""
    return binom.isf(level, np.arange(n + 1), 0.5) + 1


def mcnemar_power(n: int, only_a: float, only_b: float, alpha: float = ALPHA, sides: int = 2) -> float:
    """Power of the exact McNemar test for n pairs, of which the fractions `only_a` > `only_b` are discordant.

    Unconditional: the number of discordant pairs is binomial, and given it so is the number in favour of a
    (Connor, Biometrics 43:207, 1987; exact enumeration as in G*Power). Counts the right direction only. statsmodels
    has power for independent samples only.
    """
    discordant = only_a + only_b
    if n < 1 or not 0 < discordant <= 1 or min(only_a, only_b) < 0:
        raise LabError("mcnemar_power: needs n > 0 and two discordant fractions that add up to at most 1.")
    counts = np.arange(n + 1)
    won = bdtrc(_wins_needed(n, alpha / sides) - 1, counts, only_a / discordant)  # P(wins > that), as binom.sf has it
    return float((binom.pmf(counts, n, discordant) * won).sum())


def minimum_detectable_effect(
    n: int, discordant: float, power: float = 0.8, alpha: float = ALPHA, design_effect: float = 1.0
) -> float | None:
    """The smallest true difference that n pairs show with this power; None if even the largest possible is missed.

    `discordant`: the fraction of pairs in which just one of the arms is right. `design_effect`: how much clusters
    inflate the variance (1: none); it divides n.
    """
    pairs = max(1, int(n / design_effect))

    def lacking(effect: float) -> float:
        return mcnemar_power(pairs, (discordant + effect) / 2, (discordant - effect) / 2, alpha) - power

    return None if lacking(discordant) < 0 else float(brentq(lacking, 0.0, discordant, xtol=1e-5))
