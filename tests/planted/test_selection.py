"""Selection: choosing where nothing may be chosen."""

import pytest
from evaluations import evaluation_of
from planted_world import CONFIG, Sums

from lab.answers import choose_cascade_prompt
from lab.errors import LabError
from lab.studies.experiment import test_once as take_the_test
from lab.studies.experiment import train_translator
from lab.studies.looks import looks
from lab.studies.measured import Candidate
from lab.tasks import Dev, Test
from lab.training.step import take_step
from lab.translators import Bridge

pytestmark = pytest.mark.slow


def test_checkpoint_chosen_on_test(world):
    def accuracy(translator, step, questions):
        records = world.evaluate(questions=questions, translator=translator, arms=("latent",))
        return {"accuracy": sum(row["arms"]["latent"]["correct"] for row in records) / len(records), "n": len(records)}

    world.train_with(Dev.of(Sums()), accuracy)
    with pytest.raises(LabError, match="selection on test"):
        world.train_with(Test.of(Sums()), accuracy)


def test_cascade_prompt_chosen_on_test(world):
    choose_cascade_prompt(evaluation_of(CONFIG, world.pair, Sums(), Dev.of(Sums())))
    with pytest.raises(LabError, match="selection on test"):
        choose_cascade_prompt(evaluation_of(CONFIG, world.pair, Sums(), Test.of(Sums())))


def test_trained_on_after_the_test(world, plant):
    """A run that was interrupted after its first step is tested, and then goes on."""

    def interrupted(looked):
        begun = world.start(CONFIG.replace(eval_every=1))
        steps = iter(range(1))

        def planted(kept, *given):
            if next(steps, None) is None:
                raise KeyboardInterrupt
            return kept(*given)

        plant.around(take_step, planted)
        with pytest.raises(KeyboardInterrupt):
            train_translator(begun)
        plant.undo()
        if looked:
            take_the_test(begun, world.translator())
        return begun

    train_translator(interrupted(looked=False))
    tested = interrupted(looked=True)
    with pytest.raises(LabError, match="test"):
        train_translator(tested)


def test_better_of_two_tables(world):
    begun = world.start()

    def measured(translator):
        candidate = Candidate(CONFIG, Bridge(world.pair.source, translator), run=str(begun.run.path))
        candidate.evaluation(world.pair, begun.task, Test.of(begun.task))

    trained = train_translator(begun).translator
    measured(trained), measured(trained)
    assert len(looks(begun.run)) == 2
    with pytest.raises(LabError, match="looked at with another translator"):
        measured(world.translator())


def test_better_of_two_tests(world):
    begun = world.start()
    take_the_test(begun, train_translator(begun).translator)
    with pytest.raises(LabError, match="test"):
        take_the_test(begun, world.translator())
