"""What each soft token carries: how much dearer the gold answers are without it, paired by question, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lab.answers import Evaluation, LeftOut, leave_out
from lab.config import RunConfig
from lab.evidence import NATS, NATS_WORTH, effect_of, holm, of_numbers, of_values
from lab.models import Pair
from lab.tasks import Question, Task
from lab.translators import Bridge

__all__ = ["left_out", "rises"]


def left_out(
    config: RunConfig, pair: Pair, task: Task, bridge: Bridge, questions: Sequence[Question], answers: bool = False
) -> dict:
    """Every soft token left out in turn on `questions` (dev); {} for none of them. `answers`: their accuracy as well,
    which takes an evaluation for each soft token."""
    if not questions:
        return {}
    evaluation = Evaluation(config, pair, task, questions, {"latent": bridge})
    return rises(leave_out(evaluation, answers), [question.word for question in questions])


def rises(found: LeftOut, words: Sequence[str]) -> dict:
    """{"questions", "nats" (per token, with all soft tokens), "places": a row for each, {"place" (from 1), "n", "told",
    "right"}, "sum", "all", "all_right"}.

    "told": {"effect", "low", "high", "p", "seeds", "p_holm"}, by how many nats per token the gold answers cost more
    without this soft token; "right": the same of the fraction of right answers that is lost, None without answers.
    Either is None where no question changes. Intervals are over questions, those of one word together; Holm over the
    places. "sum": the rises of all places added up, question by question; "all": with all of them gone at once. Where
    the sum is far below, the soft tokens can stand in for one another.
    """
    length, rows = found.tokens.mean(), []
    rise = (found.without - found.whole) / length  # [K, n]
    for place, values in enumerate(rise):
        has = found.counts > place
        own, right = [word for word, there in zip(words, has, strict=True) if there], None
        if found.right is not None and has.any():
            whole, without, _ = found.right
            right = _of_answers(whole[has], without[place][has], own)
        told = _of_nats(values[has] * length / found.tokens[has].mean(), own) if has.any() else None
        rows.append({"place": place + 1, "n": int(has.sum()), "told": told, "right": right})
    for name in ("told", "right"):
        tested = {str(place): row[name]["p"] for place, row in enumerate(rows) if row[name]}
        for place, corrected in holm(tested).items():
            rows[int(place)][name]["p_holm"] = corrected
    there = np.arange(len(rise))[:, None] < found.counts
    return {
        "questions": len(words), "nats": float(found.whole.sum() / found.tokens.sum()), "places": rows,
        "sum": _of_nats((rise * there).sum(axis=0), words),
        "all": _of_nats((found.all_gone - found.whole) / length, words),
        "all_right": found.right and _of_answers(found.right[0], found.right[2], words),
    }  # fmt: skip


def _of_nats(values: np.ndarray, words: Sequence[str]) -> dict | None:
    return effect_of(lambda: of_numbers("", values[None], words, NATS_WORTH, unit=NATS))


def _of_answers(whole: np.ndarray, without: np.ndarray, words: Sequence[str]) -> dict | None:
    return effect_of(lambda: of_values("", whole[None], without[None], words))
