"""Reading one answer: pieces are the text itself, marks stand where they should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.samples.answers import (
    SHOWN,
    clean,
    copies_question,
    divergence,
    fold_saw,
    last_number,
    pieces,
    repeats_itself,
    scorers_disagree,
)

TEXTS = st.text(alphabet=st.one_of(st.sampled_from("#=Q: \n.,$-0123456789<>"), st.characters()), max_size=120)


@given(TEXTS, st.sampled_from(["", "[invalid]", "12", "3"]), st.one_of(st.none(), TEXTS))
def test_pieces_joined_are_the_text(text, extracted, reference):
    text = clean(text)
    assert "".join(piece for piece, _ in pieces(text, extracted, reference)) == text


@given(TEXTS, TEXTS)
def test_folding_loses_nothing(saw, question):
    assert "".join(fold_saw(saw, question)) == saw


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_clean_text_can_be_written(text):
    clean(text).encode("utf-8")


def test_the_extracted_answer_is_marked():
    found = pieces("4+5=9 eggs.\n#### 9\n\nQ: next?", "9")
    assert ("#### 9", "answer") in found
    assert found[-1] == ("Q: next?", "after")


def test_an_answer_found_by_another_rule_is_marked_too():
    assert ("18", "answer") in pieces("She makes 9*2 = 18 dollars", "18")
    # the first step that parts from the reference may be the answer itself
    assert ("#### 4", "diverges answer") in pieces("4 miles.\n#### 4", "4", "12-6=6 miles.\n#### 6")


def test_a_repeated_question_at_the_beginning_is_no_run_on():
    assert [kind for _, kind in pieces("Q: How many?\nA: 3\n#### 3\n\nQ: And?", "3")][0] == ""


def test_divergence_is_the_first_result_that_the_other_never_reaches():
    right, wrong = "3+4=7 eggs.\n16-7=9 eggs.\n#### 9", "Eats 3+4=7.\n16-4=12 eggs.\n#### 12"
    start, stop = divergence(wrong, right)
    assert wrong[start:stop] == "16-4=12 eggs."
    assert divergence(right, right) is None
    assert divergence("Other words, 3 + 4 = 7.\nThen 16 - 7 = 9.\n#### 9", right) is None


def test_divergence_without_results_compares_words():
    start, stop = divergence("Yes.\nNo.", "yes.\nMaybe.")
    assert "Yes.\nNo."[start:stop] == "No."


def test_loops_and_copies():
    assert repeats_itself("3=" * 30) and repeats_itself("$18= " * 12)
    assert not repeats_itself("There are 3+4=7 eggs. Each costs 2, so 7*2=14. #### 14")
    question = "Janet's ducks lay 16 eggs per day and she eats three for breakfast every morning with friends."
    assert copies_question(f"Q: {question} A: 13", question)
    assert not copies_question("She eats 3 of 16, so 13.", question)


@pytest.mark.parametrize("text, gold, recorded, disagree", [
    ("#### 18", "18", True, False),
    ("#### 18", "18", False, True),  # the record's own scorer saw it otherwise
    ("so it is 18", "18", False, True),  # only the last number is right
    ("Q: again?\nA: 18\n#### 18", "18", True, True),  # credited by the record only
    ("Paris", "Paris", True, False),  # no number: one scorer
])  # fmt: skip
def test_disagreement(text, gold, recorded, disagree):
    assert scorers_disagree(text, gold, recorded) is disagree


def test_last_number_stops_at_the_next_question():
    assert last_number("12 eggs, $1,018 in all.\nQ: 5?") == "1018"


def test_a_megabyte_is_shown_shortened():
    found = pieces("a" * 1_000_000, "")
    assert sum(len(piece) for piece, _ in found) < SHOWN + 100 and found[-1][1] == "note"
