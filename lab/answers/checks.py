"""What every evaluation and every training must satisfy, as checks that run each time and name what they found.

Each is the answer to a defect that once made a number untrue: gold text in the inputs, an instruction for one arm only,
selection on test, misaligned, dropped or repeated rows, a shuffle that left questions in place, another scorer for one
arm. They read questions, records and text alone, so they hold for archived records too; what needs the models
stands in `lab.answers.model_checks`, and what needs a loss in `lab.training.losses`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.tasks import (
    check_disjoint,
    find_answer,
    judged,
    marked,
    normalised_id,
    normalised_text,
    preferred,
    same_answer,
)

if TYPE_CHECKING:
    from lab.answers.common import Answer
    from lab.tasks import Question, Task

SOFT_MARK = re.compile(r"<\+?soft×\d+>")  # "<+soft×K>": added to the text before it
ADDED_MARK = re.compile(r"<\+soft×\d+>$")
LABEL = re.compile(r"[^\W\d_]+:")  # "Q:", "A:", "Note:": names a part of the prompt, asks nothing
WORD = re.compile(r"\w+")
CUT_WHOLE_PROMPT = ("token_budget",)  # of these even the instruction may be cut
OWN_LAYOUT = ("text_tuned",)  # soft tokens beside the text, whatever the other arms read
TRAIN_SAMPLE = 256  # training questions looked at by `check_splits` where it is not told how many are used


def check_distinct(questions: Sequence[Question], exemplars: Sequence[Question] = ()) -> None:
    """Raise LabError for repeated questions, none at all, or one whose answer every arm sees among the exemplars."""
    ids = [question.id for question in questions]
    if not ids or len(set(ids)) != len(ids):
        raise LabError(f"{len(ids)} questions with {len(set(ids))} different ids; give one or more, each once.")
    texts = {normalised_id(question.question): question.id for question in questions}
    if len(texts) != len(ids):
        raise LabError(f"{len(ids)} questions with {len(texts)} different texts; give one or more, each once.")
    if shown := {texts.get(normalised_id(exemplar.question)) for exemplar in exemplars} - {None}:
        raise LabError(f"question {min(shown)} is also an exemplar, whose answer every arm sees; leave it out.")


def check_splits(task: Task, seed: int = 0, count: int = TRAIN_SAMPLE, shots: int = 0) -> None:
    """Raise LabError if a question is in two splits, in whatever words: choosing on test, or training on what is asked;
    if training meets a word that is held out; and if a question or its evidence tells its answer.

    `count`: how many training questions the run will use, all of which are looked at; `shots`: how many exemplars.
    """
    shown = task.exemplars(max(shots, task.most_shots))
    splits = {"test": task.test(), "dev": task.dev(), "exemplar": shown, "train": task.train(count, seed)}
    check_disjoint(task, splits)
    check_held_out(splits["train"], splits["test"] + splits["dev"])
    for questions in splits.values():
        check_questions(task, questions)


def check_held_out(train: Sequence[Question], evaluated: Sequence[Question]) -> None:
    """Raise LabError if a word of an evaluated cell that is named held_out occurs in training, said to or not."""
    held = {question.word for question in evaluated if question.word and "held_out" in question.cell.split("/")}
    forms = held | {f"{word}s" for word in held}
    met = _words_met(train) if held else set()
    # Question by question only where training has all words of a form somewhere.
    for question in train if any(form in met or met.issuperset(form.split()) for form in forms) else ():
        words = WORD.findall(question.question)
        names = map(" ".join, zip(words, words[1:], strict=False))  # of a person: two words
        if question.word in held or not forms.isdisjoint((*words, *names)):
            raise LabError(
                f"training question {question.id} uses a word that is held out, in {question.question[-80:]!r}; met in "
                "training, it would show memory."
            )


def _words_met(questions: Sequence[Question]) -> set[str]:
    """The words of all texts together, and those that questions are said to be about.

    Cut at white space first: few of these parts are different, and a word is never in two of them.
    """
    parts: set[str] = set()
    for question in questions:
        parts.update(question.question.split())
    return {*WORD.findall(" ".join(parts)), *(question.word for question in questions)}


def check_no_gold(question: Question, seen_text: str, shots: str = "", handed: Sequence[str] = ()) -> None:
    """Raise LabError if what an arm saw, or the evidence that the source reads, holds the gold solution, once question
    and shots themselves are taken away.

    They go first because a question may well mention the number that answers it; so do `handed` texts, such as
    another model's answer, which may be right and are held to their origin by `check_handed`.
    """
    rest = seen_text
    for known in sorted((*handed, shots, question.question), key=len, reverse=True):  # one may stand in another
        rest = rest.replace(known, "\0", 1) if known else rest
    if _tells_gold(question, rest):
        raise LabError(f"question {question.id}: the gold answer stands in what an arm saw; mend its layout.")
    if _tells_gold(question, question.evidence):
        raise LabError(f"question {question.id}: the gold answer stands in its evidence; mend the task's data.")


def _tells_gold(question: Question, text: str) -> bool:
    """Whether the gold solution stands in a text, or the gold behind a `####`, however it is spelt."""
    if question.answer.strip() in text:
        return True
    lines = text.split("####")[1:]
    return any(_states("####" + line.partition("\n")[0], question.gold) for line in lines)


def _states(line: str, gold: str) -> bool:
    """Whether a line that begins with `####` gives the gold there."""
    found = find_answer(line)
    return line[4:].strip() == gold or (found is not None and same_answer(found.number, gold))


def _check_gives_nothing_away(question: Question, field: str, text: str, may_answer: bool = False) -> None:
    """A number or a word that the question itself mentions (its choices, too) gives nothing away."""
    gold, said, asked = (f" {normalised_text(part)} " for part in (question.gold, text, question.question))
    if _tells_gold(question, text) or (gold in said and gold not in asked and not may_answer):
        raise LabError(f"question {question.id}: its {field} {text[:60]!r} tells the gold answer; mend the task.")


def check_questions(task: Task, questions: Sequence[Question]) -> None:
    """Raise LabError if a question holds its own solution, or if what the source alone reads tells its answer.

    The words of the answer may stand there where the task says so, the marked answer nowhere.
    """
    for question in questions:
        if _tells_gold(question, question.question):
            raise LabError(f"question {question.id} holds its own solution, so every arm reads it; mend the data.")
        if question.evidence:
            _check_gives_nothing_away(question, "evidence", question.evidence, task.evidence_may_answer)


def check_hints(task: Task, questions: Sequence[Question]) -> None:
    """Raise LabError if a hint tells an answer, or says what the task's facts do not."""
    for question in questions if hasattr(task, "hint") else ():
        text = task.hint(question)
        if not task.sound_hint(question, text):
            raise LabError(f"question {question.id}: the facts of task {task.name!r} do not say the hint {text!r}.")
        _check_gives_nothing_away(question, "hint", text)


