"""A decoder in numbers: how many weights it has, what they and its keys and values take, what a pass through it costs.

Counted from a model's config.json alone. What is counted here is held in tests to the library's own model, built
without weights, and to the tensors that a pass really keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.config import GEMMA, LLAMA, MISTRAL, SMOLLM2
from lab.errors import LabError

GATED = ("llama", "mistral", "gemma3_text")  # types whose layers are counted below; others are refused
SCALES = {8: 0.1, 4: 0.13}  # bits a weight that its scale takes; see `lab.models.quantised`


@dataclass(frozen=True)
class Decoder:
    """`layers` blocks of grouped-query attention and a gated MLP (Touvron et al. 2023, section 2.2). Sizes in numbers
    of elements; `four_norms`: Gemma 3's, two around each branch and one each on queries and keys."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    mlp: int
    tied: bool = False
    four_norms: bool = False

    @classmethod
    def of(cls, name: str, config: Any) -> Decoder:
        """From a config as the library reads it. Raises LabError for a type of model that is not counted here."""
        text = config.get_text_config(decoder=True)
        if text.model_type not in GATED or getattr(text, "attention_bias", False) or getattr(text, "mlp_bias", False):
            raise LabError(
                f"model {name!r} is of type {text.model_type!r}, whose size preflight cannot count (it counts "
                f"{', '.join(GATED)}); ask `python -m lab doctor` on the GPU instead."
            )
        return cls(
            text.vocab_size,
            text.hidden_size,
            text.num_hidden_layers,
            text.num_attention_heads,
            text.num_key_value_heads,
            getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
            text.intermediate_size,
            bool(text.tie_word_embeddings),
            text.model_type == "gemma3_text",
        )

    @property
    def attention(self) -> int:
        """Size of all queries of a token."""
        return self.heads * self.head

    @property
    def matrices(self) -> int:
        """Weights of all layers that every token is multiplied with; the head apart."""
        kv = self.kv_heads * self.head
        return self.layers * self.hidden * (2 * self.attention + 2 * kv + 3 * self.mlp)

    @property
    def table(self) -> int:
        """Weights of the embeddings, and of the head."""
        return self.vocabulary * self.hidden

    @property
    def norms(self) -> int:
        own = 4 * self.hidden + 2 * self.head if self.four_norms else 2 * self.hidden
        return self.layers * own + self.hidden

    @property
    def parameters(self) -> int:
        return self.matrices + self.norms + self.table * (1 if self.tied else 2)

    def weight_bytes(self, element: int, bits: int = 0) -> float:
        """Bytes of all weights of `element` bytes each, those of the layers in `bits` if they are packed."""
        packed = self.matrices if bits else 0
        return (self.parameters - packed) * element + packed * (bits + SCALES.get(bits, 0)) / 8

    def kv_bytes(self, element: int) -> int:
        """Bytes of keys and values of a token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head * element

    def kept_bytes(self, element: int, fused: bool) -> int:
        """Bytes that a pass of a frozen decoder keeps of a token in all layers, for the way back to its embeddings.

        A product with a frozen weight keeps nothing. A norm keeps its input in float32, or as it is if it is fused;
        attention keeps queries, keys, values (repeated for each query head, as the library does where there is a mask)
        and its result with a float32 sum; the gated MLP gate, its activation and the other factor, fused without the
        activation.
        """
        inputs = 4 * self.hidden if self.four_norms else 2 * self.hidden
        small = self.attention + self.kv_heads * self.head if self.four_norms else 0
        norms = (inputs + small) * (element if fused else 4)
        attention = 4 * self.attention * element + 4 * self.heads
        return self.layers * (norms + attention + (2 if fused else 3) * self.mlp * element)

    def pass_bytes(self, rows: int, width: int, shared: int, element: int, fused: bool) -> int:
        """Bytes that a pass of `rows` keeps, each `width` tokens behind `shared` that were read before it.

        Of a token read before: keys and values, repeated for each query head, and once more in the cache that the pass
        is given. Attention makes its mask anew in each layer; a last norm stands behind them.
        """
        tokens = rows * width * self.kept_bytes(element, fused)
        before = rows * shared * (self.layers * 2 * self.attention * element + self.kv_bytes(element))
        masks = self.layers * rows * width * (width + shared) * element
        return tokens + before + masks + rows * width * self.hidden * (element if fused else 4)

    def layer_bytes(self, element: int) -> float:
        """Bytes of a token's own intermediate results within one layer, where nothing is kept: the gated
        MLP's three factors, and the states that go past it."""
        return (3 * self.mlp + 4 * self.hidden) * element


# What the config.json of the models that have a name in `PAIRS` say: no network and no file is needed for them.
KNOWN = {
    MISTRAL: Decoder(32768, 4096, 32, 32, 8, 128, 14336),
    LLAMA: Decoder(128256, 4096, 32, 32, 8, 128, 14336),
    SMOLLM2: Decoder(49152, 576, 30, 9, 3, 64, 1536, tied=True),
    GEMMA: Decoder(262144, 640, 18, 4, 1, 256, 2048, tied=True, four_norms=True),
}
