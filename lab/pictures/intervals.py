"""The names of intervals, and how a figure draws one. One number may stand with two of them, of different width: each
place says which it shows."""

from collections.abc import Sequence

from lab.errors import LabError

WILSON = "95 % (Wilson)"  # of one arm's accuracy, its questions taken as independent
PAIRED = "95 % (paired)"  # of a difference between two arms on the same questions, these taken as independent
CLUSTERED = "95 % (by word)"  # of either, in the evidence: questions that share a word, and seeds, are not independent
INTERVALS = (
    "Wilson: of one arm, every question taken as independent. Paired: of a difference on the same questions "
    "(Newcombe's method 10), taken as independent, too. By word: in the tables of evidence and claims, where questions "
    "that share a word, and seeds, are counted as clusters; most often wider."
)


def bars(values: Sequence[float], lows: Sequence[float], highs: Sequence[float], unit: float = 100, **look) -> dict:
    """plotly's bars from `lows` to `highs` around dots at `values`, all times `unit`; `look`: as plotly names it.

    Raises LabError for an interval that ends before it begins.
    """
    ends = list(zip(values, lows, highs, strict=True))
    if turned := next(((low, high) for _, low, high in ends if low > high), None):
        raise LabError(f"figure: an interval from {turned[0]:g} to {turned[1]:g} ends before it begins.")
    return {"type": "data", "symmetric": False, "array": [unit * (high - value) for value, _, high in ends],
            "arrayminus": [unit * (value - low) for value, low, _ in ends], **look}  # fmt: skip
