"""Intervals and the paired test. Every arm answers the same questions, so differences are always tested paired."""

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import NormalDist

from scipy.stats import binomtest

from lab.errors import LabError

Z95 = NormalDist().inv_cdf(0.975)


def wilson(k: int, n: int) -> tuple[float, float]:
    """95 % score interval of a proportion k/n (Wilson 1927; method 3 of Newcombe, Stat. Med. 17:857, 1998).

    Unlike the usual +-1.96 s.e. it keeps its coverage at 0 % and 100 %, where the controls and a saturated arm lie.
    """
    if n <= 0 or not 0 <= k <= n:
        raise LabError(f"wilson: {k} right of {n} is no proportion; it needs n > 0 and 0 <= k <= n.")
    centre = k + Z95**2 / 2
    half = Z95 * sqrt(Z95**2 / 4 + k * (n - k) / n)
    low, high = (centre - half) / (n + Z95**2), (centre + half) / (n + Z95**2)
    # exact at the ends, where rounding would leave 1e-17
    return (0.0 if k == 0 else low), (1.0 if k == n else high)


def newcombe(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    """95 % interval of the paired difference p_a - p_b: method 10 of Newcombe, Stat. Med. 17:2635 (1998).

    The two Wilson intervals, combined with the continuity-corrected correlation phi of the pairs.
    """
    n = both + only_a + only_b + neither
    if n <= 0 or min(both, only_a, only_b, neither) < 0:
        raise LabError("newcombe: the four counts must not be negative and need at least one pair.")
    right_a, right_b = both + only_a, both + only_b
    p_a, p_b = right_a / n, right_b / n
    (low_a, high_a), (low_b, high_b) = wilson(right_a, n), wilson(right_b, n)
    margins = right_a * (n - right_a) * right_b * (n - right_b)
    covariance = both * neither - only_a * only_b
    if covariance > 0:
        covariance = max(covariance - n / 2, 0)
    phi = covariance / sqrt(margins) if margins else 0.0

    def reach(first: float, second: float) -> float:
        return sqrt(max(first**2 - 2 * phi * first * second + second**2, 0.0))

    difference = (only_a - only_b) / n
    return difference - reach(p_a - low_a, high_b - p_b), difference + reach(high_a - p_a, p_b - low_b)


def mcnemar(a_correct: Mapping[str, bool] | Sequence[bool], b_correct: Mapping[str, bool] | Sequence[bool]) -> dict:
    """Exact two-sided McNemar test of two arms on the same questions.

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
    only_a, only_b = pairs.count((True, False)), pairs.count((False, True))
    discordant = only_a + only_b
    p = float(binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0
    low, high = newcombe(pairs.count((True, True)), only_a, only_b, pairs.count((False, False)))
    return {
        "n": len(pairs),
        "only_a": only_a,
        "only_b": only_b,
        "p": p,
        "difference": (only_a - only_b) / len(pairs),
        "ci95": [low, high],
    }
