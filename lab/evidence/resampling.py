"""Looks at one set of questions again and again: the best of several, and what resampling says of a mean.

Checkpoints answer the same dev questions at every look, so the best of them is too high by having been picked.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np
from scipy.integrate import quad
from scipy.stats import t

from lab.errors import LabError
from lab.evidence.crossed import cluster_codes, finite_rows


def bootstrap_interval(
    values, clusters: Sequence | None = None, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> dict:
    """Bootstrap of the mean of paired differences [n], whole clusters drawn; [seeds, n] is averaged over these seeds.

    The ends are expanded percentiles (Hesterberg, Am. Stat. 69:371, 2015): plain ones are too narrow by
    sqrt((G - 1)/G) and by z for t. Returns {"mean", "low", "high", "se", "resamples"}; `se` is the plain bootstrap's.
    """
    row = finite_rows(values).mean(axis=0)
    codes, groups = cluster_codes(clusters, len(row))
    if groups < 2:
        raise LabError("bootstrap_interval: one row, or one cluster, says nothing of its spread; give two at least.")
    totals, sizes = np.bincount(codes, weights=row, minlength=groups), np.bincount(codes, minlength=groups)
    drawn = np.random.default_rng(seed).integers(0, groups, size=(resamples, groups))
    means = totals[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    wider = sqrt(groups / (groups - 1)) * float(t.ppf(0.5 + level / 2, groups - 1))
    tail = NormalDist().cdf(-wider)
    low, high = np.quantile(means, [tail, 1 - tail])
    return {"mean": float(row.mean()), "low": float(low), "high": float(high), "se": float(means.std()),
            "resamples": resamples}  # fmt: skip


def bootstrap_ratio(
    top, bottom, clusters: Sequence | None = None, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> dict:
    """Bootstrap of sum(top) / sum(bottom) of paired rows [n] or [seeds, n], whole clusters drawn, over these seeds.

    Ends as in `bootstrap_interval`. Returns {"value", "low", "high"}.
    """
    rows = [finite_rows(values).mean(axis=0) for values in (top, bottom)]
    codes, groups = cluster_codes(clusters, len(rows[0]))
    if groups < 2:
        raise LabError("bootstrap_ratio: one row, or one cluster, says nothing of its spread; give two at least.")
    over, under = (np.bincount(codes, weights=row, minlength=groups) for row in rows)
    drawn = np.random.default_rng(seed).integers(0, groups, size=(resamples, groups))
    ratios = over[drawn].sum(axis=1) / under[drawn].sum(axis=1)
    wider = sqrt(groups / (groups - 1)) * float(t.ppf(0.5 + level / 2, groups - 1))
    tail = NormalDist().cdf(-wider)
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return {"value": float(over.sum() / under.sum()), "low": float(low), "high": float(high)}


def expected_best_of(looks: int) -> float:
    """Expected maximum of m independent standard normal values (Tippett, Biometrika 17:364, 1925).

    Times the standard error of an accuracy it is how far the best of m looks at equally good checkpoints lies too high.
    """
    if looks < 1:
        raise LabError(f"expected_best_of: {looks} looks; it needs at least one.")
    normal = NormalDist()
    return float(quad(lambda x: looks * x * normal.pdf(x) * normal.cdf(x) ** (looks - 1), -12, 12, limit=200)[0])


def best_of_looks(
    differences, clusters: Sequence | None = None, resamples: int = 4000, seed: int = 0, level: float = 0.95
) -> dict:
    """The best of m looks at the same questions, corrected for having been picked.

    `differences` [looks, n], for example checkpoint minus target. The p-value is that of the maximum over looks when
    whole clusters turn their sign in all looks at once (Westfall and Young, 1993, max T), so that looks which agree
    cost little. The optimism is the mean over clustered bootstrap samples of (winner's value there - its value here).
    Returns {"best" (index), "difference" (naive), "corrected", "optimism", "p" (corrected), "low", "high"}: the
    interval is simultaneous over the looks, around the naive difference.
    """
    rows = finite_rows(differences)
    codes, groups = cluster_codes(clusters, rows.shape[1])
    if groups < 2:
        raise LabError("best_of_looks: one question, or one cluster, says nothing of its spread; give two at least.")
    totals = np.stack([np.bincount(codes, weights=row, minlength=groups) for row in rows])  # [looks, groups]
    sizes, n = np.bincount(codes, minlength=groups), rows.shape[1]
    means = totals.sum(axis=1) / n
    best = int(means.argmax())
    rng = np.random.default_rng(seed)
    flips = rng.integers(0, 2, size=(resamples, groups)) * 2.0 - 1
    scale = np.sqrt((totals**2).sum(axis=1))
    scale[scale == 0] = 1.0
    largest = (np.abs(flips @ totals.T) / scale).max(axis=1)
    reached = abs(totals[best].sum()) / scale[best]
    p = (1 + int((largest >= reached - 1e-9).sum())) / (resamples + 1)
    drawn = rng.integers(0, groups, size=(resamples, groups))
    there = np.stack([row[drawn].sum(axis=1) for row in totals], axis=1) / sizes[drawn].sum(axis=1)[:, None]
    picked = there.argmax(axis=1)
    optimism = float((there[np.arange(resamples), picked] - means[picked]).mean())
    centred = totals - np.outer(means, sizes)
    spread = np.sqrt((centred**2).sum(axis=1) * groups / (groups - 1)) / n
    spread_or_one = np.where(spread == 0, 1.0, spread)
    reach = float(np.quantile((np.abs(flips @ centred.T) / n / spread_or_one).max(axis=1), level))
    half = max(reach, float(t.ppf(0.5 + level / 2, groups - 1))) * spread[best]
    difference = float(means[best])
    return {
        "best": best, "difference": difference, "corrected": difference - optimism, "optimism": optimism, "p": float(p),
        "low": difference - float(half), "high": difference + float(half),
    }  # fmt: skip
