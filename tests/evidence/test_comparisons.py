"""One comparison: nothing is certain, nothing is concluded from one word, and no number makes it fall over."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_runs import edit_records, make_run

from lab.evidence.comparisons import LOG, ON_DEV, RECORDS, Comparison, NotRun, of_numbers, of_shares, of_values
from lab.evidence.crossed import mean_interval, paired_difference, proportion
from lab.evidence.verdicts import judge_runs

TWELVE = [f"w{i}" for i in range(12)]


def one_collapsed():
    """Two seeds on twelve words: one is right everywhere, one nowhere. No word differs from another."""
    return np.stack([np.ones(12), np.zeros(12)]), np.zeros((2, 12))


def test_a_collapsed_seed_beside_a_good_one_is_judged():
    better, worse = one_collapsed()
    found = of_values("a - b", better, worse, TWELVE)
    assert found.effect == 0.5 and found.low < 0 < found.high
    assert min(found.p_greater, found.p_less) > 0.05  # two seeds that far apart decide nothing
    assert 0 < mean_interval(better, TWELVE)["p"] <= 1


def test_a_collapsed_seed_does_not_stop_the_judge(tmp_path):
    runs = [make_run(tmp_path, f"s{seed}", seed, {"source": 0, "target": 0, "latent": 2 - seed}) for seed in (1, 2)]
    for run in runs:
        edit_records(run, lambda rows: [row for row in rows if row["word"]][:12])
    judged = judge_runs(runs)
    assert next(row for row in judged["claims"] if row["key"] == "fusion_beats_both")["verdict"] == "inconclusive"


@pytest.mark.parametrize("seeds", [1, 3])
def test_from_one_word_nothing_is_concluded(seeds):
    rng = np.random.default_rng(0)
    better, worse, word = rng.random((seeds, 40)) < 0.9, rng.random((seeds, 40)) < 0.1, ["w"] * 40
    for compared in (lambda: of_values("a - b", better * 1.0, worse * 1.0, word),
                     lambda: of_numbers("a", better - worse * 1.0, word, 0.01)):  # fmt: skip
        with pytest.raises(NotRun, match="share one word"):
            compared()
    found = mean_interval(better - worse * 1.0, word)
    assert found["p"] == 1 and (found["low"], found["high"]) == (-np.inf, np.inf)
    found = paired_difference(better, worse, word)
    assert found["p"] == 1 and found["low"] < 0 < found["high"]
    assert proportion(better, word)["low"] < 0.3


def test_a_claim_whose_questions_share_one_word_is_not_run(tmp_path):
    def one_word(rows):
        for row in rows:
            row["word"] = row["word"] and "blick" if row["cell"] == "lore/long/held_out" else row["word"]

    runs = [make_run(tmp_path, f"s{seed}", seed) for seed in (1, 2)]
    for run in runs:
        edit_records(run, one_word)
    judged = judge_runs(runs)
    rows = {row["key"]: row for row in judged["claims"]}
    assert rows["enrichment_both_skills"]["verdict"] == "not run"
    assert "share one word" in rows["enrichment_both_skills"]["reason"]
    assert rows["fusion_beats_both"]["verdict"] == "supported"
    assert all("both_held_out" not in row["versus"] for row in judged["arms"])


def test_numbers_that_never_differ_are_refused():
    for value in (0.0, 13.0):
        with pytest.raises(NotRun, match=f"every question gives {value:g} tokens"):
            of_numbers("saved", np.full((2, 30), value), [""] * 30, 0.0, unit="tokens")
    found = mean_interval(np.full(30, 13.0))
    assert (found["low"], found["high"]) == (-np.inf, np.inf) and found["p"] == 1


def test_no_words_are_surer_than_all_of_them_on_one_side():
    """Sixteen words that all save nearly the same: a t test would say 1e-60."""
    values = 13 + np.linspace(-1e-3, 1e-3, 16)
    found = of_numbers("saved", values[None], [""] * 16, 0.0, unit="tokens")
    assert found.p_greater == 2.0**-16 and found.p == 2.0**-15
    assert mean_interval(values)["p"] == 2.0**-15


def test_shares_have_a_variance_at_the_ends():
    found = of_shares("last - last", [(0, 10, 0, 10)], 0.0, {})
    assert found.low < 0 < found.high and 0.2 < found.p_greater < 0.8
    found = of_shares("last - last", [(1319, 1319, 0, 1319)] * 3, 0.0, {})
    assert 0 < found.p_greater < 1e-12 and found.effect == 1 and found.low < 1


def test_shares_of_one_seed_are_those_of_agresti_and_caffo():
    from statsmodels.stats.proportion import confint_proportions_2indep

    found = of_shares("a - b", [(90, 130, 60, 120)], 0.0, {})
    low, high = confint_proportions_2indep(90, 130, 60, 120, method="agresti-caffo", compare="diff")
    # they know their n; here Student's quantile for the smaller one widens it a little
    assert (found.low, found.high) == pytest.approx((low, high), abs=3e-3)
    assert found.effect == pytest.approx(90 / 130 - 60 / 120)


words = st.sampled_from([[""] * 6, ["a", "a", "b", "b", "c", "c"], ["a"] * 5 + ["b"], ["a"] * 6])
answers = st.integers(1, 3).flatmap(
    lambda seeds: st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=seeds, max_size=seeds)
)


@settings(deadline=None, max_examples=300)
@given(answers, st.data(), words)
def test_whatever_the_answers_no_p_is_0_and_every_interval_holds_its_effect(better, data, clusters):
    rows = st.lists(st.booleans(), min_size=6, max_size=6)
    worse = data.draw(st.lists(rows, min_size=len(better), max_size=len(better)))
    better, worse = np.array(better, dtype=float), np.array(worse, dtype=float)
    for values in (better, better - worse):
        found = mean_interval(values, clusters)
        assert 0 < found["p"] <= 1 and found["low"] <= found["mean"] <= found["high"]
    found = proportion(better, clusters)
    assert 0 <= found["low"] <= found["accuracy"] <= found["high"] <= 1 and found["low"] < found["high"]
    for compared in (lambda: of_values("a - b", better, worse, clusters),
                     lambda: of_numbers("a - b", better - worse, clusters, 0.01)):  # fmt: skip
        try:
            found = compared()
        except NotRun:
            continue
        assert found.low <= found.effect <= found.high
        assert 0 < found.p <= 1 and 0 < found.p_greater < 1 and 0 < found.p_less < 1
        assert found.low > -np.inf and found.high < np.inf


def test_seeds_that_end_apart_widen_a_share_as_a_t_interval_does():
    """With questions without number the seeds are all that varies: Student's interval of their gaps."""
    from scipy.stats import t

    many = 10**12
    gaps = np.array([0.1, 0.2, 0.6])
    found = of_shares("a - b", [(gap * many, many, 0, many) for gap in gaps], 0.0, {})
    half = t.ppf(0.975, 2) * gaps.std(ddof=1) / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-4)


