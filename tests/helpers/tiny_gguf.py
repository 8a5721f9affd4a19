"""A tiny Llama as a GGUF file, written as llama.cpp's converter does, and a package that holds some file."""

import base64
import hashlib
import json
from pathlib import Path

import torch
from tiny_models import tiny_model, tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
HEADS, KV_HEADS = 4, 2
NORMAL, CONTROL = 1, 3  # types of tokens


def tiny_llama(seed: int = 0):
    """A random Llama of one layer with tied embeddings."""
    torch.manual_seed(seed)
    return tiny_model(
        LlamaForCausalLM, LlamaConfig, tiny_tokenizer(r"\p{N}"), hidden_size=32, intermediate_size=64,
        num_hidden_layers=1, num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, tie_word_embeddings=True,
    )  # fmt: skip


def write_gguf(
    path: Path, frozen, more=None, without: str = "", scaling: str = "", bos: bool = True, merges: int = 999
) -> Path:
    """`frozen`, a `tiny_llama`, as float32; `more`: further tensors; `without`: one to leave out; `scaling`: of its
    positions; `bos`: whether a text begins with BOS; `merges`: how many of its tokenizer's are written."""
    from gguf import GGUFWriter

    config, vocabulary = frozen.model.config, json.loads(frozen.tokenizer.backend_tokenizer.to_str())
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    if scaling:
        writer.add_string("llama.rope.scaling.type", scaling)
    tokens = sorted(vocabulary["model"]["vocab"].items(), key=lambda item: item[1])
    special = {token["content"] for token in vocabulary["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    # By the name that transformers would add if there were none of it, as an entry that the model does not have.
    writer.add_token_list(["<|endoftext|>" if token == "</s>" else token for token, _ in tokens])
    writer.add_token_types([CONTROL if token in special else NORMAL for token, _ in tokens])
    writer.add_token_merges([" ".join(merge) for merge in vocabulary["model"]["merges"][:merges]])
    writer.add_bos_token_id(frozen.tokenizer.bos_token_id)
    writer.add_eos_token_id(frozen.tokenizer.eos_token_id)
    writer.add_unk_token_id(frozen.tokenizer.eos_token_id)
    writer.add_pad_token_id(frozen.tokenizer.pad_token_id)
    writer.add_add_bos_token(bos)
    for name, tensor in {**tensors(frozen.model), **(more or {})}.items():
        if name != without:
            writer.add_tensor(name, tensor.detach().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tensors(model) -> dict[str, torch.Tensor]:
    """The weights under their names in GGUF; the rows of query and key as llama.cpp has them, pairs side by side."""
    found = {"token_embd.weight": model.model.embed_tokens.weight, "output_norm.weight": model.model.norm.weight}
    for name, tensor in model.model.layers.state_dict().items():
        layer, _, rest = name.partition(".")
        heads = {"self_attn.q_proj.weight": HEADS, "self_attn.k_proj.weight": KV_HEADS}.get(rest)
        if heads:
            tensor = tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape).contiguous()
        found[f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"] = tensor
    return found


def install(folder: Path, name: str, files: dict[str, bytes], requires: tuple[str, ...] = ()) -> None:
    """An installed distribution in `folder`, as pip leaves one: its files, METADATA, and RECORD with their sha256."""
    about, module = folder / f"{name.replace('-', '_')}-1.0.dist-info", folder / name.replace("-", "_")
    about.mkdir(parents=True)
    module.mkdir()
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", *(f"Requires-Dist: {one}\n" for one in requires)]
    (about / "METADATA").write_text("".join(lines))
    record = []
    for file, content in files.items():
        (module / file).write_bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        record.append(f"{module.name}/{file},sha256={digest},{len(content)}\n")
    (about / "RECORD").write_text("".join(record))
