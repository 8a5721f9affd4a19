"""The world: its questions are right, its splits are clean, and ignorance cannot pay."""

import random
import re
from collections import Counter
from itertools import islice

import pytest

from lab.errors import LabError
from lab.minipair.corpus import documents
from lab.tasks import question_id
from lab.tasks.lore import UNSEEN_CAPACITIES, lore, lore_by_word, words_of
from lab.tasks.minigsm import EVALUATION_CELLS, STEPS, MiniGSM, constant_guesses, reserved_ids
from lab.tasks.problems import HELD_OUT_KINDS, PEOPLE, TEMPLATES, make_problem

TASK = MiniGSM()
STEP = re.compile(r"(\d+)([*/+-])(\d+)=<<\1\2\3=(\d+)>>\4 ")
OPERATIONS = {"*": lambda a, b: a * b, "+": lambda a, b: a + b, "-": lambda a, b: a - b, "/": lambda a, b: a / b}


@pytest.mark.parametrize("split", ["dev", "test"])
def test_evaluation_splits_have_the_promised_cells(split):
    questions = getattr(TASK, split)()
    assert len(questions) == 1319 == len({question.id for question in questions})
    assert Counter(question.cell for question in questions) == EVALUATION_CELLS
    both = [question for question in questions if question.cell.startswith("lore/long")]
    assert len(both) * 3 >= len(questions) and sum(q.cell.endswith("held_out") for q in both) * 2 == len(both)


def test_every_answer_computes_and_every_cell_has_its_steps():
    for question in TASK.dev() + TASK.test():
        lines = question.answer.split("\n")
        steps = [STEP.search(line) for line in lines[:-1]]
        assert all(steps) and len(steps) in STEPS[question.cell.split("/")[1]]
        for step in steps:
            assert OPERATIONS[step[2]](int(step[1]), int(step[3])) == int(step[4])
        assert lines[-1] == f"#### {question.gold}" and steps[-1][4] == question.gold
        # neither an earlier result nor a number of the text gives the answer away
        assert question.gold not in [step[4] for step in steps[:-1]] + re.findall(r"\d+", question.question)


def test_the_lore_keeps_held_out_words_and_capacities_apart():
    seen, held_out = words_of("seen"), words_of("held_out")
    assert len(lore()) == len({c.word for c in lore()}) == 264 and len(held_out) >= 40
    assert not {c.capacity for c in seen} & set(UNSEEN_CAPACITIES)
    assert len(set(Counter(c.capacity for c in held_out).values())) == 1 and len({c.capacity for c in held_out}) >= 15


def test_translator_training_meets_no_held_out_word_template_or_question():
    questions = TASK.train(3000, seed=7)
    assert not {question.id for question in questions} & reserved_ids()
    assert {lore_by_word()[q.word].split for q in questions if q.word} == {"seen"}
    marks = [TEMPLATES[kind][-1].split("}")[-1] for kind in HELD_OUT_KINDS]
    text = " ".join(question.question for question in questions)
    assert not any(mark.strip(" .") in text for mark in marks if len(mark.strip(" .")) > 5)
    assert questions == TASK.train(3000, seed=7) != TASK.train(3000, seed=8)


def test_exemplars_are_in_no_other_split():
    shown = {question.id for question in TASK.exemplars(64)}
    assert len(shown) == 64 and [q.id for q in TASK.exemplars(8)] == [q.id for q in TASK.exemplars(64)][:8]
    assert not shown & reserved_ids() and not shown & {question.id for question in TASK.train(500, seed=42)}
    with pytest.raises(LabError, match="shots=65 is out of range"):
        TASK.exemplars(65)


@pytest.mark.parametrize("role", ["source", "target"])
def test_no_evaluation_question_is_in_a_corpus(role):
    gloss = re.compile(r",? \(?\w+ (?:each|in each|apiece|a piece|to the piece)\)?,?(?= )")
    for document in documents(role, 3000, "test"):
        for text in re.findall(r"Q: (.*)", document):
            assert question_id(text) not in reserved_ids() and question_id(gloss.sub("", text)) not in reserved_ids()


def test_the_target_reads_no_lore_word_and_the_source_no_long_solution():
    words = set(lore_by_word())
    assert not words & {w.rstrip("s") for text in documents("target", 2000, "t") for w in re.findall(r"[a-z]+", text)}
    for text in documents("source", 2000, "t"):
        assert all(part.count("<<") <= 2 for part in text.split("Q: "))


def test_a_constant_guess_does_not_pay():
    assert all(accuracy < 0.1 for accuracy in constant_guesses(TASK.test()).values())


def test_a_gloss_adds_the_capacity_and_changes_nothing_else():
    container = words_of("seen")[0]
    for seed in range(50):
        problem = make_problem(random.Random(seed), 3, container)
        plain, glossed = problem.question(), problem.question(" (7 each)")
        assert glossed.count("(7 each)") == 1 and glossed.replace(" (7 each)", "") == plain
    assert TASK.hint(next(q for q in TASK.test() if q.word)).startswith("Note: a ")


def test_problems_are_varied():
    texts = [make_problem(random.Random(seed), 3).question() for seed in range(300)]
    assert len(set(texts)) == 300
    assert len({name for text in texts for name in PEOPLE if name in text}) == len(PEOPLE)
    assert all(len(list(islice(kinds, 9))) >= 3 for kinds in TEMPLATES.values() if isinstance(kinds, tuple))
