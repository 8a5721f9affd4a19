"""A user's own questions: read, split, judged and evaluated with nothing but parameters; a bad line is named."""

import json
import re

import pytest
from own_questions import CAPITALS, CITIES, rows, write

from lab.answers import Evaluation, evaluate
from lab.answers.checks import check_splits
from lab.config.run import RunConfig
from lab.errors import LabError
from lab.tasks import INVALID, SCORERS, load_task
from lab.tasks.jsonl import Jsonl
from lab.tasks.scorers import letter
from lab.translators import Bridge, build_translator


def task_of(path, scorer="exact", **more):
    return load_task(RunConfig.from_parameters(task="jsonl", data=str(path), scorer=scorer, **more).task)


@pytest.fixture(params=SCORERS)
def own(request, tmp_path):
    return task_of(write(tmp_path / "mine.jsonl", rows(request.param)), request.param)


def test_forty_lines_become_a_task(own):
    parts = {"train": own.train(0, 1), "dev": own.dev(), "test": own.test(), "exemplars": own.exemplars(own.most_shots)}
    assert sum(map(len, parts.values())) == 40 and all(parts.values()) and own.most_shots == len(parts["train"]) // 3
    check_splits(own, 1, 0, own.most_shots)
    for question in [question for part in parts.values() for question in part]:
        assert own.extract(question.answer) == question.gold and own.correct(question.gold, question.gold)
        assert own.answer_end(question.answer + "\n") is not None
        assert own.grades(question.gold, question.gold) == ({"f1": 1.0} if own.scorer == "f1" else {})
    assert own.train(3, 1) == own.train(0, 1)[:3] != own.train(3, 2)


def test_a_file_may_grow_and_no_question_moves(tmp_path):
    short = task_of(write(tmp_path / "a.jsonl", rows("exact")[:30]))
    whole = task_of(write(tmp_path / "b.jsonl", rows("exact")[::-1]))
    for split in ("dev", "test"):
        asked = [{question.question for question in getattr(task, split)()} for task in (short, whole)]
        assert asked[0] < asked[1]


def test_evidence_goes_where_the_config_says_and_splits_stay(tmp_path):
    path = write(tmp_path / "mine.jsonl", rows("f1"))
    alone, both = task_of(path, "f1").test(), task_of(path, "f1", evidence="both").test()
    assert [question.id for question in alone] == [question.id for question in both]
    assert alone[0].evidence == f"In {alone[0].gold} sits the government.\n" and "sits" not in alone[0].question
    assert both[0].evidence == "" and both[0].question == alone[0].evidence + alone[0].question
    assert alone[0].word == alone[0].gold


def test_choices_are_shown_and_answered_by_letter(tmp_path):
    task = task_of(write(tmp_path / "mine.jsonl", rows("choice")), "choice")
    for question in task.train(0, 0) + task.test():
        country = question.question.split("\n")[0].split("of ")[1][:-1]
        assert f"\n{question.gold}) {CAPITALS[country]}" in question.question
        assert question.answer == f"#### {question.gold}"


@pytest.mark.parametrize(
    ("text", "read"),
    [("#### B", "B"), ("so\n#### (b)", "B"), ("#### **B**", "B"), ("#### B) Rome", "B"), ("#### B.", "B"),
     ("#### \\boxed{B}", "B"), ("#### A dog", INVALID), ("#### A or B", INVALID), ("#### A) or B)", INVALID),
     ("#### A, B", INVALID), ("#### Rome", INVALID), ("B", INVALID), ("#### ", INVALID), ("####\nQ: B", INVALID)],
)  # fmt: skip
def test_one_letter_is_read_or_none(text, read):
    assert letter(text) == read


def test_each_scorer_judges_by_its_rule():
    same = {name: scorer.correct for name, scorer in SCORERS.items()}
    assert same["exact"]("lomé ", "Lome\u0301") and same["exact"]("TOKYO", "Tokyo")
    assert not same["exact"]("Tokyo.", "Tokyo")
    assert same["f1"]("the Tokyo.", "Tokyo") and SCORERS["f1"].grades("Kuwait", "Kuwait City") == {"f1": 2 / 3}
    assert same["number"]("1 000", "1,000") and same["choice"]("B", "B") and not same["choice"]("A", "B")
    assert not any(correct(INVALID, INVALID) for correct in same.values())


