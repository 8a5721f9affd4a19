"""The most memory that a job's tensors take, in named terms: while the source reads, in a training step, in evaluation.

Each term is counted from sizes; nothing is fitted. What is said is the peak of what
tensors hold (`torch.cuda.max_memory_allocated`), which is what the benchmarks record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.preflight.decoder import Decoder
from lab.preflight.shapes import NEVER, Group, Ways, Window
from lab.preflight.translator import GRADIENT, MOMENTS, WEIGHT, TranslatorSize
from lab.preflight.workload import Asked

GIB = 2**30
STRIDE, READ = 64, 256  # slots of keys and values come, and are read, in multiples of so many; see `lab.models.slots`
CHUNK = 2**28  # logits of a piece, and
WHOLE = 2**24  # those that are computed in one piece; see `lab.models.cross_entropy`
# Bytes a logit at the loss. Whole: log-softmax and two gradients in float32. In pieces: what goes into
# `_loss_and_error` and comes out, in bfloat16, and float32 on the way; compiled, what goes in and comes out.
LOGITS_WHOLE, LOGITS_PIECES, LOGITS_FUSED = 12, 8, 4
EMBEDS = 3  # copies of a batch's embeddings: built, padded to its neighbours, the pass's own


@dataclass(frozen=True)
class Sizes:
    """What memory and time are counted of: two decoders, a translator, bytes of an element, and how a run computes."""

    source: Decoder
    target: Decoder
    translator: TranslatorSize
    element: int
    bits: int
    ways: Ways

    @property
    def source_bytes(self) -> float:
        return self.source.weight_bytes(self.element)

    @property
    def target_bytes(self) -> float:
        return self.target.weight_bytes(self.element, self.bits)

    def read_bytes(self, rows: int, width: int) -> float:
        """A pass of the source: all its hidden states, then those that are picked beside them."""
        token = self.source.hidden * self.element
        inside = (self.source.layers + 1) * token + self.source.layer_bytes(self.element)
        after = (self.source.layers + 1 + self.translator.picked) * token
        return rows * width * max(inside, after)


def reading(sizes: Sizes, window: Window) -> dict[str, float]:
    """Bytes while the source reads the first window, before there is an optimiser."""
    size, away = sizes, sizes.ways.leaves
    most = max((size.read_bytes(*one) for one in window.passes), default=0.0)
    kept = 0 if away or not size.ways.ahead else window.tokens * size.translator.read * size.element
    return {
        "source": size.source.table * size.element if away else size.source_bytes,
        "target": size.target_bytes,
        "translator": size.translator.parameters * WEIGHT,
        "optimizer": size.translator.parameters * MOMENTS if window.steps == 1 else 0,
        "states": max(kept + most, 2 * kept),
    }


def stepping(sizes: Sizes, steps: Sequence[tuple[tuple[int, int], list[Group]]], window: Window,
             captured: Iterable[Group] = ()) -> dict[str, float]:  # fmt: skip
    """Bytes in the largest of these training steps, each (rows, padded source width) and its groups.

    The target's pass is over, and its activations gone, before the translator's gradients are there.
    """
    size, away, chosen = sizes, sizes.ways.leaves, sizes.translator
    kept = 0 if away or not size.ways.ahead else window.tokens * chosen.read * size.element
    held = {
        "source": 0 if away else size.source_bytes,
        "target": size.target_bytes,
        "translator": chosen.parameters * WEIGHT,
        "optimizer": chosen.optimizer_bytes,
        "graphs": graphs_bytes(size, captured),
    }
    found = []
    for (rows, width), passes in steps:
        states = kept + chosen.kept_bytes(rows, width, size.element, training=True)
        embeds = EMBEDS * sum(one.tokens for one in passes) * size.target.hidden * size.element
        for one in passes:
            found.append(held | {
                "states": states,
                "activations": activations(size, one) + embeds,
                "logits": logits(size, one.scored),
            })  # fmt: skip
        back = rows * width * chosen.read * 4 if chosen.needs_source else 0
        found.append(held | {"states": states + back, "activations": 0, "logits": 0,
                             "gradients": chosen.parameters * GRADIENT})  # fmt: skip
    return max(found, key=lambda terms: sum(terms.values()))


def activations(sizes: Sizes, one: Group) -> float:
    """Bytes that the target's pass keeps."""
    return sizes.target.pass_bytes(one.rows, one.width, one.shared, sizes.element, sizes.ways.fused)


