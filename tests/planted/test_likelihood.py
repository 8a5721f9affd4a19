"""Likelihood: nats of another answer, of another place, or of less than the whole answer."""

import pytest

from lab.answers.gold import _after
from lab.errors import LabError
from lab.models import answer_rows, token_nats

pytestmark = pytest.mark.slow


def refused(world, arm):
    with pytest.raises(LabError, match=f"arm {arm}: the gold answer to question .* cannot be trusted"):
        world.evaluate(arms=("target", "latent"))


def test_gold_of_another_question(world, plant):
    world.evaluate()
    plant.around(_after, lambda kept, *given: (found := kept(*given))[1:] + found[:1])
    refused(world, "target")


def test_each_token_scores_itself(world, plant):
    world.evaluate()
    plant.edit(token_nats, "(predicts[:, -", "(predicts.roll(1, dims=1)[:, -")
    refused(world, "target")


def test_the_end_is_not_scored(world, plant):
    world.evaluate()
    plant.edit(_after, "answer_rows(model, [question.answer for question in questions])",
               "[row[:-1] for row in answer_rows(model, [question.answer for question in questions])]")  # fmt: skip
    assert answer_rows  # what the edited function calls
    refused(world, "target")
