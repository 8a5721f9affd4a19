"""When two questions are one: what a normalised text keeps.

Ids tell copies apart that differ in a full stop; these functions do not. What is kept of a text are its words, numbers
and signs of arithmetic: case, Unicode form, punctuation, currency and white space go.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

_SIGNS = "+*/%=<>^×÷"  # with them a question is another one, unlike with a comma


class _Kept(dict):
    """Code point -> what `str.translate` puts in its place, found out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character.isalnum() or unicodedata.category(character).startswith("M") or character in f"{_SIGNS}.,-":
            kept = character
        elif character in "‐‑‒–—―−":
            kept = "-"
        else:
            kept = "" if character in "'’" else " "
        self[code] = kept
        return kept


_KEPT = _Kept()
_GROUPED = re.compile(r"(?<=\d),(?=\d)")
_TOKEN = re.compile(rf"\d+(?:\.\d+)*|\.\d+|-(?=\s*\d)|[{_SIGNS}]|[^\s\d.,\-{_SIGNS}]+")


@lru_cache(maxsize=4096)  # the runs of a comparison ask the same questions
def normalised_text(text: str) -> str:
    """The words, numbers and signs of `text`, one space between them.

    >>> normalised_text("Tom’s  1,000 apples cost $3.50 – less 20%!")
    'toms 1000 apples cost 3.50 less 20 %'
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(_TOKEN.findall(_GROUPED.sub("", folded.translate(_KEPT))))


def normalised_id(text: str) -> str:
    """16 hex digits of the SHA-256 of the normalised text."""
    return hashlib.sha256(normalised_text(text).encode("utf-8", "surrogatepass")).hexdigest()[:16]
