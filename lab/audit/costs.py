"""What soft tokens cost and save: key-value cache, bytes on the wire, tokens of a question. Arithmetic, no model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median

from lab.audit.archive import find_folder
from lab.errors import LabError
from lab.tasks.gsm8k import GSM8K

# Shape of the key-value cache, from the models' published configs.
MODELS = {
    "Llama-3.1-8B": {"layers": 32, "kv_heads": 8, "heads": 32, "head_dim": 128, "width": 4096},
    "Mistral-7B-v0.3": {"layers": 32, "kv_heads": 8, "heads": 32, "head_dim": 128, "width": 4096},
}
# Tokens of the 1 319 GSM8K test questions without BOS, counted once with the models' own tokenizers.
QUESTION_TOKENS = {
    "Llama-3.1-8B": {"mean": 59.0, "median": 55, "max": 185, "questions": 1319},
    "Mistral-7B-v0.3": {"mean": 64.9, "median": 61, "max": 189, "questions": 1319},
}


def kv_bytes_per_token(model: str, kv_heads: int | None = None) -> int:
    """Bytes of keys and values per token in bf16: layers x 2 x key-value heads x head width x 2."""
    shape = MODELS[model]
    return shape["layers"] * 2 * (kv_heads or shape["kv_heads"]) * shape["head_dim"] * 2


def kv_table() -> list[dict]:
    """The KV cache of the token counts in the documents: as reported, and with the model's own number of heads."""
    rows = []
    for tokens, reported in ((86, 43), (102, 51), (118, 59)):
        own = kv_bytes_per_token("Llama-3.1-8B")
        full = kv_bytes_per_token("Llama-3.1-8B", MODELS["Llama-3.1-8B"]["heads"])
        rows.append(
            {
                "tokens": tokens,
                "reported, MB": reported,
                "8 key-value heads, MiB": tokens * own / 2**20,
                "with 32 heads it would be, MiB": tokens * full / 2**20,
                "KiB per token": own // 1024,
            }
        )
    return rows


def compression_table(tokens: Mapping = QUESTION_TOKENS, text_bytes: float | None = None) -> list[dict]:
    """Soft tokens against the tokens of the question alone (the target's count), and bytes on the wire in bf16."""
    target, width = tokens["Llama-3.1-8B"], MODELS["Llama-3.1-8B"]["width"]
    rows = []
    for soft, reported in ((8, None), (16, None), (32, 4.7), (48, 3.1), (64, 2.3), (128, None), (2048, None)):
        saved = target["mean"] - soft
        rows.append(
            {
                "soft tokens": soft,
                "reported ratio": reported,
                "mean question / soft tokens": round(target["mean"] / soft, 2),
                "median question / soft tokens": round(target["median"] / soft, 2),
                "KV saved without the question, MiB": round(saved * kv_bytes_per_token("Llama-3.1-8B") / 2**20, 2),
                "soft tokens on the wire, KiB": soft * width * 2 / 1024,
                "question as text, KiB": None if text_bytes is None else round(text_bytes / 1024, 2),
            }
        )
    return rows


def count_tokens(questions: Sequence[str], tokenizers: Mapping[str, str | Path]) -> dict:
    """QUESTION_TOKENS counted anew, where `tokenizers` names a folder with a `tokenizer.json` for a model.

    Raises LabError where a folder is named that has none.
    """
    counted = dict(QUESTION_TOKENS)
    for model, place in tokenizers.items():
        if not str(place):
            continue
        folder = find_folder(place)
        if folder is None or not (folder / "tokenizer.json").is_file():
            raise LabError(f"{place} has no tokenizer.json; give the folder of {model}'s tokenizer, or nothing.")
        from tokenizers import Tokenizer

        coder = Tokenizer.from_file(str(folder / "tokenizer.json"))
        lengths = [len(found.ids) for found in coder.encode_batch(list(questions), add_special_tokens=False)]
        counted[model] = {"mean": round(mean(lengths), 1), "median": median(lengths), "max": max(lengths),
                          "questions": len(lengths)}  # fmt: skip
    return counted


def question_tokens(gsm8k: str | Path, tokenizers: Mapping[str, str | Path]) -> dict:
    """QUESTION_TOKENS, counted anew on the GSM8K test questions in the folder `gsm8k` where a tokenizer is named."""
    if not any(str(place) for place in tokenizers.values()):
        return dict(QUESTION_TOKENS)
    folder = find_folder(gsm8k)
    if folder is None:
        raise LabError(f"{gsm8k} is no folder; give one with GSM8K's test.jsonl, or name no tokenizer.")
    return count_tokens([question.question for question in GSM8K(folder).test()], tokenizers)
