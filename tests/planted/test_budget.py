"""Budgets: one arm gets more than another."""

from dataclasses import replace

import pytest
from planted_world import CONFIG

from lab.answers import Hygiene
from lab.answers.latent import latent_arm
from lab.answers.text import same_bytes, text_arm, token_budget
from lab.errors import LabError

pytestmark = pytest.mark.slow
CUT = ("target", "latent", "token_budget")


def test_cut_prompt_over_budget(world, plant):
    world.evaluate(arms=CUT)
    plant.around(token_budget, lambda kept, pair, prompts, tokens: kept(pair, prompts, 4 * tokens))
    with pytest.raises(LabError, match="token_budget"):
        world.evaluate(arms=CUT)


def test_cut_prompt_under_budget(world, plant):
    world.evaluate(arms=CUT)
    plant.around(token_budget, lambda kept, pair, prompts, tokens: kept(pair, prompts, tokens // 3))
    with pytest.raises(LabError, match="token_budget"):
        world.evaluate(arms=CUT)


def test_more_bytes_than_the_wire(world, plant):
    config = CONFIG.replace(soft_tokens=1)  # 96 bytes: about the question
    world.evaluate(config, arms=("source", "same_bytes", "latent"))
    plant.around(same_bytes, lambda kept, prompts, answers, prompt, size: kept(prompts, answers, prompt, 2 * size))
    with pytest.raises(LabError, match="same_bytes"):
        world.evaluate(config, arms=("source", "same_bytes", "latent"))


def test_more_soft_tokens_than_configured(world):
    world.evaluate()
    with pytest.raises(LabError, match="soft"):
        world.evaluate(translator=world.translator(CONFIG.replace(soft_tokens=6)))


def in_one_arm(plant, arm, **changes):
    """The latent arm, or the target's, is generated with other prompts than the rest."""
    where = latent_arm if arm == "latent" else text_arm

    def planted(kept, label, *given):
        return kept(label, *(replace(item, **changes) if hasattr(item, "max_new_tokens") and label == arm else item
                             for item in given))  # fmt: skip

    plant.around(where, planted)


def test_one_arm_with_another_limit(world, plant):
    world.evaluate()
    in_one_arm(plant, "latent", max_new_tokens=2 * CONFIG.evaluation.max_new_tokens)
    with pytest.raises(LabError, match="latent.*limit|latent.*tokens"):
        world.evaluate()


def test_one_arm_with_other_hygiene(world, plant):
    world.evaluate()
    in_one_arm(plant, "target", hygiene=Hygiene(repetition_penalty=1.5))
    with pytest.raises(LabError, match="target"):
        world.evaluate()


def test_one_arm_with_another_end_rule(world, plant):
    world.evaluate()
    in_one_arm(plant, "latent", ends=lambda text: 5 if len(text) > 5 else None)
    with pytest.raises(LabError, match="latent"):
        world.evaluate()
