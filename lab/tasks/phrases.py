"""Answers in words: the rest of the line after ``####``, compared as the official script of HotpotQA compares.

Normalisation (hotpot_evaluate_v1.py): lower case, no punctuation, no articles, single spaces; F1 is over words. Where
that leaves nothing (the bands The The and !!!), the lower-case text itself is compared: officially any two such answers
are equal, with an F1 of 0.
"""

from __future__ import annotations

import re
import string
from collections import Counter

from lab.tasks.scoring import INVALID, cut_at_stop

YES_NO = ("yes", "no", "noanswer")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def phrase(text: str) -> str:
    """The rest of the line after the first ``####`` before a new question, or ``[invalid]``."""
    _, found, rest = cut_at_stop(text).partition("####")
    answer = rest.strip().split("\n", 1)[0].strip()
    return answer if found and answer else INVALID


def phrase_end(text: str) -> int | None:
    """At the end of the line that `phrase` reads: one may go on after a number ("1969 until 1974")."""
    shown = cut_at_stop(text)
    answer = shown.partition("####")[2].lstrip()
    if "\n" in answer:
        return len(shown) - len(answer) + answer.index("\n")
    return len(shown) if len(shown) < len(text) else None


def normalised(answer: str) -> str:
    """The official normalisation of an answer; the lower-case answer where that leaves nothing of it."""
    kept = answer.lower().translate(_NO_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split()) or " ".join(answer.lower().split())


def same_phrase(extracted: str, gold: str) -> bool:
    """Exact match after the normalisation; ``[invalid]`` and nothing never are, not even with themselves."""
    return INVALID not in (extracted, gold) and normalised(extracted) == normalised(gold) != ""


def f1(prediction: str, gold: str) -> float:
    """Word F1 of the official script: yes and no answers score only when both say the same."""
    if prediction == INVALID:
        return 0.0
    prediction, gold = normalised(prediction), normalised(gold)
    if prediction != gold and (prediction in YES_NO or gold in YES_NO):
        return 0.0
    ours, theirs = prediction.split(), gold.split()
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs)) if shared else 0.0
