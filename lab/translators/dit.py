"""The DiT bridge: soft tokens are sampled from noise by a rectified-flow transformer that is conditioned on the source.

Blocks with AdaLN-zero after Peebles and Xie (2023, section 3.2); the straight-line flow and its loss after Liu, Gong
and Liu (2023, equation 1); guidance with a learned unconditional vector after Ho and Salimans (2022).

The network predicts where the flow ends, and the velocity follows from it (x-prediction: Li and He 2025, table 1). A
network that predicts the velocity has to cancel the noise it was given before anything it says can be heard: trained
so, the language-model loss stayed at that of a constant prompt.

The language-model loss reads what sampling gives. A teacher shapes the flow loss alone: it never touches the sample.
"""

import math

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from lab.models import SourceStates
from lab.translators.contract import Teacher, TranslatorOutput, as_long_as_source, match_rms
from lab.translators.resampler import Attention, LayerMix

NOISE_SEED = 77
NEAREST = 0.05  # to the flow's end: the velocity there is a difference over almost no time


def time_embedding(time: Tensor, width: int) -> Tensor:
    """Sinusoids of time [B] in 0-1 -> [B, width] (Vaswani et al. 2017, section 3.5, with time in thousandths)."""
    half = width // 2
    rates = torch.exp(-math.log(10_000) * torch.arange(half, device=time.device) / half)
    angles = 1000 * time[:, None] * rates
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, width - 2 * half))


def question_noise(source: SourceStates, tokens: int, size: int) -> Tensor:
    """Noise [B, tokens, size] in which each question has a generator of its own, seeded by what the source reads.

    So the same weights give the same soft tokens, whatever stands beside a question and whoever drew before.
    """
    noise = []
    for ids, mask in zip(source.ids.tolist(), source.mask.tolist(), strict=True):
        seed = NOISE_SEED
        for token, real in zip(ids, mask, strict=True):
            seed = (seed * 1_000_003 + token + 1) % (2**61 - 1) if real else seed
        noise.append(torch.randn(tokens, size, generator=torch.Generator().manual_seed(seed)))
    return torch.stack(noise).to(source.states.device)


class Block(nn.Module):
    """Self-attention, cross-attention to the source if it is given, and an MLP, each shifted, scaled and gated by the
    condition; the gates begin at zero, so the block begins as the identity."""

    def __init__(self, width: int, heads: int, dropout: float, cross: bool):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = Attention(width, heads)
        self.cross = Attention(width, heads) if cross else None
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        self.modulation = nn.Linear(width, (9 if cross else 6) * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, condition: Tensor, source: Tensor, mask: Tensor, places: Tensor | None) -> Tensor:
        """x [B, K, width], condition [B, width], source [B, S, width] with mask [B, S]; places [B, K] or None."""
        parts = iter(self.modulation(F.silu(condition))[:, None].split(x.shape[-1], dim=-1))  # shift, scale, gate, ...

        def enter() -> Tensor:
            shift, scale = next(parts), next(parts)
            return self.norm(x) * (1 + scale) + shift

        normed = enter()
        x = x + next(parts) * self.dropout(self.attention(normed, normed, places))
        if self.cross is not None:
            crossed = self.cross(enter(), source, mask)
            x = x + next(parts) * self.dropout(crossed)
        changed = self.mlp(enter())
        return x + next(parts) * self.dropout(changed)


