r"""The number that a line states: which spellings are read, and what each is worth.

A line is read right or not at all; it is never read as another number than it states. The grammar:

    line     opening sign currency numeral closing [. , ; : ! ?] [space unit]
    opening  spaces and what Markdown, LaTeX or a currency puts before a number:  **  `  $  \(  \boxed{
    sign     - or + or the minus sign U+2212, touching the number or its currency: a dash that stands alone is a bullet
    numeral  18   2.50   .5   1e3 (an exponent of at most three digits)   3/4 (of whole numbers)
             1,018   1 018   1'018: groups of three behind a comma, an apostrophe or a no-break, narrow no-break or thin
             space; behind an ordinary space only where no unit follows, since `5 100 dollar bills` are five
    closing  %, a currency, quotes, and what ends the Markdown or LaTeX
    unit     words, which are not read: 60% is 60, 2 hours are 2. What makes it another number is refused there: digits,
             = + ^ and the like, `half`, `dozen`, `million`, k

So 1,5 and 18 - 3 = 15, 10:30, 18kg, 1 3/4 and 18 or 20 state no number here, and no heading does: `1. Count the eggs`.
At most `LONGEST` characters are a number. Digits of any script are digits.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

LONGEST = 100
_CURRENCY = r"\\?[$€£¥]"
_BLANK = r"[^\S\n]"
_OPENING = rf"(?:{_BLANK}|\*|`|{_CURRENCY}|\\\(|\\\[|\\boxed\{{)*+"
_SIGN = rf"(?P<sign>[-+\u2212]?)(?:{_CURRENCY})?"
_NUMERAL = r"""(?P<numeral>
      [1-9]\d{0,2} (?P<comma>[,'’\u00a0\u202f\u2009]) \d{3} (?:(?P=comma)\d{3})*+ (?:\.\d+)?
    | [1-9]\d{0,2} (?:[ ]\d{3})++ (?:\.\d+)? (?=[^\w\n]*+\Z)
    | \d++/\d++
    | \d++ (?:\.\d++)? (?:[eE][-+]?\d{1,3})?
    | \.\d++
)"""
_CLOSING = rf"""(?:{_BLANK}*+ (?:\\?% | {_CURRENCY} | \* | ` | \}} | \\\) | \\\] | \# | [.,;:!?"'’”]))*+"""
_LINE = re.compile(rf"(?x) {_OPENING} {_SIGN} {_NUMERAL} {_CLOSING} (?:{_BLANK}++ (?P<unit>[^\W\d_].* | \(.*)?)?")
_VALUE = re.compile(rf"(?x) {_OPENING} {_SIGN} {_NUMERAL} {_CLOSING} \s*+")
_BEGINS = re.compile(rf"{_OPENING}{_SIGN}(?=\.?\d)")
_HEADING = re.compile(rf"{_OPENING}\d{{1,2}}[.):]{_BLANK}++\S")
# Words behind a number that make another number of it; `18 fifth graders` are eighteen, `3 fifths` are not three.
_PART = r"(?:third|fifth|sixth|seventh|eighth|ninth|tenth|hundredth)"
_ANOTHER = re.compile(
    rf"(?xi) \b(?: (?:hundred|thousand|million|billion|trillion|dozen|quarter)s? | half | halves | {_PART}s )\b"
    rf"| \b(?: plus | minus | squared | cubed )\b | \b(?:a|one)\s+{_PART}\b | \A{_PART}(?=\W*\Z|\s+of\b)"
    r"| \A(?: (?-i:[kKM]) | bn )(?![\w&])"
)
_OPERATORS = frozenset("=+^<>×÷")


def begins_number(text: str, start: int = 0) -> bool:
    """Whether what stands at `start` begins as a line with a number does; ``1. Count the eggs`` is a heading."""
    return _BEGINS.match(text, start) is not None and _HEADING.match(text, start) is None


def read_number(line: str) -> tuple[str, int] | None:
    """The number that a whole line states, spelt plainly, and where it ends in the line; None if it states none.

    >>> read_number(" $1,018 a year.")
    ('1018', 7)
    """
    found = _LINE.fullmatch(line)
    if found is None or _changed_by(found["unit"] or ""):
        return None
    plain = _plain(found)
    return None if plain is None else (plain, found.end("numeral"))


@lru_cache(maxsize=4096)  # a reader scores few numbers many times
def value(number: str) -> Fraction | None:
    """What an extracted number is worth; None for a text that is no number."""
    found = _VALUE.fullmatch(number) if len(number) <= 2 * LONGEST else None
    plain = _plain(found) if found else None
    return None if plain is None else Fraction(plain)


def _plain(found: re.Match[str]) -> str | None:
    """Sign and digits without groups; None where it is worth nothing: too long, or a fraction of zero parts."""
    numeral = found["numeral"]
    if len(numeral) > LONGEST:
        return None
    kept = "".join(str(int(c)) if c.isdecimal() else c for c in numeral if c.isdecimal() or c in "./eE+-")
    if "/" in kept and not int(kept.partition("/")[2]):
        return None
    return ("-" if found["sign"] in ("-", "\u2212") else "") + kept


def _changed_by(unit: str) -> bool:
    return bool(_ANOTHER.search(unit)) or any(c.isnumeric() or c in _OPERATORS for c in unit)
