"""Splits: questions that should be apart are not."""

import random
import re
from dataclasses import replace

import pytest
from planted_world import CONFIG, DEV, QUESTIONS, TRAINING, Sums, sums

from lab.errors import LabError
from lab.tasks import question_id
from lab.tasks.minigsm import MiniGSM, as_question, problem_of_cell

pytestmark = pytest.mark.slow


def under_its_own_id(question, text):
    return replace(question, id=question_id(text), question=text)


def test_dev_holds_a_test_question(world):
    class Peeking(Sums):
        def dev(self):
            return DEV + QUESTIONS[:1]

    world.train()
    with pytest.raises(LabError, match="selection on test: 1 .*dev"):
        world.train(task=Peeking())


def test_train_is_test(world):
    class Peeking(Sums):
        def train(self, count, seed):
            return QUESTIONS

    world.train()
    with pytest.raises(LabError, match="selection on test: 8 questions of the train split"):
        world.train(task=Peeking())


def test_train_overlaps_by_a_full_stop(world):
    class Overlapping(Sums):
        def train(self, count, seed):
            return TRAINING + [under_its_own_id(QUESTIONS[3], QUESTIONS[3].question + ".")]

    world.check()
    with pytest.raises(LabError, match="1 questions of the train split"):
        world.check(task=Overlapping())


def test_dev_overlaps_by_case_and_quotes(world):
    plain, printed = 'Ana says "3 figs". How many?', "ANA says “3 figs”.  How many ?"

    class Overlapping(Sums):
        def test(self):
            return [*QUESTIONS, under_its_own_id(QUESTIONS[0], plain)]

        def dev(self):
            return [*DEV, under_its_own_id(QUESTIONS[0], printed)]

    world.check()
    with pytest.raises(LabError, match="1 .*dev"):
        world.check(task=Overlapping())


def test_train_overlaps_under_another_id(world):
    class Overlapping(Sums):
        def train(self, count, seed):
            return TRAINING + [replace(QUESTIONS[3], id="train-0004")]

    world.check()
    with pytest.raises(LabError, match="1 questions of the train split"):
        world.check(task=Overlapping())


def test_train_overlaps_beyond_the_sample(world):
    many = sums("Dora walks {} miles and rides {} more. How many miles is that?", 7, ["plain/short"] * 320)

    class Apart(Sums):
        last = TRAINING[0]

        def train(self, count, seed):
            return [*many, self.last][: count or None]

    class Overlapping(Apart):
        last = QUESTIONS[0]

    config = CONFIG.replace(steps=200)
    world.check(config, Apart())
    with pytest.raises(LabError, match="1 questions of the train split"):
        world.check(config, Overlapping())


def test_train_overlaps_by_a_template(world):
    """The same people, things and numbers; "buys 3 more figs" is "gets 3 more"."""

    class Paraphrasing(MiniGSM):
        def train(self, count, seed):
            told = [(q, re.sub(r"(\w+) buys (\d+) more \w+\.", r"\1 gets \2 more.", q.question)) for q in self.test()]
            return [under_its_own_id(q, text) for q, text in told if text != q.question]

    world.check(task=MiniGSM())
    with pytest.raises(LabError, match="questions of the train split"):
        world.check(task=Paraphrasing())


def test_exemplar_is_a_test_question(world):
    class Overlapping(Sums):
        def exemplars(self, shots):
            return [replace(QUESTIONS[2], id="shown-1")][:shots]

    world.evaluate(CONFIG.replace(shots=1))
    with pytest.raises(LabError, match="is also an exemplar|the gold answer stands"):
        world.evaluate(CONFIG.replace(shots=1), Overlapping())


def test_exemplar_is_a_dev_question(world):
    class Overlapping(Sums):
        def exemplars(self, shots):
            return [under_its_own_id(DEV[0], DEV[0].question + ".")][:shots]

    world.check(CONFIG.replace(shots=1))
    with pytest.raises(LabError, match="exemplar"):
        world.check(CONFIG.replace(shots=1), Overlapping())


def test_a_question_counted_twice(world):
    world.evaluate()
    with pytest.raises(LabError, match="each once"):
        world.evaluate(questions=[*QUESTIONS, replace(QUESTIONS[0], id="0" * 16)])


def test_held_out_words_in_training(world):
    class Telling(MiniGSM):
        def train(self, count, seed):
            rng = random.Random(seed)
            told = [as_question(problem_of_cell(rng, "lore/long/held_out"), "lore/long/seen") for _ in range(4)]
            return super().train(count, seed)[: count and -4] + told

    world.check(task=MiniGSM())
    with pytest.raises(LabError, match="held"):
        world.check(task=Telling())
