"""What an answer costs: memory of the KV cache, bytes on the wire, tokens, seconds, tokens per second.

Sizes are measured from the tensors and computed from the config; the two must agree. Times are of one question at a
time, with every pass that the arm needs: the latent arm pays for the source's pass, a cascade for the source's answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import torch

from lab.answers import (
    WIRES,
    Decoder,
    Decoding,
    Evaluation,
    Generation,
    cut_generation,
    end_tokens_of,
    handing,
    latent_inputs,
    token_budget,
    with_evidence,
)
from lab.config import TEXT
from lab.errors import LabError
from lab.models import FrozenModel, TargetInputs, build_inputs, count_tokens
from lab.tasks import Question

__all__ = [
    "TIMED_ARMS", "Cost", "check_kv", "decode", "kv_bytes_computed", "kv_bytes_measured", "question_costs",
    "seconds_by_length", "sizes",
]  # fmt: skip

TIMED_ARMS = ("source", "target", "latent", "cascade", "token_budget")
CHECK_EVERY = 4


@dataclass(frozen=True)
class Cost:
    """One arm's answer to one question, alone on the device. Seconds are wall time.

    `seconds_to_first_token`: from the question to the first token of the answer, source pass included;
    `source_seconds`: that pass alone (0 where there is none). `peak_bytes`: most device memory in use, None on a CPU.
    """

    new_tokens: int
    source_seconds: float
    seconds_to_first_token: float
    seconds: float
    tokens_per_second: float
    kv_bytes: int
    peak_bytes: int | None


def kv_bytes_computed(config, tokens: int, dtype: torch.dtype) -> int:
    """Bytes of the KV cache of `tokens` tokens: layers x 2 x key-value heads x head size x bytes of a value.

    Grouped heads count once (Ainslie et al. 2023): Llama-3.1-8B in bf16 takes 128 KiB per token, not 512.
    """
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return config.num_hidden_layers * 2 * heads * size * torch.empty(0, dtype=dtype).element_size() * tokens


def cache_bytes(cache) -> int:
    """Bytes of the tensors that a cache holds: keys and values, and the states of layers that keep no such."""
    held = [value for layer in cache.layers for value in vars(layer).values()]
    tensors = [value for value in held if isinstance(value, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@torch.no_grad()
def kv_bytes_measured(model: FrozenModel, inputs: TargetInputs) -> int:
    """Bytes of the cache tensors after one pass over a single row of inputs."""
    places = model.placed(inputs.attention_mask, inputs.position_ids)
    out = model.base(inputs_embeds=inputs.embeds, **places, use_cache=True)
    return cache_bytes(out.past_key_values)


def check_kv(model: FrozenModel, measured: int, tokens: int) -> int:
    """`measured`, once it is what the config says for `tokens` tokens. Raises LabError if not."""
    computed = kv_bytes_computed(model.model.config, tokens, model.dtype)
    if measured != computed:
        raise LabError(
            f"{model.name}: the KV cache of {tokens} tokens takes {measured} bytes, but its config says {computed}; "
            "its layers do not all cache alike, so no saving may be computed from the config."
        )
    return measured


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def decode(
    model: FrozenModel, inputs: TargetInputs, decoding: Decoding, forced: bool = False
) -> tuple[Generation, list[float], int]:
    """Greedy decoding of one row, token by token: (answer, moment of each token, bytes of the cache at its end).

    Moments are `time.perf_counter` values with the device idle. The answer is `generate`'s; `forced` goes on to
    the limit, for the time as a function of length. Never replayed from a graph: the cache is as large as what was
    read, and what is timed is the model's own forward, on any device.
    """
    end_tokens, most = end_tokens_of(model), decoding.max_new_tokens
    prompt = {"embeds": inputs.embeds}
    decoder = Decoder(model, prompt, inputs.attention_mask, inputs.position_ids, most, decoding.hygiene, graphs=False)
    ids, moments = [], []
    while len(ids) < most:
        ids.append(decoder.next().item())  # waits for the device
        moments.append(time.perf_counter())
        done = ids[-1] in end_tokens
        if not done and len(ids) % CHECK_EVERY == 0:
            done = decoding.ends(model.tokenizer.decode(ids, clean_up_tokenization_spaces=False)) is not None
        if done and not forced:
            break
    return cut_generation(model.tokenizer, ids, end_tokens, decoding), moments, cache_bytes(decoder.steps.cache)


def _cost(
    model: FrozenModel, inputs: TargetInputs, began: float, source_seconds: float, decoding: Decoding
) -> tuple[Generation, Cost]:
    generation, moments, kv = decode(model, inputs, decoding)
    # The cache holds the prompt and every token but the last, which was never read again.
    tokens = int(inputs.attention_mask.sum()) + len(moments) - 1
    check_kv(model, kv, tokens)
    peak = torch.cuda.max_memory_allocated(model.device) if model.device.type == "cuda" else None
    seconds = moments[-1] - began
    return generation, Cost(
        generation.new_tokens, source_seconds, moments[0] - began, seconds, generation.new_tokens / seconds, kv, peak
    )


def _begin(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    _synchronize(device)
    return time.perf_counter()


def text_inputs(model: FrozenModel, context: dict[str, str]) -> TargetInputs:
    """The plain prompt."""
    return build_inputs(model, model.reads(TEXT), None, [context])


def bridged_inputs(evaluation: Evaluation, question: Question) -> TargetInputs:
    """The latent arm's prompt, source pass included: what a cache would spare was paid once."""
    output, target = evaluation.bridges["latent"].write_anew([question]), evaluation.pair.target
    return latent_inputs(target, evaluation.layout, output, [evaluation.context(question)])


