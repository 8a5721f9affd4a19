"""Nothing that a model's own generation settings say changes a greedy answer, but for its end tokens."""

import copy

import pytest
import torch
from model_zoo import zoo_model
from transformers import GenerationConfig

from lab.answers import end_tokens_of, greedy
from lab.config import TEXT
from lab.models import FrozenModel, build_inputs

CONTEXTS = [{"question": "Tom has 3 apples."}, {"question": "A box holds 24 pens. Mia fills 5 boxes. How many?"}]
OFTEN = list(range(5, 300))  # tokens that an answer is sure to hold some of
SETTINGS = {
    "suppress_tokens": OFTEN, "begin_suppress_tokens": OFTEN, "bad_words_ids": [[token] for token in OFTEN],
    "sequence_bias": [[[7], 100.0]], "forced_bos_token_id": 7, "forced_eos_token_id": 7, "repetition_penalty": 5.0,
    "no_repeat_ngram_size": 1, "encoder_repetition_penalty": 5.0, "stop_strings": list("aeiou "), "guidance_scale": 3.0,
    "min_length": 30, "min_new_tokens": 8, "max_new_tokens": 2, "max_length": 3, "max_time": 1e-6, "do_sample": True,
    "temperature": 5.0, "top_k": 3, "num_beams": 3, "length_penalty": 9.0, "num_return_sequences": 1,
    "diversity_penalty": 0.5, "renormalize_logits": True, "remove_invalid_values": True, "use_cache": False,
    "cache_implementation": "static", "exponential_decay_length_penalty": [1, 5.0], "token_healing": True,
    "watermarking_config": {"bias": 9.0, "seeding_scheme": "selfhash", "greenlist_ratio": 0.5},
    "prompt_lookup_num_tokens": 3, "typical_p": 0.1, "min_p": 0.9, "epsilon_cutoff": 0.5, "low_memory": True,
    "output_scores": True, "return_dict_in_generate": True,
}  # fmt: skip


def with_settings(**settings):
    """The same model, delivered with these settings."""
    plain = zoo_model("llama")
    model = copy.copy(plain.model)  # the same weights
    model.generation_config = GenerationConfig()
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    return FrozenModel(model, plain.tokenizer, "settings", plain.device, plain.dtype)


def never(text):
    """The rule of an answer that does not end before its limit."""


def answers(model):
    return [answer.ids for answer in greedy(model, build_inputs(model, TEXT, None, CONTEXTS), 8, ends=never)]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_model_changes_no_answer(name):
    torch.set_num_threads(1)
    assert answers(with_settings(**{name: SETTINGS[name]})) == answers(zoo_model("llama"))


def test_all_settings_together_change_no_answer():
    assert answers(with_settings(**SETTINGS)) == answers(zoo_model("llama"))


def test_end_tokens_of_the_model_are_kept():
    first = answers(zoo_model("llama"))[0][3]
    model = with_settings(eos_token_id=[first, 1], suppress_tokens=[first])
    assert end_tokens_of(model) == sorted({first, 1, model.tokenizer.eos_token_id})
    assert len(answers(model)[0]) <= 3
