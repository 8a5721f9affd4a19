"""What every evaluation and every training must satisfy, as checks that run each time and name what they found.

Each is the answer to a defect that once made a number untrue: gold text in the inputs, an instruction for one arm only,
selection on test, misaligned, dropped or repeated rows, a shuffle that left questions in place, another scorer for one
arm. They read questions, records and text alone, so they hold for archived records too; what needs the models
stands in `lab.answers.model_checks`, and what needs a loss in `lab.training.losses`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.tasks import check_disjoint, normalised_id

if TYPE_CHECKING:
    from lab.tasks import Question, Task

SOFT_MARK = re.compile(r"<\+?soft×\d+>")  # "<+soft×K>": added to the text before it
ADDED_MARK = re.compile(r"<\+soft×\d+>$")
LABEL = re.compile(r"[^\W\d_]+:")  # "Q:", "A:", "Note:": names a part of the prompt, asks nothing
CUT_WHOLE_PROMPT = ("token_budget",)  # of these even the instruction may be cut
TRAIN_SAMPLE = 256  # training questions looked at by `check_splits` where it is not told how many are used


def check_distinct(questions: Sequence[Question], exemplars: Sequence[Question] = ()) -> None:
    """Raise LabError for repeated questions, none at all, or one whose answer every arm sees among the exemplars."""
    ids = [question.id for question in questions]
    if not ids or len(set(ids)) != len(ids):
        raise LabError(f"{len(ids)} questions with {len(set(ids))} different ids; give one or more, each once.")
    texts = {normalised_id(question.question): question.id for question in questions}
    if len(texts) != len(ids):
        raise LabError(f"{len(ids)} questions with {len(texts)} different texts; give each question once.")
    if shown := {texts.get(normalised_id(exemplar.question)) for exemplar in exemplars} - {None}:
        raise LabError(f"question {min(shown)} is also an exemplar, whose answer every arm sees; leave it out.")


def check_splits(task: Task, seed: int = 0, count: int = TRAIN_SAMPLE) -> None:
    """Raise LabError if a question is in two splits, in whatever words: choosing on test, or training on what is asked.

    `count`: how many training questions the run will use, all of which are looked at.
    """
    splits = {"test": task.test(), "dev": task.dev(), "exemplar": task.exemplars(task.most_shots)}
    check_disjoint(task, splits | {"train": task.train(count, seed)})


def check_no_gold(question: Question, seen_text: str, shots: str = "", handed: Sequence[str] = ()) -> None:
    """Raise LabError if what an arm saw holds the gold solution, once question and shots themselves are taken away.

    They go first because a question may well mention the number that answers it; so do `handed` texts, such as
    another model's answer, which may be right and are held to their origin by `check_handed`.
    """
    rest = seen_text
    for known in (*sorted(handed, key=len, reverse=True), shots, question.question):
        rest = rest.replace(known, "\0", 1) if known else rest
    if question.answer.strip() in rest or f"#### {question.gold}" in rest:
        raise LabError(f"question {question.id}: the gold answer stands in what an arm saw; mend its layout.")


def check_derangement(donors: Sequence[int]) -> None:
    """Raise LabError unless every question gets another one's soft tokens."""
    if fixed := [index for index, donor in enumerate(donors) if index == donor]:
        raise LabError(
            f"latent_shuffled: the shuffle has {len(fixed)} fixed points, first question {fixed[0]}; a question that "
            "keeps its own soft tokens is no control."
        )


def check_complete(records: Sequence[Mapping], ids: Sequence[str], arms: Sequence[str]) -> None:
    """Raise LabError unless every id occurs once, in order, and every record has every arm."""
    found = [record["id"] for record in records]
    if found != list(ids) or len(set(ids)) != len(ids):
        dropped, seen = set(ids) - set(found), set()
        repeated = [key for key in found if key in seen or seen.add(key)]
        if dropped and not repeated:
            what = f"{len(dropped)} rows were dropped, first {min(dropped)}"
        elif repeated:
            what = f"{len(repeated)} rows are duplicated, first {repeated[0]}"
        else:
            what = "they stand in another order, or belong to other questions"
        raise LabError(f"records and questions differ in their ids: {what}; evaluate distinct questions, each once.")
    for record in records:
        if missing := set(arms) - set(record["arms"]):
            raise LabError(f"record {record['id']} lacks the arms {sorted(missing)}; evaluate all arms together.")


def check_aligned(arm: str, answered: Sequence[str], ids: Sequence[str]) -> None:
    """Raise LabError unless an arm's answers belong, row by row, to the questions with `ids`."""
    if len(answered) != len(ids):
        raise LabError(f"arm {arm}: {len(answered)} answers to {len(ids)} questions; rows were dropped or duplicated.")
    for row, (found, wanted) in enumerate(zip(answered, ids, strict=True)):
        if found != wanted:
            raise LabError(
                f"arm {arm}: row {row} answers question {found}, but the other arms answer {wanted} there; "
                "its ids are misaligned."
            )


def residue(saw: str, instruction: str, shots: str, question: str, handed: Sequence[str]) -> str:
    """What is left of a prompt once everything that it was meant to hold is taken away: labels and white space."""
    rest = SOFT_MARK.sub("", saw)
    for known in (*sorted(handed, key=len, reverse=True), shots, question, instruction):
        rest = rest.replace(known, "") if known.strip() else rest
    return rest


