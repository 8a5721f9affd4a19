"""The constant prompt: K learned vectors and no source. What training alone can gain, no translator may claim."""

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn

from lab.models import SourceStates
from lab.translators.contract import TranslatorOutput, match_rms


class ConstantPrompt(nn.Module, PyTorchModelHubMixin):
    """The same soft tokens `[K, target_dim]` for every question (prompt tuning, Lester et al. 2021), size-matched."""

    needs_source = False

    def __init__(self, *, soft_tokens: int, target_dim: int, target_rms: float):
        super().__init__()
        self.target_rms = target_rms
        self.soft_tokens = nn.Parameter(torch.randn(soft_tokens, target_dim) * target_rms)

    def forward(self, source: SourceStates, teacher=None) -> TranslatorOutput:
        """Of the source only the number of questions is used."""
        return TranslatorOutput(match_rms(self.soft_tokens.expand(len(source.mask), -1, -1), self.target_rms))
