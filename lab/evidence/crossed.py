"""Means, proportions and paired differences of rows that share a word or a training seed.

Rows that share a lore word are not independent, nor are the answers of translators that share a seed. So a question
is a row, a word is a cluster, a training seed is a level of its own, and nothing here takes rows for independent
unless it is told so (`clusters=None`). statsmodels has no variance of crossed words and seeds.
"""

from collections.abc import Mapping, Sequence
from math import hypot, inf, log10, sqrt
from statistics import NormalDist

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtrit

from lab.errors import LabError
from lab.evidence.stats import newcombe, wilson


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


def ratio_interval(top, bottom, clusters: Sequence | None = None, level: float = 0.95) -> dict:
    """sum(top) / sum(bottom) over paired rows [n] or [seeds, n], with its t interval over clusters and seeds.

    Linearised: the ratio's error is the mean of (top - ratio * bottom) / mean(bottom) (Cochran, Sampling Techniques,
    1977, sec. 2.11), so `mean_interval` knows words and seeds here as well.
    Returns {"value", "low", "high", "per_seed"}. Raises LabError where the bottom sums to nothing.
    """
    over, under = finite_rows(top), finite_rows(bottom)
    if over.shape != under.shape or not (under.sum(axis=1) > 0).all():
        raise LabError("ratio_interval: give paired rows, of which those below sum to more than 0.")
    value = float(over.sum() / under.sum())
    found = mean_interval(value + (over - value * under) / under.mean(), clusters, level)
    return {"value": value, "low": found["low"], "high": found["high"],
            "per_seed": (over.sum(axis=1) / under.sum(axis=1)).tolist()}  # fmt: skip


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
