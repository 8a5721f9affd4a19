"""HotpotQA, distractor setting (Yang et al., 2018): questions over ten paragraphs, from the Hub or a local folder.

The paragraphs go to the source alone or to both models (`evidence`). Answers are phrases (`lab.tasks.phrases`), scored
by the official rules.
"""

from __future__ import annotations

import json
import random
from functools import cached_property
from pathlib import Path

from lab.errors import LabError
from lab.tasks.contract import Question, check_text, question_id
from lab.tasks.normalised import normalised_text
from lab.tasks.phrases import f1, phrase, phrase_end, same_phrase
from lab.tasks.pooled import PooledTask

HUB_NAME = "hotpotqa/hotpot_qa"
DEV_SEED, EXEMPLAR_SEED = 8472, 42
EXEMPLARS = 8
DEV_ROWS = 500


class HotpotQA(PooledTask):
    """`data`: "" for the Hub, else a folder whose ``*.json`` files hold lists of rows in the official format.

    Local rows are split by question id: a sixth dev, a third test, eight exemplars, the rest train. Of the Hub's, test
    is the validation split and dev `DEV_ROWS` fixed training rows. `evidence`: "source" or "both" read the paragraphs.
    """

    name = "hotpotqa"
    takes = ("data", "evidence")
    instruction = "Answer the question with a short phrase after '####'.\n\n"
    max_new_tokens = 48
    most_shots = EXEMPLARS
    evidence_may_answer = True  # the paragraphs are where the answer is to be found

    def __init__(self, data: str = "", evidence: str = "source") -> None:
        self.data, self.evidence = data, evidence

    def content(self, question: Question) -> str:
        """The question without its paragraphs, which stand on lines before it where both models read them."""
        return normalised_text(question.question.rpartition("\n")[2])

    extract = staticmethod(phrase)
    answer_end = staticmethod(phrase_end)
    correct = staticmethod(same_phrase)

    def grades(self, extracted: str, gold: str) -> dict[str, float]:
        """`f1`: word F1 of an extracted answer; `correct` is the exact match."""
        return {"f1": f1(extracted, gold)}

    @cached_property
    def parts(self) -> dict[str, list[Question]]:
        if self.data:
            return self._local_parts()
        rows = {split: self._questions(_hub_rows(split)) for split in ("train", "validation")}
        asked = {self.content(question) for question in rows["validation"]}
        pool = list({self.content(question): question for question in rows["train"]}.items())
        pool = [question for content, question in pool if content not in asked]  # no question in two splits
        order = list(range(len(pool)))
        random.Random(DEV_SEED).shuffle(order)
        dev, shown, rest = order[:DEV_ROWS], order[DEV_ROWS : DEV_ROWS + EXEMPLARS], order[DEV_ROWS + EXEMPLARS :]
        return {
            "train": [pool[index] for index in sorted(rest)],
            "dev": [pool[index] for index in dev],
            "exemplars": [pool[index] for index in shown],
            "test": rows["validation"],
        }

    def _local_parts(self) -> dict[str, list[Question]]:
        questions = sorted(self._questions(_local_rows(Path(self.data))), key=lambda question: question.id)
        if len({self.content(question) for question in questions}) < len(questions):
            raise LabError(f"hotpotqa: {self.data} holds a question twice; remove one of the two rows.")
        if len(questions) < EXEMPLARS + 4:
            raise LabError(f"hotpotqa: {len(questions)} rows are too few; give at least {EXEMPLARS + 4}.")
        random.Random(EXEMPLAR_SEED).shuffle(questions)
        dev, test = max(1, len(questions) // 6), max(1, len(questions) // 3)
        return {
            "exemplars": questions[:EXEMPLARS],
            "dev": questions[EXEMPLARS : EXEMPLARS + dev],
            "test": questions[EXEMPLARS + dev : EXEMPLARS + dev + test],
            "train": questions[EXEMPLARS + dev + test :],
        }

    def _questions(self, rows: list[tuple[str, object]]) -> list[Question]:
        return [self._question(row, where) for where, row in rows]

    def _question(self, row: object, where: str) -> Question:
        if not isinstance(row, dict):
            raise LabError(f"{where}: a row must be a JSON object.")
        texts = [row.get(key) for key in ("question", "answer")]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise LabError(f'{where}: a row needs texts "question" and "answer".')
        question, gold = (text.strip() for text in texts)
        evidence = paragraphs(row.get("context"), where)
        check_text(where, question, gold, evidence)
        cell = row.get("type") or "hotpotqa"
        identity = question_id(question)
        if self.evidence == "both":
            return Question(identity, f"{evidence}\n{question}", f"#### {gold}", gold, cell)
        return Question(identity, question, f"#### {gold}", gold, cell, evidence=f"{evidence}\n")


def paragraphs(context: object, where: str) -> str:
    """The paragraphs as text, one a line: `Title: sentences`. Reads the official lists and the Hub's columns."""
    try:
        if isinstance(context, dict):
            context = list(zip(context["title"], context["sentences"], strict=True))
        lines = [f"{title}: {''.join(sentences).strip()}" for title, sentences in context]
    except (TypeError, ValueError, KeyError):
        raise LabError(f"{where}: context must be a list of [title, [sentences]].") from None
    return "\n".join(lines)


def _local_rows(folder: Path) -> list[tuple[str, object]]:
    files = sorted(folder.glob("*.json"))
    if not files:
        raise LabError(f"{folder} holds no .json file; data= must be a folder with HotpotQA rows.")
    rows = []
    for path in files:
        try:
            found = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise LabError(f"{path}: not JSON ({error}); repair or remove it.") from error
        if not isinstance(found, list):
            raise LabError(f"{path}: a list of rows is expected.")
        rows += [(f"{path} row {number}", row) for number, row in enumerate(found, start=1)]
    return rows


def _hub_rows(split: str) -> list[tuple[str, object]]:
    advice = "pass data= a local folder with the rows as .json"
    try:
        import datasets
    except ImportError as error:
        raise LabError(f"hotpotqa from the Hub needs the package 'datasets'; install it, or {advice}.") from error
    try:
        rows = datasets.load_dataset(HUB_NAME, "distractor", split=split)
    except Exception as error:  # the Hub client raises a dozen kinds; each means that the data did not come
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        raise LabError(f"hotpotqa: {HUB_NAME} could not be loaded from the Hub ({reason}); {advice}.") from error
    return [(f"{HUB_NAME} {split}[{index}]", dict(row)) for index, row in enumerate(rows)]
