"""From records to numbers: accuracy of every arm, per cell, with intervals, and the paired tests of the latent arm."""

from collections.abc import Mapping, Sequence

from lab.errors import LabError
from lab.evidence.stats import mcnemar, wilson
from lab.tasks import INVALID, groups_of

LATENT = "latent"
ORACLE = "oracle"
BOTH_SKILLS = "lore/long"  # no model alone has both skills: only here can more than routing show
ARM_ORDER = (
    "source", "target", ORACLE, "token_budget", "token_budget_question", "cascade", "same_bytes", "text_hint",
    "text_tuned", LATENT, "latent_bf16", "latent_int8", "latent_int4", "latent_shuffled", "latent_zero", "latent_noise",
    "latent_mean", "latent_constant", "latent_random_source", "latent_no_lore_source", "latent_target_source",
)  # fmt: skip


def ordered_arms(names) -> list[str]:
    """The known arms in reading order; others come after the oracle, before the latent arm and its controls."""
    names = list(names)
    known = [arm for arm in ARM_ORDER if arm in names]
    others = sorted(arm for arm in names if arm not in ARM_ORDER)
    cut = sum(arm in ARM_ORDER[:3] for arm in known)
    return known[:cut] + others + known[cut:]


def in_group(cell: str, group: str) -> bool:
    return group in groups_of(cell)


def check_records(records: Sequence[Mapping]) -> list[str]:
    """The arms, in reading order. Refuses what would bend a paired comparison: repeated questions, missing arms."""
    if not records:
        raise LabError("summarise: there are no records; give the rows of an eval_samples file.")
    seen: set[str] = set()
    arms = ordered_arms({arm for row in records for arm in row.get("arms", {})})
    for number, row in enumerate(records, start=1):
        for field in ("id", "cell", "arms"):
            if field not in row:
                raise LabError(f"summarise: record {number} has no field '{field}'; records come from `write_records`.")
        if row["id"] in seen:
            raise LabError(
                f"summarise: question {row['id']} occurs twice (again in record {number}); keep one row per question."
            )
        seen.add(row["id"])
        for arm in arms:
            if arm not in row["arms"]:
                raise LabError(
                    f"summarise: arm '{arm}' is missing for question {row['id']} (record {number}); "
                    "every arm has to answer the same questions."
                )
            if not isinstance(row["arms"][arm].get("correct"), bool):
                raise LabError(
                    f"summarise: arm '{arm}' has no true or false 'correct' for question {row['id']} "
                    f"(record {number}); score the record again."
                )
    if not arms:
        raise LabError("summarise: the records hold no arm; evaluate at least one.")
    if ORACLE in arms:
        raise LabError(f"summarise: the records hold an arm '{ORACLE}', which is computed here; rename that arm.")
    return arms


def _proportion(flags: list[bool]) -> dict:
    return {"accuracy": sum(flags) / len(flags), "n": len(flags), "ci95": list(wilson(sum(flags), len(flags)))}


def _mean_f1(records: Sequence[Mapping], arm: str) -> dict:
    """The arm's mean word F1, where its task gives one (the oracle has none)."""
    scores = [row["arms"].get(arm, {}).get("f1") for row in records]
    return {} if None in scores else {"f1": sum(scores) / len(scores)}


def _latent_tests(correct: dict[str, dict[str, bool]], ids: Sequence[str]) -> dict:
    def of(arm: str) -> dict[str, bool]:
        return {key: correct[arm][key] for key in ids}

    return {f"{LATENT}_vs_{arm}": mcnemar(of(LATENT), of(arm)) for arm in correct if arm != LATENT}


def summarise(records: Sequence[Mapping], arms: Sequence[str] | None = None) -> dict:
    """Accuracy and tests of `arms` (None: all found, and the oracle where source and target are there).

    The oracle is right where the source or the target is: the best a router between the two could do.
    Returns ``{"n", "arms": {arm: {"accuracy", "n", "ci95", "invalid", "cells": {cell or group: ...}}}, "tests"}``
    with fractions, 95 % Wilson intervals and counts of unreadable answers (None for the oracle); ``f1`` is the mean
    word F1 of a task that is graded so (its accuracy is the exact match). ``tests`` pairs the
    latent arm with every other one: ``latent_vs_source`` and so on (difference = latent - other), on all questions and
    under ``both_skill`` on those that need both skills. The p-values are not corrected for their number.
    Raises LabError naming the question and arm where records repeat a question or miss an arm.
    """
    found = check_records(records)
    correct = {arm: {row["id"]: row["arms"][arm]["correct"] for row in records} for arm in found}
    if "source" in correct and "target" in correct:
        correct[ORACLE] = {key: correct["source"][key] or correct["target"][key] for key in correct["source"]}
    if arms is not None:
        for arm in arms:
            if arm not in correct:
                raise LabError(
                    f"summarise: there is no arm '{arm}'; the records give {', '.join(ordered_arms(correct))}."
                )
        correct = {arm: correct[arm] for arm in arms}
    correct = {arm: correct[arm] for arm in ordered_arms(correct)}

    members: dict[str, list[str]] = {}
    for row in records:
        for group in groups_of(row["cell"]):
            members.setdefault(group, []).append(row["id"])
    summary = {"n": len(records), "arms": {}, "tests": {}}
    for arm, right in correct.items():
        invalid = None if arm == ORACLE else sum(row["arms"][arm].get("extracted") == INVALID for row in records)
        summary["arms"][arm] = _proportion(list(right.values())) | {
            "invalid": invalid,
            **_mean_f1(records, arm),
            "cells": {group: _proportion([right[key] for key in members[group]]) for group in sorted(members)},
        }
    if LATENT in correct:
        summary["tests"] = _latent_tests(correct, [row["id"] for row in records])
        if BOTH_SKILLS in members:
            summary["tests"]["both_skill"] = _latent_tests(correct, members[BOTH_SKILLS])
    return summary
