"""Do intervals cover, and do corrected tests err, as often as they say? Simulated worlds with words and seeds.

Each world has the structure of the records: questions that are hard for every arm, words that a translator carries
well or badly, seeds that are better or worse as a whole and differ from word to word; the target is the same for
every seed. True differences are exact (sums of normals).
"""

import numpy as np
import pytest
from scipy.stats import norm

from lab.evidence.resampling import best_of_looks, bootstrap_interval
from lab.evidence.stats import holm, mean_interval, paired_difference

REPETITIONS = 2000
BASE, QUESTION, WORD = -0.3, 0.8, 0.6


def world(rng, words, per_word, seeds, effect, seed_spread, seed_word_spread):
    """(latent [seeds, n], target [seeds, n], words [n], true difference)."""
    word = np.repeat(np.arange(words), per_word)
    n = words * per_word
    shared = BASE + rng.normal(0, WORD, words)[word] + rng.normal(0, QUESTION, n)
    target = shared + rng.normal(size=n) > 0
    carried = rng.normal(0, WORD, words)
    latent = [
        shared + effect + (carried + rng.normal(0, seed_word_spread, words))[word] + rng.normal(0, seed_spread)
        + rng.normal(size=n) > 0
        for _ in range(seeds)
    ]  # fmt: skip
    spread = np.sqrt(1 + QUESTION**2 + WORD**2)
    wider = np.sqrt(spread**2 + WORD**2 + seed_spread**2 + seed_word_spread**2)
    truth = norm.cdf((BASE + effect) / wider) - norm.cdf(BASE / spread)
    return np.stack(latent), np.tile(target, (seeds, 1)), word, truth


def null_effect(seed_spread, seed_word_spread):
    """The shift at which the true difference is 0."""
    spread = np.sqrt(1 + QUESTION**2 + WORD**2)
    wider = np.sqrt(spread**2 + WORD**2 + seed_spread**2 + seed_word_spread**2)
    return BASE * wider / spread - BASE


WORLDS = {
    "one seed, 72 words": (72, 4, 1, 0.0, 0.0),
    "one seed, 24 words": (24, 11, 1, 0.0, 0.0),
    "three seeds alike": (72, 4, 3, 0.0, 0.3),
    "three seeds apart": (72, 4, 3, 0.3, 0.3),
    "five seeds": (72, 4, 5, 0.2, 0.3),
    "three seeds far apart": (150, 4, 3, 0.4, 0.3),
}


def coverage(name, effect, repetitions):
    """Shares of worlds whose interval holds the truth {"paired", "mean", "bootstrap" (one seed)}, and that reject."""
    words, per_word, seeds, spread, both = WORLDS[name]
    effect = null_effect(spread, both) if effect is None else effect
    rng, hits, rejected = np.random.default_rng(7), {"paired": 0, "mean": 0, "bootstrap": 0}, 0
    for repetition in range(repetitions):
        latent, target, word, truth = world(rng, words, per_word, seeds, effect, spread, both)
        gap = latent.astype(float) - target
        found = {"paired": paired_difference(latent, target, word), "mean": mean_interval(gap, word)}
        if seeds == 1:
            found["bootstrap"] = bootstrap_interval(gap, word, resamples=1000, seed=repetition)
        for kind, interval in found.items():
            hits[kind] += interval["low"] <= truth <= interval["high"]
        rejected += found["paired"]["p"] <= 0.05
    if seeds > 1:
        del hits["bootstrap"]  # it speaks of the seeds at hand only
    return {kind: count / repetitions for kind, count in hits.items()}, rejected / repetitions


@pytest.mark.slow
@pytest.mark.parametrize("effect", [None, 0.6], ids=["null", "real effect"])
@pytest.mark.parametrize("name", WORLDS)
def test_nominal_95_intervals_cover_93_to_97(name, effect):
    covered, rejected = coverage(name, effect, REPETITIONS)
    print(name, "null" if effect is None else effect, covered, rejected)
    for kind, share in covered.items():
        assert 0.93 <= share <= 0.97, f"{kind} covers {share:.3f}"
    if effect is None:
        assert rejected <= 0.06


def family_error(repetitions, words=72, per_word=4, arms=5):
    """Share of worlds in which Holm lets any of five true nulls through; the arms share questions and words."""
    rng, wrong = np.random.default_rng(11), 0
    effect = null_effect(0.0, 0.0)
    for _ in range(repetitions):
        word = np.repeat(np.arange(words), per_word)
        shared = BASE + rng.normal(0, WORD, words)[word] + rng.normal(0, QUESTION, word.size)
        target = shared + rng.normal(size=word.size) > 0
        p = {}
        for arm in range(arms):
            carried = effect + rng.normal(0, WORD, words)[word]
            p[arm] = paired_difference(shared + carried + rng.normal(size=word.size) > 0, target, word)["p"]
        wrong += min(holm(p).values()) <= 0.05
    return wrong / repetitions


def best_error(repetitions, looks=8, words=72, per_word=4):
    """Shares of worlds in which the best of eight equal looks seems to beat the target: (corrected, as if lone)."""
    rng, wrong, naive = np.random.default_rng(13), 0, 0
    effect = null_effect(0.0, 0.5)
    for repetition in range(repetitions):
        word = np.repeat(np.arange(words), per_word)
        shared = BASE + rng.normal(0, WORD, words)[word] + rng.normal(0, QUESTION, word.size)
        target = shared + rng.normal(size=word.size) > 0
        carried = effect + rng.normal(0, WORD, words)  # what the looks have in common
        own = [(carried + rng.normal(0, 0.5, words))[word] for _ in range(looks)]
        gaps = np.stack([(shared + one + rng.normal(size=word.size) > 0).astype(float) - target for one in own])
        found = best_of_looks(gaps, word, resamples=500, seed=repetition)
        wrong += found["p"] <= 0.05 and found["difference"] > 0
        naive += mean_interval(gaps[found["best"]], word)["p"] <= 0.05 and found["difference"] > 0
    return wrong / repetitions, naive / repetitions


@pytest.mark.slow
def test_family_error_after_holm_is_at_most_6_percent():
    error = family_error(REPETITIONS)
    print("family error after Holm", error)
    assert error <= 0.06


@pytest.mark.slow
def test_error_after_the_correction_for_the_best_look_is_at_most_6_percent():
    corrected, naive = best_error(REPETITIONS)
    print("best of eight looks: corrected", corrected, "as if it were the only one", naive)
    assert corrected <= 0.06 < naive


def test_a_short_look_at_calibration():
    covered, _ = coverage("three seeds apart", 0.6, 200)
    assert all(0.90 <= share <= 0.99 for share in covered.values())
    assert family_error(100) <= 0.12
