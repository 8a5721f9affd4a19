"""GSM8K: 7 473 training and 1 319 test word problems (Cobbe et al., 2021), from the Hub or from a local folder.

The published test rows are all kept for reporting. Out of the training rows come, once and for all, the development
rows on which checkpoints are chosen (earlier work chose them on the test rows) and the exemplars of the prompt.
"""

from __future__ import annotations

import random
from functools import cached_property
from pathlib import Path

from lab.errors import LabError
from lab.tasks.contract import Question, check_text, question_id
from lab.tasks.json_lines import json_lines
from lab.tasks.normalised import normalised_id
from lab.tasks.pooled import PooledTask
from lab.tasks.scoring import INVALID, final_answer

HUB_NAME = "openai/gsm8k"
DEV_ROWS = 500
DEV_SEED = 8472
EXEMPLARS = 8
EXEMPLAR_SEED = 42


class GSM8K(PooledTask):
    """`data`: "" for the Hub, else a folder holding ``train.jsonl`` and ``test.jsonl``."""

    name = "gsm8k"
    takes = ("data",)
    instruction = "Answer the following questions step by step and end with '#### <number>'.\n\n"
    max_new_tokens = 256
    most_shots = EXEMPLARS

    def __init__(self, data: str = "") -> None:
        self.data = data

    def test(self) -> list[Question]:
        return list(self._test)  # on its own: training does not read it

    @cached_property
    def _test(self) -> list[Question]:
        return self._questions("test")

    @cached_property
    def parts(self) -> dict[str, list[Question]]:
        """The published training rows, cut into dev, exemplars and train; no question is in two of them."""
        rows = self._questions("train")
        if len(rows) <= EXEMPLARS + 1:
            raise LabError(f"gsm8k: {len(rows)} training rows are too few; give at least {EXEMPLARS + 2}.")
        # A file smaller than the published one (a sample for trying things) gives a fifth of its rows.
        dev_rows = min(DEV_ROWS, max(1, len(rows) // 5))
        chosen = set(random.Random(DEV_SEED).sample(range(len(rows)), dev_rows))
        rest = [index for index in range(len(rows)) if index not in chosen]
        shown = random.Random(EXEMPLAR_SEED).sample(rest, EXEMPLARS)
        return {
            "dev": [rows[index] for index in sorted(chosen)],
            "exemplars": [rows[index] for index in shown],
            "train": [rows[index] for index in rest if index not in set(shown)],
        }

    def _questions(self, split: str) -> list[Question]:
        rows = _local_rows(Path(self.data), split) if self.data else _hub_rows(split)
        questions, seen = [], {}
        for where, row in rows:
            question = _question(row, where)
            content = normalised_id(question.question)
            if content in seen:
                raise LabError(f"{where}: the same question as {seen[content]}; remove one of the two rows.")
            seen[content] = where
            questions.append(question)
        if not questions:
            raise LabError(f"gsm8k: the {split} split in {self.data or HUB_NAME} holds no rows.")
        return questions


def _question(row: object, where: str) -> Question:
    fields = [row.get(key) if isinstance(row, dict) else None for key in ("question", "answer")]
    if not all(isinstance(value, str) and value.strip() for value in fields):
        raise LabError(f'{where}: a row must be a JSON object with texts "question" and "answer".')
    question, answer = (value.strip() for value in fields)
    check_text(where, question, answer)
    gold = final_answer(answer)
    if gold == INVALID:
        raise LabError(f"{where}: the answer does not end in '#### <number>', so it cannot be scored.")
    return Question(question_id(question), question, answer, gold, cell="gsm8k")


def _local_rows(folder: Path, split: str) -> list[tuple[str, object]]:
    path = folder / f"{split}.jsonl"
    if not path.is_file():
        raise LabError(f"{path} does not exist; data= must be a folder with train.jsonl and test.jsonl.")
    return json_lines(path)


def _hub_rows(split: str) -> list[tuple[str, object]]:
    advice = "pass data= a local folder with train.jsonl and test.jsonl"
    try:
        import datasets
    except ImportError as error:
        raise LabError(f"gsm8k from the Hub needs the package 'datasets'; install it, or {advice}.") from error
    try:
        rows = datasets.load_dataset(HUB_NAME, "main", split=split)
    except Exception as error:  # the Hub client raises a dozen kinds; each means that the data did not come
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        raise LabError(f"gsm8k: {HUB_NAME} could not be loaded from the Hub ({reason}); {advice}.") from error
    return [(f"{HUB_NAME} {split}[{index}]", dict(row)) for index, row in enumerate(rows)]
