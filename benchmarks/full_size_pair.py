"""Make folders for Mistral-7B and Llama-3.1-8B with the real configs and the real tokenizers, but no weights.

    pip install --no-deps mistral-common llama-models && pip install sentencepiece tiktoken protobuf
    python benchmarks/full_size_pair.py models

`random:models/mistral-7b` and `random:models/llama-3.1-8b` then load with random weights: good for speed, memory and
plumbing, never for quality.
"""

import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

from tokenizers import processors
from transformers import AutoTokenizer, LlamaConfig, MistralConfig, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

LLAMA_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def packaged(package: str, name: str) -> Path:
    """A data file of an installed package, found without importing the package."""
    return next(Path(str(file.locate())) for file in distribution(package).files if str(file).endswith(name))


def mistral(folder: Path) -> None:
    """Mistral-7B-Instruct-v0.3: 32 layers of 4 096, 8 key-value heads, 32 768 entries."""
    folder.mkdir(parents=True)
    shutil.copy(packaged("mistral-common", "mistral_instruct_tokenizer_240323.model.v3"), folder / "tokenizer.model")
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "LlamaTokenizer", "legacy": false, "add_bos_token": true}'
    )
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    MistralConfig(
        vocab_size=32768,
        num_key_value_heads=8,
        rope_theta=1e6,
        sliding_window=None,
        architectures=["MistralForCausalLM"],
    ).save_pretrained(folder)


def llama(folder: Path) -> None:
    """Llama-3.1-8B: 32 layers of 4 096, 8 key-value heads, 128 256 entries."""
    folder.mkdir(parents=True)
    special = ["<|begin_of_text|>", "<|end_of_text|>", *(f"<|reserved_special_token_{i}|>" for i in range(254))]
    ranks = packaged("llama-models", "llama_models/llama3/tokenizer.model")
    tokenizer = TikTokenConverter(str(ranks), pattern=LLAMA_PATTERN, extra_special_tokens=special).converted()
    bos = ("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos[0], eos_token=special[1], clean_up_tokenization_spaces=False
    ).save_pretrained(folder)
    scaling = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 8192}  # fmt: skip
    LlamaConfig(
        vocab_size=128256, intermediate_size=14336, num_key_value_heads=8, max_position_embeddings=131072,
        rope_parameters=scaling, bos_token_id=128000, eos_token_id=128001, architectures=["LlamaForCausalLM"],
    ).save_pretrained(folder)  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/full_size_pair.py FOLDER")
    mistral(Path(sys.argv[1]) / "mistral-7b")
    llama(Path(sys.argv[1]) / "llama-3.1-8b")
