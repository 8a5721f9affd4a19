"""Read the final answer out of a text in GSM8K format, the same way for every arm and for the gold.

The rules, each there because an earlier script got it wrong:
the text is cut at the next ``Q:`` (a model that runs on into a new question is not credited for it);
only a number after ``####`` counts (no "last integer" fallback, which scored fragments of a leaked solution);
thousands commas, ``$`` and a trailing period go (``#### 18.`` is 18); ``[invalid]`` never equals anything.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

INVALID = "[invalid]"
STOP = "Q:"

# Digits with optional commas and one decimal part; a period that no digit follows is punctuation and stays outside.
# White space is taken whole (`*+`): given back, three such parts would try every way to share it out.
_ANSWER = re.compile(r"####[ \t]*+(-?)[ \t]*+\$?[ \t]*+(-?)(\d[\d,]*+(?:\.\d+)?|\.\d+)")
_AFTER_NUMBER = re.compile(r"[.,]*[^\d.,]")  # ends "#### 18." and "#### 1,018" only once no digit can follow


def cut_at_stop(text: str, stop: str = STOP) -> str:
    """`text` up to, and without, the first `stop`."""
    return text.split(stop, 1)[0]


def find_answer(text: str) -> re.Match[str] | None:
    """The first ``#### number`` in `text`; the match ends after the last character of the number."""
    return _ANSWER.search(text)


def answer_end(text: str) -> int | None:
    """Characters of `text` that belong to the answer, or None while it may still go on."""
    shown = cut_at_stop(text)
    match = find_answer(shown)
    if match and (_AFTER_NUMBER.match(shown, match.end()) or len(shown) < len(text)):
        return match.end()
    return len(shown) if len(shown) < len(text) else None


def final_answer(text: str) -> str:
    """The first number that follows a ``####`` before the next ``Q:``, as plain digits, or ``[invalid]``.

    >>> final_answer("3 + 15 = 18\\n#### $1,018.")
    '1018'
    """
    match = find_answer(cut_at_stop(text))
    if match is None:
        return INVALID
    first, second, digits = match.groups()
    return ("-" if first or second else "") + digits.replace(",", "")


def same_answer(extracted: str, gold: str) -> bool:
    """Whether two extracted answers are the same number (``18.0`` is 18). ``[invalid]`` on either side is False."""
    if INVALID in (extracted, gold) or not extracted or not gold:
        return False
    try:
        return Decimal(extracted.replace(",", "")) == Decimal(gold.replace(",", ""))
    except InvalidOperation:
        return extracted.strip() == gold.strip()
