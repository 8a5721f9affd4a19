"""Scoring: answers credited by another rule, to other questions, or not at all."""

import pytest

from lab.answers.arms import _scored
from lab.answers.checks import check_records
from lab.answers.latent import LatentArm
from lab.answers.text import TextArm
from lab.errors import LabError
from lab.evidence import read_evidence, verify_run
from lab.studies.experiment import test_once as take_the_test

pytestmark = pytest.mark.slow


def test_another_extractor_for_latent(world, plant):
    world.evaluate()

    def planted(kept, evaluation, question, answer):
        row = kept(evaluation, question, answer)
        return row | {"extracted": question.gold, "correct": True} if row["soft_tokens"] else row

    plant.around(_scored, planted)
    with pytest.raises(LabError, match="arm latent was scored by another extractor"):
        world.evaluate()


def answers_turned(plant):
    plant.around(LatentArm.answers, lambda kept, *given: (answers := kept(*given))[1:] + answers[:1])


def test_answers_of_other_questions(world, plant):
    world.evaluate()
    answers_turned(plant)
    with pytest.raises(LabError, match="arm latent: row 0 answers question .* misaligned"):
        world.evaluate()


def test_answers_of_other_questions_in_training(world, plant):
    world.train()
    answers_turned(plant)
    with pytest.raises(LabError, match="misaligned"):
        world.train()


def test_rows_dropped_by_an_arm(world, plant):
    world.evaluate()
    plant.around(TextArm.answers, lambda kept, *given: kept(*given)[:-1])
    with pytest.raises(LabError, match="arm source: .*dropped"):
        world.evaluate()


def test_rows_repeated_by_an_arm(world, plant):
    world.evaluate()
    plant.around(TextArm.answers, lambda kept, *given: (rows := kept(*given)) + rows[:1])
    with pytest.raises(LabError, match="arm source: .*duplicated"):
        world.evaluate()


def test_rows_dropped_in_the_records(world, plant):
    world.evaluate()
    plant.around(check_records, lambda kept, records, *given: kept(records[:-1], *given))
    with pytest.raises(LabError, match="rows were dropped"):
        world.evaluate()


def test_rows_repeated_in_the_records(world, plant):
    world.evaluate()
    plant.around(check_records, lambda kept, records, *given: kept(records + records[:1], *given))
    with pytest.raises(LabError, match="rows are duplicated"):
        world.evaluate()


def test_rows_dropped_after_evaluation(world, plant):
    read_evidence([world.finish()])
    plant.edit(take_the_test, '"final", records,', '"final", records[:-2],')
    with pytest.raises(LabError, match="2 .*dropped|dropped"):
        read_evidence([world.finish()])


def test_a_summary_of_fewer_rows(world, plant):
    assert verify_run(world.finish()) == []
    plant.edit(take_the_test, "summarise(records)", "summarise(records[:-2])")
    assert any("summary.json says" in sentence for sentence in verify_run(world.finish()))