def test_named_splits_are_kept_and_dev_is_cut_out_of_train(tmp_path):
    named = [{**row, "split": "test" if n < 10 else "train"} for n, row in enumerate(rows("exact"))]
    task = task_of(write(tmp_path / "mine.jsonl", named))
    assert [question.gold for question in task.test()] == CITIES[:10] and 0 < len(task.dev()) < 15
    named[12]["split"] = "dev"
    task = task_of(write(tmp_path / "all.jsonl", named))
    assert [question.gold for question in task.dev()] == [CITIES[12]]


@pytest.mark.parametrize(
    ("scorer", "line", "says"),
    [
        ("exact", '{"question": "broken', "not a line of JSON"),
        ("exact", '["x"]', "a list where a JSON object belongs"),
        ("exact", '{"answer": "x"}', 'needs a text "question"'),
        ("exact", '{"question": 3, "answer": "x"}', "question is a int, not a text"),
        ("exact", '{"question": "x?"}', 'needs an "answer"'),
        ("exact", '{"question": "x?", "answer": true}', 'needs an "answer"'),
        ("exact", '{"question": "x?", "answer": "a\\nb"}', "the answer has several lines"),
        ("exact", '{"question": "x?", "answer": "a", "evidense": "b"}', "'evidense' is not known; did you mean"),
        ("exact", '{"question": "x?", "answer": "a", "split": "validation"}', "choose one of train, dev, test"),
        ("exact", '{"question": "x?", "answer": "a", "split": "test"}', "mine.jsonl:1: no `split`"),
        ("exact", '{"question": "what is the capital of PERU", "answer": "a"}', "the same question as .*mine.jsonl:1"),
        ("exact", '{"question": "x?", "answer": "a", "choices": ["a", "b"]}', "read by scorer='choice'"),
        ("exact", '{"question": "\\ud800?", "answer": "a"}', "half a surrogate pair"),
        ("number", '{"question": "x?", "answer": "Lima"}', "none that scorer='number' reads"),
        ("number", '{"question": "x?", "answer": "1 or 2"}', "none that scorer='number' reads"),
        ("number", '{"question": "x?", "answer": NaN}', "none that scorer='number' reads"),
        ("choice", '{"question": "x?", "answer": "a"}', "needs choices, which are shown, or continuations"),
        ("choice", '{"question": "x?", "answer": "a", "choices": "a"}', "choices is not a list of texts"),
        ("choice", '{"question": "x?", "answer": "a", "choices": ["a", "b"], "continuations": ["a", "b"]}', "not both"),
        ("choice", '{"question": "x?", "answer": "a", "continuations": ["a", "A"]}', "two options are read alike"),
        ("choice", '{"question": "x?", "answer": "a", "continuations": ["a) x", "a"]}', "two options are read alike"),
        ("choice", '{"question": "x?", "answer": "so\\n#### a", "choices": ["a", "b"]}', "no solution stands before"),
        ("choice", '{"question": "x?", "answer": "a", "continuations": ["a", "#### b"]}', "which marks an answer"),
        ("number", '{"question": "x?", "answer": "1", "continuations": ["1", "2"]}', "read by scorer='choice'"),
        ("choice", '{"question": "x?", "answer": "a", "choices": ["a"]}', "from 2 to 26 choices, each once"),
        ("choice", '{"question": "x?", "answer": "c", "choices": ["a", "b"]}', "'#### c' is none of its options A, B"),
        ("choice", '{"question": "x?", "answer": "A", "choices": ["B", "A"]}', "a choice and the letter of another"),
    ],
)
def test_a_broken_line_is_named(tmp_path, scorer, line, says):
    path = write(tmp_path / "mine.jsonl", rows(scorer))
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(LabError, match="mine.jsonl:(41|1): ") as error:
        task_of(path, scorer).test()
    assert re.search(says, str(error.value))