def check_generated(evaluation: Evaluation) -> None:
    """Raise LabError where answers are chosen: a clock that generates would time what no accuracy was measured with."""
    if evaluation.task.chooses:
        raise LabError(
            "costs: a task whose answers are chosen by likelihood generates none, and only generation is timed; take a "
            "run with another scorer."
        )


def question_costs(evaluation: Evaluation, question: Question) -> dict[str, dict]:
    """The costs of each of `TIMED_ARMS` for one question, alone: arm -> fields of `Cost`."""
    check_generated(evaluation)
    source, target, decoding = evaluation.pair.source, evaluation.pair.target, evaluation.decoding
    context, device, found = evaluation.context(question), evaluation.pair.target.device, {}

    began = _begin(device)
    said, found["source"] = _cost(source, text_inputs(source, with_evidence(context, question)), began, 0.0, decoding)
    began = _begin(device)
    _, found["target"] = _cost(target, text_inputs(target, context), began, 0.0, decoding)
    began = _begin(device)
    with counted_passes(evaluation.bridges["latent"].source) as passes:
        inputs = bridged_inputs(evaluation, question)
        _synchronize(device)
        source_seconds = time.perf_counter() - began
        _, found["latent"] = _cost(target, inputs, began, source_seconds, decoding)
    check_clock(evaluation, began, passes)
    check_source_paid(evaluation, found["latent"], passes)
    # The source's answer was timed above; the cascade pays for it before its own first token.
    handed = handing(context, question.question, said.text.strip(), evaluation.cascade_prompt).context
    waited = found["source"].seconds
    began = _begin(device) - waited
    _, cost = _cost(target, text_inputs(target, handed), began, waited, decoding)
    if cost.seconds_to_first_token <= found["source"].seconds:
        raise LabError("costs: the cascade's time does not hold the source's answer, which it waits for.")
    peaks = [peak for peak in (found["source"].peak_bytes, cost.peak_bytes) if peak is not None]
    found["cascade"] = replace(cost, peak_bytes=max(peaks, default=None))  # the source's answer is part of it
    budget = evaluation.bridges["latent"].write([question]).counts()[0]
    began = _begin(device)
    (cut,) = token_budget(replace(evaluation, questions=[question]), budget)
    inputs = build_inputs(target, target.reads(cut.layout), None, [cut.context])
    _, found["token_budget"] = _cost(target, inputs, began, 0.0, decoding)
    return {arm: asdict(cost) for arm, cost in found.items()}


