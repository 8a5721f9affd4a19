"""What soft tokens tell: shares of a truth that is known, intervals that hold it, verdicts that follow it."""

import json

import numpy as np
import pytest
from synthetic_runs import ACCURACY, edit_records, make_run

from lab.errors import LabError
from lab.evidence import FAMILIES, gains, has_likelihoods, information, judge_runs
from lab.evidence.claims import LIKELIHOOD_CLAIMS
from lab.evidence.crossed import ratio_interval
from lab.evidence.read import read_evidence, read_run
from lab.evidence.resampling import bootstrap_ratio
from lab.evidence.verdicts import judge
from lab.pictures import claims_figure, claims_text, gains_figure, likelihood_figure, likelihood_table, recovered_figure

NATS = {"latent": 1.1, "latent_shuffled": 1.38, "latent_constant": 1.4, "text_tuned": 0.9}  # 60 % and 4 % recovered
TUNED = ACCURACY | {"text_tuned": 0.3}


def runs(tmp_path, name="run", count=3, nats=NATS, accuracies=TUNED, **settings):
    return [
        make_run(tmp_path, f"{name}{seed}", seed, accuracies, nats=nats, **settings) for seed in range(1, count + 1)
    ]


def records_of(paths):
    return [read_run(path).records for path in paths]


def verdicts(judged):
    return {row["key"]: row["verdict"] for row in judged["claims"]}


def test_what_was_put_in_comes_out(tmp_path):
    found = information(records_of(runs(tmp_path)))
    assert found["n"] == 320 and found["seeds"] == 3 and found["soft_tokens"] == 4
    for arm, nats in NATS.items():
        assert found["arms"][arm]["nats"] == pytest.approx(nats, abs=0.06)
        assert found["arms"][arm]["low"] < found["arms"][arm]["nats"] < found["arms"][arm]["high"]
    told = found["recovered"]
    assert told["latent"]["value"] == pytest.approx(0.6, abs=0.03) and len(told["latent"]["per_seed"]) == 3
    assert told["latent_shuffled"]["value"] == pytest.approx(0.04, abs=0.03)
    tokens = np.mean([10 + int(row["id"], 16) % 7 for row in records_of(runs(tmp_path, "again"))[0]])
    assert found["bits_per_soft_token"]["value"] == pytest.approx(0.3 * tokens / np.log(2) / 4, rel=0.1)
    versus = found["arms"]["latent_constant"]["versus"]
    assert versus["difference"] == pytest.approx(0.3, abs=0.03) and versus["p"] < 1e-6 and versus["low"] > 0.2


def test_by_hand(tmp_path):
    """Two questions, every number of which can be checked on paper."""
    (path,) = runs(tmp_path, count=1)
    rows = json.loads(json.dumps(list(records_of([path])[0][:2])))
    costs = {
        "latent": (4.0, 6.0),
        "latent_constant": (8.0, 8.0),
        "text_tuned": (2.0, 4.0),
        "latent_shuffled": (8.0, 8.0),
    }
    for number, row in enumerate(rows):
        row["gold_text"] = "x" * 10
        for arm, nats in costs.items():
            row["arms"][arm] |= {"gold_nats": nats[number], "gold_tokens": 4 + number}
    found = information([rows])
    assert found["arms"]["latent"]["nats"] == pytest.approx(10 / 9)
    assert found["arms"]["latent"]["bits_per_character"] == pytest.approx(10 / np.log(2) / 20)
    assert found["arms"]["latent_constant"]["versus"]["difference"] == pytest.approx((4 + 2) / 9)
    assert found["bits_per_soft_token"]["value"] == pytest.approx(6 / np.log(2) / 8)
    assert found["recovered"]["latent"]["value"] == pytest.approx(6 / 10)
    assert found["recovered"]["latent_shuffled"]["value"] == 0
    assert list(gains(rows).values()) == pytest.approx([4 / np.log(2), 2 / np.log(2)])


def test_the_same_is_said_in_whatever_order_the_questions_stand(tmp_path):
    found = records_of(runs(tmp_path))
    turned = [list(reversed(rows)) if number else rows for number, rows in enumerate(found)]
    one, other = (information(some)["recovered"]["latent"] for some in (found, turned))
    assert all(one[name] == pytest.approx(other[name]) for name in one)


