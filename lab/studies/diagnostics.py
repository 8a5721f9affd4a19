"""Bridge diagnostics: what the soft tokens of a translator look like from the target's side, and where they come from.

Collapse shows here before it shows in accuracy: soft tokens of different questions grow alike, their size leaves that
of embeddings, the target's first prediction no longer depends on the question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.answers import greedy
from lab.config import TEXT, Layout, RunConfig
from lab.models import FrozenModel, Pair, build_inputs
from lab.runs import write_text
from lab.tasks import Question, Task, surroundings
from lab.training import Batch, gradient_norms, training_terms
from lab.translators import Bridge

__all__ = [
    "attention_over_source",
    "diagnose",
    "first_token",
    "gates",
    "nearest_tokens",
    "similarity",
    "soft_token_sizes",
    "write_diagnostics",
]

NEAREST = 5
TOP = 5


def soft_token_sizes(soft: Tensor, embedding_rms: float, mask: Tensor | None = None) -> dict[str, list[float] | float]:
    """RMS of each soft-token slot over all questions, as multiples of the target's median embedding RMS.

    `mask` [B, K]: which soft tokens exist, None: all.
    """
    rms = soft.float().square().mean(dim=-1).sqrt() / embedding_rms  # [B, K]
    there = torch.ones_like(rms) if mask is None else mask.float()
    all_of = rms[there.bool()]
    per_slot = (rms * there).sum(dim=0) / there.sum(dim=0).clamp_min(1)
    return {"per_slot": per_slot.tolist(), "mean": all_of.mean().item(), "spread": all_of.std().item()}


def similarity(soft: Tensor, mask: Tensor | None = None) -> dict[str, object]:
    """Mean cosine of different slots of one question (`within`), and of one slot in different questions (`between`).

    `slots` [K, K] is the within part slot by slot, `between_per_slot` [K] the other. Both near 1: the soft tokens have
    collapsed to a constant. `mask` [B, K]: which soft tokens exist, None: all. Where there is no such pair: None.
    """
    unit = F.normalize(soft.float(), dim=-1)  # [B, K, d]
    there = unit.new_ones(unit.shape[:2]) if mask is None else mask.float()
    unit = unit * there[..., None]
    pairs = torch.einsum("bk,bl->kl", there, there)
    slots = torch.einsum("bkd,bld->kl", unit, unit)
    apart = ~torch.eye(len(slots), dtype=torch.bool, device=slots.device)
    rows = there.sum(dim=0)  # [K]: questions that have this slot
    likeness = unit.sum(dim=0).square().sum(dim=-1) - rows  # all ordered pairs of questions
    return {
        "within": (slots[apart].sum() / pairs[apart].sum()).item() if pairs[apart].sum() else None,
        "between": (likeness.sum() / (rows * (rows - 1)).sum()).item() if (rows > 1).any() else None,
        "between_per_slot": (likeness / (rows * (rows - 1)).clamp_min(1)).tolist(),
        "slots": (slots / pairs.clamp_min(1)).tolist(),
    }


def gates(translator: nn.Module) -> dict[str, float]:
    """tanh of every gate, by parameter name: 0 is shut."""
    return {name: p.detach().tanh().item() for name, p in translator.named_parameters() if name.endswith("_gate")}


@torch.no_grad()
def next_token(
    target: FrozenModel, layout: Layout, soft: Tensor | None, contexts: Sequence[Mapping], mask: Tensor | None = None
) -> Tensor:
    """Log-probabilities [B, vocabulary] of the first answer token."""
    inputs = build_inputs(target, layout, soft, contexts, None, mask)
    last = torch.zeros_like(inputs.attention_mask, dtype=torch.bool)
    last[:, -1] = True
    logits = target.run(last, inputs.embeds, inputs.attention_mask, inputs.position_ids).logits
    return logits.float().log_softmax(dim=-1)


def first_token(target: FrozenModel, bridged: Tensor, text: Tensor) -> dict[str, object]:
    """The first answer token, bridged against text: entropies in nats, shared top-5, divergence KL(text || bridged).

    Both are log-probabilities [B, vocabulary]. `examples`: the five likeliest tokens of the first question, each way.
    """

    def entropy(logs: Tensor) -> list[float]:
        return (-(logs.exp() * logs).sum(dim=-1)).tolist()

    best, plain = bridged.topk(TOP, dim=-1).indices, text.topk(TOP, dim=-1).indices
    shared = (best[:, :, None] == plain[:, None, :]).any(dim=-1).float().mean(dim=-1)
    return {
        "entropy_bridged": entropy(bridged),
        "entropy_text": entropy(text),
        "kl_text_bridged": (text.exp() * (text - bridged)).sum(dim=-1).tolist(),
        "same_top1": (best[:, 0] == plain[:, 0]).float().mean().item(),
        "shared_top5": shared.mean().item(),
        "examples": {
            name: [
                [target.tokenizer.decode([token]), logs[0, token].exp().item()] for token in logs[0].topk(TOP).indices
            ]
            for name, logs in (("bridged", bridged), ("text", text))
        },
    }


def nearest_tokens(target: FrozenModel, soft: Tensor, count: int = NEAREST) -> list[list[list]]:
    """For each soft token [K, d] of one question the `count` entries of the vocabulary nearest by cosine.

    [[text, cosine], ...] per soft token. Low cosines mean that it says what no word says.
    """
    table = F.normalize(target.model.get_input_embeddings().weight.float(), dim=-1)
    cosine = F.normalize(soft.float(), dim=-1) @ table.T
    best = cosine.topk(count, dim=-1)
    return [
        [[target.tokenizer.decode([i]), value] for i, value in zip(ids, values, strict=True)]
        for ids, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


@torch.no_grad()
def attention_over_source(bridge: Bridge, question: Question) -> dict[str, object]:
    """How the soft tokens' queries attend to the source's tokens: mean over heads and blocks.

    {"tokens": [S], "weights": [K, S]}, rows sum to 1; no weights where the translator does not attend to the source.
    """
    states = bridge.read([question])
    found, hooks = [], []

    def record(module: nn.Module, given: tuple) -> None:
        queries, context, mask = given
        query = module.query(queries).unflatten(-1, (module.heads, -1)).transpose(1, 2)
        key = module.key_value(context).chunk(2, dim=-1)[0].unflatten(-1, (module.heads, -1)).transpose(1, 2)
        scores = query.float() @ key.float().transpose(-1, -2) / query.shape[-1] ** 0.5
        scores = scores.masked_fill(mask.bool().logical_not()[:, None, None, :], float("-inf"))
        found.append(scores.softmax(dim=-1).mean(dim=1)[0])

    for name, module in bridge.translator.named_modules():
        if name.endswith(("cross_attention", "cross")) and hasattr(module, "key_value"):
            hooks.append(module.register_forward_pre_hook(record))
    try:
        bridge.translator(states)
    finally:
        for hook in hooks:
            hook.remove()
    tokens = [bridge.source.tokenizer.decode([token]) for token in states.ids[0].tolist()]
    return {"tokens": tokens, "weights": torch.stack(found).mean(dim=0).tolist() if found else []}


def diagnose(config: RunConfig, pair: Pair, task: Task, bridge: Bridge, questions: Sequence[Question]) -> dict:
    """All diagnostics of one bridge on `questions` (dev, some dozens): plain values, ready for JSON.

    Gradient norms are of one batch of these questions, without a step; the gold answers are used for nothing else.
    """
    target = pair.target
    layout, plain = target.reads(config.layout.at()), target.reads(TEXT)
    batch, output = Batch(questions, surroundings(task, config.task.shots)), bridge.write(questions)
    contexts, soft = batch.contexts, output.soft_tokens
    own, step = Pair(bridge.source, target), config.training.steps
    terms = training_terms(bridge.translator, own, config, batch, step, task, greedy)
    return {
        "questions": len(questions),
        "size": soft_token_sizes(soft, target.embedding_rms, output.mask),
        "similarity": similarity(soft, output.mask),
        "gates": gates(bridge.translator),
        "gradient_norms": gradient_norms(bridge.translator, terms),
        "loss_terms": {name: term.item() for name, term in terms.items()},
        "first_token": first_token(
            target, next_token(target, layout, soft, contexts, output.mask), next_token(target, plain, None, contexts)
        ),
        "example": {
            "id": questions[0].id,
            "question": questions[0].question,
            "nearest_tokens": nearest_tokens(target, soft[0] if output.mask is None else soft[0][output.mask[0]]),
            "attention": attention_over_source(bridge, questions[0]),
        },
    }


def write_diagnostics(folder: str | Path, found: Mapping, about: Mapping) -> Path:
    """`diagnostics.json` in `folder`; `about` says which run was looked at, and on what."""
    path = Path(folder) / "diagnostics.json"
    write_text(path, json.dumps({**about, **found}, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return path
