"""Read the final answer out of a text in GSM8K format, the same way for every arm and for the gold.

The rules, each there because a scorer got it wrong:

- The text ends where a new question begins: where a line, the first one too, or what stands behind ``####`` begins with
  ``Q:`` (a model that runs on into a new question is not credited for it). ``Her IQ: 120`` begins none.
- The answer stands on the rest of the line after ``####``. The first such line that begins with a number decides; it
  states one by the grammar of `lab.tasks.numbers`, or the answer is ``[invalid]``. Lines that begin otherwise
  (``#### Step 1``, ``#### 1. Count the eggs``) are headings, and passed over.
- Nothing else counts: no last number of the text, which credits fragments of a leaked solution.
- Numbers are equal by value: 18, 18.0, 36/2. ``[invalid]`` equals nothing, itself included.

`ANSWERS.md` beside this file shows a hundred forms, read by these rules and by two others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.tasks.numbers import begins_number, read_number, value

INVALID = "[invalid]"
STOP = "Q:"

_NEW_QUESTION = re.compile(rf"(?:^|(?<=####))[ \t]*+{STOP}", re.MULTILINE)
_MARKER = re.compile(r"(?<!#)#{4,}+")


@dataclass(frozen=True)
class Found:
    """An answer in a text: from its ``####`` to the end of the number, whose plain spelling is `number`."""

    start: int
    end: int
    number: str


def new_question(text: str, start: int = 0) -> int | None:
    """Where in `text` the first ``Q:`` of a new question stands that begins behind `start`; None where none does."""
    match = _NEW_QUESTION.search(text, start)
    return match.end() - len(STOP) if match else None


def cut_at_stop(text: str) -> str:
    """`text` up to where a new question begins."""
    return text[: new_question(text)]


def _deciding(text: str) -> Found | None:
    """The first ``####`` whose line begins with a number; where that line states none, the whole line, invalid."""
    for marker in _MARKER.finditer(text):
        if begins_number(text, marker.end()):
            line = text[marker.end() :].partition("\n")[0]
            number, end = read_number(line) or (INVALID, len(line))
            return Found(marker.start(), marker.end() + end, number)
    return None


def find_answer(text: str) -> Found | None:
    """The answer in `text`, wherever it stands; None where there is none."""
    found = _deciding(text)
    return None if found is None or found.number == INVALID else found


def answer_end(text: str) -> int | None:
    """Characters of `text` that belong to the answer, or None while it may still go on: the line of a number ends it,
    since ``#### 1`` may become ``#### 1 000`` or ``#### 1 or 2``."""
    shown = cut_at_stop(text)
    found = _deciding(shown)
    if found and "\n" in shown[found.end :]:
        return found.end
    return len(shown) if len(shown) < len(text) else None


def final_answer(text: str) -> str:
    """The number that the answer line states before the next question, spelt plainly, or ``[invalid]``.

    >>> final_answer("3 + 15 = 18\\n#### $1,018.")
    '1018'
    """
    found = _deciding(cut_at_stop(text))
    return found.number if found else INVALID


def same_answer(extracted: str, gold: str) -> bool:
    """Whether two extracted answers are the same number (``18.0`` is 18). ``[invalid]`` on either side is False."""
    if INVALID in (extracted, gold) or not extracted or not gold:
        return False
    ours, theirs = value(extracted), value(gold)
    return extracted.strip() == gold.strip() if ours is None or theirs is None else ours == theirs
