"""Shared fixtures: a pair of tiny random models, small enough that every law can be tested on real architectures."""

import pytest
import torch
from tiny_models import tiny_model, tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from lab.models import Pair


@pytest.fixture(scope="session")
def tiny_pair() -> Pair:
    """Source: Mistral, 32 wide, 3 layers, single digits. Target: Llama, 48 wide, 2 layers, grouped digits."""
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        source = tiny_model(
            MistralForCausalLM, MistralConfig, tiny_tokenizer(r"\p{N}"), hidden_size=32, intermediate_size=64,
            num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, sliding_window=None,
        )  # fmt: skip
        target = tiny_model(
            LlamaForCausalLM, LlamaConfig, tiny_tokenizer(r"\p{N}{1,3}"), hidden_size=48, intermediate_size=96,
            num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
        )  # fmt: skip
    return Pair(source, target)