def test_the_p_of_a_share_has_satterthwaites_degrees_of_freedom():
    from scipy.stats import t

    counts = [(60, 100, 50, 100), (70, 100, 50, 100), (62, 100, 58, 100)]
    found, gaps = of_shares("a - b", counts, 0.0, {}), np.array([0.1, 0.2, 0.04])
    tried = [((right + 1) / 102, 102) for count in counts for right in count[::2]]
    sampling, between = 2 * np.mean([share * (1 - share) / n for share, n in tried]), gaps.var(ddof=1) / 3
    freedom = (sampling + between) ** 2 / (sampling**2 / 99 + between**2 / 2)
    shrunk = np.mean([(one - other) / 102 for one, _, other, _ in counts])
    assert found.p_greater == pytest.approx(t.sf(shrunk / np.sqrt(sampling + between), freedom), rel=1e-9)


def test_of_few_questions_no_share_is_surer_than_all_of_them_on_one_side():
    assert of_shares("a - b", [(10, 10, 0, 10)], -5.0, {}).p_greater == 2.0**-10


def test_a_comparison_says_what_it_rests_on():
    better, worse = np.array([[1, 0, 1, 0, 1, 1]]), np.array([[0, 1, 0, 1, 0, 0]])
    found = of_values("a - b", better, worse, list("abcdef"))
    assert (found.margin, found.unit, found.data) == (0, "accuracy", RECORDS) and "word by word" in found.test
    found = of_shares("a - b", [(9, 10, 1, 10)], -0.1, {"kept": 1})
    assert (found.margin, found.data, found.test, found.detail["kept"]) == (-0.1, LOG, ON_DEV, 1)
    assert "Agresti" in ON_DEV


def test_an_effect_of_nothing_is_evidence_for_neither_side():
    better, worse = np.array([[1, 0, 1, 0]]), np.array([[0, 1, 0, 1]])
    found = of_values("a - b", better, worse, list("abcd"))
    assert (found.effect, found.p_greater, found.p) == (0, 0.5, 1)


@pytest.mark.parametrize("pairs, discordant", [(0, 0.5), (0.9, 0.5), (50, 0)])
def test_rows_without_pairs_or_without_a_difference_could_show_nothing(pairs, discordant):
    found = Comparison("a - b", 0.0, -1, 1, 0.5, 0.5, 9, 9, 1, detail={"pairs": pairs, "discordant": discordant})
    assert found.detectable() is None


def test_a_margin_is_a_shift_and_what_is_worth_a_sentence_is_one_more():
    """Against 2 the numbers say what they say, less 2, against 0; against the claim is below margin and worth."""
    values = np.random.default_rng(0).normal(2.1, 1, size=(3, 12))
    against_two, shifted = of_numbers("n", values, TWELVE, 0.5, 2.0), of_numbers("n", values - 2, TWELVE, 0.5)
    assert against_two.effect == pytest.approx(shifted.effect + 2) and against_two.margin == 2
    assert (against_two.p_greater, against_two.p_less) == pytest.approx((shifted.p_greater, shifted.p_less))
    higher = of_numbers("n", values, TWELVE, 0.5, 2.5)
    assert against_two.p_less == pytest.approx(1 - higher.p_greater)
