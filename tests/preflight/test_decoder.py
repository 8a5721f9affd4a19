"""A decoder in numbers is the library's own model, built without weights, and what a pass of it really keeps."""

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig, GPT2Config, LlamaConfig, MistralConfig

from lab.config import GEMMA, LLAMA, MISTRAL, SMOLLM2
from lab.errors import LabError
from lab.models.quantised import weight_bytes
from lab.preflight.decoder import KNOWN, Decoder

CONFIGS = {
    MISTRAL: MistralConfig(vocab_size=32768, num_key_value_heads=8, sliding_window=None),
    LLAMA: LlamaConfig(vocab_size=128256, intermediate_size=14336, num_key_value_heads=8),
    SMOLLM2: LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                         num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True),
    GEMMA: Gemma3TextConfig(vocab_size=262144, hidden_size=640, intermediate_size=2048, num_hidden_layers=18,
                            num_attention_heads=4, num_key_value_heads=1, head_dim=256),
}  # fmt: skip
TINY = {
    "llama": LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=80, num_hidden_layers=3,
                         num_attention_heads=4, num_key_value_heads=2),
    "gemma": Gemma3TextConfig(vocab_size=64, hidden_size=32, intermediate_size=80, num_hidden_layers=3,
                              num_attention_heads=4, num_key_value_heads=2, head_dim=16, pad_token_id=0),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_known_models_have_the_parameters_of_the_librarys(name):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(CONFIGS[name])
    assert Decoder.of(name, CONFIGS[name]) == KNOWN[name]
    assert KNOWN[name].parameters == model.num_parameters()
    for bits in (0, 8, 4):
        assert KNOWN[name].weight_bytes(2, bits) == pytest.approx(weight_bytes(model, torch.bfloat16, bits), rel=1e-9)


def test_what_is_not_counted_is_refused():
    with pytest.raises(LabError, match="gpt2"):
        Decoder.of("x", GPT2Config())


@pytest.fixture(params=TINY)
def tiny(request):
    torch.manual_seed(0)
    config = TINY[request.param]
    return Decoder.of("tiny", config), AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)


def test_keys_and_values_of_a_token(tiny):
    size, model = tiny
    cache = model(input_ids=torch.ones(2, 5, dtype=torch.long), use_cache=True).past_key_values
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == 2 * 5 * size.kv_bytes(4)


def test_a_frozen_pass_keeps_what_is_counted(tiny):
    """Of all that autograd saves, storages once each, weights apart; left padding, as in a batch."""
    size, model = tiny
    rows, width, kept = 2, 64, {}
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    embeds = torch.randn(rows, width, size.hidden, requires_grad=True)
    mask = torch.ones(rows, width, dtype=torch.long)
    mask[0, :7] = 0

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.base_model(inputs_embeds=embeds, attention_mask=mask, use_cache=False)
    found = sum(nbytes for nbytes, _ in kept.values())
    assert found == pytest.approx(size.pass_bytes(rows, width, 0, 4, fused=False), rel=0.03)
