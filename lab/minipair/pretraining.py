"""Pretraining of one tiny model: documents in parallel, batches by length, one plain loop."""

import math
import multiprocessing
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

from lab.errors import LabError
from lab.minipair.corpus import documents
from lab.minipair.tokenizers import train_tokenizer
from lab.progress import tqdm

CHUNK = 4_000  # documents made by one worker call


@dataclass(frozen=True)
class Recipe:
    """One model's recipe. `role` is source (a Mistral, single digits) or target (a Llama, digits grouped)."""

    role: str
    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    feed_forward: int
    vocabulary: int
    documents: int
    epochs: int
    batch_tokens: int = 65_536
    learning_rate: float = 3e-3
    seed: int = 1234


def build_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """The tokenizer of the role, learned from 20 000 documents of its own corpus."""
    digits = "single" if recipe.role.startswith("source") else "grouped"
    return train_tokenizer(documents(recipe.role, 20_000, "tokenizer"), digits, recipe.vocabulary)


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> torch.nn.Module:
    """The untrained model: random weights from the recipe's sizes and seed, embeddings tied."""
    torch.manual_seed(recipe.seed)
    shape = dict(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.key_value_heads,
        intermediate_size=recipe.feed_forward,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    if recipe.role.startswith("source"):
        return MistralForCausalLM(MistralConfig(sliding_window=None, **shape))
    return LlamaForCausalLM(LlamaConfig(**shape))


def _encode_chunk(job: tuple[str, int, str]) -> list[np.ndarray]:
    role, chunk, tokenizer_json = job
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_tokenizer_from(tokenizer_json))
    ids = tokenizer._tokenizer.encode_batch([text + "</s>" for text in documents(role, CHUNK, f"chunk {chunk}")])
    return [np.array(encoding.ids, dtype=np.int16) for encoding in ids]


def _tokenizer_from(text: str):
    from tokenizers import Tokenizer

    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    return Tokenizer.from_str(text)


def encode_corpus(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> list[np.ndarray]:
    """All documents of the corpus as token ids, made and encoded on every core."""
    text = tokenizer.backend_tokenizer.to_str()
    jobs = [(recipe.role, chunk, text) for chunk in range(math.ceil(recipe.documents / CHUNK))]
    with multiprocessing.get_context("fork").Pool() as pool:
        chunks = list(tqdm(pool.imap(_encode_chunk, jobs), total=len(jobs), desc=f"{recipe.role} corpus", unit="chunk"))
    return [document for chunk in chunks for document in chunk]


def length_batches(encoded: list[np.ndarray], batch_tokens: int, rng: random.Random) -> list[list[int]]:
    """Indices of documents in batches of like length, about `batch_tokens` tokens with padding; in random order."""
    order = list(range(len(encoded)))
    rng.shuffle(order)
    batches = []
    for start in range(0, len(order), 50_000):
        block, batch = sorted(order[start : start + 50_000], key=lambda i: len(encoded[i])), []
        for i in block:
            if batch and (len(batch) + 1) * len(encoded[i]) > batch_tokens:
                batches.append(batch)
                batch = []
            batch.append(i)
        batches.append(batch)
    rng.shuffle(batches)
    return batches


def _padded(encoded: list[np.ndarray], batch: list[int], device: str) -> torch.Tensor:
    """`[B, T]` ids, padded on the right with -100."""
    width = max(len(encoded[i]) for i in batch)
    rows = np.full((len(batch), width), -100, dtype=np.int64)
    for row, i in enumerate(batch):
        rows[row, : len(encoded[i])] = encoded[i]
    return torch.from_numpy(rows).to(device, non_blocking=True)


def pretrain(model: torch.nn.Module, encoded: list[np.ndarray], recipe: Recipe, device: str) -> dict:
    """Train `model` in place on next-token prediction; returns steps, tokens seen, final loss and seconds.

    AdamW, linear warm-up over 2 % and cosine decay to a hundredth, clipping at 1, bf16 autocast on a GPU.
    """
    model.to(device).train()
    rng = random.Random(f"batches {recipe.seed}")
    batches = [batch for _ in range(recipe.epochs) for batch in length_batches(encoded, recipe.batch_tokens, rng)]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.05, fused=device == "cuda"
    )
    warm_up, seen, began, smooth = max(1, len(batches) // 50), 0, time.time(), None
    bar = tqdm(batches, desc=f"pretrain {recipe.role}", unit="step", mininterval=2)
    for step, batch in enumerate(bar):
        progress = step / len(batches)
        factor = min((step + 1) / warm_up, 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * factor
        ids = _padded(encoded, batch, device)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            logits = model(input_ids=ids.clamp_min(0), use_cache=False).logits
        # Right padding under a causal mask needs no attention mask: no real token ever looks at it.
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seen += sum(len(encoded[i]) for i in batch)
        if step % 50 == 0:
            smooth = loss.item()
            bar.set_postfix(loss=f"{smooth:.3f}", tokens=f"{seen / 1e6:.0f}M")
    return {
        "steps": len(batches),
        "tokens_seen": seen,
        "final_loss": loss.item(),
        "seconds": round(time.time() - began, 1),
    }


def build_and_save(recipe: Recipe, folder: Path) -> dict:
    """Corpus, tokenizer, training; the frozen model in bf16 and its tokenizer go to `folder`. Returns the facts."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if (folder / "config.json").exists():
        raise LabError(f"{folder} already holds a model; choose another name.")
    tokenizer = build_tokenizer(recipe)
    model = build_model(recipe, tokenizer)
    facts = pretrain(model, encode_corpus(recipe, tokenizer), recipe, device)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return facts | {"parameters": sum(p.numel() for p in model.parameters()), "device": device}
