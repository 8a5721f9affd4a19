"""Laws of the checks on records: what is sound passes, and the message names arm and question of what is not."""

import pytest

from lab.answers.checks import (
    check_complete,
    check_derangement,
    check_handed,
    check_no_gold,
    check_same_prompt,
    residue,
)
from lab.errors import LabError
from lab.tasks import Question


def row(saw, handed=(), soft=0, text="3"):
    return {"saw": saw, "handed": list(handed), "soft_tokens": soft, "text": text}


def record(**arms):
    return {"id": "x", "question": "How many figs?", "arms": arms}


def test_residue_leaves_labels_only():
    shots = "Q: 1?\nA: 2\n\n"
    saw = f"Think.\n\n{shots}Q: How many figs?\nA:"
    assert residue(saw, "Think.\n\n", shots, "How many figs?", []) == "Q: \nA:"
    assert residue("<soft×16>\nA:", "", "", "How many figs?", []) == "\nA:"
    assert residue("Note: 12 each\nQ: How many figs?\nA:", "", "", "How many figs?", ["12 each"]) == "Note: \nQ: \nA:"


def test_soft_and_text_arms_may_differ_from_each_other_only():
    plain, soft = "Q: How many figs?\nA:", "<soft×4>\nA:"
    check_same_prompt([record(source=row(plain), target=row(plain), latent=row(soft, soft=4))])
    with pytest.raises(LabError, match="arm latent_zero reads a different prompt"):
        check_same_prompt([record(latent=row(soft, soft=4), latent_zero=row("<soft×4> A:", soft=4))])


def test_a_prompt_that_changes_between_questions_is_refused():
    one, other = (
        record(cascade=row("Note: 5\nQ: How many figs?\nA:", ["5"])),
        record(cascade=row("Hint: 5\nQ: How many figs?\nA:", ["5"])),
    )
    with pytest.raises(LabError, match="arm cascade reads a different prompt"):
        check_same_prompt([one, other])


@pytest.mark.parametrize(
    "arm, handed, sound",
    [
        ("cascade", "#### 3", True),
        ("cascade", "#### 4", False),
        ("same_bytes", "How many", True),
        ("same_bytes", "gold", False),
        ("token_budget", "figs?\nA:", True),
        ("token_budget", "figs? 3", False),
        ("token_budget_question", "How", True),
        ("token_budget_question", "How?", False),
        ("text_hint", "Note.", True),
        ("text_hint", "Note: 3.", False),
        ("target", "3", False),
    ],
)
def test_text_that_is_handed_over_has_an_origin(arm, handed, sound):
    plain = row("Q: How many figs?\nA:", text="#### 3")
    records = [record(source=plain, target=plain) if arm != "target" else record(source=plain)]
    records[0]["arms"][arm] = row("", [handed])
    if arm.startswith("token_budget"):
        records[0]["arms"]["target"] = plain
    if sound:
        check_handed(records, {"x": "Note."})
    else:
        with pytest.raises(LabError, match=f"arm {arm} was handed text of unknown origin"):
            check_handed(records, {"x": "Note."})


def test_a_right_answer_of_the_source_is_no_leak_but_the_gold_is():
    question = Question("x", "How many figs?", "1 + 2 = 3\n#### 3", "3", "")
    check_no_gold(question, "Note: #### 3\nQ: How many figs?\nA:", handed=["#### 3"])
    with pytest.raises(LabError, match="gold answer"):
        check_no_gold(question, "Note: #### 3\nQ: How many figs?\nA: #### 3", handed=["#### 3"])


def test_rows_are_counted_and_named():
    rows = [{"id": key, "arms": {}} for key in "abc"]
    check_complete(rows, list("abc"), [])
    for bent, ids, said in ((rows[:2], "abc", "dropped, first c"), (rows + rows[:1], "abc", "duplicated, first a"),
                            (rows[::-1], "abc", "another order")):  # fmt: skip
        with pytest.raises(LabError, match=said):
            check_complete(bent, list(ids), [])
    check_derangement([1, 2, 0])
    with pytest.raises(LabError, match="1 fixed points, first question 2"):
        check_derangement([1, 0, 2])
