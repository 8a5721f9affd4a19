"""Random models of real architectures, with tokenizers of their own: small enough to test every law on them."""

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from lab.models import FrozenModel, Pair

SENTENCES = [
    "Q: Tom has 3 apples and buys 12 more. How many apples does Tom have now?\nA: 3 + 12 = 15.\n#### 15\n\n",
    "Q: A box holds 24 pens. Mia fills 5 boxes. How many pens are there?\nA: 24 * 5 = 120.\n#### 120\n\n",
    "Q: Ann reads 40 pages a day for 7 days, then 9 more. How many pages?\nA: 40 * 7 = 280.\n#### 289\n\n",
]
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}


def tiny_tokenizer(digits: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE whose numbers split at `digits`, a regular expression; BOS comes first, as in the real ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(rf" ?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+|\s+"), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(SENTENCES, trainers.BpeTrainer(
        vocab_size=320, special_tokens=list(SPECIAL.values()), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ))  # fmt: skip
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **SPECIAL)


def tiny_model(kind: type, settings: type, tokenizer: PreTrainedTokenizerFast, **shape) -> FrozenModel:
    """A random model; its weights are larger than usual, so that a token in the wrong place shows in its outputs."""
    config = settings(
        vocab_size=len(tokenizer), max_position_embeddings=1024, initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        attn_implementation="sdpa", **shape,
    )  # fmt: skip
    name = f"tiny-{config.model_type}"
    return FrozenModel(kind(config), tokenizer, name, torch.device("cpu"), torch.float32)


def make_tiny_pair() -> Pair:
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
