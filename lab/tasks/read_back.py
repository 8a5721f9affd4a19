"""Texts that a translator can learn to carry before it is asked anything: a question whose answer is its own text.

    python -m lab.tasks.read_back GSM8K OUT.jsonl    # GSM8K: the folder with train.jsonl and test.jsonl

An autoencoder's task (Ge et al. 2024, ICAE, section 2.2). The texts are a task's training questions and the lines of
their solutions; its dev and test questions are not among them. OUT is for task jsonl with the scorer exact.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from lab.errors import LabError
from lab.tasks.contract import Question
from lab.tasks.gsm8k import GSM8K
from lab.tasks.normalised import normalised_id
from lab.tasks.pooled import PooledTask

DEV, TEST = 200, 100  # of the texts: whether a translator that learns from the others can read back new ones
LEAST = 4  # words


def texts_of(questions: Iterable[Question]) -> list[str]:
    """The questions and the lines of their solutions, but for the answer itself, each on one line and each once."""
    found = {}
    for question in questions:
        worked = question.answer.rpartition("####")[0]
        for text in (question.question, *worked.splitlines()):
            text = " ".join(text.replace("####", " ").split())
            if len(text.split()) >= LEAST:
                found.setdefault(normalised_id(text), text)
    return list(found.values())


def rows_of(task: PooledTask) -> list[dict[str, str]]:
    """A row for each text of `task`'s training questions, cut into splits by the order of their hashes.

    Raises LabError where dev or test has a text among them, or where they are too few.
    """
    texts = sorted(texts_of(task.train()), key=normalised_id)
    kept_apart = {normalised_id(question.question) for question in [*task.dev(), *task.test()]}
    if shared := [text for text in texts if normalised_id(text) in kept_apart]:
        raise LabError(f"{task.name}: {shared[0][:60]!r} is a dev or test question and a training text; remove one.")
    if len(texts) <= DEV + TEST:
        raise LabError(f"{task.name}: {len(texts)} texts to read back are too few; give more than {DEV + TEST}.")
    splits = ["dev"] * DEV + ["test"] * TEST + ["train"] * (len(texts) - DEV - TEST)
    return [
        {"question": text, "answer": f"#### {text}", "split": split} for text, split in zip(texts, splits, strict=True)
    ]


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    data, out = sys.argv[1:]
    try:
        rows = rows_of(GSM8K(data))
    except LabError as error:
        sys.exit(f"error: {error}")
    beside = Path(f"{out}.part")
    beside.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    beside.replace(out)
    print(f"{out}: {len(rows)} texts")


if __name__ == "__main__":
    main()
