"""GSM8K's splits, on files that the tests write."""

import json
import sys
from types import SimpleNamespace

import pytest

from lab.errors import LabError
from lab.tasks import load_task


def write(folder, split, count, start=0):
    rows = [
        {"question": f"{split}: what is {n} and 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1:,}"}
        for n in range(start, start + count)
    ]
    (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def task_of(folder, **changes):
    fields = dict(task="gsm8k", data=str(folder), shots=0, train_questions=0, dev_questions=0, test_questions=0)
    return load_task(SimpleNamespace(**(fields | changes)))


def ids(questions):
    return [question.id for question in questions]


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "train", 700, start=900)
    write(tmp_path, "test", 20)
    return tmp_path


def test_splits_are_disjoint_and_fixed(folder):
    task = task_of(folder)
    parts = [ids(task.train(0, 1)), ids(task.dev()), ids(task.exemplars(8))]
    assert [len(part) for part in parts] == [700 - 140 - 8, 140, 8]
    assert len(set().union(*parts)) == 700
    assert not set().union(*parts) & set(ids(task.test()))
    again = task_of(folder)
    assert [ids(again.train(0, 1)), ids(again.dev()), ids(again.exemplars(8))] == parts
    assert ids(task.exemplars(3)) == parts[2][:3]


def test_the_published_size_gives_500_dev_rows(tmp_path):
    write(tmp_path, "train", 2600)
    assert len(task_of(tmp_path).dev()) == 500


def test_train_depends_on_count_and_seed_only(folder):
    task = task_of(folder)
    assert ids(task.train(5, 1)) == ids(task.train(5, 1)) != ids(task.train(5, 2))
    assert ids(task.train(9, 1))[:5] == ids(task.train(5, 1))


def test_limits_and_gold(folder):
    task = task_of(folder, train_questions=11, dev_questions=3, test_questions=2)
    assert [len(part) for part in (task.train(0, 0), task.dev(), task.test())] == [11, 3, 2]
    first = task.test()[0]
    assert (first.gold, first.answer, first.cell) == ("1", "0 + 1 = 1\n#### 1", "gsm8k")
    assert {q.gold for q in task_of(folder).train(0, 0)} <= {str(n) for n in range(901, 1601)}  # commas are gone


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"question": "broken', "not a line of JSON"),
        ('{"question": "x?"}', '"question" and "answer"'),
        ('["x"]', '"question" and "answer"'),
        ('{"question": "x?", "answer": "18"}', "#### <number>"),
        ('{"question": "x \\ud83d?", "answer": "#### 4"}', "half a surrogate pair"),
        ("[" * 100_000, "not a line of JSON"),
        ('{"question": "test:  what is 3 and 1?", "answer": "#### 4"}', "test.jsonl:4"),
    ],
)
def test_a_broken_line_is_named(folder, line, says):
    with (folder / "test.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(LabError, match="test.jsonl:21") as error:
        task_of(folder).test()
    assert says in str(error.value)


def test_a_byte_order_mark_is_no_part_of_the_first_row(folder):
    before = task_of(folder).test()
    path = folder / "test.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert task_of(folder).test() == before


def test_missing_files_and_too_many_shots(folder, tmp_path):
    with pytest.raises(LabError, match="8 fixed exemplars"):
        task_of(folder).exemplars(9)
    with pytest.raises(LabError, match="train.jsonl and test.jsonl"):
        task_of(tmp_path / "nowhere").test()


def test_an_unreachable_hub_says_what_to_do(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=unreachable))
    with pytest.raises(LabError, match="no route to host.*data= a local folder"):
        task_of("").test()
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(LabError, match="needs the package 'datasets'"):
        task_of("").test()


def test_unknown_task():
    with pytest.raises(LabError, match="minigsm, gsm8k"):
        load_task(SimpleNamespace(task="gsm9k"))
