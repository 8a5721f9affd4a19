"""No question is in two splits: not with a full stop more, another id or other letters, and not in other words."""

import dataclasses
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.answers.checks import check_distinct, check_splits
from lab.config.run import RunConfig
from lab.errors import LabError
from lab.tasks import Dev, Question, check_disjoint, load_task, normalised_id, normalised_text, question_id
from lab.tasks.gsm8k import GSM8K
from lab.tasks.hotpotqa import HotpotQA
from lab.tasks.lore import words_of
from lab.tasks.minigsm import MiniGSM
from lab.tasks.paraphrases import problem_content
from lab.tasks.problems import TEMPLATES, _Chain, make_problem

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
DISGUISES = {
    "another id": lambda text: text,
    "a full stop more": lambda text: text + ".",
    "capitals": str.upper,
    "white space": lambda text: "  " + text.replace(" ", " \n "),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in text),
    "quotes": lambda text: f"“{text}”",
}


# The ids of dev, test, the exemplars and the demo's training questions, hashed.
HASHES = ["01f14f1dd0930f58", "c5e5144d343b1b23", "1f1ea3ca15f7bd9d", "12b15ca20a789957"]


class Mixed(MiniGSM):
    """MiniGSM with one foreign question in a split."""

    def __init__(self, split: str, question: Question):
        self.split, self.foreign = split, question

    def _with(self, split: str, questions: list[Question]) -> list[Question]:
        return [*questions, self.foreign] if split == self.split else questions

    def train(self, count, seed):
        return self._with("train", super().train(count, seed))

    def dev(self):
        return self._with("dev", super().dev())

    def exemplars(self, shots):
        return self._with("exemplar", super().exemplars(shots))


OVERLAPS = [("train", "test"), ("train", "dev"), ("dev", "test"), ("exemplar", "test"), ("train", "exemplar")]


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("split, other", OVERLAPS)
def test_a_question_of_one_split_is_found_in_another(split, other, disguise):
    task = MiniGSM()
    question = {"test": task.test, "dev": task.dev, "exemplar": lambda: task.exemplars(64)}[other]()[7]
    copy = dataclasses.replace(question, id="other", question=DISGUISES[disguise](question.question), answer="#### 0")
    with pytest.raises(LabError, match=f"1 questions of the {split} split are {other} questions"):
        check_splits(Mixed(split, copy), 3, 300)


def retold(seed: int, words: int, container, monkeypatch) -> str:
    """The problem of `seed` in the words of `words`: what is told does not hang on how it is told."""
    draw = random.Random(words)
    monkeypatch.setattr(_Chain, "paraphrase", lambda self, kind: draw.choice(TEMPLATES[kind]))
    return make_problem(random.Random(seed), 1 + seed % 5, container).question()


def test_a_problem_in_other_words_is_the_same_problem(monkeypatch):
    """And another one is another, however alike: five steps or one, with lore and without."""
    contents = {}
    for seed in range(300):
        container = words_of("seen")[seed % 50] if seed % 2 else None
        texts = {retold(seed, words, container, monkeypatch) for words in range(6)}
        told = {problem_content(text) for text in texts}
        assert len(told) == 1 and (len(texts) > 1 or seed % 5 == 0), texts
        contents[told.pop()] = texts
    assert len(contents) == 300


@pytest.mark.parametrize(
    "other",
    [
        "Ana has 6 plums. Ana gets 3 more. How many plums does Ana have?",
        "Ana has 5 plums. Ana loses 3 of them. How many plums does Ana have?",
        "Eva has 5 plums. Eva gets 3 more. How many plums does Eva have?",
        "Ana has 5 figs. Ana gets 3 more. How many figs does Ana have?",
        "Ana has 5 plums. The shop is 9 miles away. Ana gets 3 more. How many plums does Ana have?",
        "Ana has 5 baskets of plums. Ana gets 3 more. How many plums does Ana have?",
    ],
)
def test_another_number_person_item_or_step_is_another_problem(other):
    same = "There are 5 plums in Ana's room. A friend gives Ana 3 plums. Count the plums of Ana. How many?"
    assert problem_content("Ana has 5 plums. Ana gets 3 more. How many plums does Ana have?") == problem_content(same)
    assert problem_content(other) != problem_content(same)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("", ""),
        (".  ?", " "),
        ("Ana has 5 plums. Ben has 7 plums.\n Count  the PLUMS of Ana.  How many?",
         "start 5 distract 7 ask ana plums ana plums"),
        ("Ｂen’s 1,000 mats\u3000hold ٣ figs! How many figs does Ben have now",
         "ps n n mats hold n i ben 1 000 ٣ figs ask ben figs ben figs"),
        ("@n {0} {} 5a 007-8. Cleo has @5 plums.", "n n 5 a n n 0 007 8 distract 5"),
    ],
)  # fmt: skip
def test_what_is_no_template_stands_for_itself(text, content):
    assert problem_content(text) == content


