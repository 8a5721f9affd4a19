"""Steps over slots: keys and values of every token that may come have their place from the start.

Nothing is then made anew from step to step, so a GPU can record one step as a graph and replay it (Llama-3.1-8B in
bfloat16, 36 rows, an H100: 11 ms a token, where launching its kernels one by one takes 90). Attention reads the slots
that are taken, rounded up to `READ`, with one graph for each such length; and the queries of one key-value head are
one block (grouped-query attention: Ainslie et al. 2023), so that no key is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.cache_utils import Cache, DynamicLayer

from lab.models.attention import attending
from lab.models.frozen import FrozenModel

__all__ = ["SlotSteps", "Slots", "grouped_attention"]

STRIDE = 64  # slots are made in multiples of so many
# And read: a graph for each length takes about 90 ms to record, reading 240 slots too many 1.2 ms a token
# (Llama-3.1-8B, 72 rows, an H100), so there are few lengths.
READ = 256
GROUPED = "grouped"  # what transformers knows `grouped_attention` by


def grouped_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float | None = None,
    **ignored: object,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention of one query a row: query [B, heads, 1, d] over key and value [B, key-value heads, n, d] -> [B, 1,
    heads, d]. `attention_mask` [B, 1, 1, n] is added."""
    rows, heads, _, size = query.shape
    folded = query.reshape(rows, key.shape[1], heads // key.shape[1], size)
    mask = attention_mask.expand(-1, -1, folded.shape[2], -1)
    found = F.scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scaling)
    return found.reshape(rows, 1, heads, value.shape[-1]), None


AttentionInterface.register(GROUPED, grouped_attention)


class Slots(DynamicLayer):
    """Keys and values of one layer, [B, heads, slots, d] from the start; `update` gives the first `read` of them."""

    def __init__(self, layer: DynamicLayer, slots: int, place: Tensor) -> None:
        """What `layer` holds, and zeros after it. `place` [1], on the device: the slot that the next token takes."""
        super().__init__()
        room = slots - layer.keys.shape[2]  # zeros, not what happens to lie there: masked, but never NaN
        self.keys, self.values = (F.pad(held, (0, 0, 0, room)) for held in (layer.keys, layer.values))
        self.place, self.read, self.is_initialized = place, slots, True

    def update(self, key_states: Tensor, value_states: Tensor, *given, **named) -> tuple[Tensor, Tensor]:
        self.keys.index_copy_(2, self.place, key_states)
        self.values.index_copy_(2, self.place, value_states)
        return self.keys[:, :, : self.read], self.values[:, :, : self.read]


@dataclass(frozen=True)
class _Recorded:
    """A step as a graph that reads `read` slots, and the logits that a replay writes."""

    graph: torch.cuda.CUDAGraph
    read: int
    logits: Tensor


class SlotSteps:
    """Steps over slots; on a GPU replayed from graphs, elsewhere taken one by one, by the same function."""

    drops_rows = False  # every number of rows would need graphs of its own, for a few ms of a token's dozen

    def __init__(
        self, model: FrozenModel, logits: Tensor, cache: Cache, mask: Tensor, place: Tensor, most: int
    ) -> None:
        """After a prompt with `mask` [B, T], of which the model gave `logits` [B, vocabulary] and `cache`, whose
        layers are taken over one by one (two copies of all would not always fit); `place` [B, 1] of its last token."""
        device, width = mask.device, mask.shape[1]
        self.model, self.logits, self.taken, self.slots = model, logits, width, _rounded(width + most, STRIDE)
        self.slot, self.place = torch.tensor([width], device=device), place + 1
        self.tokens = torch.zeros_like(place)
        self.layers: list[Slots] = []
        while cache.layers:
            self.layers.append(Slots(cache.layers.pop(0), self.slots, self.slot))
        self.cache = Cache(layers=self.layers)
        seen = F.pad(mask, (0, self.slots - width)) != 0
        hidden = torch.finfo(self.layers[0].keys.dtype).min
        self.mask = torch.zeros_like(seen, dtype=self.layers[0].keys.dtype).masked_fill_(~seen, hidden)[:, None, None]
        self.on_gpu, self.warm = device.type == "cuda", False
        self.recorded: _Recorded | None = None

    def step(self, tokens: Tensor) -> Tensor:
        """tokens [B] -> logits [B, vocabulary] of what comes after them, overwritten by the next step."""
        self.tokens.copy_(tokens[:, None])
        self.taken += 1
        read = min(_rounded(self.taken, READ), self.slots)
        if not (self.on_gpu and self.warm):  # libraries set themselves up in a first step, which no graph may hold
            self.warm = True
            return self.take(read)
        if self.recorded is None or self.recorded.read != read:
            self.recorded = self._record(read)
        self.recorded.graph.replay()
        return self.recorded.logits

    def _record(self, read: int) -> _Recorded:
        """Recording takes no step. The graph before, of fewer slots, is not needed again and lends its memory, so it
        has to be there until this one is."""
        graph, before = torch.cuda.CUDAGraph(), self.recorded and self.recorded.graph.pool()
        with torch.cuda.graph(graph, pool=before):
            logits = self.take(read)
        return _Recorded(graph, read, logits)

    def take(self, read: int) -> Tensor:
        """Nothing here waits for the device or depends on a value that lies there: a graph can hold it."""
        for layer in self.layers:
            layer.read = read
        self.mask.index_fill_(3, self.slot, 0.0)
        embeds, given = self.model.embed(self.tokens), self.model.placed(self.mask[..., :read], self.place)
        with attending(self.model.model, GROUPED):
            out = self.model.model(inputs_embeds=embeds, **given, past_key_values=self.cache, use_cache=True)
        self.slot += 1
        self.place += 1
        return out.logits[:, -1]


def _rounded(slots: int, step: int) -> int:
    return -(-slots // step) * step
