"""Controls: what destroys the source, or is trained beside the translator."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from planted_world import CELLS, CONFIG, sums
from transformers import AutoModelForCausalLM

from lab.answers.latent import LatentArm, derangement, zero
from lab.config import RANDOM, PairConfig
from lab.errors import LabError
from lab.models import load_pair
from lab.models.loading import _random_model
from lab.places import MINI as PAIR
from lab.studies.controls import load_controls
from lab.studies.experiment import train_constant, train_translator
from lab.translators import Bridge, ConstantPrompt, build_translator

pytestmark = pytest.mark.slow


def test_shuffle_with_fixed_points(world, plant):
    world.evaluate()
    plant.around(derangement, lambda kept, cells, *given: [1, 0, *range(2, len(cells))])
    with pytest.raises(LabError, match="shuffle has 6 fixed points"):
        world.evaluate()


def test_shuffle_only_on_paper(world, plant):
    world.evaluate()

    plant.edit(LatentArm.inputs, "self._donor(index)", "self.evaluation.questions[index]")
    with pytest.raises(LabError, match="latent_shuffled"):
        world.evaluate()


def test_shuffle_across_cells(world, plant):
    world.evaluate()
    plant.around(derangement, lambda kept, cells, *given: list(reversed(range(len(cells)))))
    with pytest.raises(LabError, match="latent_shuffled.*cell"):
        world.evaluate()


def test_shuffle_within_a_word(world, plant):
    twelve_words = [
        replace(q, word=f"word {n % 12}") for n, q in enumerate(sums("Eva has {} keys, finds {}.", 3, CELLS * 6))
    ]

    def evaluate():
        world.evaluate(questions=twelve_words, arms=("latent", "latent_shuffled"))

    evaluate()
    plant.around(derangement, lambda kept, cells, *given: kept(
        [f"{cell}/{question.word}" for cell, question in zip(cells, twelve_words, strict=True)], *given))  # fmt: skip
    with pytest.raises(LabError, match="48 of 48 questions get soft tokens of a question about their own word"):
        evaluate()


def test_zero_control_is_latent(world, plant):
    world.evaluate(arms=("latent", "latent_zero"))
    plant.around(zero, lambda kept, soft, questions: soft)
    with pytest.raises(LabError, match="latent_zero"):
        world.evaluate(arms=("latent", "latent_zero"))


def test_control_at_another_learning_rate(world, plant):
    refused_where_it_differs(world, plant, "learning_rate", CONFIG.training.learning_rate / 10)


def test_control_of_half_the_steps(world, plant):
    refused_where_it_differs(world, plant, "steps", 1)


def test_control_of_fewer_soft_tokens(world, plant):
    refused_where_it_differs(world, plant, "soft_tokens", 2)


def refused_where_it_differs(world, plant, setting, value):
    world.train_control()
    plant.edit(train_constant, "constant_config(experiment.config, steps, learning_rate)",
               f"constant_config(experiment.config, steps, learning_rate).replace({setting}={value})")  # fmt: skip
    with pytest.raises(LabError, match=f"{setting}.*equal budget"):
        world.train_control()


def trained(world, config):
    control = world.start(config)
    train_translator(control)
    return str(control.run.path)


def test_control_read_from_another_budget(world):
    constant = CONFIG.replace(translator="constant")
    load_controls({"latent_constant": trained(world, constant)}, world.pair, CONFIG)
    other = trained(world, constant.replace(learning_rate=1e-5))
    with pytest.raises(LabError, match="learning_rate.*equal budget"):
        load_controls({"latent_constant": other}, world.pair, CONFIG)


def test_control_of_another_source(world):
    source = shutil.copytree(PAIR / "source", world.folder / "no_lore_source")
    without_lore = trained(world, CONFIG.replace(source=str(source)))
    load_controls({"latent_no_lore_source": without_lore}, world.pair, CONFIG)
    with pytest.raises(LabError, match="the arm is named for"):
        load_controls({"latent_no_lore_source": trained(world, CONFIG)}, world.pair, CONFIG)


def test_constant_prompt_reads_the_source(world, plant, monkeypatch):
    constant = world.translator(CONFIG.replace(translator="constant"))
    world.evaluate(constant=constant, arms=("target", "latent_constant"))
    monkeypatch.setattr(ConstantPrompt, "needs_source", True)
    plant.edit(ConstantPrompt.forward, "self.soft_tokens.expand(len(source.mask), -1, -1)",
               "self.soft_tokens + source.states.mean(dim=(1, 2, 3))[:, None, None]")  # fmt: skip
    with pytest.raises(LabError, match="latent_constant"):
        world.evaluate(constant=constant, arms=("target", "latent_constant"))


def test_random_source_is_pretrained(world, plant):
    source, target = PAIR / "source", PAIR / "target"
    pair = load_pair(PairConfig(pair="custom", source=str(source), target=str(target), device="cpu"))

    def evaluate():
        other = load_pair(PairConfig(pair="custom", source=RANDOM + str(source), target=str(target), device="cpu"))
        translator = build_translator(CONFIG.translator, pair, "all")
        control = {"latent_random_source": Bridge(other.source, translator)}
        world.evaluate(pair=pair, translator=translator, controls=control, arms=("latent", "latent_random_source"))

    def pretrained(kept, config, dtype, device, attention):
        return AutoModelForCausalLM.from_pretrained(Path(config._name_or_path), dtype=dtype)

    evaluate()
    plant.around(_random_model, pretrained)
    with pytest.raises(LabError, match="latent_random_source"):
        evaluate()
