"""Ways to read and judge an answer, for questions that bring no scorer of their own.

number: by the grammar of `lab.tasks.numbers`. exact: a phrase, equal but for case, Unicode form and white space. f1: a
phrase after the official normalisation of HotpotQA, its word F1 beside it. choice, choice_per_character: an option,
by its letter or as a text; it is chosen by likelihood (`lab.tasks.choosing`), not generated. Each reads the gold by the
rule by which it reads an answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from lab.tasks.phrases import f1, phrase, phrase_end, same_phrase
from lab.tasks.scoring import INVALID, answer_end, final_answer, same_answer

_PHRASE = "Answer the question with a short phrase after '####'.\n\n"
_CHOICE = "Answer the question with the right choice after '####', by its letter where it has one.\n\n"
# A letter alone, or as it stands before a choice: "B", "(b)", "**B.**", "B) Rome"; "A dog" begins with an article.
_LETTER = re.compile(r"[\s*`$(\[]*+(?:\\boxed\{)?([A-Za-z])(?:[.):\]}*`$].*|\s*)")
_SECOND = re.compile(r"\b(?:or|and)\s+\W?[A-Za-z]\b(?!\s*\w)", re.IGNORECASE)


@dataclass(frozen=True)
class Scorer:
    """`extract`: text -> answer or ``[invalid]``; `correct` and `grades`: (answer, gold) -> right, further scores;
    `chooses`: see `lab.tasks.Task`."""

    instruction: str
    max_new_tokens: int
    extract: Callable[[str], str]
    answer_end: Callable[[str], int | None]
    correct: Callable[[str, str], bool]
    grades: Callable[[str, str], dict[str, float]] = lambda extracted, gold: {}
    chooses: str = ""


def letter(text: str) -> str:
    """The one letter that the line after ``####`` gives, as a capital, or ``[invalid]``."""
    line = phrase(text)
    found = _LETTER.fullmatch(line) if line != INVALID and not _SECOND.search(line) else None
    return found[1].upper() if found else INVALID


def option(text: str) -> str:
    """The letter, or where the line after ``####`` is none the line itself: an option that is given as a text."""
    found = letter(text)
    return phrase(text) if found == INVALID else found


def same_text(extracted: str, gold: str) -> bool:
    """Whether two texts differ in case, Unicode form and white space only; ``[invalid]`` equals nothing."""
    ours, theirs = (" ".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in (extracted, gold))
    return INVALID not in (extracted, gold) and ours == theirs != ""


def word_f1(extracted: str, gold: str) -> dict[str, float]:
    return {"f1": f1(extracted, gold)}


SCORERS = {
    "number": Scorer(
        "Answer the following questions step by step and end with '#### <number>'.\n\n",
        256, final_answer, answer_end, same_answer,
    ),
    "exact": Scorer(_PHRASE, 48, phrase, phrase_end, same_text),
    "f1": Scorer(_PHRASE, 48, phrase, phrase_end, same_phrase, word_f1),
    "choice": Scorer(_CHOICE, 48, option, phrase_end, same_text, chooses="sum"),
    "choice_per_character": Scorer(_CHOICE, 48, option, phrase_end, same_text, chooses="per_character"),
}  # fmt: skip
