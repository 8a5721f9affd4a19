"""What a task is: questions in fixed splits, what stands around them, and the rule by which an answer is read."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import LabError
from lab.tasks.normalised import normalised_text
from lab.tasks.scoring import answer_end, final_answer, same_answer


def groups_of(cell: str) -> list[str]:
    """``lore/long/seen`` belongs to ``lore``, ``lore/long`` and itself."""
    parts = [part for part in cell.split("/") if part]
    return ["/".join(parts[:i]) for i in range(1, len(parts) + 1)]


def question_id(question: str) -> str:
    """16 hex digits of the SHA-256 of the whitespace-normalised text: the same question has one id everywhere."""
    return hashlib.sha256(" ".join(question.split()).encode("utf-8")).hexdigest()[:16]


def check_text(where: str, *texts: str) -> None:
    """Raise LabError for a text that no file and no tokenizer can take: JSON can smuggle in half a surrogate pair."""
    try:
        "".join(texts).encode("utf-8")
    except UnicodeEncodeError:
        raise LabError(f"{where}: half a surrogate pair in a text; write U+FFFD for it, or remove the row.") from None


@dataclass(frozen=True)
class Question:
    """One question with its gold solution.

    `answer` is the full gold text, ending in ``#### n``; `gold` is n as `extract` reads it.
    `cell` is a path such as ``lore/long/held_out``; each prefix of it is a group of the summary.
    `word` names the cluster a question belongs to (the made-up word it uses), empty if none.
    `evidence` is text that the source alone reads, before the question.
    `choices`: the options that a task which `chooses` has models score, the gold among them; else none.
    """

    id: str
    question: str
    answer: str
    gold: str
    cell: str
    word: str = ""
    evidence: str = ""
    choices: tuple[str, ...] = ()


def shots_text(exemplars: Sequence[Question]) -> str:
    """The exemplars as every arm reads them."""
    return "".join(f"Q: {question.question}\nA: {question.answer}\n\n" for question in exemplars)


def first_of(exemplars: Sequence[Question], shots: int, task: str) -> list[Question]:
    """The first `shots` of a task's fixed exemplars. Raises LabError if there are fewer."""
    if not 0 <= shots <= len(exemplars):
        raise LabError(f"shots={shots} is out of range: task {task} has {len(exemplars)} fixed exemplars.")
    return list(exemplars[:shots])


def source_text(question: str, evidence: str = "") -> str:
    """What the source reads before its states are translated, in training and evaluation alike.

    The question in the form in which the source answers it, without instruction and shots: the soft tokens are to
    carry the question, and exemplars would be most of the states.
    """
    return f"{evidence}Q: {question}\nA:"


class Task(ABC):
    """What a task gives. Splits are fixed: the same call returns the same questions, in the same order.

    `instruction` is empty or ends in a blank line; `max_new_tokens` is what a solution needs at most. `takes`: the
    fields of a config, besides the numbers of questions, that its constructor takes; `needs`: those of them that may
    not be empty. `most_shots`: how many fixed exemplars there are. `evidence_may_answer`: whether the words of the
    answer may stand in the evidence, as in paragraphs where it is to be found; the answer marked as such never may.
    `chooses`: "" where answers are generated, else how one of a question's `choices` is chosen, `sum` or
    `per_character` (`lab.tasks.choosing`). A task whose source knows something that one line of text could say gives
    that line by a method `hint(question)`.
    """

    name: str = ""
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    instruction: str = ""
    max_new_tokens: int = 160
    most_shots: int = 0
    evidence_may_answer: bool = False
    chooses: str = ""

    @abstractmethod
    def train(self, count: int, seed: int) -> list[Question]:
        """`count` training questions (0: all there are), a pure function of (count, seed)."""

    @abstractmethod
    def dev(self) -> list[Question]:
        """The questions on which checkpoints are chosen; never test questions."""

    @abstractmethod
    def test(self) -> list[Question]:
        """The questions that are reported."""

    @abstractmethod
    def exemplars(self, shots: int) -> list[Question]:
        """The first `shots` of the fixed exemplars, which occur in no other split. Raises LabError if too few."""

    def content(self, question: Question) -> str:
        """What the question asks: equal for two questions that are one, whatever their ids and spelling."""
        return normalised_text(question.question)

    def sound_hint(self, question: Question, text: str) -> bool:
        """Whether `text` is what a hint to the question may say, judged by the facts and not by what wrote it."""
        return True

    def extract(self, text: str) -> str:
        """The final answer in `text`, or ``[invalid]``."""
        return final_answer(text)

    def answer_end(self, text: str) -> int | None:
        """Characters of generated `text` that belong to the answer, None while it may still go on.

        What comes after changes nothing: a text that has ended stays ended, at the same place.
        """
        return answer_end(text)

    def grades(self, extracted: str, gold: str) -> dict[str, float]:
        """Scores of an answer besides right or wrong, by name; none where right or wrong says all."""
        return {}

    def correct(self, extracted: str, gold: str) -> bool:
        """Whether an extracted answer equals the gold; ``[invalid]`` never does, not even ``[invalid]``."""
        return same_answer(extracted, gold)


def surroundings(task: Task, shots: int) -> dict[str, str]:
    """What stands around every question: the task's instruction and its first `shots` worked examples."""
    return {"instruction": task.instruction, "shots": shots_text(task.exemplars(shots))}
