"""Whatever reads a text that a model or a log wrote takes time in proportion to its length, whatever the text is.

A megabyte takes these readers less than a second; a reader whose work grows with the square would need hours, and a
minute for a fifth of it: the bound of seconds decides between the two on any machine.
"""

import signal
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.evidence.extraction import EXTRACTORS
from lab.runs.legacy import bare_question
from lab.runs.logs import parse_log
from lab.samples import answers
from lab.tasks import answer_end, cut_at_stop, final_answer, find_answer, normalised_text, same_answer
from lab.tasks.paraphrases import problem_content
from lab.tasks.phrases import f1, phrase, phrase_end
from lab.tasks.scorers import letter, same_text

MEGABYTE, FIFTH = 1_000_000, 200_000
SECONDS = 20
# What a text is made of: a beginning, and a piece that fills it.
ADVERSARIES = [
    ("#### ", " "), ("#### -", " "), ("#### $", "\t"), ("", "#"), ("", "#### "), ("", "#### - $ "), ("", "#### 1 "),
    ("#### ", "1"), ("#### 1", ","), ("#### 1", ",000"), ("#### ", "1."), ("#### ", "1 000 "), ("#### ", "1\u202f"),
    ("#### ", "1/"), ("#### ", "1e"), ("#### ", "$"), ("#### ", "*"), ("#### ", "\\boxed{"), ("#### 1 ", "million "),
    ("#### A) ", "or "), ("#### ", "A or "), ("", "Ana has 3 figs. "), ("", "@n "),
    ("", "Q:"), ("", "Q:\n"), ("", "\nQ:"), ("", "\n"), ("", "\r\n"), ("", " \n"), ("", "\u2028"), ("= ", " "),
    ("", "= - $ "), ("", "<<"), ("", "<<1=2>>"), ("", "."), ("", "-"), ("a. ", " "), ("", "the "), ("", "é\u0301"),
    ("The answer is ", "1,"), ("", "The answer is "), ("capped ", "capped "), ("Experiment: a", " "),
    ("Experiment:", " "), ("", "Experiment: "), ("", "[Final Eval] "), ("", "Source acc: "), ("Source acc: ", "1"),
    ("Step ", "1"), ("==== Config ====\na: ", "("), ("", "Question:"), ("", "\nA:"),
]  # fmt: skip
SCORERS = {
    "cut_at_stop": cut_at_stop, "final_answer": final_answer, "answer_end": answer_end, "find_answer": find_answer,
    "same_answer": lambda text: same_answer(text, text) or same_answer(text, "18"),
    "phrase": phrase, "phrase_end": phrase_end, "letter": letter,
}  # fmt: skip
READERS = SCORERS | {
    "f1": lambda text: f1(text, "a b"), "same_text": lambda text: same_text(text, "a b"),
    "normalised_text": normalised_text, "problem_content": problem_content,
    **{f"rule {name}": lambda text, rule=rule: rule.score(text, text) for name, rule in EXTRACTORS.items()},
    "clean": answers.clean, "repeats_itself": answers.repeats_itself, "steps": answers.steps,
    "copies_question": lambda text: answers.copies_question(text, text),
    "scorers_disagree": lambda text: answers.scorers_disagree(text, text, None),
    "divergence": lambda text: answers.divergence(text, text + "\n2 = 3"),
    "pieces": lambda text: answers.pieces(text, "18", text), "fold_saw": lambda text: answers.fold_saw(text, text[:99]),
    "bare_question": bare_question, "parse_log": parse_log,
}  # fmt: skip
OTHERS = [name for name in READERS if name not in SCORERS]
SIZES = [
    *(pytest.param(name, MEGABYTE, id=f"{name}, 1 MB") for name in SCORERS),
    *(pytest.param(name, FIFTH, id=f"{name}, 200 kB") for name in OTHERS),
    *(pytest.param(name, MEGABYTE, id=f"{name}, 1 MB", marks=pytest.mark.slow) for name in OTHERS),
]


@contextmanager
def at_most(seconds: float):
    """Stops what takes longer: a reader gone quadratic fails the test instead of hanging it."""

    def late(*_):
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def filled(beginning: str, piece: str, size: int) -> str:
    return beginning + piece * ((size - len(beginning)) // len(piece)) + "x"


@pytest.mark.parametrize("name, size", SIZES)
def test_a_megabyte_is_read_in_seconds(name, size):
    """Each text ends in a letter: a pattern that fails at the very end has tried everything before."""
    for beginning, piece in ADVERSARIES:
        with at_most(SECONDS):
            READERS[name](filled(beginning, piece, size))


PIECES = [
    "####", "#", " ", "  ", "\t", "\n", "\r", "Q:", "Q", ":", "A:", "1", "0", "12", ",", ".", "-", "+", "/", "e", "$",
    "*", "=", "<", ">", "{", "}", "\\boxed{", "\u00a0", "\u202f", "x", "the", "é", "half", "million",
]  # fmt: skip
some = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=10, deadline=None)
@given(beginning=some, piece=some)
def test_no_repeated_piece_is_slow(name, beginning, piece):
    with at_most(SECONDS):
        READERS[name](filled(beginning, piece, FIFTH))
