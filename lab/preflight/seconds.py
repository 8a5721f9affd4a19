"""How long a job takes: arithmetic at the rate of a plain product, bytes at the rate of a plain copy, and launches.

The constants below say how far a run is from those rates. They were fitted to some of the rows of
`benchmarks/speed_h100.json` and tried on the others: `benchmarks/preflight.py` says which, and what came out. Since
these were measured the host's part of a step is done while the GPU computes the step before, so a step is rather said
too slow.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.preflight.decoder import Decoder
from lab.preflight.gpus import GPU
from lab.preflight.memory import READ, Arms, Sizes, activations
from lab.preflight.shapes import Group, Window
from lab.preflight.translator import WEIGHT

NARROW = 820.0  # width of the states at which a product reaches half of the rate of a wide one
ATTENTION = 0.103  # of a plain product's rate, by attention with a mask, forward and back
MOVED = 5.3  # times that what a pass keeps is moved, forward and back: written, read, and the gradients of it
HOST, HOST_ROW = 0.011, 8.4e-4  # seconds of a step, and of each of its rows: tokens, masks, the translator's launches
LAUNCHED = 1.87e-3  # seconds of the host for one layer, forward and back, where no graph is replayed
DECODED = 0.9  # of a plain copy's rate, where a token is made and all weights and the taken slots are read
REPLAYED = 1.14e-4  # seconds of a layer and token beside that, replayed
SAID = 8e-4  # the same of the host where no graph is replayed
COPIED = 6.0  # times that keys and values are moved for a token then: joined anew and repeated for each query head
ASKED = 0.0114  # seconds of the host for a question and an arm: prompts, checks, answers cut
CAPTURED = 0.2  # seconds until a shape is captured: it is run, recorded, and compared
LOADED = 1.5e9  # bytes/s at which weights come from a disk (assumed; files that were read before come faster)


def products(sizes: Sizes, gpu: GPU, training: bool, model: Decoder) -> float:
    """FLOP/s of this model's products: float32 runs as TF32 in training, and as it is elsewhere (by the data sheet)."""
    plain = gpu.products / (1 + NARROW / model.hidden)
    return plain if sizes.element == 2 else plain * (0.5 if training else 67 / 989)


def target_pass(sizes: Sizes, gpu: GPU, one: Group) -> float:
    """Seconds of a frozen target's pass over a group, forward and back."""
    target = sizes.target
    pairs = one.rows * one.width * (one.width + one.shared)
    attention = 14 * pairs * target.attention * target.layers / (ATTENTION * gpu.products)
    flops = 4 * (target.matrices * one.tokens + target.table * one.scored)
    kept = activations(sizes, one)
    computed = max(flops / products(sizes, gpu, True, target), 2 * sizes.target_bytes / gpu.copy)
    device = computed + attention + MOVED * kept / gpu.copy
    return device if sizes.ways.graphs else max(device, LAUNCHED * target.layers)


def source_pass(sizes: Sizes, gpu: GPU, rows: int, width: int) -> float:
    """Seconds of a pass of the source over `rows` of `width` tokens; where it is away its weights come first."""
    source, tokens = sizes.source, rows * width
    flops = 2 * source.matrices * tokens / products(sizes, gpu, True, source)
    moved = (sizes.read_bytes(rows, width) * 2 + tokens * source.layers * source.layer_bytes(sizes.element)) / gpu.copy
    here = max(flops + moved, LAUNCHED / 3 * source.layers)
    return here + (sizes.source_bytes / gpu.link if sizes.ways.leaves else 0)


def step(sizes: Sizes, gpu: GPU, question: tuple[int, int], passes: Sequence[Group]) -> float:
    """Seconds of a training step of (rows, padded source width), the reading ahead apart."""
    translator, (rows, width) = sizes.translator, question
    own = translator.flops(rows, width) / (gpu.products / 2) + translator.moved_bytes(rows, width) / gpu.copy
    if sizes.ways.leaves and translator.needs_source:  # its states wait in the host's memory
        own += rows * width * translator.read * sizes.element / gpu.link
    read = 0.0 if sizes.ways.ahead or not translator.needs_source else source_pass(sizes, gpu, rows, width)
    return HOST + HOST_ROW * rows + own + read + sum(target_pass(sizes, gpu, one) for one in passes)