def test_an_encoding_that_is_no_utf8_is_named_and_line_ends_are_no_matter(tmp_path):
    path = write(tmp_path / "mine.jsonl", rows("exact"))
    text = path.read_text(encoding="utf-8")
    path.write_bytes(text.encode("latin-1"))
    line = next(number for number, one in enumerate(text.split("\n"), start=1) if "é" in one)
    with pytest.raises(LabError, match=f"mine.jsonl:{line}: not UTF-8"):
        task_of(path).test()
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(LabError, match="mine.jsonl:1: not UTF-8"):
        task_of(path).test()
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode("utf-8"))
    assert len(task_of(path).test()) == len(task_of(write(tmp_path / "plain.jsonl", rows("exact"))).test())


def test_continuations_are_not_shown_and_one_of_them_is_the_answer(tmp_path):
    some = rows("choice_per_character")[:20] + rows("choice")[20:]  # a file may hold both
    for question in task_of(write(tmp_path / "mine.jsonl", some), "choice").train(0, 0):
        country = question.question.split("\n")[0].split("of ")[1][:-1]
        letters = question.choices == ("A", "B", "C")
        assert question.answer == f"#### {question.gold}" and question.gold in question.choices
        assert letters or question.gold == CAPITALS[country] not in question.question


def test_what_is_no_file_of_questions_is_refused(tmp_path):
    for name, text, says in (("a", "", "holds no rows"), ("b", json.dumps(rows("exact")[0]), "give no \\w+ questions")):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(text)
        with pytest.raises(LabError, match=says):
            task_of(path).train(0, 0)
    with pytest.raises(LabError, match="is no file; data= must be a .jsonl file"):
        task_of(tmp_path).test()
    with pytest.raises(LabError, match="shots=99 is out of range"):
        task_of(write(tmp_path / "c.jsonl", rows("exact"))).exemplars(99)


def test_numbers_keys_and_marks_that_are_no_fault(tmp_path):
    some = [{**row, "answer": float(row["answer"].replace(",", "")), "id": 3, "source": "me"} for row in rows("number")]
    path = write(tmp_path / "mine.jsonl", some)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\n\n")
    task = task_of(path, "number", test_questions=2)
    assert len(task.test()) == 2 and task.correct(task.test()[0].gold, task.extract("#### " + task.test()[0].gold))
    worked = [{**row, "answer": f"So it is so.\n#### {row['answer']}"} for row in rows("number")]
    solved = task_of(write(tmp_path / "worked.jsonl", worked), "number").train(0, 0)[0]
    assert solved.answer.startswith("So it is so.\n#### ") and solved.cell.startswith("crates/")
    assert Jsonl(str(write(tmp_path / "capitals.jsonl", rows("exact")))).test()[0].cell == "capitals"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"task": "jsonl", "scorer": "exact"}, "task='jsonl' needs data"),
        ({"task": "jsonl", "data": "x.jsonl"}, "needs scorer: .*number, exact, f1, choice"),
        ({"task": "jsonl", "data": "x.jsonl", "scorer": "bleu"}, "scorer='bleu' is not known"),
        ({"task": "gsm8k", "scorer": "number"}, "scorer='number' is not read by task='gsm8k'; choose task=jsonl"),
        ({"task": "minigsm", "data": "x"}, "choose task=gsm8k or hotpotqa or jsonl"),
    ],
)
def test_a_config_says_what_is_read(given, says):
    with pytest.raises(LabError, match=says):
        RunConfig.from_parameters(**given)


@pytest.mark.parametrize("kind", SCORERS)
def test_own_questions_go_through_every_arm(tiny_pair, tmp_path, kind):
    config = RunConfig.from_parameters(
        task="jsonl", data=str(write(tmp_path / "mine.jsonl", rows(kind))), scorer=kind, shots=2, test_questions=4,
        soft_tokens=3, width=16, depth=1, heads=2, layout="soft_only", max_new_tokens=4,
    )  # fmt: skip
    task = load_task(config.task)
    bridges = {"latent": Bridge(tiny_pair.source, build_translator(config.translator, tiny_pair, "all"))}
    arms = ("source", "target", "cascade", "same_bytes", "token_budget", "latent")
    records = evaluate(Evaluation(config, tiny_pair, task, task.test(), bridges, progress=False), arms)
    assert len(records) == 4 and all(set(record["arms"]) == set(arms) for record in records)
    assert all("sits" in record["arms"]["source"]["saw"] for record in records if kind == "f1")
