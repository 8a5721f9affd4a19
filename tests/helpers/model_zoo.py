"""Tiny random models of many architectures: where embeddings are scaled, logits capped, positions learned or absent."""

from __future__ import annotations

import functools

import torch
import transformers
from tiny_models import tiny_tokenizer

from lab.models import FrozenModel

WIDTH, LENGTH = 32, 512
LLAMA_LIKE = dict(
    hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=LENGTH,
)  # fmt: skip
HEADS = {"head_dim": 8}
CAPPED = HEADS | {"final_logit_softcapping": 3.0, "attn_logit_softcapping": 5.0, "query_pre_attn_scalar": 8}
# name -> (class before "ForCausalLM" and "Config", what its config says besides the vocabulary)
ZOO: dict[str, tuple[str, dict]] = {
    "llama": ("Llama", LLAMA_LIKE),
    "mistral": ("Mistral", LLAMA_LIKE | {"sliding_window": None}),
    "qwen2": ("Qwen2", LLAMA_LIKE),
    "qwen3": ("Qwen3", LLAMA_LIKE | HEADS),
    "gemma": ("Gemma", LLAMA_LIKE | HEADS),
    "gemma2": ("Gemma2", LLAMA_LIKE | CAPPED | {"sliding_window": 16}),
    "gemma3": ("Gemma3", LLAMA_LIKE | HEADS | {"sliding_window": 16, "query_pre_attn_scalar": 8}),
    "phi": ("Phi", LLAMA_LIKE | {"partial_rotary_factor": 0.5}),
    "phi3": ("Phi3", LLAMA_LIKE),
    "olmo2": ("Olmo2", LLAMA_LIKE),
    "smollm3": ("SmolLM3", LLAMA_LIKE | {"no_rope_layers": [1, 0]}),
    "granite": ("Granite", LLAMA_LIKE | {"embedding_multiplier": 6.0, "logits_scaling": 4.0,
                                         "residual_multiplier": 0.3, "attention_multiplier": 0.2}),
    "cohere2": ("Cohere2", LLAMA_LIKE | {"logit_scale": 0.25, "sliding_window": 16}),
    "minicpm3": ("MiniCPM3", LLAMA_LIKE | {"scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 8, "q_lora_rank": 16,
                                           "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8,
                                           "v_head_dim": 8, "num_key_value_heads": 4}),
    "falcon_h1": ("FalconH1", LLAMA_LIKE | HEADS | {"embedding_multiplier": 5.5, "lm_head_multiplier": 0.25,
                                                    "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8,
                                                    "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}),
    "gpt2": ("GPT2", {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "n_positions": LENGTH}),
    "gpt_neox": ("GPTNeoX", dict(hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                                 max_position_embeddings=LENGTH)),
    "opt": ("OPT", dict(hidden_size=WIDTH, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
                        max_position_embeddings=LENGTH, word_embed_proj_dim=16)),
    "bloom": ("Bloom", {"hidden_size": WIDTH, "n_layer": 2, "n_head": 4}),
    "mpt": ("Mpt", {"d_model": WIDTH, "n_layers": 2, "n_heads": 4, "max_seq_len": LENGTH}),
    "gpt_neo": ("GPTNeo", dict(hidden_size=WIDTH, num_layers=2, num_heads=4, intermediate_size=48, window_size=16,
                               attention_types=[[["global", "local"], 1]], max_position_embeddings=LENGTH)),
    "xglm": ("XGLM", dict(d_model=WIDTH, ffn_dim=48, num_layers=2, attention_heads=4,
                          max_position_embeddings=LENGTH)),
}  # fmt: skip
EAGER = ("gemma2", "bloom", "mpt", "gpt_neo", "xglm")  # without PyTorch's own attention


@functools.cache
def zoo_tokenizer() -> transformers.PreTrainedTokenizerFast:
    return tiny_tokenizer(r"\p{N}")


def zoo_config(name: str):
    """The config of one architecture, None where the installed transformers has no such model."""
    prefix, shape = ZOO[name]
    kind = getattr(transformers, f"{prefix}TextConfig" if prefix == "Gemma3" else f"{prefix}Config", None)
    if kind is None:
        return None
    tokenizer = zoo_tokenizer()
    special = {f"{token}_token_id": getattr(tokenizer, f"{token}_token_id") for token in ("bos", "eos", "pad")}
    # larger weights than usual: a token in the wrong place, or a scale left out, shows in the outputs
    return kind(vocab_size=len(tokenizer), initializer_range=0.2, **special, **shape)


def unsettle(model: torch.nn.Module) -> None:
    """Norms, biases and scales off one and zero, where they would hide what they do and in which order."""
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)


@functools.cache
def zoo_model(name: str) -> FrozenModel:
    """The frozen model, always the same one; None where the installed transformers has no such model."""
    config = zoo_config(name)
    if config is None:
        return None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attention = "eager" if name in EAGER else "sdpa"
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
        unsettle(model)
    return FrozenModel(model, zoo_tokenizer(), f"zoo-{name}", torch.device("cpu"), torch.float32)
