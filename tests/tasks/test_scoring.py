"""Laws of the scorer; each row of the table is a text that an earlier scorer read wrongly, or a neighbour of one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.tasks import INVALID, Question, Task, answer_end, cut_at_stop, find_answer, question_id, shots_text
from lab.tasks.scoring import final_answer, same_answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so 18.\n#### 18", "18"),
        ("#### 18.", "18"),  # the trailing period is punctuation
        ("#### 18.\n", "18"),
        ("####18", "18"),
        ("#### $1,018", "1018"),
        ("#### -3", "-3"),
        ("#### -$3", "-3"),
        ("#### $-3", "-3"),
        ("#### 2.50", "2.50"),
        ("#### .5", ".5"),
        ("#### 4\n\n#### 9", "4"),  # the first answer counts
        ("#### 4\n\nQ: more\nA: #### 9", "4"),
        ("thinking\n\nQ: next?\nA: 7\n#### 9", "[invalid]"),  # the answer to a question nobody asked
        ("the answer is 18", "[invalid]"),  # no fallback to the last integer
        ("$18= $18= $18=", "[invalid]"),
        ("####\n18", "[invalid]"),
        ("#### eighteen", "[invalid]"),
        ("", "[invalid]"),
    ],
)
def test_final_answer(text, expected):
    assert final_answer(text) == expected


def test_invalid_never_equals_anything():
    assert not same_answer("[invalid]", "[invalid]")
    assert not same_answer("[invalid]", "3")
    assert not same_answer("", "")


def test_numbers_are_compared_as_numbers():
    assert same_answer("18.0", "18")
    assert same_answer("1018", "1,018")
    assert same_answer("3/4", ".75") and same_answer("1e3", "1 000") and same_answer("\u22123", "-3.0")
    assert not same_answer("18", "180") and not same_answer("1,5", "15") and not same_answer("1/3", "0.333")
    assert same_answer("north", " north") and not same_answer("north", "1")


def test_a_number_without_end_costs_nothing():
    """Neither the billion digits of an exponent nor a line of them are ever written out."""
    assert final_answer("#### 1e999999999") == final_answer("#### " + 101 * "9") == INVALID
    assert same_answer("1e999", "1e999") and not same_answer("1e999", "1e998")
    assert not same_answer("1" * 10_000, "1") and same_answer("1" * 10_000, "1" * 10_000)


def test_only_a_line_that_begins_a_question_ends_an_answer():
    assert final_answer("Her IQ: 120.\n#### 12") == "12" and answer_end("Her IQ: 120") is None
    assert cut_at_stop("see the FAQ: none\n\tQ: next") == "see the FAQ: none\n\t"
    assert cut_at_stop("  Q: at once").strip() == "" and answer_end("Q: at once") == 0
    assert final_answer("#### Q: How many?\nA: #### 5") == INVALID


PIECES = [
    "####", "#", " ", "\n", "\r\n", "Q:", "Q", ":", "I", "A: ", "1", "18", " 000", ",000", ",", ".", "-", "+", "$", "½",
    "/4", "e3", "%", "**", "\\boxed{", "}", " eggs", " or 20", " half", " million", "\u00a0000", "\u2212", "1. Count",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


@settings(max_examples=400)
@given(texts)
def test_what_has_ended_stays_ended_and_reads_as_the_whole(text):
    for length in range(len(text) + 1):
        end = answer_end(text[:length])
        if end is not None:
            assert end <= length and answer_end(text) == end
            assert final_answer(text[:end]) == final_answer(text)
            return


@settings(max_examples=400)
@given(texts, texts)
def test_a_window_of_a_text_ends_only_what_has_ended(before, text):
    """Generation looks at the newest tokens alone, marked as the middle of a line."""
    if answer_end("…" + text) is not None:
        assert answer_end(before + text) is not None


@settings(max_examples=400)
@given(texts)
def test_an_answer_stands_where_it_was_found(text):
    found = find_answer(text)
    if found is not None:
        assert text[found.start :].startswith("####") and final_answer(text[found.start : found.end]) == found.number
        assert same_answer(found.number, found.number)


@given(st.integers(0, 10**9), st.sampled_from(",'\u00a0\u202f\u2009 "), st.sampled_from(["", "-", "\u2212", "+"]))
def test_every_spelling_of_a_number_is_that_number(number, separator, sign):
    spelt = sign + f"{number:,}".replace(",", separator)
    wanted = -number if sign in ("-", "\u2212") else number
    for line in (spelt, f"{spelt}.", f"{spelt}\nmore 7", f"${spelt}", f"**{spelt}**", f"\\boxed{{{spelt}}}"):
        assert same_answer(final_answer(f"#### {line}"), str(wanted))


def test_question_id_ignores_whitespace_only():
    assert question_id("a  b\n") == question_id("a b")
    assert question_id("a b") != question_id("a c")
    assert len(question_id("a b")) == 16


def test_shots_text_and_default_scorer():
    question = Question("0", "one and one?", "1 + 1 = 2\n#### 2", "2", "plain/short")
    assert shots_text([question]) == "Q: one and one?\nA: 1 + 1 = 2\n#### 2\n\n"
    assert shots_text([]) == ""
    assert Task.correct(None, Task.extract(None, question.answer), question.gold)
