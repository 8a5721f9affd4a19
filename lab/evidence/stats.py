"""Intervals and tests for arms that answer the same questions: paired, clustered where rows share a word, by seed.

Rows that share a lore word are not independent, nor are the answers of translators that share a seed. So a question
is a row, a word is a cluster, a training seed is a level of its own, and nothing here takes rows for independent
unless it is told so (`clusters=None`).

Wilson's interval, the exact McNemar test and Holm's correction are those of statsmodels. It has no interval of a
paired difference (Newcombe's method 10), no paired score test with a margin (Tango), no power of the exact McNemar
test, and no variance of crossed words and seeds: those are here.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from math import hypot, inf, log10, sqrt
from statistics import NormalDist

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtrc, stdtrit
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


def cluster_codes(clusters: Sequence | None, n: int) -> tuple[np.ndarray, int]:
    """Cluster numbers 0..G-1 of the n rows, and G. Rows without a cluster ("" or None) stand each for themselves."""
    if clusters is None:
        return np.arange(n), n
    if len(clusters) != n:
        raise LabError(f"statistics: {len(clusters)} cluster names for {n} rows; give one for each row.")
    names: dict = {}
    codes = [names.setdefault((row, None) if name in ("", None) else name, len(names))
             for row, name in enumerate(clusters)]  # fmt: skip
    return np.array(codes), len(names)


def finite_rows(values) -> np.ndarray:
    """`values` [n] or [seeds, n] as a float array [seeds, n]."""
    array = np.atleast_2d(np.asarray(values, dtype=float))
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise LabError("statistics: values have to be finite numbers, [questions] or [seeds, questions], at least one.")
    return array


def _squares(sums: np.ndarray, n: int) -> float:
    """Variance of a mean over n rows from the cluster totals of its residuals, as a sample of G clusters."""
    groups = sums.size
    return float((sums**2).sum() * groups / max(groups - 1, 1) / n**2)


def mean_variance(values, clusters: Sequence | None = None) -> dict:
    """Mean of `values` [n] or [seeds, n] and what its variance is made of.

    statsmodels has the first half, but takes two-way clusters by adding and subtracting, which may come out below 0.
    One seed: the ratio estimator of cluster sampling (Cochran, Sampling Techniques, 1977, ch. 9A). Several: clusters
    and seeds are two crossed random levels; what is left once both are taken out is counted in each, so it is taken
    off the second (analysis of variance of a two-way layout; Cameron, Gelbach and Miller, J. Bus. Econ. Stat. 29:238,
    2011). A lone seed or a lone cluster says nothing about its level: it adds 0.
    Returns {"mean", "clusters", "seeds", "variance_clusters", "variance_seeds"}.
    """
    rows = finite_rows(values)
    seeds, n = rows.shape
    codes, groups = cluster_codes(clusters, n)
    residuals = rows - rows.mean()
    cells = np.stack([np.bincount(codes, weights=row, minlength=groups) for row in residuals])  # [seeds, clusters]
    by_cluster = _squares(cells.mean(axis=0), n) if groups > 1 else 0.0
    by_seed = 0.0
    if seeds > 1:
        sizes = np.bincount(codes, minlength=groups) / n
        left = cells - cells.mean(axis=0) - n * np.outer(residuals.mean(axis=1), sizes)
        noise = sum(_squares(row, n) for row in left) / (seeds * (seeds - 1))
        by_seed = max(float(rows.mean(axis=1).var(ddof=1)) / seeds - noise, 0.0)
    return {"mean": float(rows.mean()), "clusters": groups, "seeds": seeds, "variance_clusters": by_cluster,
            "variance_seeds": by_seed}  # fmt: skip


def half_width(found: Mapping, alpha: float) -> float:
    """Half the 1 - alpha interval of what `mean_variance` gives; infinite where there is but one cluster.

    Each level has its own t quantile and they are added as squares (Howe, JASA 69:789, 1974). Satterthwaite's single
    number of degrees of freedom covered 89 % with three seeds; this covers 94 to 97 %.
    """
    if found["clusters"] < 2:
        return inf  # one word says nothing of others, whatever the number of seeds
    levels = ((found["variance_clusters"], found["clusters"]), (found["variance_seeds"], found["seeds"]))
    return hypot(*(-float(stdtrit(size - 1, alpha / 2)) * sqrt(variance) for variance, size in levels if variance))


def p_value(found: Mapping) -> float:
    """Two-sided p of a zero mean: the alpha at which `half_width` just reaches it.

    Never less than 2^(1 - clusters): no words can be surer than all of them on one side by chance. So it is 1 where
    there is one cluster, and never 0.
    """
    reach, least = abs(found["mean"]), max(2.0 ** (1 - found["clusters"]), 1e-200)
    if half_width(found, least) <= reach:
        return least if reach else 1.0
    if half_width(found, 1.0) >= reach:
        return 1.0
    return float(10.0 ** brentq(lambda e: half_width(found, 10.0**e) - reach, log10(least), 0))


def mean_interval(values, clusters: Sequence | None = None, level: float = 0.95) -> dict:
    """Mean of [n] or [seeds, n] numbers with its t interval, no narrower than that of n rows taken once.

    Numbers that take two values only (a right answer or a wrong one) are a proportion, and have `proportion`'s interval
    between the two: a t interval of a rare one covers 83 %. Where no number differs, or all share one cluster, nothing
    is known of the spread: the ends are infinite and p is 1.
    Returns the fields of `mean_variance` and "low", "high", "p" (two-sided, against 0).
    """
    rows, found = finite_rows(values), mean_variance(values, clusters)
    least, most = float(rows.min()), float(rows.max())
    if least == most or found["clusters"] < 2:
        return found | {"low": -inf, "high": inf, "p": 1.0}
    if np.isin(rows, (least, most)).all():
        share = proportion(rows == most, clusters, level)
        low, high = (least + (most - least) * share[end] for end in ("low", "high"))
    else:  # several seeds that answer a question are no further questions
        once = NormalDist().inv_cdf(0.5 + level / 2) * float(rows.std()) / sqrt(rows.shape[1])
        half = max(half_width(found, 1 - level), once)
        low, high = found["mean"] - half, found["mean"] + half
    return found | {"low": low, "high": high, "p": p_value(found)}


def sign_flip_p(differences: Sequence[float], clusters: Sequence | None = None) -> float:
    """Exact two-sided p of a zero mean when the sign of every cluster's total may turn (Fisher 1935, sec. 21).

    Whole-number differences only; all 2^G sign patterns are counted by convolution. With clusters of one row and
    differences in {-1, 0, 1} it is the exact McNemar test.
    """
    values = np.asarray(differences, dtype=float)
    if values.size == 0 or not np.array_equal(values, np.round(values)):
        raise LabError("sign_flip_p: the differences have to be whole numbers, and at least one.")
    codes, groups = cluster_codes(clusters, len(values))
    totals = np.abs(np.bincount(codes, weights=values, minlength=groups)).round().astype(int)
    chance = np.ones(1)  # of each total: index i is the total 2 i - sum(|totals so far|)
    for total in totals[totals > 0]:
        wider = np.zeros(len(chance) + total)
        wider[: len(chance)] += chance / 2
        wider[total:] += chance / 2
        chance = wider
    reached = 2 * np.arange(len(chance)) - (len(chance) - 1)
    extreme = chance[np.abs(reached) >= abs(int(values.sum()))].sum()
    return float(min(max(extreme, 1e-200), 1.0))  # 2^-1318 is 0 to a float, and no p is 0


def paired_difference(a_correct, b_correct, clusters: Sequence | None = None, level: float = 0.95) -> dict:
    """Difference in accuracy a - b of two arms, [n] or [seeds, n] truth values in the same order of questions.

    Interval: Newcombe's method 10 at the effective number of pairs: as many as make the simple interval as wide as
    that of `mean_interval`, which knows clusters and seeds (Korn and Graubard, Survey Methodology 24:193, 1998, do so
    for one proportion). It keeps within [-1, 1] and does not shrink to a point at 0 % or 100 %.
    p: the exact sign-flip test over clusters (McNemar's where every row is its own cluster); with several seeds the
    larger of it, on the totals over seeds, and the t test in which seeds are a level of their own.
    Returns {"difference", "low", "high", "p", "n", "clusters", "seeds", "only_a", "only_b", "per_seed", "pairs"};
    the discordant counts are averages over seeds, `pairs` is the effective number of pairs.
    """
    a, b = finite_rows(a_correct), finite_rows(b_correct)
    if a.shape != b.shape:
        raise LabError(f"paired_difference: {list(a.shape)} answers against {list(b.shape)}; pair the same questions.")
    seeds, n = a.shape
    gap = a - b
    found = mean_variance(gap, clusters)
    both, only_a, only_b = ((a * b).sum() / seeds, (a * (1 - b)).sum() / seeds, ((1 - a) * b).sum() / seeds)
    counts = np.clip([both, only_a, only_b, n - both - only_a - only_b], 0, None)
    simple = max((only_a + only_b) / n - found["mean"] ** 2, 0.0)  # variance of one pair
    half, z = half_width(found, 1 - level), NormalDist().inv_cdf(0.5 + level / 2)
    # No more pairs than rows; if no row deviates, the clusters are all that is known to be independent.
    pairs = min(simple * (z / half) ** 2, n * seeds) if 0 < half < inf else found["clusters"]
    low, high = newcombe(*(counts * pairs / n), level)
    p = sign_flip_p(gap.sum(axis=0), clusters)
    return {
        "difference": found["mean"], "low": low, "high": high, "p": max(p, p_value(found)) if seeds > 1 else p,
        "n": n, "clusters": found["clusters"], "seeds": seeds, "only_a": float(only_a), "only_b": float(only_b),
        "per_seed": gap.mean(axis=1).tolist(), "pairs": float(pairs),
    }  # fmt: skip


def proportion(correct, clusters: Sequence | None = None, level: float = 0.95) -> dict:
    """Accuracy of [n] or [seeds, n] truth values: Wilson's interval at the effective number of rows.

    That is as many as make the simple interval as wide as `mean_interval`'s (Korn and Graubard, Survey Methodology
    24:193, 1998). Returns {"accuracy", "low", "high", "n", "clusters", "seeds", "per_seed"}.
    """
    rows = finite_rows(correct)
    found, n = mean_variance(rows, clusters), rows.shape[1]
    half, z, p = half_width(found, 1 - level), NormalDist().inv_cdf(0.5 + level / 2), found["mean"]
    # No more rows than questions, however many seeds answered; if none deviates, the clusters are all that is known.
    size = min(p * (1 - p) * (z / half) ** 2, n) if 0 < half < inf else found["clusters"]
    low, high = wilson(min(p * size, size), size, level)
    return {"accuracy": p, "low": low, "high": high, "n": n, "clusters": found["clusters"], "seeds": found["seeds"],
            "per_seed": rows.mean(axis=1).tolist()}  # fmt: skip


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