def logits(sizes: Sizes, scored: int) -> float:
    """Bytes of the logits of the loss."""
    count = scored * sizes.target.vocabulary
    if count <= WHOLE or sizes.ways.chunk >= NEVER:
        return count * LOGITS_WHOLE
    return min(count, sizes.ways.chunk) * (LOGITS_FUSED if sizes.ways.fused else LOGITS_PIECES)


def graphs_bytes(sizes: Sizes, captured: Iterable[Group]) -> float:
    """Bytes of what the graphs of these shapes read and write: a batch's embeddings, and the gradient to them."""
    return sum(2 * one.tokens for one in captured) * sizes.target.hidden * sizes.element


def activation_peak(sizes: Sizes, steps: Sequence[tuple[tuple[int, int], list[Group]]]) -> float:
    """Bytes that the graphs of training keep for themselves, while they are not replayed, too."""
    if not sizes.ways.graphs:
        return 0.0
    return max(activations(sizes, one) + logits(sizes, one.scored) for _, passes in steps for one in passes)


@dataclass(frozen=True)
class Arms:
    """An evaluation: its questions, arms of text and of soft tokens that the target answers, whether the source answers
    as well, trained translators that lie in memory, and whether the gold answers are scored in every arm."""

    questions: list[Asked]
    texts: int
    latents: int
    source: bool
    batch: int
    new_tokens: int
    prompts: int = 0  # parameters of trained constant prompts beside the translator
    scored: bool = False


def _scoring(sizes: Sizes, model: Decoder, rows: int, prompt: int, answer: int) -> dict[str, float]:
    """Bytes while a batch of gold answers is scored: a layer over prompts and answers, and a piece of the logits, as
    they are and in float32."""
    tokens = rows * (sizes.ways.padded(prompt, rows) + answer)
    count = min(rows * answer * model.vocabulary, CHUNK)
    inside = tokens * (model.layer_bytes(sizes.element) + model.hidden * sizes.element)
    return {"activations": inside, "logits": count * (sizes.element + 4)}


def evaluating(sizes: Sizes, arms: Arms, captured: Iterable[Group] = ()) -> dict[str, float]:
    """Bytes at the peak of an evaluation, where all weights are at home."""
    size, chosen = sizes, sizes.translator
    held = {
        "source": size.source_bytes,
        "target": size.target_bytes,
        "translator": (chosen.parameters + arms.prompts) * WEIGHT,
        "graphs": graphs_bytes(size, captured),
    }
    found = []
    asked = [(size.source, [q.source for q in arms.questions], arms.source)]
    both = [q.target for q in arms.questions] * arms.texts
    both += [q.latent + chosen.soft for q in arms.questions] * arms.latents
    asked.append((size.target, both, True))
    for model, lengths, wanted in asked:
        if not (lengths and wanted):
            continue
        rows, width = min(len(lengths), arms.batch), size.ways.padded(max(lengths))
        if arms.scored:
            found.append(held | _scoring(size, model, rows, max(lengths), max(q.answer for q in arms.questions)))
        token, tokens = model.kv_bytes(size.element), rows * width
        embeds = tokens * model.hidden * size.element
        inside = tokens * model.layer_bytes(size.element) + rows * model.vocabulary * size.element
        slots = width + arms.new_tokens
        slots = -(-slots // STRIDE) * STRIDE if size.ways.graphs else slots
        one_layer = rows * slots * token / model.layers
        found.append(held | {"kv": tokens * token, "activations": inside + embeds})
        found.append(held | {"kv": rows * slots * token + one_layer, "activations": embeds,
                             "logits": 3 * rows * model.vocabulary * size.element})  # fmt: skip
    if arms.latents and chosen.needs_source and arms.questions:
        rows = min(len(arms.questions), arms.batch)
        width = size.ways.padded(max(q.read for q in arms.questions), rows)
        translating = max(size.read_bytes(rows, width), chosen.kept_bytes(rows, width, size.element, training=False))
        found.append(held | {"states": translating})
    return max(found, key=lambda terms: sum(terms.values()), default=held)
