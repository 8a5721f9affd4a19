"""Laws of the scorer; each row of the table is a text that an earlier scorer read wrongly, or a neighbour of one."""

import pytest

from lab.tasks import Question, Task, question_id, shots_text
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
    assert not same_answer("18", "180")


def test_question_id_ignores_whitespace_only():
    assert question_id("a  b\n") == question_id("a b")
    assert question_id("a b") != question_id("a c")
    assert len(question_id("a b")) == 16


def test_shots_text_and_default_scorer():
    question = Question("0", "one and one?", "1 + 1 = 2\n#### 2", "2", "plain/short")
    assert shots_text([question]) == "Q: one and one?\nA: 1 + 1 = 2\n#### 2\n\n"
    assert shots_text([]) == ""
    assert Task.correct(None, Task.extract(None, question.answer), question.gold)
