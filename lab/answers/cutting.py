"""Text cut to a budget of tokens or of bytes: what those arms get that are held to the size of the soft tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from lab.models import FrozenModel


def cut_text(model: FrozenModel, text: str, tokens: int, keep: str = "start") -> str:
    """The longest start (or end, with keep="end") of `text` that takes at most `tokens` tokens of `model`.

    Cut between tokens; where a cut text is tokenised anew into more tokens, one token less is kept.
    """
    if keep not in ("start", "end"):
        raise LabError(f"keep={keep!r} is not known; choose start or end.")
    spans = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    for kept in range(min(tokens, len(spans)), 0, -1):
        piece = text[: spans[kept - 1][1]] if keep == "start" else text[spans[len(spans) - kept][0] :]
        if len(model.tokens([piece])[0]) <= tokens:
            return piece
    return ""


def cut_bytes(text: str, size: int) -> str:
    """The longest start of `text` that takes at most `size` bytes of UTF-8."""
    return text.encode("utf-8")[: max(size, 0)].decode("utf-8", errors="ignore")
