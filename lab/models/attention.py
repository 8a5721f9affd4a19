"""Attention that transformers does not have, chosen for a pass; and rows moved to the left, for which it needs no mask.

A batch is padded on the left, so that answers go on where all prompts end. Its mask keeps attention from the fastest
kernel, and has every key repeated for the queries of its group. Where nothing is said after a pass, as in training,
rows may as well begin together and be padded behind: no token looks at what comes later, so there is nothing to mask
(FlashAttention-2: Dao 2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import causal_lower_right
from transformers import AttentionInterface, PreTrainedModel

from lab.models.architecture import close

if TYPE_CHECKING:
    from lab.models.frozen import FrozenModel

CAUSAL = "causal"  # what transformers knows `causal_attention` by
REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, AttributeError)  # of a model that takes no such mask
TRIED = (9, 24)  # tokens of the rows on which a model is tried
CHANGES = ("softcap", "s_aux", "position_bias", "alibi")  # arguments of attention that change what it computes

_unmasked: WeakKeyDictionary[PreTrainedModel, dict[torch.device, bool]] = WeakKeyDictionary()


@contextmanager
def attending(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Inside, the model computes attention by what is registered as `name`."""
    configs = {id(config): config for config in (model.config, model.base_model.config)}.values()
    kept = [config._attn_implementation for config in configs]
    try:
        for config in configs:
            config._attn_implementation = name
        yield
    finally:
        for config, attention in zip(configs, kept, strict=True):
            config._attn_implementation = attention


def causal_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: None, scaling: float | None = None,
    **more: object,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention of the last T tokens, query [B, heads, T, d], over all S, key and value [B, key-value heads, S, d]: of
    each over those before it and itself -> [B, T, heads, d]. Raises ValueError for anything else."""
    if attention_mask is not None or any(more.get(name) is not None for name in CHANGES):
        raise ValueError("this attention takes no mask, no cap and no bias")
    which = sdpa_kernel(SDPBackend.FLASH_ATTENTION) if query.is_cuda else nullcontext()
    with which:
        found = F.scaled_dot_product_attention(
            query, key, value, attn_mask=causal_lower_right(query.shape[2], key.shape[2]), scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )  # fmt: skip
    return found.transpose(1, 2).contiguous(), None


AttentionInterface.register(CAUSAL, causal_attention)


def moved_left(values: Tensor, by: Tensor) -> Tensor:
    """Each row of `values` [B, T] or [B, T, d] moved `by` [B] places to the left, what falls off coming in again on the
    right; by negative places to the right."""
    count = values.shape[1]
    columns = (torch.arange(count, device=values.device) + by[:, None]) % count
    return values.gather(1, columns if values.dim() == 2 else columns[..., None].expand_as(values))


def goes_unmasked(model: FrozenModel, width: int) -> bool:
    """Whether passes over rows of `width` tokens that begin at the left say the same without a mask, by the kernel that
    takes none: in half precision on a GPU, and where no window ends within the row."""
    window = getattr(model.model.config, "sliding_window", None)
    fast = model.device.type == "cuda" and model.dtype in (torch.bfloat16, torch.float16)
    return fast and (window is None or width <= window) and says_the_same_unmasked(model)


@torch.no_grad()
def says_the_same_unmasked(model: FrozenModel) -> bool:
    """Whether the states of rows at the left, without a mask, are those of the model's own pass. Asked of the model
    itself, once: it may cap its scores, bias them by distance, or count columns."""
    known = _unmasked.setdefault(model.model, {})
    if model.device not in known:
        known[model.device] = model.model.config._attn_implementation == "sdpa" and _tried(model)
    return known[model.device]


def _tried(model: FrozenModel) -> bool:
    lengths = torch.tensor(TRIED, device=model.device)
    vocabulary, width = model.model.get_input_embeddings().weight.shape[0], max(TRIED)
    ids = torch.arange(len(TRIED) * width, device=model.device).view(len(TRIED), width) * 7 % vocabulary
    column = torch.arange(width, device=model.device)
    real = column >= width - lengths[:, None]
    places = (column - width + lengths[:, None]).clamp_min(0)
    padding, embeds = width - lengths, model.embed(ids)
    expected = model.run(real, embeds, real.long(), places).logits
    try:
        with attending(model.model, CAUSAL):
            found = model.run(moved_left(real, padding), moved_left(embeds, padding), None, moved_left(places, padding))
    except REFUSALS:
        return False
    return close(found.logits, expected)
