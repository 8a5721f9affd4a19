"""Decoding: the same weights, another answer."""

import re
from dataclasses import replace

import pytest
import torch
from planted_world import CONFIG, QUESTIONS
from tiny_models import tiny_model
from transformers import LlamaConfig, LlamaForCausalLM

from lab.answers.arms import _evaluating
from lab.answers.decoding import Decoder
from lab.answers.generation import generate
from lab.answers.latent import LatentArm
from lab.errors import LabError
from lab.translators import Bridge
from lab.translators.dit import question_noise

pytestmark = pytest.mark.slow
EVERYTHING = "torch.ones_like(inputs.attention_mask)"


def test_dropout_in_evaluation(world, plant):
    config = CONFIG.replace(dropout=0.5)
    world.evaluate(config)

    def planted(kept, *modules):
        yield

    plant.around(_evaluating, planted)
    with pytest.raises(LabError, match="training mode, with dropout"):
        world.evaluate(config, translator=world.translator(config).train())


def test_frozen_model_in_training_mode(world):
    torch.manual_seed(0)
    target = tiny_model(
        LlamaForCausalLM, LlamaConfig, world.pair.target.tokenizer, hidden_size=48, intermediate_size=96,
        num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, attention_dropout=0.5,
    )  # fmt: skip
    pair = replace(world.pair, target=target)
    world.evaluate(pair=pair)
    target.model.train()
    with pytest.raises(LabError, match="training mode|inputs are built wrongly"):
        world.evaluate(pair=pair)


def test_flow_noise_from_the_global_generator(world, plant):
    config = CONFIG.replace(translator="dit")
    translator = world.translator(config)
    with torch.no_grad():  # a fresh one says the same whatever its noise
        for parameter in translator.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    world.evaluate(config, translator=translator)
    plant.edit(question_noise, ", generator=torch.Generator().manual_seed(seed)", "")
    with pytest.raises(LabError, match="second time"):
        world.evaluate(config, translator=translator)


def test_other_layers_in_evaluation(world, plant):
    config = CONFIG.replace(source_layers=[1, 2])
    world.train(config)
    texts = "[f'{q.evidence}Q: {q.question}\\nA:' for q in questions]"
    plant.edit(Bridge.write, "self.read(questions)", f"self.source.source_states({texts}, [2, 3])")
    with pytest.raises(LabError, match="layers|training and evaluation"):
        world.train(config)


def test_sampling_instead_of_greedy(world, plant):
    world.evaluate()
    plant.edit(Decoder.next, "scores.argmax(dim=-1)", "torch.multinomial(scores.softmax(dim=-1), 1)[:, 0]")
    with pytest.raises(LabError, match="replay check"):
        world.evaluate()


def test_padding_is_attended_to(world, plant):
    world.evaluate()
    plant.edit(generate, "inputs.attention_mask", EVERYTHING)
    with pytest.raises(LabError, match="replay check"):
        world.evaluate()


def test_padding_is_attended_to_later(world, plant):
    alike = QUESTIONS[::2] + QUESTIONS[1::2]  # the first four have as many tokens each
    world.evaluate(questions=alike)
    plant.edit(generate, "inputs.attention_mask", EVERYTHING)
    with pytest.raises(LabError, match="replay check|padding"):
        world.evaluate(questions=alike)


def test_answer_altered_after_generation(world, plant):
    world.evaluate()

    def planted(kept, *given):
        return [
            replace(answer, generation=replace(answer.generation, text=re.sub(r"(\w+)$", r"#### \1", answer.text)))
            for answer in kept(*given)
        ]

    plant.around(LatentArm.answers, planted)
    with pytest.raises(LabError, match="arm latent.*altered"):
        world.evaluate()
