"""What the looks on dev can show of a fall: little from ten questions, nothing from a run that never rose."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from lab.evidence.comparisons import NotRun
from lab.evidence.hypotheses import Degradation
from lab.evidence.read import Evidence, Run
from lab.evidence.stats import ALPHA
from lab.evidence.verdicts import could_show


@dataclass(frozen=True)
class Trained(Run):
    """A run that has nothing but its looks."""

    looks: dict = field(default_factory=dict)


def trained(*looks, n=1319, seed=1):
    named = {100 * step: (value, n) for step, value in enumerate(looks)}
    return Trained(Path(f"s{seed}"), {"seed": seed}, [], looks=named)


def fall(*runs):
    return Degradation().compare(Evidence(runs))[0]


def drawn(rng, truth, n, seeds=1):
    """Runs whose looks at `truth` (one accuracy for each look) are drawn on n questions each."""
    return [trained(*rng.binomial(n, truth) / n, n=n, seed=seed) for seed in range(seeds)]


@pytest.mark.parametrize("looks", [(0.5, 0.8, 0.9), (0.9, 0.9, 0.9), (0.7, 0.8, 0.8)])
def test_a_last_look_that_is_the_best_is_no_certainty(looks):
    found = fall(trained(*looks, n=10))
    assert found.p_greater > ALPHA and found.low < -0.1 < found.high
    assert could_show(found.unit, found.margin, found.detectable()) == "no power for any effect"
    found = fall(trained(*looks))
    assert 0 < found.p_greater < 1e-4 and found.high - found.low > 0.03
    assert could_show(found.unit, found.margin, found.detectable()).startswith("80 % power for -")


@pytest.mark.parametrize("looks, n", [((0, 0, 0), 1319), ((0.05, 0.08, 0.02), 1319), ((0.1, 0.2, 0.2), 10)])
def test_what_never_rose_cannot_fall(looks, n):
    with pytest.raises(NotRun, match="s1's evaluations on dev .* never rose above 10% cannot fall") as refused:
        fall(trained(*looks, n=n))
    assert refused.value.refused


@pytest.mark.parametrize("n, seeds", [(10, 1), (10, 3), (40, 1), (300, 3)])
@pytest.mark.parametrize("peak", [0.3, 0.6, 0.95])
def test_a_fall_passes_no_more_often_than_it_should(n, seeds, peak):
    rng, shares = np.random.default_rng(n), {}
    for lost in (0.10, 0.15):
        truth = np.array([0.1, peak - 0.05, peak, peak - 0.02, peak - lost])
        passed, tried = 0, 400
        for _ in range(tried):
            try:
                passed += fall(*drawn(rng, truth, n, seeds)).p_greater <= ALPHA / 2
            except NotRun:
                continue
        shares[lost] = passed / tried
    assert shares[0.10] <= 0.05 and shares[0.15] <= 0.025, shares


@pytest.mark.parametrize("n, seeds", [(10, 1), (100, 1), (100, 3)])
def test_many_looks_at_a_steady_run_refute_nothing(n, seeds):
    """Of twenty equal looks the best is too high by picking; a true fall of ten points must not be read out of it."""
    rng, refuted = np.random.default_rng(n), 0
    truth = np.array([0.7] * 19 + [0.6])
    for _ in range(400):
        refuted += fall(*drawn(rng, truth, n, seeds)).p_less <= ALPHA / 2
    assert refuted / 400 <= 0.05


def test_a_steady_run_and_a_fallen_one_are_told_apart():
    assert fall(*(trained(0.3, 0.8, 0.81, 0.79, seed=seed) for seed in range(3))).p_greater < 1e-4
    assert fall(*(trained(0.3, 0.815, 0.6, 0.36, seed=seed) for seed in range(3))).p_less < 1e-4