def reading(sizes: Sizes, gpu: GPU, window: Window) -> float:
    """Seconds of the source's reading, a training step's share."""
    if not (sizes.translator.needs_source and sizes.ways.ahead):
        return 0.0
    back = window.tokens * sizes.translator.read * sizes.element / gpu.link if sizes.ways.leaves else 0
    return (sum(source_pass(sizes, gpu, *one) for one in window.passes) + back) / window.steps


def said(sizes: Sizes, gpu: GPU, side: str, lengths: Sequence[int], batch: int, new_tokens: int) -> float:
    """Seconds in which one model answers prompts of these lengths, all of them with `new_tokens`."""
    model, weights = (sizes.source, sizes.source_bytes) if side == "source" else (sizes.target, sizes.target_bytes)
    found, order = 0.0, sorted(lengths, reverse=True)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        width = sizes.ways.padded(rows[0], len(rows))
        tokens = len(rows) * width
        flops = 2 * model.matrices * tokens + 2 * tokens * width * model.attention * model.layers
        moved = tokens * model.layers * model.layer_bytes(sizes.element) * 2 / gpu.copy
        found += flops / products(sizes, gpu, False, model) + moved
        taken = width + new_tokens / 2
        if sizes.ways.graphs:  # more is read than is taken
            taken = min(taken + READ / 2, width + new_tokens)
        slots = len(rows) * taken * model.kv_bytes(sizes.element)
        if sizes.ways.graphs:
            token = (weights + slots) / (gpu.copy * DECODED) + REPLAYED * model.layers
        else:
            token = max((weights + COPIED * slots) / (gpu.copy * DECODED), SAID * model.layers)
        found += new_tokens * token + ASKED * len(rows)
    return found


def scored(sizes: Sizes, gpu: GPU, side: str, rows: Sequence[tuple[int, int]], batch: int) -> float:
    """Seconds in which one model scores gold answers, of (prompt, answer) tokens each."""
    model, found, order = sizes.source if side == "source" else sizes.target, 0.0, sorted(rows, reverse=True)
    for start in range(0, len(order), batch):
        some = order[start : start + batch]
        width = sizes.ways.padded(some[0][0], len(some)) + max(answer for _, answer in some)
        tokens, answers = len(some) * width, sum(answer for _, answer in some)
        flops = 2 * (model.matrices * tokens + model.table * answers)
        flops += 2 * tokens * width * model.attention * model.layers
        moved = (tokens * model.layers * model.layer_bytes(sizes.element) * 2
                 + answers * model.vocabulary * (sizes.element + 8)) / gpu.copy  # fmt: skip
        found += max(flops / products(sizes, gpu, False, model) + moved, LAUNCHED / 3 * model.layers)
    return found


def evaluation(sizes: Sizes, gpu: GPU, arms: Arms, first: bool) -> float:
    """Seconds of an evaluation; `first`: what the models answer to text is not known yet."""
    questions, soft = arms.questions, sizes.translator.soft
    asked = [q.latent + soft for q in questions] * arms.latents
    found = 0.0
    if first:
        asked += [q.target for q in questions] * arms.texts
        if arms.source:
            found += said(sizes, gpu, "source", [q.source for q in questions], arms.batch, arms.new_tokens)
    if asked and arms.new_tokens:
        found += said(sizes, gpu, "target", asked, arms.batch, arms.new_tokens)
    if arms.scored:
        rows = [(q.latent + soft, q.answer) for q in questions] * arms.latents
        rows += [(q.target, q.answer) for q in questions] * arms.texts
        found += scored(sizes, gpu, "target", rows, arms.batch)
        if arms.source:
            found += scored(sizes, gpu, "source", [(q.source, q.answer) for q in questions], arms.batch)
    if sizes.ways.leaves:
        found += sizes.source_bytes / gpu.link
    if arms.latents and sizes.translator.needs_source and questions:
        width = sizes.ways.padded(max(q.read for q in questions))
        passes = arms.latents * (2 if arms.scored and arms.new_tokens else 1)  # once to score, once to answer
        found += passes * source_pass(sizes, gpu, len(questions), width)
    return found


def loading(sizes: Sizes) -> float:
    """Seconds until both models are there."""
    return (sizes.source_bytes + sizes.target_bytes + sizes.translator.parameters * WEIGHT) / LOADED