def test_no_training_question_is_an_evaluated_one_in_other_words():
    """Of the first 40 000 questions of this seed two were. What this changed is that they are passed over."""
    task = MiniGSM()
    evaluated = {task.content(question) for question in task.dev() + task.test() + task.exemplars(64)}
    assert len(evaluated) == 2 * 1319 + 64
    drawn = task.train(20_000, 1234)
    assert not evaluated & {task.content(question) for question in drawn}
    assert drawn[:50] == task.train(50, 1234) and len({question.id for question in drawn}) == 20_000


def test_splits_that_were_fixed_stay_fixed():
    """All records depend on them, and the demo on its training questions, of which none is passed over."""

    def hashed(questions) -> str:
        return question_id(" ".join(question.id for question in questions))

    task = MiniGSM()
    found = [hashed(part) for part in (task.dev(), task.test(), task.exemplars(64), task.train(6400, 1234))]
    assert found == HASHES


@pytest.mark.parametrize("count", [1, 7])
def test_a_limited_task_is_checked_as_the_whole(count):
    config = RunConfig.from_parameters(dev_questions=count, test_questions=count, train_questions=count)
    check_splits(load_task(config.task), 1, 100)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data are not here")
def test_real_splits_are_disjoint_in_a_moment():
    """All 7 473 and 1 319 questions, and the sample of HotpotQA with its paragraphs."""
    check_splits(GSM8K(str(SHARED / "gsm8k")), 0, 0)
    for evidence in ("source", "both"):
        check_splits(HotpotQA(str(SHARED / "hotpotqa"), evidence), 0, 0)


def test_a_row_with_a_full_stop_more_is_the_same_row(tmp_path):
    rows = [{"question": f"What is {n} and 1?", "answer": f"#### {n + 1}"} for n in range(20)]
    rows.append({"question": "What is  3 and 1?.", "answer": "#### 4"})
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(LabError, match="test.jsonl:21: the same question as .*test.jsonl:4"):
        GSM8K(str(tmp_path)).test()


def test_what_is_evaluated_and_what_is_chosen_on_is_compared_by_text():
    task = MiniGSM()
    first = task.dev()[0]
    twin = dataclasses.replace(first, id="twin", question=first.question + " ")
    with pytest.raises(LabError, match="2 questions with 1 different texts"):
        check_distinct([first, twin])
    with pytest.raises(LabError, match=f"{first.id} is also an exemplar"):
        check_distinct([first], [twin])


def test_dev_is_no_dev_with_a_test_question_in_it():
    task = MiniGSM()
    asked = dataclasses.replace(task.test()[0], id="asked", question=task.test()[0].question + ".")
    assert len(Dev.of(task)) == 1319
    with pytest.raises(LabError, match="selection on test: 1 questions of the dev split are test questions"):
        Dev.of(Mixed("dev", asked))


def test_paragraphs_do_not_make_another_question():
    alone, both = (HotpotQA("nowhere", evidence) for evidence in ("source", "both"))
    row = {"question": "Who wrote it?", "answer": "An author", "context": [["Book", ["It is old."]]]}
    assert alone.content(alone._question(row, "")) == both.content(both._question(row, "")) == "who wrote it"


def test_signs_of_arithmetic_and_numbers_are_kept():
    texts = ["3 + 2?", "3 - 2?", "3*2", "3/2", "32", "3.2", "3 2", "-3 2", "3 = 2", "20% of 3", "20 of 3"]
    assert len({normalised_text(text) for text in texts}) == len(texts)
    alike = ["It’s 1,000 kg – Tom's!", "its 1000KG toms", "IT'S  1000 kg; tom’s", "it's １０００ kg (Tom's)."]
    assert len({normalised_text(text) for text in alike}) == 1 == len({normalised_id(text) for text in alike})
    assert normalised_text("की") != normalised_text("का")  # vowel signs are no punctuation
    assert normalised_id("\ud800") == normalised_id("") != normalised_id("a")


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing(text):
    once = normalised_text(text)
    assert normalised_text(once) == once and normalised_text(f" {text}. ") == once


def test_disjoint_splits_are_told_apart_by_name():
    def asked(text: str) -> Question:
        return Question(question_id(text), text, "#### 1", "1", "")

    task = MiniGSM()
    check_disjoint(task, {"a": [asked("one")], "b": [asked("two")], "c": []})
    with pytest.raises(
        LabError, match="splits overlap: 1 questions of the c split are a questions, the first is 'One!'"
    ):
        check_disjoint(task, {"a": [asked("one")], "b": [asked("two")], "c": [asked("three"), asked("One!")]})
