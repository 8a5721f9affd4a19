"""What an answer costs: memory of the KV cache, bytes on the wire, tokens, seconds, tokens per second.

Sizes are measured from the tensors and computed from the config; the two must agree. Times are of one question at a
time, with every pass that the arm needs: the latent arm pays for the source's pass, a cascade for the source's answer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch

from lab.answers import (
    CASCADE_PROMPTS,
    WIRES,
    AnswerEnd,
    Bridge,
    Generation,
    answer_end,
    count_tokens,
    cut_generation,
    end_tokens_of,
    with_evidence,
)
from lab.config import TEXT, Layout
from lab.errors import LabError
from lab.models import FrozenModel, Pair, TargetInputs, build_inputs
from lab.tasks import Question
from lab.translators import TranslatorOutput

__all__ = [
    "TIMED_ARMS", "Cost", "check_kv", "decode", "kv_bytes_computed", "kv_bytes_measured", "question_costs",
    "seconds_by_length", "sizes",
]  # fmt: skip

TIMED_ARMS = ("source", "target", "latent", "cascade")
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
    """Bytes of the key and value tensors that a cache holds."""
    tensors = [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@torch.no_grad()
def kv_bytes_measured(model: FrozenModel, inputs: TargetInputs) -> int:
    """Bytes of the cache tensors after one pass over a single row of inputs."""
    out = model.base(
        inputs_embeds=inputs.embeds, attention_mask=inputs.attention_mask, position_ids=inputs.position_ids,
        use_cache=True,
    )  # fmt: skip
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
    model: FrozenModel, inputs: TargetInputs, max_new_tokens: int, forced: bool = False, ends: AnswerEnd = answer_end
) -> tuple[Generation, list[float], int]:
    """Greedy decoding of one row, token by token: (answer, moment of each token, bytes of the cache at its end).

    Moments are `time.perf_counter` values with the device idle. The answer is `generate`'s; `forced` goes on to
    `max_new_tokens`, for the time as a function of length.
    """
    end_tokens = end_tokens_of(model)
    embeds = inputs.embeds.to(next(model.model.parameters()).dtype)
    mask, place, cache = inputs.attention_mask, inputs.position_ids, None
    ids, moments = [], []
    while len(ids) < max_new_tokens:
        out = model.base(
            inputs_embeds=embeds, attention_mask=mask, position_ids=place, past_key_values=cache, use_cache=True
        )
        token = model.head(out.last_hidden_state[:, -1]).argmax(dim=-1, keepdim=True)
        ids.append(token.item())  # waits for the device
        moments.append(time.perf_counter())
        cache = out.past_key_values
        done = ids[-1] in end_tokens
        if not done and len(ids) % CHECK_EVERY == 0:
            done = ends(model.tokenizer.decode(ids, clean_up_tokenization_spaces=False)) is not None
        if done and not forced:
            break
        embeds, place = model.embed(token), place[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(1, 1)], dim=1)
    return cut_generation(model.tokenizer, ids, end_tokens, ends), moments, cache_bytes(cache)


def _cost(
    model: FrozenModel, inputs: TargetInputs, began: float, source_seconds: float, limit: int, ends: AnswerEnd
) -> tuple[Generation, Cost]:
    generation, moments, kv = decode(model, inputs, limit, ends=ends)
    # The cache holds the prompt and every token but the last, which was never read again.
    tokens = int(inputs.attention_mask.sum()) + len(moments) - 1
    check_kv(model, kv, tokens)
    peak = torch.cuda.max_memory_allocated(model.device) if model.device.type == "cuda" else None
    seconds = moments[-1] - began
    return generation, Cost(
        generation.new_tokens, source_seconds, moments[0] - began, seconds, generation.new_tokens / seconds, kv, peak
    )


def question_costs(
    pair: Pair, bridge: Bridge, layout: Layout, question: Question, max_new_tokens: int, cascade_prompt: str,
    shared: dict[str, str] | None = None, ends: AnswerEnd = answer_end,
) -> dict[str, dict]:  # fmt: skip
    """The costs of each of `TIMED_ARMS` for one question, alone: arm -> fields of `Cost`. `ends`: see `generate`."""
    context = {"instruction": "", "shots": "", **(shared or {}), "question": question.question}
    alone, device = with_evidence(context, question), pair.target.device
    found = {}

    def begin() -> float:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        _synchronize(device)
        return time.perf_counter()

    began = begin()
    said, found["source"] = _cost(
        pair.source, build_inputs(pair.source, TEXT, None, [alone]), began, 0.0, max_new_tokens, ends
    )
    began = begin()
    _, found["target"] = _cost(
        pair.target, build_inputs(pair.target, TEXT, None, [context]), began, 0.0, max_new_tokens, ends
    )
    began = begin()
    output = bridge.write([question])
    _synchronize(device)
    source_seconds = time.perf_counter() - began
    _, found["latent"] = _cost(
        pair.target,
        build_inputs(pair.target, layout, output.soft_tokens, [context], None, output.mask),
        began,
        source_seconds,
        max_new_tokens,
        ends,
    )
    # The source's answer was timed above; the cascade pays for it before its own first token.
    before, after = (
        part.format(text=said.text.strip(), question=question.question) for part in CASCADE_PROMPTS[cascade_prompt]
    )
    handed = context | {"shots": context["shots"] + before, "question": question.question + after}
    waited = found["source"].seconds
    began = begin() - waited
    inputs = build_inputs(pair.target, TEXT, None, [handed])
    _, cost = _cost(pair.target, inputs, began, waited, max_new_tokens, ends)
    peaks = [peak for peak in (found["source"].peak_bytes, cost.peak_bytes) if peak is not None]
    found["cascade"] = replace(cost, peak_bytes=max(peaks, default=None))  # the source's answer is part of it
    return {arm: asdict(cost) for arm, cost in found.items()}


def seconds_by_length(
    pair: Pair, bridge: Bridge, layout: Layout, questions: Sequence[Question], lengths: Sequence[int],
    shared: dict[str, str] | None = None,
) -> dict[str, dict[int, list[float]]]:  # fmt: skip
    """End-to-end seconds of answers of forced lengths, source pass included: arm -> length -> one value per question.

    What the source pass adds is paid once, so it matters for short answers and fades for long ones.
    """
    found = {arm: {length: [] for length in lengths} for arm in ("source", "target", "latent")}
    for question in questions:
        context = {"instruction": "", "shots": "", **(shared or {}), "question": question.question}
        for arm, by_length in found.items():
            model = pair.source if arm == "source" else pair.target
            _synchronize(model.device)
            began = time.perf_counter()
            if arm == "latent":
                output = bridge.write([question])
                inputs = build_inputs(model, layout, output.soft_tokens, [context], None, output.mask)
            else:
                shown = with_evidence(context, question) if arm == "source" else context
                inputs = build_inputs(model, TEXT, None, [shown])
            _, moments, _ = decode(model, inputs, max(lengths), forced=True)
            for length in lengths:
                by_length[length].append(moments[length - 1] - began)
    return found


def sizes(pair: Pair, layout: Layout, output: TranslatorOutput, context: dict[str, str]) -> dict:
    """Sizes for one question and what the translator wrote for it.

    Ratios are None, with the reason, where the target reads the question.
    `question_tokens` is the bare question in target tokens; `prompt_tokens` the whole plain prompt, BOS included;
    `latent_tokens` all that the target reads in the latent arm. KV bytes are for those prompts.
    """
    (count,), size = output.counts(), output.soft_tokens.shape[2]
    places = 0 if layout.adapter else count
    question = len(pair.target.tokens([context["question"]])[0])
    plain, bridged = count_tokens(pair.target, TEXT, context), count_tokens(pair.target, layout, context) + places
    plain_kv = kv_bytes_measured(pair.target, build_inputs(pair.target, TEXT, None, [context]))
    inputs = build_inputs(pair.target, layout, output.soft_tokens, [context], None, output.mask)
    bridged_kv = kv_bytes_measured(pair.target, inputs)
    ratios = {"compression_of_question": question / count, "compression_of_prompt": plain / bridged}
    if layout.context_aware:
        ratios = dict.fromkeys(ratios) | {"why_no_compression": "the target reads the question as text as well"}
    return {
        "question_tokens": question,
        "prompt_tokens": plain,
        "latent_tokens": bridged,
        "soft_tokens": count,
        "text_bytes": len(context["question"].encode("utf-8")),
        "wire_bytes": {name: wire.bytes(count, size) for name, wire in WIRES.items()},
        "kv_bytes_text": check_kv(pair.target, plain_kv, plain),
        "kv_bytes_latent": check_kv(pair.target, bridged_kv, bridged),
        **ratios,
    }
