"""Selection: choosing where nothing may be chosen."""

from dataclasses import replace

import pytest
from planted_world import CONFIG, DEV, QUESTIONS, Sums

from lab.answers import choose_cascade_prompt
from lab.errors import LabError
from lab.studies.experiment import test_once as take_the_test
from lab.studies.experiment import train_translator

pytestmark = pytest.mark.slow


def test_checkpoint_chosen_on_test(world):
    def callback(split):
        def accuracy(translator, step):
            records = world.evaluate(questions=split(Sums()), translator=translator, arms=("latent",))
            return {"accuracy": sum(row["arms"]["latent"]["correct"] for row in records) / len(records), "n": 4}

        return accuracy

    world.train_with(callback(Sums.dev))
    with pytest.raises(LabError, match="test"):
        world.train_with(callback(Sums.test))


def test_cascade_prompt_chosen_on_test(world):
    choose_cascade_prompt(CONFIG, world.pair, Sums(), DEV, progress=False)
    with pytest.raises(LabError, match="selection on test"):
        choose_cascade_prompt(CONFIG, world.pair, Sums(), QUESTIONS, progress=False)


def test_trained_on_after_the_test(world):
    def train_on(begun):
        train_translator(replace(begun, config=CONFIG.replace(steps=4)))

    begun = world.start()
    train_translator(begun)
    train_on(begun)
    tested = world.start()
    take_the_test(tested, train_translator(tested).translator)
    with pytest.raises(LabError, match="test"):
        train_on(tested)


def test_better_of_two_tests(world):
    begun = world.start()
    take_the_test(begun, train_translator(begun).translator)
    with pytest.raises(LabError, match="test"):
        take_the_test(begun, world.translator())