def test_a_share_of_nothing_is_no_number(tmp_path):
    """Where the text tells no more than a constant prompt does, nothing can be recovered."""
    useless = NATS | {"text_tuned": 1.4}
    assert information(records_of(runs(tmp_path, nats=useless)))["recovered"]["latent"] is None
    lacking = {arm: nats for arm, nats in NATS.items() if arm != "text_tuned"}
    found = information(records_of(runs(tmp_path, "lacking", nats=lacking)))
    assert found["recovered"]["latent"] is None and found["arms"]["latent_constant"]["versus"]["difference"] > 0.2


def test_a_prompt_that_makes_the_text_worse_is_no_end_of_the_scale(tmp_path):
    """Trained too little, it would make what latent recovers look like more."""
    found = information(records_of(runs(tmp_path, nats=NATS | {"target": 0.8, "source": 1.0})))
    assert found["recovered"]["latent"] is None
    found = information(records_of(runs(tmp_path, "well", nats=NATS | {"target": 1.7, "source": 1.0})))
    assert found["recovered"]["latent"]["value"] == pytest.approx(0.6, abs=0.03)


def test_records_without_likelihoods_say_nothing(tmp_path):
    (path,) = runs(tmp_path, count=1, nats=None)
    (records,) = records_of([path])
    assert not has_likelihoods(records) and information([records]) == {} and gains(records) == {}
    judged = judge_runs([path], family="likelihood")
    assert set(verdicts(judged).values()) == {"not run"}
    assert "not measure it" in str(likelihood_table({})) and "not measure it" in likelihood_figure({}).layout.title.text


