"""The bottlenecked gated resampler: K learned queries that read the source's states through gated attention.

After Flamingo's gated cross-attention (Alayrac et al. 2022, section 3.2) over a Perceiver-style set of latent queries:
in each block the queries attend to each other, then to the source states, then pass a SwiGLU, each branch behind
`tanh(gate)`. All of it happens in a bottleneck of `width`; one linear map leads into the target's embedding space.
"""

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from lab.models import SourceStates
from lab.translators.contract import TranslatorOutput, as_long_as_source, match_rms


class Attention(nn.Module):
    """Multi-head attention of queries `[B, K, width]` over `[B, N, width]`, keys masked by `mask` `[B, N]` if given."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, queries: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        def split(x: Tensor) -> Tensor:  # [B, N, width] -> [B, heads, N, width / heads]
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        key, value = self.key_value(context).chunk(2, dim=-1)
        keep = None if mask is None else mask.bool()[:, None, None, :]
        mixed = F.scaled_dot_product_attention(split(self.query(queries)), split(key), split(value), attn_mask=keep)
        return self.output(mixed.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """`W_out(silu(W_gate x) * W_in x)` (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate_and_input = nn.Linear(width, 2 * hidden, bias=False)
        self.output = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.gate_and_input(x).chunk(2, dim=-1)
        return self.output(F.silu(gate) * value)


class Block(nn.Module):
    """Self-attention, cross-attention to the source and SwiGLU, each pre-normed and behind its own tanh gate."""

    def __init__(self, width: int, heads: int, dropout: float, gate_init: float):
        super().__init__()
        self.self_norm, self.cross_norm, self.ffn_norm = nn.RMSNorm(width), nn.RMSNorm(width), nn.RMSNorm(width)
        self.self_attention, self.cross_attention = Attention(width, heads), Attention(width, heads)
        self.ffn = SwiGLU(width, 2 * width)
        self.self_gate, self.cross_gate, self.ffn_gate = (nn.Parameter(torch.full((), gate_init)) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, latents: Tensor, source: Tensor, mask: Tensor, places: Tensor | None = None) -> Tensor:
        normed = self.self_norm(latents)
        latents = latents + self.self_gate.tanh() * self.dropout(self.self_attention(normed, normed, places))
        latents = latents + self.cross_gate.tanh() * self.dropout(
            self.cross_attention(self.cross_norm(latents), source, mask)
        )
        return latents + self.ffn_gate.tanh() * self.dropout(self.ffn(self.ffn_norm(latents)))


class LayerMix(nn.Module):
    """Source states of several layers `[B, S, L, source_dim]` to `[B, S, width]`.

    The layers are normed one by one and then concatenated (`source_mix="concat"`) or averaged with learned weights
    (`"weighted"`).
    """

    def __init__(self, source_dim: int, source_layers: int, width: int, source_mix: str):
        super().__init__()
        self.layer_norms = nn.ModuleList(nn.RMSNorm(source_dim) for _ in range(source_layers))
        self.layer_weights = nn.Parameter(torch.zeros(source_layers)) if source_mix == "weighted" else None
        self.source_in = nn.Linear(source_dim * (source_layers if source_mix == "concat" else 1), width)

    def forward(self, states: Tensor) -> Tensor:
        normed = [norm(layer) for norm, layer in zip(self.layer_norms, states.unbind(dim=2), strict=True)]
        if self.layer_weights is None:
            return self.source_in(torch.cat(normed, dim=-1))
        weights = self.layer_weights.softmax(dim=0)
        return self.source_in(sum(weight * layer for weight, layer in zip(weights, normed, strict=True)))


class Resampler(nn.Module, PyTorchModelHubMixin):
    """Source states `[B, S, L, source_dim]` to soft tokens `[B, K, target_dim]`; `soft_tokens` 0: one query per source
    token, at most `cap`. The output's size is matched to the target's embeddings by `match_rms`.
    """

    needs_source = True

    def __init__(
        self,
        *,
        soft_tokens: int,
        cap: int = 0,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
        source_mix: str,
        gate_init: float,
        source_dim: int,
        source_layers: int,
        target_dim: int,
        target_rms: float,
    ):
        super().__init__()
        self.soft_tokens, self.cap, self.target_rms = soft_tokens, cap, target_rms
        self.mix = LayerMix(source_dim, source_layers, width, source_mix)
        self.queries = nn.Parameter(torch.empty(soft_tokens or cap, width))
        self.blocks = nn.ModuleList(Block(width, heads, dropout, gate_init) for _ in range(depth))
        self.output_norm = nn.RMSNorm(width)
        self.output = nn.Linear(width, target_dim)
        self.initialise()

    def initialise(self) -> None:
        """All initial values, here alone: orthogonal queries of unit RMS; outputs already at the target's size."""
        nn.init.orthogonal_(self.queries, gain=self.queries.shape[1] ** 0.5)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.output.weight.mul_(self.target_rms)

    def forward(self, source: SourceStates, teacher=None) -> TranslatorOutput:
        context = self.mix(source.states.to(self.queries.dtype))
        places = None if self.soft_tokens else as_long_as_source(source, self.cap)[1]
        # Counted from the end, because padding is on the left: a text gets the same queries in any batch.
        queries = self.queries if places is None else self.queries[-places.shape[1] :]
        latents = queries.expand(len(context), -1, -1)
        for block in self.blocks:
            latents = block(latents, context, source.mask, places)
        soft = self.output(self.output_norm(latents))
        return TranslatorOutput(match_rms(soft, self.target_rms, places), places)
