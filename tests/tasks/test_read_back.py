"""Texts to read back: from training questions alone, each once, in a file that task jsonl takes."""

import json
import subprocess
import sys

import pytest

from lab.errors import LabError
from lab.tasks.gsm8k import GSM8K
from lab.tasks.jsonl import Jsonl
from lab.tasks.normalised import normalised_id
from lab.tasks.read_back import DEV, TEST, rows_of, texts_of


def written(folder, count, test=()):
    """A folder as GSM8K's, of `count` training questions with two lines of solution each."""
    rows = [
        {"question": f"Ann has {n} figs and buys {n + 1} more. How many?",
         "answer": f"She has {n}+{n + 1}=<<{n}+{n + 1}={2 * n + 1}>>{2 * n + 1} figs.\nIn all {n} and {n + 1}.\n"
                   f"#### {2 * n + 1}"}
        for n in range(count)
    ]  # fmt: skip
    asked = [{"question": text, "answer": "#### 1"} for text in test or ("How many moons has Mars today?",)]
    for name, lines in (("train", rows), ("test", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return GSM8K(str(folder))


def test_a_text_is_a_question_or_a_line_of_its_solution_and_stands_there_once(tmp_path):
    task = written(tmp_path, 40)
    texts = texts_of([*task.train(), *task.train()])
    assert len(texts) == 3 * len(task.train()) and not any("####" in text or "\n" in text for text in texts)
    assert "She has 3+4=<<3+4=7>>7 figs." in texts or "She has 2+3=<<2+3=5>>5 figs." in texts


def test_no_dev_or_test_question_is_among_them(tmp_path):
    task = written(tmp_path, 200)
    rows = rows_of(task)
    kept_apart = {normalised_id(question.question) for question in [*task.dev(), *task.test()]}
    assert not kept_apart & {normalised_id(row["question"]) for row in rows}
    splits = [row["split"] for row in rows]
    assert (splits.count("dev"), splits.count("test")) == (DEV, TEST) and splits.count("train") == len(rows) - 300
    assert all(row["answer"] == f"#### {row['question']}" for row in rows)
    # a test question that is also a line of a training solution
    line = next(line for question in task.train() for line in question.answer.splitlines() if line.startswith("In all"))
    with pytest.raises(LabError, match="is a dev or test question and a training text"):
        rows_of(written(tmp_path, 200, test=[line]))


def test_too_few_texts_are_refused(tmp_path):
    with pytest.raises(LabError, match="texts to read back are too few; give more than 300"):
        rows_of(written(tmp_path, 60))


def test_the_command_writes_what_task_jsonl_reads(tmp_path):
    written(tmp_path, 200)
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "lab.tasks.read_back", str(tmp_path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    task = Jsonl(str(out), scorer="exact")
    assert f"{len(out.read_text().splitlines())} texts" in done.stdout
    question = task.dev()[0]
    assert question.gold == question.question and task.correct(task.extract(question.answer), question.gold)
    wrong = subprocess.run([*command[:3], str(tmp_path / "none"), str(out)], capture_output=True, text=True)
    assert wrong.returncode == 1 and wrong.stderr.startswith("error: ")
    assert subprocess.run(command[:3], capture_output=True).returncode == 1