class DiT(nn.Module, PyTorchModelHubMixin):
    """Source states `[B, S, L, source_dim]` to soft tokens `[B, K, target_dim]`, in units of the target's median RMS.

    `conditioning`: the mean of the source's states, their mean weighted by attention, or cross-attention to all of
    them. `soft_tokens` 0: one per source token, at most `cap`.
    """

    needs_source = True

    def __init__(
        self,
        *,
        soft_tokens: int,
        cap: int,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
        source_mix: str,
        conditioning: str,
        train_steps: int,
        eval_steps: int,
        backprop_steps: int,
        condition_dropout: float,
        guidance: float,
        source_dim: int,
        source_layers: int,
        target_dim: int,
        target_rms: float,
    ):
        super().__init__()
        self.soft_tokens, self.cap, self.target_dim, self.target_rms = soft_tokens, cap, target_dim, target_rms
        self.conditioning, self.condition_dropout, self.guidance = conditioning, condition_dropout, guidance
        self.train_steps, self.eval_steps, self.backprop_steps = train_steps, eval_steps, backprop_steps
        self.mix = LayerMix(source_dim, source_layers, width, source_mix)
        self.pool = nn.Linear(width, 1) if conditioning == "attention" else None
        self.unconditional = nn.Parameter(torch.randn(width) * 0.02)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.places = nn.Parameter(torch.randn(soft_tokens or cap, width) * 0.02)
        self.noisy_in = nn.Linear(target_dim, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout, conditioning == "cross") for _ in range(depth))
        self.output_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.output_modulation = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, target_dim)
        for layer in (*(block.modulation for block in self.blocks), self.output_modulation, self.output):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def read(self, source: SourceStates, dropped: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(pooled condition [B, width], states [B, S, width]); where `dropped` [B] is True, unconditional ones."""
        states, mask = self.mix(source.states.to(self.output.weight.dtype)), source.mask.bool()
        if dropped is not None:
            states = torch.where(dropped[:, None, None], self.unconditional, states)
        if self.pool is None:
            weights = mask.to(states.dtype) / mask.sum(dim=1, keepdim=True).clamp_min(1)
        else:
            weights = self.pool(states).squeeze(-1).masked_fill(~mask, float("-inf")).softmax(dim=1)
        return (weights[:, :, None] * states).sum(dim=1), states

    def velocity(
        self, x: Tensor, time: Tensor, read: tuple[Tensor, Tensor], mask: Tensor, places: Tensor | None
    ) -> Tensor:
        """The flow's direction [B, K, target_dim] at `x` and `time` [B]: towards where the network sees its end."""
        pooled, states = read
        condition = self.time(time_embedding(time, pooled.shape[1])) + pooled
        hidden = self.noisy_in(x) + self.places[-x.shape[1] :]
        for block in self.blocks:
            hidden = block(hidden, condition, states, mask, places)
        shift, scale = self.output_modulation(F.silu(condition))[:, None].chunk(2, dim=-1)
        end = self.output(self.output_norm(hidden) * (1 + scale) + shift)
        return (end - x) / (1 - time).clamp_min(NEAREST)[:, None, None]

    @staticmethod
    def drawn(count: int) -> Tensor:
        """`count` random times in order, none so near the end that its step would be cut by `NEAREST`."""
        return (torch.rand(count) * (1 - 2 * NEAREST)).sort().values

    def sample(self, source: SourceStates, noise: Tensor, places: Tensor | None) -> Tensor:
        """Euler steps from noise [B, K, target_dim]; in training the gradient runs through the last of them.

        Evaluation's times are evenly spaced. Training draws its own, so that none of evaluation's, which has more
        steps, is one that the language-model loss has never seen: with a fixed grid the loss fell and nothing was
        answered.
        """
        steps = self.train_steps if self.training else self.eval_steps
        times = [0.0, *(self.drawn(steps - 1) if self.training else torch.arange(1, steps) / steps), 1.0]
        times = [float(time) for time in times]
        read, x = self.read(source), noise
        everywhere = torch.ones(len(noise), dtype=torch.bool, device=noise.device)
        unread = self.read(source, everywhere) if self.guidance != 1 and not self.training else None
        for step in range(steps):
            keep = torch.is_grad_enabled() and (not self.training or step >= steps - self.backprop_steps)
            with torch.set_grad_enabled(keep):
                time = torch.full((len(x),), times[step], device=x.device)
                velocity = self.velocity(x, time, read, source.mask, places)
                if unread is not None:
                    without = self.velocity(x, time, unread, source.mask, places)
                    velocity = without + self.guidance * (velocity - without)
                x = x + velocity * max(times[step + 1] - times[step], 0.0)
        return x

    def flow_loss(self, source: SourceStates, teacher: Teacher, places: Tensor | None) -> Tensor:
        """Squared error of the velocity on the straight line from noise to the teacher's embeddings, a mean over the
        places that the teacher fills."""
        data = teacher.embeds / self.target_rms
        noise, time = torch.randn_like(data), torch.rand(len(data), device=data.device)
        dropped = torch.rand(len(data), device=data.device) < self.condition_dropout if self.training else None
        between = torch.lerp(noise, data, time[:, None, None])
        velocity = self.velocity(between, time, self.read(source, dropped), source.mask, places)
        error = (velocity - (data - noise)).square().mean(dim=2)
        return (error * teacher.mask).sum() / teacher.mask.sum().clamp_min(1)

    def forward(self, source: SourceStates, teacher: Teacher | None = None) -> TranslatorOutput:
        places = None if self.soft_tokens else as_long_as_source(source, self.cap)[1]
        count = self.soft_tokens or places.shape[1]
        if self.training:
            noise = torch.randn(len(source.mask), count, self.target_dim, device=source.mask.device)
        else:
            # The last ones, as padding is on the left: a text gets the same noise in any batch.
            noise = question_noise(source, len(self.places), self.target_dim)[:, -count:]
        soft = match_rms(self.sample(source, noise, places) * self.target_rms, self.target_rms, places)
        auxiliary = {} if teacher is None else {"flow": self.flow_loss(source, teacher, places)}
        return TranslatorOutput(soft, places, auxiliary)
