"""Do intervals cover, and do verdicts err, as often as they say? The kept figures keep their bounds, and come again."""

import json
from math import hypot
from pathlib import Path

import numpy as np
import pytest

from lab.evidence.calibration import coverage, coverage_on_dev, family_error, judged_worlds, measure, page, together
from lab.evidence.crossed import mean_interval, proportion
from lab.evidence.resampling import best_of_looks, bootstrap_interval
from lab.evidence.verdicts import SUPPORTED
from lab.evidence.worlds import SIZES, Questions, Truth

FIGURES = Path(__file__).parents[2] / "benchmarks" / "calibration.json"
KEPT = json.loads(FIGURES.read_text())
COVERAGE = ("interval", "words", "seeds", "accuracy")
ROWS = {"coverage": COVERAGE, "family": ("truth", "seeds", "accuracy"), "power": ("effect", "claims", "seeds")}


def test_the_page_is_made_of_the_figures():
    assert FIGURES.with_suffix(".md").read_text() == page(KEPT), "run `python -m lab.evidence.calibration` on the file"


@pytest.mark.parametrize("row", KEPT["coverage"], ids=lambda row: "-".join(str(row[key]) for key in COVERAGE))
def test_every_kept_interval_holds_the_truth_in_93_percent(row):
    """How far two seeds lie apart is one difference: less is promised of them."""
    assert row["of"] >= 1000 and row["error"] < 0.01 and row["refused"] < 0.05
    assert row["share"] >= (0.90 if row["seeds"] == 2 else 0.93)


def test_no_more_than_5_percent_of_families_have_a_wrong_verdict():
    assert sum(row["of"] for row in KEPT["family"]) >= 500
    for truth in {row["truth"] for row in KEPT["family"]}:
        for seeds in (1, 3):
            rows = [row for row in KEPT["family"] if (row["truth"], row["seeds"]) == (truth, seeds)]
            assert len(rows) == 3 and together(rows)["share"] <= 0.05, (truth, seeds)


def test_verdicts_are_seldom_refused_where_there_is_something_to_judge():
    """Of twenty claims one: a run that is right in 1 % cannot fall by ten points."""
    assert all(row["refused"] <= 0.05 for row in KEPT["family"])
    assert all(row["refused"] == 0 for row in KEPT["power"])


@pytest.mark.slow
def test_the_figures_come_again():
    """In other worlds, fewer of them: every figure within four Monte Carlo errors of the kept one."""
    found, far = measure(worlds=150, families=16, seed=2), []
    for part, keys in ROWS.items():
        for old, new in zip(KEPT[part], found[part], strict=True):
            assert [old[key] for key in keys] == [new[key] for key in keys]
            if abs(old["share"] - new["share"]) > 4 * hypot(old["error"], new["error"]):
                far.append([old[key] for key in keys] + [old["share"], new["share"]])
    assert not far


def test_a_short_look_at_calibration():
    rng = np.random.default_rng(1)
    for seeds in (1, 3):
        for accuracy in (0.01, 0.98):
            found = coverage(Questions(SIZES["unequal"]), seeds, accuracy, 40, rng)
            assert all(row["share"] >= 0.8 for row in found.values()), found
    assert coverage_on_dev(100, 3, 0.5, 40, rng)["share"] >= 0.8
    verdicts = list(judged_worlds(Questions(SIZES["twelve words"]), Truth(0.5), 1, 4, rng))
    assert family_error(verdicts, SUPPORTED)["share"] <= 0.5


def test_the_mean_of_right_answers_has_the_interval_of_a_proportion():
    rng = np.random.default_rng(0)
    questions = Questions(SIZES["unequal"])
    word = list(map(str, questions.word))
    for accuracy in (0.01, 0.5, 0.98):
        right = questions.trained(rng, questions.common(rng), accuracy, 3)
        mean, share = mean_interval(right, word), proportion(right, word)
        assert (mean["low"], mean["high"]) == pytest.approx((share["low"], share["high"]))
        scaled = mean_interval(10 * right - 5.0, word)
        assert (scaled["low"], scaled["high"]) == pytest.approx((10 * share["low"] - 5, 10 * share["high"] - 5))


@pytest.mark.slow
@pytest.mark.parametrize("words", SIZES)
def test_the_bootstrap_of_a_difference_covers(words):
    rng, questions, hits = np.random.default_rng(7), Questions(SIZES[words]), 0
    for repetition in range(500):
        found = questions.answers(rng, {"latent": 0.6, "target": 0.4}, 1)
        gap = (found["latent"].astype(float) - found["target"])[0]
        interval = bootstrap_interval(gap, questions.word.tolist(), resamples=1000, seed=repetition)
        hits += interval["low"] <= 0.2 <= interval["high"]
    assert 0.92 <= hits / 500 <= 0.98


@pytest.mark.slow
def test_error_after_the_correction_for_the_best_look_is_at_most_6_percent():
    """The best of eight equal looks seems to beat the target, if taken for the only one."""
    rng, questions, wrong, naive = np.random.default_rng(13), Questions(SIZES["equal"], 0.0, 0.5), 0, 0
    word = questions.word.tolist()
    for repetition in range(500):
        found = questions.answers(rng, {"latent": 0.4, "target": 0.4}, 8)
        gaps = found["latent"].astype(float) - found["target"]
        best = best_of_looks(gaps, word, resamples=500, seed=repetition)
        wrong += best["p"] <= 0.05 and best["difference"] > 0
        naive += mean_interval(gaps[best["best"]], word)["p"] <= 0.05 and best["difference"] > 0
    assert wrong / 500 <= 0.06 < naive / 500
