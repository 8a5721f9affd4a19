"""What the looks on dev can show of a fall: little from ten questions, nothing from a run that never rose."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from lab.evidence.comparisons import NotRun
from lab.evidence.hypotheses import Degradation, cache_bytes_per_token
from lab.evidence.read import Evidence, Run
from lab.evidence.resampling import expected_best_of
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


def test_what_picking_the_best_look_adds_is_taken_off():
    """One standard error of the best look, times what the best of the earlier looks is above their mean."""
    n, best = 300, 0.8
    share = (best * n + 1) / (n + 2)
    found = fall(trained(0.3, 0.7, best, 0.75, n=n))
    error = (share * (1 - share) / n) ** 0.5
    assert found.detail["optimism_of_best"] == pytest.approx(expected_best_of(3) * error)


def test_the_largest_effect_is_an_effect():
    assert could_show("accuracy", 0.0, 1.0) == "80 % power for 100.0 points or more"
    assert could_show("accuracy", 0.0, 1.001) == "no power for any effect"


@pytest.mark.parametrize(
    "config, per_token",
    [
        ({"hidden_size": 64, "num_attention_heads": 4}, 3 * 2 * 4 * 16 * 2),
        ({"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}, 3 * 2 * 2 * 16 * 2),
        ({"hidden_size": 64, "num_attention_heads": 4, "head_dim": 32}, 3 * 2 * 4 * 32 * 2),
        ({"hidden_size": 64}, None),
    ],
)
def test_a_token_of_the_cache_is_counted_from_the_targets_own_config(tmp_path, config, per_token):
    (tmp_path / "config.json").write_text(json.dumps({"num_hidden_layers": 3} | config))
    run = Run(Path("r"), {"pair": "custom", "source": "elsewhere", "target": str(tmp_path)}, [])
    assert cache_bytes_per_token(run) == per_token
