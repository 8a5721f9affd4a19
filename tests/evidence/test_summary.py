"""Summaries: right numbers per group, the oracle from the rows, and no bent comparison."""

import json

import pytest

from lab.answers import ALL_ARMS
from lab.errors import LabError
from lab.evidence.summary import ARM_ORDER, ORACLE, ordered_arms, summarise

ARMS = ("source", "target", "latent", "latent_shuffled", "latent_constant")


def record(key, cell, **right):
    arms = {arm: {"text": "", "extracted": "1", "correct": bool(right.get(arm, False)), "saw": ""} for arm in ARMS}
    return {"id": key, "question": f"question {key}", "gold": "1", "cell": cell, "word": "", "arms": arms}


@pytest.fixture
def records():
    rows = [record(f"p{i}", "plain/short", source=i < 4, target=True, latent=True) for i in range(10)]
    rows += [record(f"s{i}", "lore/long/seen", latent=i < 9, source=i == 0, target=i == 1) for i in range(10)]
    rows += [record(f"h{i}", "lore/long/held_out", latent=i < 6) for i in range(10)]
    rows[0]["arms"]["source"]["extracted"] = "[invalid]"
    return rows


def test_accuracies_per_arm_cell_and_prefix(records):
    arms = summarise(records)["arms"]
    assert arms["latent"]["accuracy"] == pytest.approx(25 / 30)
    cells = arms["latent"]["cells"]
    assert list(cells) == ["lore", "lore/long", "lore/long/held_out", "lore/long/seen", "plain", "plain/short"]
    assert [cells[g]["n"] for g in cells] == [20, 20, 10, 10, 10, 10]
    assert cells["lore/long"]["accuracy"] == 0.75 and cells["lore/long/held_out"]["accuracy"] == 0.6
    assert arms["source"]["invalid"] == 1 and arms["target"]["invalid"] == 0


def test_an_unreadable_answer_is_a_wrong_one(records):
    """It is counted, and it counts: accuracy is over all questions, not over those that were answered."""
    source = summarise(records)["arms"]["source"]
    records[9]["arms"]["source"]["extracted"] = "[invalid]"  # wrong before, unreadable now
    now = summarise(records)["arms"]["source"]
    assert now["invalid"] == source["invalid"] + 1
    assert (now["accuracy"], now["n"], now["ci95"]) == (source["accuracy"], 30, source["ci95"])
    assert now["cells"] == source["cells"]


def test_the_oracle_is_right_where_either_is(records):
    oracle = summarise(records)["arms"]["oracle"]
    assert oracle["accuracy"] == pytest.approx(12 / 30) and oracle["invalid"] is None
    assert oracle["cells"]["lore/long"]["accuracy"] == pytest.approx(0.1)


def test_latent_is_tested_against_every_other_arm_overall_and_where_both_skills_are_needed(records):
    tests = summarise(records)["tests"]
    names = {f"latent_vs_{arm}" for arm in ("source", "target", "oracle", "latent_shuffled", "latent_constant")}
    assert set(tests) == names | {"both_skill"} and set(tests["both_skill"]) == names
    both = tests["both_skill"]["latent_vs_oracle"]
    assert (both["n"], both["only_a"], both["only_b"]) == (20, 13, 0)
    assert both["difference"] == pytest.approx(0.65) and both["p"] == pytest.approx(2 * 0.5**13)
    assert tests["latent_vs_target"]["n"] == 30


def test_the_summary_is_json_and_ignores_the_order_of_rows(records):
    summary = summarise(records)
    assert json.loads(json.dumps(summary)) == summary == summarise(records[::-1])


def test_a_choice_of_arms_and_rows_without_cells(records):
    summary = summarise(records, arms=["latent", "oracle"])
    assert list(summary["arms"]) == ["oracle", "latent"]
    assert set(summary["tests"]) == {"latent_vs_oracle", "both_skill"}
    for row in records:
        row["cell"] = ""
    summary = summarise(records, arms=["source", "target"])
    assert summary["tests"] == {} and summary["arms"]["source"]["cells"] == {}
    assert "both_skill" not in summarise(records)["tests"]
    with pytest.raises(LabError, match="no arm 'cascade'"):
        summarise(records, arms=["cascade"])


def test_a_repeated_question_is_named(records):
    with pytest.raises(LabError, match="question p3 occurs twice"):
        summarise([*records, records[3]])


def test_a_missing_arm_is_named(records):
    del records[12]["arms"]["latent_shuffled"]
    with pytest.raises(LabError, match="arm 'latent_shuffled' is missing for question s2"):
        summarise(records)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda rows: rows.clear(), "no records"),
        (lambda rows: rows[0].pop("cell"), "no field 'cell'"),
        (lambda rows: rows[0]["arms"]["latent"].update(correct="yes"), "true or false"),
        (lambda rows: [row["arms"].update(oracle=row["arms"]["source"]) for row in rows], "computed here"),
    ],
)
def test_what_cannot_be_summed_is_refused(records, spoil, message):
    spoil(records)
    with pytest.raises(LabError, match=message):
        summarise(records)


def test_other_arms_stand_between_the_references_and_the_latent_arm():
    assert ordered_arms({"latent", "cascade", "target", "latent_constant", "source", "oracle"}) == [
        "source",
        "target",
        "oracle",
        "cascade",
        "latent",
        "latent_constant",
    ]


def test_word_f1_is_averaged_where_every_row_has_one(records):
    for number, row in enumerate(records):
        row["arms"]["latent"]["f1"] = number % 2 / 2
    arms = summarise(records)["arms"]
    assert arms["latent"]["f1"] == pytest.approx(0.25)
    assert "f1" not in arms["target"] and "f1" not in arms["oracle"]


def test_every_arm_has_its_place_in_the_order():
    assert set(ARM_ORDER) == {*ALL_ARMS, ORACLE} and len(ARM_ORDER) == len(ALL_ARMS) + 1


@pytest.mark.parametrize("missing", ["source", "target"])
def test_a_router_needs_both_models(records, missing):
    for row in records:
        del row["arms"][missing]
    assert ORACLE not in summarise(records)["arms"]
