"""The statistics against published numbers."""

import pytest

from lab.errors import LabError
from lab.stats import mcnemar, newcombe, wilson


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
