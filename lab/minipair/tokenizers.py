"""Two byte-level BPE tokenizers that disagree, as real pairs do: the source splits numbers, the target groups digits.

A space before a number belongs to the word before it, so that each number has one spelling.
"""

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lab.tasks.problems import LARGEST

DIGITS = {"single": r"\p{N}", "grouped": r"\p{N}{1,3}"}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}


def train_tokenizer(texts: list[str], digits: str, vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of `vocabulary` entries learned from `texts`; `digits` is `single` or `grouped`."""
    before_number = r"(?: (?=\p{N}))?"
    pattern = rf" ?\p{{L}}+{before_number}|{DIGITS[digits]}| ?[^\s\p{{L}}\p{{N}}]+{before_number}|\s+"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    numbers = [" ".join(map(str, range(LARGEST + 1)))] * 30  # each number of the world becomes one grouped token
    tokenizer.train_from_iterator(
        texts + numbers,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(SPECIAL.values()),
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    bos = SPECIAL["bos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **SPECIAL)
