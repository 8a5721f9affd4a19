"""What soft tokens tell, in nats of the gold answers: where models are too small to answer, this has the power.

Most of the first nats are format, which any tuned prompt gives. So what the text tells has two fair ends: a tuned
prompt that knows nothing of the question (`latent_constant`), and as long a one beside the question's text
(`text_tuned`). How far the latent arm comes from the one to the other is the information that it recovered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, log

import numpy as np

from lab.errors import LabError
from lab.evidence.crossed import mean_interval, ratio_interval
from lab.evidence.resampling import bootstrap_ratio
from lab.evidence.summary import LATENT, ordered_arms

NATS = "nats per token"
NATS_WORTH = 0.005  # less is not worth a sentence: half a per cent of what an answer costs
KNOWS_NOTHING, KNOWS_THE_TEXT, PLAIN_TEXT = "latent_constant", "text_tuned", "target"
TOLD = (LATENT, "latent_shuffled")  # what is put between the two ends

Records = Sequence[Mapping]


def has_likelihoods(records: Records, arm: str = LATENT) -> bool:
    """Whether every record says how likely `arm` finds the gold answer."""
    return all(isinstance(row["arms"].get(arm, {}).get("gold_nats"), int | float) for row in records)


def gold(
    by_seed: Sequence[Records], arm: str, field: str = "gold_nats", ids: Sequence[str] | None = None
) -> np.ndarray:
    """[seeds, n] of what each gold answer costs in `arm` (nats), or how many tokens it has there ("gold_tokens"); the
    questions in the order of `ids`, None: of the first seed. Raises LabError where records say nothing of it."""
    ids, table = ids or [row["id"] for row in by_seed[0]], []
    for records in by_seed:
        if not has_likelihoods(records, arm):
            raise LabError(f"the records say nothing of the gold answers' likelihood in arm {arm}; evaluate again.")
        known = {row["id"]: row["arms"][arm][field] for row in records}
        table.append([known[key] for key in ids])
    return np.array(table, dtype=float)


def gains(records: Records) -> dict[str, float]:
    """id -> bits that the soft tokens tell of this question's answer beyond the constant prompt; {} where nothing is
    known of it."""
    if not all(has_likelihoods(records, arm) for arm in (LATENT, KNOWS_NOTHING)):
        return {}
    return {
        row["id"]: (row["arms"][KNOWS_NOTHING]["gold_nats"] - row["arms"][LATENT]["gold_nats"]) / log(2)
        for row in records
    }


def information(by_seed: Sequence[Records]) -> dict:
    """What every arm's gold answers cost, and what the soft tokens recovered, of the records of one recipe's seeds.

    Returns {"n", "seeds", "soft_tokens", "arms": {arm: {"nats" (per token of its own model), "low", "high",
    "bits_per_character", "per_seed", "versus": {"difference" (arm - latent, nats per token), "low", "high", "p"}}},
    "recovered": {arm of `TOLD`: see `recovered`, or None}, "bits_per_soft_token": {"value", "low", "high"} or None};
    95 % intervals over questions (those of one word together) and seeds; an end is None where nothing is known of the
    spread. {} where the records hold no likelihoods.
    """
    records = by_seed[0]
    arms = [arm for arm in ordered_arms(records[0]["arms"]) if all(has_likelihoods(rows, arm) for rows in by_seed)]
    if LATENT not in arms:
        return {}
    clusters = [row.get("word", "") for row in records]
    characters = np.array([[len(row["gold_text"]) for row in records]] * len(by_seed), dtype=float)
    nats, tokens = ({arm: gold(by_seed, arm, field) for arm in arms} for field in ("gold_nats", "gold_tokens"))
    found = {}
    for arm in arms:
        cost, length = (
            ratio_interval(nats[arm], tokens[arm], clusters),
            float(nats[arm].sum() / log(2) / characters.sum()),
        )
        versus = mean_interval((nats[arm] - nats[LATENT]) / tokens[LATENT].mean(), clusters)
        found[arm] = {
            "nats": cost["value"], **_ends(cost), "per_seed": cost["per_seed"],
            "bits_per_character": length,
            **({"versus": {"difference": versus["mean"], **_ends(versus), "p": versus["p"]}}
               if arm not in (LATENT, "source") else {}),
        }  # fmt: skip
    told = {arm: recovered(nats, arm, clusters) for arm in TOLD if arm in arms}
    soft = np.array([[row["arms"][LATENT]["soft_tokens"] for row in records]] * len(by_seed), dtype=float)
    bits = None
    if KNOWS_NOTHING in arms and soft.any():
        gained = ratio_interval((nats[KNOWS_NOTHING] - nats[LATENT]) / log(2), soft, clusters)
        bits = {"value": gained["value"], **_ends(gained)}
    return {
        "n": len(records), "seeds": len(by_seed), "soft_tokens": float(soft.mean()), "arms": found,
        "recovered": told, "bits_per_soft_token": bits,
    }  # fmt: skip


def _ends(found: Mapping) -> dict[str, float | None]:
    """The ends of an interval; None where they are infinite, as they are without spread: JSON knows no infinity."""
    return {end: found[end] if isfinite(found[end]) else None for end in ("low", "high")}


def recovered(nats: Mapping[str, np.ndarray], arm: str, clusters: Sequence) -> dict | None:
    """(constant - arm) / (constant - text with its trained prompt), a ratio of sums over paired questions.

    `nats`: [seeds, n] by arm. {"value", "low", "high", "per_seed", "bootstrap" (ends of the interval over questions
    alone, drawn instead of linearised)}; None where an end is missing, where the text does not credibly tell more than
    the constant prompt (a share of nothing is no number), and where its trained prompt is worse than none: one that was
    trained too little would flatter.
    """
    if not {KNOWS_NOTHING, KNOWS_THE_TEXT} <= nats.keys():
        return None
    if PLAIN_TEXT in nats and nats[PLAIN_TEXT].sum() < nats[KNOWS_THE_TEXT].sum():
        return None
    top, whole = nats[KNOWS_NOTHING] - nats[arm], nats[KNOWS_NOTHING] - nats[KNOWS_THE_TEXT]
    if not 0 < mean_interval(whole, clusters)["low"] < np.inf:
        return None
    found, drawn = ratio_interval(top, whole, clusters), bootstrap_ratio(top, whole, clusters)
    return {name: found[name] for name in ("value", "low", "high", "per_seed")} | {
        "bootstrap": [drawn["low"], drawn["high"]]
    }
