"""A translator in numbers: its parameters, what its optimiser holds, and what a pass of a batch keeps and computes."""

from __future__ import annotations

from dataclasses import dataclass

from lab.config import TranslatorConfig
from lab.preflight.decoder import Decoder

WEIGHT, MOMENTS, GRADIENT = 4, 8, 4  # bytes a parameter: float32, AdamW's two moments, and while it is due the gradient
LATENTS = 40  # elements of `width` that a block keeps of each soft token, about: attention twice, SwiGLU or MLP, norms


@dataclass(frozen=True)
class TranslatorSize:
    """The translator of `config` between these two decoders, of `picked` source layers."""

    config: TranslatorConfig
    source: Decoder
    target: Decoder
    picked: int

    @property
    def soft(self) -> int:
        return self.config.soft_tokens or self.config.soft_tokens_cap

    @property
    def needs_source(self) -> bool:
        return self.config.translator != "constant"

    @property
    def read(self) -> int:
        """Elements of the source's states of one token, as the translator reads them."""
        return self.picked * self.source.hidden

    @property
    def parameters(self) -> int:
        chosen, width, target = self.config, self.config.width, self.target.hidden
        if chosen.translator == "constant":
            return self.soft * target
        if chosen.translator == "linear":
            return self.read + (self.read + 1) * target
        concat = chosen.source_mix == "concat"
        mix = self.read + ((self.read if concat else self.source.hidden) + 1) * width + (0 if concat else self.picked)
        square = width * width
        if chosen.translator == "dit":
            cross = chosen.conditioning == "cross"
            modulation = (9 if cross else 6) * (square + width)
            block = (8 if cross else 4) * square + 8 * square + 5 * width + modulation
            pool = width + 1 if chosen.conditioning == "attention" else 0
            time = 2 * (square + width)
            ends = (target + 1) * width + 2 * (square + width) + (width + 1) * target
            return mix + pool + width + time + self.soft * width + chosen.depth * block + ends
        block = 8 * square + 6 * square + 3 * width + 3
        return mix + self.soft * width + chosen.depth * block + width + (width + 1) * target

    @property
    def optimizer_bytes(self) -> int:
        """AdamW's state; its step counters apart."""
        return self.parameters * MOMENTS

    @property
    def passes(self) -> int:
        """Times that the network runs in a training step with its gradient."""
        return max(1, self.config.flow_backprop_steps) if self.config.translator == "dit" else 1

    def kept_bytes(self, rows: int, width: int, element: int, training: bool) -> float:
        """Bytes of `rows` questions of `width` source tokens, the states themselves of `element` bytes among them.

        Kept for the way back: states in float32, and all layers side by side; on the way also each layer's norm.
        """
        if not self.needs_source:
            return 0.0
        tokens = rows * width
        wide = 0 if element == 4 else 4  # in float32 already: not copied
        states = tokens * self.read * (element + wide + (4 if training else 8))
        latents = self.passes * self.config.depth * LATENTS * rows * self.soft * self.config.width * 4
        context = 4 * tokens * self.config.width * 4 * self.config.depth
        return states + (latents + context if training else 0)

    def flops(self, rows: int, width: int) -> float:
        """FLOP of a training step, forward and back: three products for each of the forward's."""
        if not self.needs_source:
            return 0.0
        chosen = self.config
        inner = self.read if chosen.source_mix == "concat" or chosen.translator == "linear" else self.source.hidden
        out = self.target.hidden if chosen.translator == "linear" else chosen.width
        body = 0 if chosen.translator == "linear" else 14 * chosen.width**2 * chosen.depth
        ends = 0 if chosen.translator == "linear" else chosen.width * self.target.hidden
        return 6.0 * rows * (width * inner * out + self.passes * self.soft * (body + ends))

    def moved_bytes(self, rows: int, width: int) -> float:
        """Bytes that a training step moves: states several times over, and AdamW's read and written parameters."""
        states = rows * width * self.read * 48 if self.needs_source else 0
        return states + self.parameters * 36