@contextmanager
def counted_passes(model: FrozenModel) -> Iterator[list[float]]:
    """The moments at which `model` was run inside."""
    moments: list[float] = []
    hook = model.base.register_forward_pre_hook(lambda *_: moments.append(time.perf_counter()))
    try:
        yield moments
    finally:
        hook.remove()


def check_clock(evaluation: Evaluation, began: float, passes: Sequence[float]) -> None:
    """Raise LabError unless the clock ran while the source was read, where the translator reads it."""
    if evaluation.bridges["latent"].translator.needs_source and not (passes and began <= passes[0]):
        raise LabError(
            f"costs: the latent arm's clock began after the source's pass ({len(passes)} passes); its time has to hold "
            "it."
        )


def check_source_paid(evaluation: Evaluation, cost: Cost, passes: Sequence[float]) -> None:
    """Raise LabError unless the latent arm's time holds the source's pass, where its translator reads the source."""
    needed = evaluation.bridges["latent"].translator.needs_source
    if needed and not (passes and 0 < cost.source_seconds < cost.seconds_to_first_token):
        raise LabError(
            f"costs: the latent arm took {1000 * cost.seconds_to_first_token:.2f} ms to its first token, of which "
            f"{1000 * cost.source_seconds:.2f} ms are the source's ({len(passes)} passes); its time has to hold them."
        )


def seconds_by_length(
    evaluation: Evaluation, questions: Sequence[Question], lengths: Sequence[int]
) -> dict[str, dict[int, list[float]]]:
    """End-to-end seconds of answers of forced lengths, source pass included: arm -> length -> one value per question.

    What the source pass adds is paid once, so it matters for short answers and fades for long ones.
    """
    check_generated(evaluation)
    source, target = evaluation.pair.source, evaluation.pair.target
    decoding = replace(evaluation.decoding, max_new_tokens=max(lengths))
    made = {
        "source": lambda question: text_inputs(source, with_evidence(evaluation.context(question), question)),
        "target": lambda question: text_inputs(target, evaluation.context(question)),
        "latent": lambda question: bridged_inputs(evaluation, question),
    }
    found = {arm: {length: [] for length in lengths} for arm in made}
    for question in questions:
        for arm, inputs_of in made.items():
            model = source if arm == "source" else target
            _synchronize(model.device)
            with counted_passes(evaluation.bridges["latent"].source) as passes:
                began = time.perf_counter()
                inputs = inputs_of(question)
            if arm == "latent":
                check_clock(evaluation, began, passes)
            _, moments, _ = decode(model, inputs, decoding, forced=True)
            for length in lengths:
                found[arm][length].append(moments[length - 1] - began)
    return found


def sizes(evaluation: Evaluation, question: Question) -> dict:
    """Sizes for one question and what the translator writes for it.

    Ratios are None, with the reason, where the target reads the question.
    `question_tokens` is the bare question in target tokens; `prompt_tokens` the whole plain prompt, BOS included;
    `latent_tokens` all that the target reads in the latent arm. KV bytes are for those prompts.
    """
    target, layout, context = evaluation.pair.target, evaluation.layout, evaluation.context(question)
    (count,), size = evaluation.bridges["latent"].write([question]).counts(), target.embedding_size
    places = 0 if layout.adapter else count
    asked = len(target.tokens([question.question])[0])
    plain, bridged = count_tokens(target, target.reads(TEXT), context), count_tokens(target, layout, context) + places
    plain_kv = kv_bytes_measured(target, text_inputs(target, context))
    bridged_kv = kv_bytes_measured(target, bridged_inputs(evaluation, question))
    ratios = {"compression_of_question": asked / count, "compression_of_prompt": plain / bridged}
    if layout.context_aware:
        ratios = dict.fromkeys(ratios) | {"why_no_compression": "the target reads the question as text as well"}
    return {
        "question_tokens": asked,
        "prompt_tokens": plain,
        "latent_tokens": bridged,
        "soft_tokens": count,
        "text_bytes": len(context["question"].encode("utf-8")),
        "wire_bytes": {name: wire.bytes(count, size) for name, wire in WIRES.items()},
        "kv_bytes_text": check_kv(target, plain_kv, plain),
        "kv_bytes_latent": check_kv(target, bridged_kv, bridged),
        **ratios,
    }