def check_derangement(donors: Sequence[int], cells: Sequence[str] = (), words: Sequence[str] = ()) -> None:
    """Raise LabError unless every question gets another one's soft tokens, of its own of `cells` where that has others,
    and of its own of `words` no more often than chance within the cell explains: these carry the same fact.
    """
    if fixed := [index for index, donor in enumerate(donors) if index == donor]:
        raise LabError(
            f"latent_shuffled: the shuffle has {len(fixed)} fixed points, first question {fixed[0]}; a question that "
            "keeps its own soft tokens is no control."
        )
    counts = Counter(cells)
    for cell, donor in zip(cells, donors, strict=False):
        if counts[cell] > 1 and cells[donor] != cell:
            raise LabError(
                f"latent_shuffled: a question of cell {cell!r} gets soft tokens of cell {cells[donor]!r}, though its "
                "own has others; the control would be wrong for reasons of form."
            )
    places = list(zip(cells, words, strict=False))
    shared = sum(bool(word) and words[donor] == word for donor, (_, word) in zip(donors, places, strict=False))
    alike = Counter(places)
    chance = sum((alike[cell, word] - 1) / (counts[cell] - 1) for cell, word in places if word and counts[cell] > 1)
    if shared > chance + 4 * sqrt(chance) + 3:
        raise LabError(
            f"latent_shuffled: {shared} of {len(donors)} questions get soft tokens of a question about their own word, "
            f"by chance it would be {chance:.0f}; with the same fact the control would be none."
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


def check_chosen(arm: str, answers: Sequence[Answer], questions: Sequence[Question], task: Task) -> None:
    """Raise LabError unless each answer is the likeliest option of its question, by the task's rule."""
    for question, answer in zip(questions, answers, strict=True):
        nats = answer.generation.options
        if answer.text != marked(question.choices[preferred(nats, question.choices, task.chooses)]):
            raise LabError(
                f"arm {arm}: the answer {answer.text[:60]!r} to question {question.id} is not the option that its "
                f"log-likelihoods prefer; choose by {task.chooses} alone."
            )


def residue(saw: str, instruction: str, shots: str, question: str, handed: Sequence[str]) -> str:
    """What is left of a prompt once everything that it was meant to hold is taken away: labels and white space."""
    rest = SOFT_MARK.sub("", saw)
    for known in sorted((*handed, shots, question, instruction), key=len, reverse=True):  # one may stand in another
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
            if shots and arm not in CUT_WHOLE_PROMPT and not row["soft_tokens"] and shots not in row["saw"]:
                raise LabError(
                    f"arm {arm} reads a different prompt: it lacks the worked examples of the other arms for question "
                    f"{record['id']}; give every arm the same ones."
                )
            rest = residue(row["saw"], instruction, shots, record["question"], handed)
            extra = " ".join(LABEL.sub("", rest).split())
            if any(letter.isalnum() for letter in extra):
                raise LabError(
                    f"arm {arm} reads an extra instruction, {extra[:80]!r}, for question "
                    f"{record['id']}; every arm gets the same instruction and nothing else."
                )
            shared = "arms with soft tokens" if row["soft_tokens"] else "arms of text"
            group = arm if handed or arm in OWN_LAYOUT else shared
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
            extracted, right = judged(task, record, row)
            if (extracted, right) != (row["extracted"], row["correct"]):
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
    check_questions(task, questions)
    check_hints(task, questions)
    records = unframed(records, frames) if frames else records
    check_same_prompt(records, task.instruction, shots)
    hint = getattr(task, "hint", None)
    hints = {question.id: hint(question) for question in questions} if hint else None
    check_handed(records, hints, {question.id: question.evidence for question in questions})
    check_scoring(records, task)
