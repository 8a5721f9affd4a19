"""What reading refuses, by name: rows and runs that would bend a comparison without anybody seeing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.tasks import Task, judged, normalised_text

if TYPE_CHECKING:
    from lab.evidence.read import Run

LORE = "lore"  # the cells whose questions ask about a made-up word


def check_scorer(records: Sequence[Mapping], task: Task) -> None:
    """Every arm was scored by the task's own rule: its text is read and compared again."""
    for row in records:
        for arm, answer in row["arms"].items():
            if "text" not in answer:
                continue
            extracted, right = judged(task, row, answer)
            if (extracted, right) != (answer.get("extracted"), answer["correct"]):
                raise LabError(
                    f"arm '{arm}' of question {row['id']} was scored by another extractor: its text gives "
                    f"{extracted}, its record says {answer.get('extracted')} ({answer['correct']}); score it again."
                )
            for name, grade in task.grades(extracted, row["gold"]).items():
                if not isclose(answer.get(name, grade), grade, abs_tol=1e-9):
                    raise LabError(
                        f"arm '{arm}' of question {row['id']} has {name} {answer[name]}, its text gives {grade}; "
                        "score it again."
                    )


def check_words(records: Sequence[Mapping]) -> None:
    """Every row says which word it asks about, or that it asks about none: rows that share one are not independent."""
    for row in records:
        if not isinstance(row.get("word"), str):
            raise LabError(
                f"question {row['id']} has no field 'word': without it questions about one word pass for independent; "
                "take the records as they were written."
            )
        if row["cell"].partition("/")[0] == LORE and not row["word"]:
            raise LabError(f"question {row['id']} of cell {row['cell']} names no word, though it asks about one.")


def check_split(records: Sequence[Mapping], task: Task, data: str) -> None:
    """No row is a question that a checkpoint was chosen on, or a worked example, in whatever words.

    `data`: where a task reads its questions from; where they are not at hand nothing is known of them.
    """
    whole = getattr(task, "whole", task)  # of a limited task all that it limits
    if "data" in whole.takes and not (data and Path(data).exists()):
        return
    try:
        splits = {"dev": whole.dev(), "exemplars": whole.exemplars(whole.most_shots)}
    except LabError:
        return
    for split, questions in splits.items():
        theirs = {normalised_text(question.question) for question in questions}
        if found := [row["id"] for row in records if normalised_text(row["question"]) in theirs]:
            raise LabError(
                f"{len(found)} of {len(records)} rows are of the split {split} of task {task.name}, first question "
                f"{found[0]}; claims rest on test questions."
            )


def check_questions(runs: Sequence[Run]) -> None:
    """A question of a task is the same in every run: the same text, gold, cell and word under one id."""
    seen: dict[tuple[str, str], tuple[Run, Mapping]] = {}
    for run in runs:
        for row in run.records:
            first, known = seen.setdefault((run.settings["task"], row["id"]), (run, row))
            for name in ("question", "gold", "cell", "word", "choices"):
                if row.get(name) != known.get(name):
                    raise LabError(
                        f"runs {first.name} and {run.name} do not agree on question {row['id']}: its {name} is "
                        f"{known.get(name)!r} in one, {row.get(name)!r} in the other; evaluate them on one test split."
                    )


def check_prompts(records: Sequence[Mapping], frames: Mapping[str, Sequence[str]]) -> None:
    """Source and target alone read the same text for the same question, each inside its chat template (`frames`)."""
    for row in records:
        seen = []
        for arm in {"source", "target"} & row["arms"].keys():
            before, after = frames.get(arm, ("", ""))
            seen.append((row["arms"][arm].get("saw") or "").removeprefix(before).removesuffix(after))
        if len(seen) == 2 and seen[0] != seen[1]:
            raise LabError(f"question {row['id']}: source and target read different prompts; evaluate them alike.")


def check_frozen(runs: Sequence[Run]) -> None:
    """The frozen models answer alike wherever all that decides it is alike: questions, prompt, limits, weights, device
    and batch. Runs without a seal say nothing of it."""
    first: dict[str, Run] = {}
    for run in runs:
        for arm, key in _frozen_keys(run).items():
            other = first.setdefault(f"{arm} {key}", run)
            if other is run or arm not in run.arms & other.arms:
                continue
            ours, theirs = (_tokens(one, arm) for one in (run, other))
            if differ := [key for key in ours if ours[key] != theirs.get(key)]:
                raise LabError(
                    f"runs {other.name} and {run.name}: the frozen {arm} was asked the same in the same way and "
                    f"answered {len(differ)} questions otherwise, first {differ[0]}; one is not what was generated."
                )


_DECIDE = ("questions", "instruction", "exemplars", "decoding", "chooses", "frames", "made_on")


def _frozen_keys(run: Run) -> dict[str, str]:
    """For source and target alone: all that decides their answers, as one text; nothing without a seal.

    Arms of one model share their batches. In half precision a row rounds by what stands beside it, so there the other
    arms belong to what decides, and the length of what they read.
    """
    if run.seal is None:
        return {}
    said = run.seal["evaluation"]
    shared = [said.get(name) for name in _DECIDE]
    if (said.get("made_on") or {}).get("dtype") == "bfloat16":
        beside = [run.settings[name] for name in ("soft_tokens", "soft_tokens_cap")]
        shared += [sorted(run.arms), said.get("layout"), *beside]
    return {arm: repr([said.get(arm), *shared]) for arm in ("source", "target")}


def _tokens(run: Run, arm: str) -> dict[str, str]:
    return {row["id"]: row["arms"][arm].get("tokens", "") for row in run.records}


def check_same_bounds(runs: Sequence[Run]) -> None:
    """The seeds of one recipe have trained prompts of one budget: they are the ends of one scale."""
    first: dict[tuple, Run] = {}
    for run in runs:
        other = first.setdefault(run.recipe(), run)
        if run.prompt_budgets and other.prompt_budgets and run.prompt_budgets != other.prompt_budgets:
            raise LabError(
                f"runs {other.name} and {run.name} are seeds of one recipe, but their trained prompts had another "
                f"budget ({other.prompt_budgets} and {run.prompt_budgets}); give seeds with the same control_steps and "
                "control_learning_rate."
            )


def check_different(one: Run, other: Run) -> None:
    """Two runs are two translators, evaluated each for itself: the same weights, losses or answers are one, twice."""
    if reason := _same_translator(one, other) or _same_answers(one, other):
        raise LabError(f"runs {one.name} and {other.name} {reason}: one is not two; give one of them.")


def _same_translator(one: Run, other: Run) -> str:
    """Why the two are one translator under two seeds, or "". Under one seed it may be measured twice."""
    if one.seed == other.seed:
        return ""
    if one.weights & other.weights:
        return "keep the same weights under two seeds"
    return "logged the same loss at every step" * (len(one.losses) > 2 and one.losses == other.losses)


def _same_answers(one: Run, other: Run) -> str:
    """Why the two are one evaluation, or ""."""
    texts = one.texts.get("latent")
    if texts is None or texts != other.texts.get("latent"):
        return ""
    if len(set(texts.values())) > len(texts) / 10:
        return "hold the same latent answers, letter for letter"
    # Collapsed translators may well coincide: they say a few things, whatever the question. Then something else that
    # training leaves has to tell them apart.
    known = (one.weights and other.weights) or (one.losses and other.losses)
    if one.seed == other.seed or known or one.texts != other.texts:
        return ""
    return "hold the same answers in every arm, and neither weights nor losses tell them apart"
