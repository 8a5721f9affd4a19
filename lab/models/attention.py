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

from lab.models.architecture import apart_by_row, close

if TYPE_CHECKING:
    from lab.models.frozen import FrozenModel

CAUSAL = "causal"  # what transformers knows `causal_attention` by
REFUSALS = (RuntimeError, ValueError, TypeError, IndexError, AttributeError)  # of a model that takes no such mask
TRIED = 150  # tokens of the longer row on which a model is tried: more than a kernel takes in one block
SAME_GRADIENT = 0.4  # of its size: in bfloat16 the two ways are .1 to .2 apart, a wrong one 1 or more
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


def says_the_same_unmasked(model: FrozenModel) -> bool:
    """Whether the logits of rows at the left, without a mask, are those of the model's own pass, and their gradient
    too. Asked of the model itself, once: it may cap its scores, bias them by distance, or count columns, and a kernel
    may be right forward and wrong back."""
    known = _unmasked.setdefault(model.model, {})
    if model.device not in known:
        known[model.device] = model.model.config._attn_implementation == "sdpa" and _tried(model)
    return known[model.device]


def _tried(model: FrozenModel) -> bool:
    config, device = model.model.config, model.device
    limits = (TRIED, getattr(config, "sliding_window", None), getattr(config, "max_position_embeddings", None))
    width = min(limit for limit in limits if limit)
    lengths = torch.tensor((max(1, width // 4), width), device=device)
    ids = torch.arange(2 * width, device=device).view(2, width) * 7 % model.model.get_input_embeddings().weight.shape[0]
    column, padding = torch.arange(width, device=device), width - lengths
    real = column >= padding[:, None]
    places, embeds = (column - padding[:, None]).clamp_min(0), model.embed(ids)
    expected = _logits_and_gradient(model, ids, real, embeds, real.long(), places)
    ids, real, embeds, places = (moved_left(values, padding) for values in (ids, real, embeds, places))
    try:
        with attending(model.model, CAUSAL):
            logits, gradient = _logits_and_gradient(model, ids, real, embeds, None, places)
    except REFUSALS:
        return False
    off, _ = apart_by_row(moved_left(gradient, -padding), expected[1])
    return close(logits, expected[0]) and bool(off.amax() <= SAME_GRADIENT)


@torch.enable_grad()
def _logits_and_gradient(
    model: FrozenModel, ids: Tensor, real: Tensor, embeds: Tensor, mask: Tensor | None, places: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits where a token is `real`, and the gradient to `embeds` of how likely each makes the token itself."""
    entered = embeds.detach().requires_grad_()
    logits = model.run(real, entered, mask, places).logits
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits.float(), ids[real]), entered)
    return logits.detach(), gradient
