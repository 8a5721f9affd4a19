"""Analysis by direction: who is the stronger model alone, what soft tokens gain each way, and which way they gain more.

A gain is of one direction: the latent arm against an arm beside it in the same runs. The two directions have two
targets, so their answers are never set against each other; their gains are, on the same questions and seed by seed.
Likelihoods count in bits per character of the gold text, which does not depend on a tokenizer as a token does.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from lab.evidence.comparisons import WORTH, compare_arms, effect_of, of_numbers
from lab.evidence.hypotheses import matched, models_of, swapped_of
from lab.evidence.likelihood import KNOWS_NOTHING, gold, has_likelihoods
from lab.evidence.read import Evidence, Run, rows_of
from lab.evidence.stats import ALPHA, holm
from lab.evidence.summary import LATENT

BITS = "bits per character"
RIVALS = ("target", "source", KNOWS_NOTHING)  # what latent is set against within a direction
STRONGER = "stronger model"
MEASURES = ("right", "told")  # of answers, and of how likely the gold ones are
UNDECIDED, NOT_KNOWN = "undecided", "not known"
WEAK_TO_STRONG, STRONG_TO_WEAK = "weak to strong", "strong to weak"


def both_ways(evidence: Evidence) -> list[dict]:
    """One entry for every recipe that has one with source and target swapped and all else alike but its source layers;
    the recipe given first takes the first such.

    Each {"ways": two of `_way`, from the weaker to the stronger model first where `known`, "known": whether the runs
    say which is stronger, "differences": [{"over", "right", "told", "more" {"right", "told"}}]}. A difference is the
    first way's gain over an arm minus the second's; "more" names the way that gains more where it survives Holm's
    correction and two seeds at least were compared. Holm over all gains and differences that are given. [] where no
    run of the other direction is among them.
    """
    found, used = [], set()
    for runs in evidence.recipes():
        others = [run for run in swapped_of(evidence, runs[0]) if run.recipe() not in used and LATENT in run.arms]
        if LATENT not in runs[0].arms or runs[0].recipe() in used or not others:
            continue
        used |= {runs[0].recipe(), others[0].recipe()}
        found.append(_both([runs, evidence.replicates(others[0])]))
    _correct(found)
    return found


def stronger(runs: Sequence[Run]) -> dict:
    """Which model is the stronger one alone, where the interval of source - target says so: {"arm", "model", "by",
    "effect" (source - target), "low", "high"}; by accuracy, else by bits per character of the gold text; "arm" is ""
    where neither does."""
    names = dict(zip(("source", "target"), models_of(runs[0]), strict=True))
    if any(not names.keys() <= run.arms for run in runs):
        return {"arm": "", "model": "", "by": ""}
    for by, one in (("accuracy", effect_of(lambda: compare_arms(runs, "source", "target"))),
                    (BITS, _bits(runs, "source", "target"))):  # fmt: skip
        if one and not one["low"] <= 0 <= one["high"]:
            arm = "source" if one["effect"] > 0 else "target"
            ends = {name: one[name] for name in ("effect", "low", "high")}
            return {"arm": arm, "model": names[arm], "by": by, **ends}
    return {"arm": "", "model": "", "by": ""}


def _both(ways: list[Sequence[Run]]) -> dict:
    said = [stronger(runs) for runs in ways]
    named = {one["model"] for one in said if one["model"]}
    known = len(named) == 1  # both say the same, or one says nothing
    if known and models_of(ways[0][0])[1] not in named:
        ways, said = ways[::-1], said[::-1]
    common = set.intersection(*(run.arms for runs in ways for run in runs))
    rivals = {over: (over, over) for over in RIVALS if over in common and over != "source"}
    if known:  # the same model is the rival both ways: once as the target, once as the source
        rivals[STRONGER] = ("target", "source")
    return {
        "known": known, "ways": [_way(runs, one) for runs, one in zip(ways, said, strict=True)],
        "differences": [{"over": over, "right": _difference(ways, arms), "told": _difference(ways, arms, told=True)}
                        for over, arms in rivals.items()],
    }  # fmt: skip


def _way(runs: Sequence[Run], strong: dict) -> dict:
    """{"runs", "seeds", "n", "source", "target", "stronger", "gains": [{"over", "right", "told"}]}, each gain latent
    minus that arm: a fraction of right answers, and bits per character that the gold text costs less; or None."""
    source, target = models_of(runs[0])
    gains = [
        {"over": over, "right": effect_of(lambda over=over: compare_arms(runs, LATENT, over)),
         "told": _bits(runs, LATENT, over)}
        for over in RIVALS if all(over in run.arms for run in runs)
    ]  # fmt: skip
    return {"runs": [run.name for run in runs], "seeds": [run.seed for run in runs], "n": len(runs[0].records),
            "source": source, "target": target, "stronger": strong, "gains": gains}  # fmt: skip


def _bits(runs: Sequence[Run], better: str, worse: str) -> dict | None:
    if not _told(runs, (better, worse)):
        return None
    rows = rows_of(runs)
    return effect_of(lambda: of_numbers("", _bits_saved(runs, better, worse, rows.ids), rows.clusters, 0.0, unit=BITS))


def _told(runs: Sequence[Run], arms: Sequence[str]) -> bool:
    return all(has_likelihoods(run.records, arm) for run in runs for arm in arms)


def _bits_saved(runs: Sequence[Run], better: str, worse: str, ids: Sequence[str]) -> np.ndarray:
    """[seeds, n]: what each gold text costs less in `better`, in bits per character of a gold text of mean length."""
    characters = float(np.mean([len(row["gold_text"]) for row in runs[0].records]))
    ours, theirs = (gold([run.records for run in runs], arm, ids=ids) for arm in (better, worse))
    return (theirs - ours) / log(2) / characters


def _difference(ways: Sequence[Sequence[Run]], arms: Sequence[str], told: bool = False) -> dict | None:
    """The first way's gain over its arm minus the second's; None where the two share no seed or were asked other
    questions, and where an arm is missing."""
    seeds = {run.seed for run in ways[0]} & {run.seed for run in ways[1]}
    asked = [{row["id"] for row in run.records} for runs in ways for run in runs]
    there = all(arm in run.arms for runs, arm in zip(ways, arms, strict=True) for run in runs)
    if not seeds or not there or any(ids != asked[0] for ids in asked):
        return None
    if told and not all(_told(runs, (LATENT, arm)) for runs, arm in zip(ways, arms, strict=True)):
        return None
    sides = matched(*ways)
    rows = rows_of([*sides[0], *sides[1]])
    one, other = (
        _bits_saved(side, LATENT, arm, rows.ids) if told else rows.values(side, LATENT) - rows.values(side, arm)
        for side, arm in zip(sides, arms, strict=True)
    )
    worth, unit = (0.0, BITS) if told else (WORTH, "accuracy")
    return effect_of(lambda: of_numbers("", one - other, rows.clusters, worth, unit=unit))


def _correct(found: Sequence[dict]) -> None:
    """Write "p_holm" beside every p, and into every difference which way gains more."""
    differences = [(pair, row) for pair in found for row in pair["differences"]]
    rows = [row for pair in found for way in pair["ways"] for row in way["gains"]] + [row for _, row in differences]
    tested = {f"{place} {name}": row[name] for place, row in enumerate(rows) for name in MEASURES if row[name]}
    for key, corrected in holm({key: effect["p"] for key, effect in tested.items()}).items():
        tested[key]["p_holm"] = corrected
    for pair, row in differences:
        row["more"] = {name: _more(row[name], pair) for name in MEASURES}


def _more(effect: dict | None, pair: dict) -> str:
    """The way that gains more, in words."""
    if effect is None:
        return NOT_KNOWN
    if effect["seeds"] < 2 or effect["p_holm"] > ALPHA:  # two seeds of one recipe differ as well
        return UNDECIDED
    way = pair["ways"][effect["effect"] < 0]
    if not pair["known"]:
        return f"to {way['target']}"
    return WEAK_TO_STRONG if way is pair["ways"][0] else STRONG_TO_WEAK
