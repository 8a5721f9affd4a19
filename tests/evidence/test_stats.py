"""The statistics against published numbers."""

import time
from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import binomtest

from lab.errors import LabError
from lab.evidence.crossed import mean_interval, mean_variance, paired_difference, proportion, sign_flip_p
from lab.evidence.resampling import best_of_looks, bootstrap_interval, expected_best_of
from lab.evidence.stats import holm, mcnemar, mcnemar_power, minimum_detectable_effect, newcombe, score_p_below, wilson


@pytest.mark.parametrize(
    "k, n, low, high",
    [  # Newcombe, Stat. Med. 17:857 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_newcombes_table(k, n, low, high):
    assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_is_his_formula_for_counts_of_any_kind():
    for n in (1, 2, 7.5, 20, 263, 1319):
        for share in (0, 0.001, 0.013, 0.25, 0.5, 0.777, 0.999, 1):
            for level in (0.8, 0.95, 0.999):
                k, z = share * n, NormalDist().inv_cdf(0.5 + level / 2)
                centre, half = k + z**2 / 2, z * sqrt(z**2 / 4 + k * (n - k) / n)
                low, high = wilson(k, n, level)
                expected = ((centre - half) / (n + z**2), (centre + half) / (n + z**2))
                assert (low, high) == pytest.approx(expected, abs=1e-12)
                assert (share > 0 or low == 0) and (share < 1 or high == 1)  # exactly


def test_wilson_is_symmetric_and_keeps_within_the_unit_interval():
    for k in range(21):
        low, high = wilson(k, 20)
        assert 0 <= low <= k / 20 <= high <= 1
        assert wilson(20 - k, 20) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("k, n", [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_what_is_no_proportion(k, n):
    with pytest.raises(LabError, match="no proportion"):
        wilson(k, n)


def pairs(both, only_a, only_b, neither):
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return a, b


def test_newcombes_method_10():
    # Newcombe, Stat. Med. 17:2635 (1998): 36, 12, 2, 0 of 50
    assert newcombe(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_airway_hyper_responsiveness():
    # Bentur et al. 2009 as analysed by Fagerland, Lydersen and Laake, Stat. Med. 33:2850 (2014)
    result = mcnemar(*pairs(1, 1, 7, 12))
    assert result["p"] == pytest.approx(0.0703, abs=5e-5)
    assert result["difference"] == pytest.approx(-0.286, abs=5e-4)
    assert result["ci95"] == pytest.approx([-0.507, -0.026], abs=5e-4)


@pytest.mark.parametrize("only_a, only_b, p", [(10, 14, 0.54), (10, 24, 0.024)])
def test_mcnemar_depends_on_the_discordant_pairs_alone(only_a, only_b, p):
    small, large = mcnemar(*pairs(5, only_a, only_b, 5)), mcnemar(*pairs(130, only_a, only_b, 36))
    assert small["p"] == large["p"] == pytest.approx(p, abs=5e-3)
    assert (large["only_a"], large["only_b"]) == (only_a, only_b)


def test_the_exact_test_is_the_binomial_one():
    for only_a in (0, 1, 2, 9, 40):
        for only_b in (0, 1, 3, 40, 75):
            expected = binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
            assert mcnemar(*pairs(3, only_a, only_b, 4))["p"] == pytest.approx(expected, rel=1e-12)


def test_swapping_the_arms_turns_the_sign():
    a, b = pairs(20, 9, 2, 9)
    there, back = mcnemar(a, b), mcnemar(b, a)
    assert there["p"] == back["p"] and there["difference"] == -back["difference"]
    assert there["ci95"] == pytest.approx([-end for end in reversed(back["ci95"])])


def test_equal_arms_differ_by_nothing():
    result = mcnemar([True, False, True], [True, False, True])
    assert result["p"] == 1 and result["difference"] == 0
    everything = mcnemar([True] * 30, [True] * 30)
    assert everything["ci95"][0] <= 0 <= everything["ci95"][1]


def test_ids_align_and_strays_are_refused():
    assert mcnemar({"x": True, "y": False}, {"y": False, "x": False})["only_a"] == 1
    with pytest.raises(LabError, match="first z"):
        mcnemar({"x": True}, {"x": True, "z": False})
    with pytest.raises(LabError, match="2 answers against 1"):
        mcnemar([True, False], [True])
    with pytest.raises(LabError, match="with ids"):
        mcnemar({"x": True}, [True])
    with pytest.raises(LabError, match="no questions"):
        mcnemar({}, {})


DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]  # crossed minus selfed maize, eighths of an inch
# Lohr, Sampling: Design and Analysis, example 5.2: grade points of the four students of each of five suites
SUITES = [3.08, 2.60, 3.44, 3.04, 2.36, 3.04, 3.28, 2.68, 2.00, 2.56, 2.52, 1.88, 3.00, 2.88, 3.44, 3.64, 2.68, 1.92,
          3.28, 3.20]  # fmt: skip
SUITE = [row // 4 for row in range(20)]


def test_fishers_randomisation_of_darwins_maize():
    # Fisher, The Design of Experiments (1935), sec. 21: 863 of 32 768 sign patterns reach 314, so 1 726 both ways
    assert sign_flip_p(DARWIN) == 1726 / 32768
    # ibid., sec. 17 and 19: t = 2.148 on 14 degrees of freedom, P about 5 per cent; limits 0.03 and 41.84
    found = mean_interval(DARWIN)
    assert found["mean"] == pytest.approx(20.93, abs=5e-3)
    assert (found["low"], found["high"]) == pytest.approx((0.03, 41.84), abs=5e-3)
    assert found["p"] == pytest.approx(0.0497, abs=5e-5)


def test_students_sleep_data():
    # Student (1908); paired t test as printed in R's help page of `sleep`
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = mean_interval(np.subtract(first, second))
    assert (found["low"], found["high"]) == pytest.approx((-2.4598858, -0.7001142), abs=1e-6)
    assert found["p"] == pytest.approx(0.002833, abs=1e-6)


def test_lohrs_suites_are_a_cluster_sample():
    found = mean_interval(SUITES, SUITE)
    assert found["mean"] == pytest.approx(2.826, abs=5e-4)
    # printed: 0.164, with the correction for 5 suites out of 100
    assert np.sqrt(found["variance_clusters"] * (1 - 5 / 100)) == pytest.approx(0.164, abs=5e-4)
    bootstrap = bootstrap_interval(SUITES, SUITE, resamples=40000)
    assert bootstrap["se"] == pytest.approx(np.sqrt(found["variance_clusters"] * 4 / 5), rel=0.02)


def test_the_bootstrap_of_efron_and_tibshirani():
    # An Introduction to the Bootstrap (1993), table 2.2: treated mice, standard error 23.36 at infinitely many samples
    found = bootstrap_interval([94, 197, 16, 38, 99, 141, 23], resamples=100_000)
    assert found["se"] == pytest.approx(23.36, rel=0.01)
    assert found["mean"] == pytest.approx(86.86, abs=5e-3)


def test_clustered_variance_is_that_of_statsmodels():
    from statsmodels import api

    rng = np.random.default_rng(0)
    word = rng.integers(0, 17, 200)
    values = rng.normal(size=17)[word] + rng.normal(size=200)
    fit = api.OLS(values, np.ones(200)).fit(cov_type="cluster", cov_kwds={"groups": word, "df_correction": True})
    # its small-sample factor has n - 1 over n - k besides, which is 1 for a mean
    assert mean_variance(values, word)["variance_clusters"] == pytest.approx(float(fit.bse[0]) ** 2, rel=1e-9)


def test_crossed_clusters_and_seeds_add_up_as_in_a_two_way_layout():
    rng = np.random.default_rng(3)
    table = rng.normal(size=(4, 1)) + rng.normal(size=(1, 30)) + rng.normal(size=(4, 30))  # one row per cluster
    found = mean_variance(table)
    rows, columns = table.mean(axis=1, keepdims=True), table.mean(axis=0, keepdims=True)
    residual = ((table - rows - columns + table.mean()) ** 2).sum() / (3 * 29)
    assert found["variance_clusters"] == pytest.approx(columns.var(ddof=1) / 30)
    assert found["variance_seeds"] == pytest.approx(rows.var(ddof=1) / 4 - residual / 120)


def test_sign_flips_of_single_rows_are_mcnemar():
    a, b = pairs(20, 9, 2, 9)
    assert sign_flip_p(np.subtract(a, b, dtype=float)) == pytest.approx(mcnemar(a, b)["p"], rel=1e-12)
    found = paired_difference(a, b)
    assert (found["only_a"], found["only_b"], found["difference"]) == (9, 2, 7 / 40)
    assert found["p"] == pytest.approx(mcnemar(a, b)["p"])
    assert [found["low"], found["high"]] == pytest.approx(mcnemar(a, b)["ci95"], abs=0.02)


def test_a_word_counts_once_however_often_it_is_asked():
    a, b = pairs(20, 9, 2, 9)
    alone = paired_difference(a, b, list(range(40)))
    copied = paired_difference(a * 25, b * 25, list(range(40)) * 25)
    assert copied["p"] == alone["p"] and copied["clusters"] == 40
    assert (copied["low"], copied["high"]) == pytest.approx((alone["low"], alone["high"]), abs=0.02)
    assert mcnemar(a * 25, b * 25)["p"] < 1e-20  # what taking the rows for independent would say


def test_rows_without_a_word_stand_for_themselves():
    a, b = pairs(20, 9, 2, 9)
    assert paired_difference(a, b, [""] * 40)["clusters"] == 40


def test_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(1)
    b = np.tile(rng.random(300) < 0.3, (3, 1))
    agree = np.stack([rng.random(300) < 0.5 for _ in range(3)])
    apart = np.stack([rng.random(300) < share for share in (0.3, 0.5, 0.7)])
    near, far = paired_difference(agree, b), paired_difference(apart, b)
    assert far["high"] - far["low"] > 3 * (near["high"] - near["low"])
    assert near["p"] < 0.001 < 0.05 < far["p"]
    assert len(far["per_seed"]) == 3


def test_saturated_arms_keep_an_interval():
    found = paired_difference([True] * 60, [False] * 60, [row // 3 for row in range(60)])
    assert found["difference"] == 1 and found["low"] < 0.95 and found["high"] <= 1
    assert found["p"] == 2**-19  # twenty words, not sixty rows
    assert proportion([True] * 60, [row // 3 for row in range(60)])["low"] == pytest.approx(wilson(20, 20)[0])


def test_tangos_score_test_ends_where_his_interval_does():
    # Fagerland, Lydersen and Laake, Stat. Med. 33:2850 (2014): 1, 1, 7, 12 has Tango's interval -0.517 to -0.026
    assert score_p_below(7, 1, 21, 0.026) == pytest.approx(0.975, abs=1e-3)
    assert score_p_below(7, 1, 21, 0.517) == pytest.approx(0.025, abs=1e-3)


def test_a_lone_cluster_says_nothing():
    found = mean_interval([1, 0, 0, 1, 1], ["w"] * 5)
    assert found["p"] == 1 and (found["low"], found["high"]) == (-np.inf, np.inf)
    assert mean_interval([0.5])["p"] == 1
    found = paired_difference([1, 1, 1, 0], [0, 0, 1, 0], ["w"] * 4)
    assert found["p"] == 1 and found["pairs"] == 1 and found["low"] < 0 < found["high"]
    assert proportion([1, 1, 0], ["w"] * 3)["low"] < 0.2
    for refused in (lambda: bootstrap_interval([1, 0], ["w"] * 2), lambda: best_of_looks([[1, 0], [0, 1]], ["w"] * 2)):
        with pytest.raises(LabError, match="one cluster"):
            refused()


def test_proportion_of_independent_rows_is_wilsons():
    correct = [True] * 81 + [False] * 182
    found = proportion(correct)
    assert (found["low"], found["high"]) == pytest.approx(wilson(81, 263), abs=2e-3)


def test_seeds_that_answer_a_question_are_no_further_questions():
    rng = np.random.default_rng(0)
    seeds = [rng.permutation([1] * 50 + [0] * 50) for _ in range(3)]  # as good as each other, on other questions
    found = proportion(seeds)
    assert (found["low"], found["high"]) == pytest.approx(wilson(50, 100))


def test_holm_on_neuhaus_fifteen():
    # Neuhaus et al. (1992) as in Benjamini and Hochberg, J. R. Stat. Soc. B 57:289 (1995): three of fifteen remain
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590,
         1.0]  # fmt: skip
    adjusted = holm(dict(enumerate(p)))
    assert [name for name, value in adjusted.items() if value <= 0.05] == [0, 1, 2]
    assert adjusted[2] == pytest.approx(13 * 0.0019)


def test_holm_steps_down_whatever_the_order_and_the_ties():
    rng = np.random.default_rng(2)
    for count, family in ((1, 1), (1, 20), (5, 5), (7, 20)):
        p = np.round(rng.random(count) ** 4, 2)
        largest, expected = 0.0, np.empty(count)
        for rank, place in enumerate(np.argsort(p, kind="stable")):
            largest = max(largest, min(1.0, (family - rank) * p[place]))
            expected[place] = largest
        assert list(holm(dict(enumerate(p)), family).values()) == pytest.approx(expected, abs=1e-12)
    assert holm({}) == {}


def test_holm_counts_what_was_declared_and_not_tested():
    assert holm({"a": 0.01}, family=20) == {"a": pytest.approx(0.2)}
    with pytest.raises(LabError, match="declared family of 1"):
        holm({"a": 0.1, "b": 0.2}, family=1)


def test_power_of_the_exact_test_as_gpower_has_it():
    # O'Brien (2002), as in the manual of G*Power 3.1 (exact test, two dependent groups): 50 pairs, one-sided
    assert mcnemar_power(50, 0.32, 0.08, alpha=0.05, sides=1) == pytest.approx(0.8393, abs=1e-4)


def test_minimum_detectable_effect_has_the_power_asked_for():
    effect = minimum_detectable_effect(400, 0.2)
    assert mcnemar_power(400, 0.1 + effect / 2, 0.1 - effect / 2) == pytest.approx(0.8, abs=1e-3)
    assert minimum_detectable_effect(400, 0.2, design_effect=2) == minimum_detectable_effect(200, 0.2) > effect
    assert minimum_detectable_effect(5, 0.2) is None


@pytest.mark.parametrize("looks, value", [(1, 0), (2, 0.56419), (5, 1.16296), (10, 1.53875), (100, 2.50759)])
def test_the_best_of_m_looks_as_tippett_tabled_it(looks, value):
    assert expected_best_of(looks) == pytest.approx(value, abs=5e-6)  # Tippett (1925); Harter (1961)


def test_the_best_of_equal_looks_owes_its_lead_to_picking():
    rng = np.random.default_rng(0)
    target = rng.random(400) < 0.6
    looks = np.stack([rng.random(400) < 0.6 for _ in range(10)]).astype(float) - target
    found = best_of_looks(looks)
    alone = paired_difference(looks[found["best"]] + target > 0.5, target)
    assert found["p"] > alone["p"] and found["optimism"] > 0
    assert found["corrected"] < found["difference"]
    assert found["high"] - found["low"] > alone["high"] - alone["low"]


def test_looks_that_agree_cost_nothing():
    rng = np.random.default_rng(0)
    look = (rng.random(300) < 0.6).astype(float) - (rng.random(300) < 0.5)
    once, often = best_of_looks([look]), best_of_looks([look] * 10)
    assert often["p"] == once["p"] and often["optimism"] == pytest.approx(0, abs=5e-3)


@pytest.mark.parametrize("call", [
    lambda: paired_difference([True], [True, False]),
    lambda: mean_interval([]),
    lambda: mean_interval([float("nan")]),
    lambda: mean_interval([1.0, 2.0], ["a"]),
    lambda: sign_flip_p([0.5]),
    lambda: holm({"a": 2.0}),
    lambda: mcnemar_power(10, 0, 0),
    lambda: mcnemar_power(0, 0.5, 0.1),
    lambda: mcnemar_power(10, 0.9, 0.6),
    lambda: newcombe(2, 1, 1, -1),
    lambda: newcombe(0, 0, 0, 0),
    lambda: expected_best_of(0),
    lambda: score_p_below(0, 0, 0, 0.1),
    lambda: score_p_below(-1, 0, 9, 0.1),
    lambda: score_p_below(0, 0, 9, 0.0),
    lambda: score_p_below(0, 0, 9, 1.0),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(LabError):
        call()


def test_twenty_arms_of_1319_rows_in_five_seconds():
    rng = np.random.default_rng(0)
    word = [f"w{i}" if i % 5 else "" for i in rng.integers(0, 264, 1319)]
    answers = rng.random((20, 3, 1319)) < 0.5
    began = time.perf_counter()
    p = {}
    for arm in range(1, 20):
        p[arm] = paired_difference(answers[0], answers[arm], word)["p"]
        bootstrap_interval(answers[0].astype(float) - answers[arm], word)
        proportion(answers[arm], word)
    holm(p)
    assert time.perf_counter() - began < 5


def test_two_clusters_have_a_variance():
    found = mean_variance([1, 1, 0, 0], ["a", "a", "b", "b"])
    assert found["variance_clusters"] == pytest.approx(np.var([1, 0], ddof=1) / 2)
    assert mean_variance([1, 1, 0, 0], ["a"] * 4)["variance_clusters"] == 0


def test_one_seed_has_the_exact_test_alone():
    """Six words, all on one side, five of them barely: exactly 2^-5, whatever a t test says of their spread."""
    words = [word for word in "abcdef" for _ in range(10)]
    better = ([1] + [0] * 9) * 5 + [1] * 10
    assert mean_interval(better, words)["p"] > 0.1
    assert paired_difference(better, [0] * 60, words)["p"] == 2**-5


def test_independent_rows_are_as_many_pairs_as_rows():
    """The effective number of pairs of rows that share nothing is their number, less the one degree of freedom."""
    rng = np.random.default_rng(0)
    a, b = rng.random(4000) < 0.7, rng.random(4000) < 0.5
    assert paired_difference(a, b)["pairs"] == pytest.approx(4000, rel=2e-3)


def test_one_pair_has_a_power():
    assert mcnemar_power(1, 1.0, 0.0, alpha=1.0) == 1