def test_the_interval_of_a_ratio_holds_the_truth():
    """Of 400 worlds with a known ratio: linearised, and drawn; rows alone, and rows that share words."""
    rng, held, drawn = np.random.default_rng(0), 0, 0
    words = [str(number // 4) for number in range(120)]
    for _ in range(400):
        size, luck = rng.gamma(4, 1, 120), np.repeat(rng.normal(0, 0.5, 30), 4)
        bottom = size + rng.normal(0, 0.5, 120)
        top = 0.6 * size + luck + rng.normal(0, 0.7, 120)
        found = ratio_interval(top, bottom, words)
        held += found["low"] <= 0.6 <= found["high"]
        again = bootstrap_ratio(top, bottom, words, resamples=400)
        drawn += again["low"] <= 0.6 <= again["high"]
        assert found["value"] == pytest.approx(again["value"])
    assert 0.92 <= held / 400 <= 0.98 and 0.92 <= drawn / 400 <= 0.98
    with pytest.raises(LabError, match="more than 0"):
        ratio_interval([1.0, 2.0], [1.0, -1.0])


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(1)
    bottom = rng.gamma(4, 1, (3, 200))
    alike = ratio_interval(0.6 * bottom + rng.normal(0, 0.1, (3, 200)), bottom)
    apart = ratio_interval(np.array([[0.4], [0.6], [0.8]]) * bottom + rng.normal(0, 0.1, (3, 200)), bottom)
    assert apart["high"] - apart["low"] > 5 * (alike["high"] - alike["low"])
    assert apart["per_seed"] == pytest.approx([0.4, 0.6, 0.8], abs=0.01)


def test_verdicts_follow_the_truth(tmp_path):
    nats = {arm: value for arm, value in NATS.items() if arm != "text_tuned"}
    beside = {"latent": 0.85, "latent_shuffled": 0.9, "latent_constant": 0.9}
    few = nats | {"latent": 1.2}
    paths = [*runs(tmp_path, "many", soft_tokens=8), *runs(tmp_path, "few", nats=few | {"text_tuned": 0.9}),
             *runs(tmp_path, "beside", nats=beside, accuracies=ACCURACY, layout="soft_plus_text")]  # fmt: skip
    judged = judge_runs(paths, family="likelihood")
    assert set(verdicts(judged).values()) == {"supported"} and judged["family"] == len(LIKELIHOOD_CLAIMS)
    assert judged["command"].endswith("--family likelihood")
    rows = {row["key"]: row for row in judged["claims"]}
    assert rows["told_beyond_a_prompt"]["effect"] == pytest.approx(0.3, abs=0.03)
    assert rows["told_beyond_the_text"]["effect"] == pytest.approx(0.05, abs=0.02)
    assert rows["more_tokens_tell_more"]["effect"] == pytest.approx(0.1, abs=0.03)
    assert {row["unit"] for row in judged["claims"]} == {"nats per token"}
    assert (
        "nats per token" in claims_text(judged)
        and claims_figure(judged).layout.xaxis.title.text == "effect, nats per token"
    )


def test_soft_tokens_that_tell_nothing_are_refuted(tmp_path):
    nothing = dict.fromkeys(NATS, 1.4)
    judged = judge_runs(runs(tmp_path, nats=nothing), family="likelihood")
    found = verdicts(judged)
    assert found["told_beyond_a_prompt"] != "supported" and found["told_of_this_question"] != "supported"
    assert found["told_beyond_the_text"] == found["more_tokens_tell_more"] == "not run"
    worse = judge_runs(runs(tmp_path, "worse", nats=NATS | {"latent": 1.5}), family="likelihood")
    assert verdicts(worse)["told_beyond_a_prompt"] == verdicts(worse)["told_of_this_question"] == "refuted"


def test_without_spread_there_are_no_ends_and_what_is_written_is_json(tmp_path):
    """Of a constant prompt, another question's soft tokens are its own: every difference is 0."""
    (path,) = runs(tmp_path, count=1)
    rows = json.loads(json.dumps(list(records_of([path])[0])))
    for row in rows:
        row["arms"]["latent_shuffled"]["gold_nats"] = row["arms"]["latent"]["gold_nats"]
    found = information([rows])
    assert found["arms"]["latent_shuffled"]["versus"] == {"difference": 0.0, "low": None, "high": None, "p": 1.0}
    for some in (found, information([rows[:1]])):
        assert json.loads(json.dumps(some, allow_nan=False)) == some
        assert "inf" not in str(likelihood_table(some)).replace("information", "") and likelihood_figure(some).data


def test_seeds_whose_prompts_were_trained_otherwise_are_no_replicates(tmp_path):
    """They are the ends of one scale, and no setting of the config says how long they were trained."""
    paths = runs(tmp_path, count=2)
    for path, steps in zip(paths, (1000, 2000), strict=True):
        make_run(path, "control_constant", 1, nats=None, steps=steps, translator="constant")
    with pytest.raises(LabError, match="their trained prompts had another budget"):
        read_evidence(paths)
    assert read_run(paths[1]).prompt_budgets == {"control_constant": "2000 steps at 0.001"}
    assert read_evidence(paths[:1]).main


def test_a_family_is_judged_whole(tmp_path):
    paths = runs(tmp_path, count=1)
    with pytest.raises(LabError, match="2 of the family of 4 were given"):
        judge(read_evidence(paths), claims=LIKELIHOOD_CLAIMS[:2])
    with pytest.raises(LabError, match="family 'mine' is not known"):
        judge_runs(paths, family="mine")
    assert list(FAMILIES) == ["documents", "likelihood"]
    assert [claim.key for claim in LIKELIHOOD_CLAIMS] == ["told_beyond_a_prompt", "told_of_this_question",
                                                          "told_beyond_the_text", "more_tokens_tell_more"]  # fmt: skip


def test_pictures_show_what_was_found(tmp_path):
    found = information(records_of(runs(tmp_path)))
    shown = str(likelihood_table(found))
    assert "text_tuned" in shown and f"{100 * found['recovered']['latent']['value']:.1f}" in shown
    assert "recovers" in likelihood_figure(found).layout.title.text
    curve = recovered_figure([("4", found), ("8", found)], "soft tokens")
    assert list(curve.data[0].y) == pytest.approx([100 * found["recovered"]["latent"]["value"]] * 2)
    assert "n = 320" in gains_figure(gains(records_of(runs(tmp_path, "one", count=1))[0])).layout.yaxis.title.text
    assert "both trained prompts" in recovered_figure([("4", {})], "soft tokens").layout.title.text


def test_altered_likelihoods_do_not_pass_for_written_ones(tmp_path):
    """A number that is no number, or that a row lacks, is as if nothing were said; nothing is filled in."""
    (path,) = runs(tmp_path, count=1)
    edit_records(path, lambda rows: rows[3]["arms"]["latent"].update(gold_nats=None))
    assert information(records_of([path])) == {}
