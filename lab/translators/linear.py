"""A linear map per position: one soft token for each source token. No bottleneck, so a bound, not compression."""

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn

from lab.models import SourceStates
from lab.translators.contract import TranslatorOutput, as_long_as_source, match_rms


class Linear(nn.Module, PyTorchModelHubMixin):
    """Source states `[B, S, L, source_dim]`, layers normed one by one and concatenated, to `[B, S, target_dim]`.

    A source text of more than `cap` tokens keeps its last `cap`.
    """

    needs_source = True

    def __init__(self, *, cap: int, source_dim: int, source_layers: int, target_dim: int, target_rms: float):
        super().__init__()
        self.cap, self.target_rms = cap, target_rms
        self.layer_norms = nn.ModuleList(nn.RMSNorm(source_dim) for _ in range(source_layers))
        self.output = nn.Linear(source_dim * source_layers, target_dim)
        nn.init.normal_(self.output.weight, std=self.output.in_features**-0.5 * target_rms)
        nn.init.zeros_(self.output.bias)

    def forward(self, source: SourceStates, teacher=None) -> TranslatorOutput:
        states, mask = as_long_as_source(source, self.cap)
        layers = zip(self.layer_norms, states.to(self.output.weight.dtype).unbind(dim=2), strict=True)
        soft = self.output(torch.cat([norm(layer) for norm, layer in layers], dim=-1))
        return TranslatorOutput(match_rms(soft, self.target_rms, mask), mask)
