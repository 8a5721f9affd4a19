"""Budgets: one arm gets more than another."""

from dataclasses import replace

import pytest
from planted_world import CONFIG, Sums

from lab.answers.cutting import cut_text
from lab.answers.text import same_bytes, token_budget
from lab.answers.together import answer_together
from lab.errors import LabError

pytestmark = pytest.mark.slow
CUT = ("target", "latent", "token_budget")


def test_cut_prompt_over_budget(world, plant):
    world.evaluate(arms=CUT)
    plant.around(token_budget, lambda kept, evaluation, tokens: kept(evaluation, 4 * tokens))
    with pytest.raises(LabError, match="token_budget"):
        world.evaluate(arms=CUT)


def test_cut_prompt_under_budget(world, plant):
    world.evaluate(arms=CUT)
    plant.around(token_budget, lambda kept, evaluation, tokens: kept(evaluation, tokens // 3))
    with pytest.raises(LabError, match="token_budget"):
        world.evaluate(arms=CUT)


def test_cut_text_pays_for_its_bos(world, plant):
    world.evaluate(arms=(*CUT, "token_budget_question"))
    plant.edit(cut_text, "len(model.tokens([piece])[0]) <= tokens", "model.encode([piece])[0].shape[1] <= tokens")
    for arm in ("token_budget", "token_budget_question"):
        with pytest.raises(LabError, match=f"{arm}: .* not the longest piece"):
            world.evaluate(arms=("target", "latent", arm))


def test_answers_cut_to_nothing(world, plant):
    config = CONFIG.replace(soft_tokens=1)
    world.evaluate(config, arms=("source", "same_bytes", "latent"))
    plant.edit(same_bytes, "text = cut_bytes(answer.text.strip(), size - len(question.encode(\"utf-8\")))",
               "text = answer.text.strip() if len((question + answer.text).encode()) <= size else ''")  # fmt: skip
    with pytest.raises(LabError, match="same_bytes: .* was left out"):
        world.evaluate(config, arms=("source", "same_bytes", "latent"))


def test_more_bytes_than_the_wire(world, plant):
    config = CONFIG.replace(soft_tokens=1)  # 96 bytes: about the question
    world.evaluate(config, arms=("source", "same_bytes", "latent"))
    plant.around(same_bytes, lambda kept, evaluation, answers, size: kept(evaluation, answers, 2 * size))
    with pytest.raises(LabError, match="same_bytes"):
        world.evaluate(config, arms=("source", "same_bytes", "latent"))


def test_more_soft_tokens_than_configured(world):
    world.evaluate()
    with pytest.raises(LabError, match="soft"):
        world.evaluate(translator=world.translator(CONFIG.replace(soft_tokens=6)))


def in_one_arm(plant, arm, **changes):
    """The arm is asked apart from the rest, under another evaluation."""

    def planted(kept, evaluation, arms):
        kept(evaluation, [one for one in arms if one.name != arm])
        kept(replace(evaluation, **changes), [one for one in arms if one.name == arm])

    plant.around(answer_together, planted)


def test_one_arm_with_another_limit(world, plant):
    world.evaluate()
    in_one_arm(plant, "latent", config=CONFIG.replace(max_new_tokens=16))
    with pytest.raises(LabError, match="latent.*max_new_tokens"):
        world.evaluate()


def test_one_arm_with_other_hygiene(world, plant):
    world.evaluate()
    world.forget()  # else nothing of the target is asked
    in_one_arm(plant, "target", config=CONFIG.replace(repetition_penalty=1.5))
    with pytest.raises(LabError, match="target.*repetition_penalty"):
        world.evaluate()


def test_one_arm_with_another_end_rule(world, plant):
    class Hasty(Sums):
        def answer_end(self, text):
            return 5 if len(text) > 5 else None

    world.evaluate()
    in_one_arm(plant, "latent", task=Hasty())
    with pytest.raises(LabError, match="latent.*ends"):
        world.evaluate()