def check_same_prompt(records: Sequence[Mapping], instruction: str = "", shots: str = "") -> None:
    """Raise LabError unless every arm reads the same instruction, and no arm a word that the others lack.

    Apart from instruction, exemplars, question, soft tokens and the text that a record says was handed over, a prompt
    may hold labels only ("Q:", "A:"); each arm has the same ones in all its records, arms of text alone share theirs,
    and so do arms with soft tokens.
    """
    first: dict[str, str] = {}
    for record in records:
        for arm, row in record["arms"].items():
            handed = row.get("handed", [])
            if arm not in CUT_WHOLE_PROMPT and not row["saw"].startswith(instruction):
                raise LabError(
                    f"arm {arm} reads a different prompt: that of question {record['id']} does not begin with the "
                    f"instruction {instruction[:60]!r}; give every arm the same one."
                )
            rest = residue(row["saw"], instruction, shots, record["question"], handed)
            extra = " ".join(LABEL.sub("", rest).split())
            if any(letter.isalnum() for letter in extra):
                raise LabError(
                    f"arm {arm} reads an extra instruction, {extra[:80]!r}, for question "
                    f"{record['id']}; every arm gets the same instruction and nothing else."
                )
            group = arm if handed else "arms with soft tokens" if row["soft_tokens"] else "arms of text"
            if arm in CUT_WHOLE_PROMPT:
                continue
            if first.setdefault(group, rest) != rest:
                raise LabError(
                    f"arm {arm} reads a different prompt: {' '.join(rest.split())!r} around question {record['id']}, "
                    f"where {group} have {' '.join(first[group].split())!r}; use one layout for all."
                )


def check_handed(
    records: Sequence[Mapping], hint: Mapping[str, str] | None = None, evidence: Mapping[str, str] | None = None
) -> None:
    """Raise LabError unless text that was handed to an arm is what its name says, so that no other text can enter.

    A cut prompt is the end of the whole one, a cut question its beginning, a cascade hands over the source's answer,
    same_bytes parts of the question and that answer, text_hint what `hint` (id -> text) gives, the source what
    `evidence` gives it alone.
    """
    for record in records:
        source = record["arms"].get("source", {}).get("text")
        target = record["arms"].get("target", {}).get("saw")
        for arm, row in record["arms"].items():
            handed = [text for text in row.get("handed", []) if text]
            if arm == "token_budget":
                sound = target is None or all(target.endswith(text) for text in handed)
            elif arm == "token_budget_question":
                sound = all(record["question"].startswith(text) for text in handed)
            elif arm == "cascade":
                sound = source is None or all(text == source.strip() for text in handed)
            elif arm == "same_bytes":
                sound = source is None or all(text in record["question"] or text in source for text in handed)
            elif arm == "text_hint":
                sound = hint is None or all(text == hint[record["id"]] for text in handed)
            elif arm == "source":
                sound = all(text == (evidence or {}).get(record["id"]) for text in handed)
            else:
                sound = not handed
            if not sound:
                raise LabError(
                    f"arm {arm} was handed text of unknown origin for question {record['id']}, "
                    f"{handed[0][:60]!r}; it may only get what its name says."
                )


def check_scoring(records: Sequence[Mapping], task: Task) -> None:
    """Raise LabError unless every arm's text, read and scored again by the task's one extractor, gives its record."""
    for record in records:
        for arm, row in record["arms"].items():
            extracted = task.extract(row["text"])
            if (extracted, task.correct(extracted, record["gold"])) != (row["extracted"], row["correct"]):
                raise LabError(
                    f"arm {arm} was scored by another extractor: question {record['id']} has {row['extracted']!r}, "
                    f"{row['correct']}, where task {task.name!r} reads {extracted!r}; score all arms by one rule."
                )


def unframed(records: Sequence[Mapping], frames: Mapping[str, tuple[str, str]]) -> list[dict]:
    """The records as if no chat template stood around what was read, for the checks of what stands inside.

    `frames`: the texts around all that the source and the target read. Raises LabError where one is not there.
    """
    found = []
    for record in records:
        arms = {}
        for arm, row in record["arms"].items():
            before, after = frames["source" if arm == "source" else "target"]
            saw, added = row["saw"], ""
            if mark := ADDED_MARK.search(saw):  # of an adapter's soft tokens, which are added to the text before it
                saw, added = saw[: mark.start()], mark[0]
            if not (saw.startswith(before) and saw.endswith(after)):
                raise LabError(
                    f"arm {arm} reads a different prompt: the chat template does not stand around question "
                    f"{record['id']}; every arm of a model reads it by the same rule."
                )
            arms[arm] = {**row, "saw": saw.removeprefix(before).removesuffix(after) + added}
        found.append({**record, "arms": arms})
    return found


def check_records(
    records: Sequence[Mapping], questions: Sequence[Question], arms: Sequence[str], task: Task, shots: str = "",
    frames: Mapping[str, tuple[str, str]] | None = None,
) -> None:  # fmt: skip
    """All that must hold of the records of one evaluation; raises LabError naming what does not."""
    check_complete(records, [question.id for question in questions], arms)
    records = unframed(records, frames) if frames else records
    check_same_prompt(records, task.instruction, shots)
    hint = getattr(task, "hint", None)
    hints = {question.id: hint(question) for question in questions} if hint else None
    check_handed(records, hints, {question.id: question.evidence for question in questions})
    check_scoring(records, task)
