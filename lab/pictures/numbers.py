"""Numbers as every table writes them, in a terminal and on a page: per cent with one digit, p values without a zero."""

from __future__ import annotations


def format_p(p: float | None) -> str:
    return "" if p is None else "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def one_digit(value: float) -> str:
    return f"{value:,.1f}"


def interval(low: float, high: float) -> str:
    """The ends of an interval of fractions, in per cent; below each other they line up."""
    return f"{100 * low:5.1f} - {100 * high:5.1f}"


def points(effect: float) -> str:
    """A difference of two fractions, in points."""
    return f"{100 * effect:+.1f}"


def number(value: object, digits: int = 2) -> str:
    """Any value of a table's cell: what is nothing is empty, a float has at most `digits` digits, and is never rounded
    to a nought that it is not."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value)
    shown = f"{value:,.{digits}f}".rstrip("0").rstrip(".")
    return f"< {10**-digits:.{digits}f}" if value > 0 and shown == "0" else "0" if shown == "-0" else shown
