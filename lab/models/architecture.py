"""What a model's architecture allows, asked of the library and of the model itself: there is no table of names here.

How attention is computed, the text model inside a multimodal one, how many tokens it declares to read, and how the
embeddings that it makes of tokens differ from the rows of its table.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from lab.errors import LabError

ATTENTION = ("sdpa", "eager")  # exact, and the same with padding on the left
LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len")  # under which a config declares its limit
ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.1}  # how far two ways to one result may round apart, of its size


def attention_of(name: str, config: PretrainedConfig) -> str:
    """`sdpa` where the architecture has it, else `eager`. Raises LabError for one that is no causal language model, or
    has neither. No weight is allocated."""
    if getattr(config.get_text_config(decoder=True), "attn_logit_softcapping", None):
        return "eager"  # sdpa would leave the cap out; not every version of transformers knows that it cannot
    try:
        with torch.device("meta"):
            chosen = AutoModelForCausalLM.from_config(config).config._attn_implementation
    except (ValueError, ImportError) as error:
        reason = str(error).split("\n")[0].split(" for this kind of AutoModel")[0]
        raise LabError(
            f"model {name!r} is of type {config.model_type!r}, of which transformers makes no causal language model "
            f"({reason}); choose a decoder that reads text."
        ) from None
    if chosen not in ATTENTION:
        raise LabError(f"model {name!r} computes attention by {chosen!r} alone; choose one with sdpa or eager.")
    return chosen


def text_model(name: str, model: PreTrainedModel) -> PreTrainedModel:
    """The causal language model of text inside a multimodal `model`; a model of text alone is returned as it is.

    Its decoder and its head are put into the library's own model of that text config, so scales and caps after the head
    are those of text. Raises LabError where the two do not fit.
    """
    config = model.config.get_text_config(decoder=True)
    if config is model.config:
        return model
    refusal = LabError(f"model {name!r} is multimodal and its text model cannot be taken out; choose a text model.")
    try:
        with torch.device("meta"):
            text = AutoModelForCausalLM.from_config(config, attn_implementation=model.config._attn_implementation)
    except (ValueError, ImportError):
        raise refusal from None
    decoder = model.get_decoder()
    if type(decoder) is not type(text.base_model) or text.base_model is text:
        raise refusal
    setattr(text, text.base_model_prefix, decoder)
    text.set_output_embeddings(model.get_output_embeddings())
    left = [*text.parameters(), *text.buffers()]
    if any(tensor.is_meta for tensor in left):  # a part that neither decoder nor head brought along
        raise refusal
    text.generation_config = model.generation_config
    return text


def context_length(config: PretrainedConfig) -> int | None:
    """The most tokens that a model declares to read, None where it declares none (Bloom).

    The declared limit holds for every kind of position. A table of learned ones ends there. Rotary ones go on without a
    word, at distances that no training has shown, and what is measured there would be blamed on the translator. Who
    knows that a model reads on writes so in its config.json. A sliding window is no limit.
    """
    for name in LENGTHS:  # a loop, as the quickest: asked of every question that is checked
        length = getattr(config, name, None)
        if isinstance(length, int) and length > 0:
            return length
    return None


def takes_positions(module: nn.Module) -> bool:
    """Whether a model is told positions; those with biases by distance (ALiBi: Bloom, MPT) have none to be told."""
    return "position_ids" in inspect.signature(module.forward).parameters


def projection_of(base: nn.Module, wide: int, narrow: int) -> nn.Linear | None:
    """What narrows the last hidden state to the size of an embedding (OPT's `project_out`), None where nothing does."""
    if narrow == wide:
        return None
    linear = [module for module in base.modules() if isinstance(module, nn.Linear)]
    return next((one for one in linear if (one.in_features, one.out_features) == (wide, narrow)), None)


@torch.no_grad()
def embedding_scale(name: str, model: PreTrainedModel, rows: Sequence[int]) -> float:
    """By what a model multiplies the rows of its embedding module where it reads tokens, but not where it reads
    embeddings: 1 for most, Falcon-H1's `embedding_multiplier`. What embeddings are given has to have it already.

    Measured on a few tokens `rows`. Raises LabError for a model that does not read embeddings as it reads tokens, by a
    scale or at all (Gemma 3n also looks up tokens in every layer), or reads one that is no token's otherwise.
    """
    base, table = model.base_model, model.get_input_embeddings()
    ids = torch.tensor([list(rows)], device=table.weight.device)
    refusal = f"model {name!r} cannot be given embeddings in place of tokens, so it cannot read soft tokens"
    try:
        embeds = table(ids)
        by_ids, end = _first_and_last(base, input_ids=ids)
        by_rows, _ = _first_and_last(base, inputs_embeds=embeds)
        scale = 1.0
        if not torch.equal(by_ids, by_rows) and by_ids.shape == embeds.shape:
            # Positions that are added fall out of the difference.
            ratio = 1 + ((by_ids - by_rows).double() * embeds.double()).sum() / embeds.double().square().sum()
            scale = _as_declared(model.config, ratio.item())
        _, again = _first_and_last(base, inputs_embeds=embeds * scale)
        _first_and_last(base, inputs_embeds=embeds.mean(dim=1, keepdim=True))  # of no token
    except (ValueError, TypeError, NotImplementedError, RuntimeError, AttributeError) as error:
        raise LabError(f"{refusal} ({str(error).splitlines()[0][:120]}); choose another.") from None
    if not close(again, end):
        raise LabError(f"{refusal} (its states are others than those of the same tokens); choose another.")
    return scale


@torch.no_grad()
def check_causal(name: str, model: PreTrainedModel, rows: Sequence[int]) -> None:
    """Raise LabError for a model whose states at a token depend on the tokens after it (a BERT, though transformers
    gives it a head that predicts): its answers, and their likelihoods, would know what comes."""
    ids = torch.tensor([list(rows)], device=model.get_input_embeddings().weight.device)
    whole, start = (model.base_model(input_ids=given, use_cache=False)[0] for given in (ids, ids[:, :-1]))
    if not close(start, whole[:, :-1]):
        raise LabError(f"model {name!r} reads ahead: it is no causal language model; choose a decoder that reads text.")


def apart(one: Tensor, other: Tensor) -> float:
    """How far two ways to the same states or logits differ: RMS of the difference, as a part of their own RMS."""
    size = other.float().square().mean().sqrt().clamp_min(1e-9)
    return ((one.float() - other.float()).square().mean().sqrt() / size).item()


def apart_by_row(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row of two gradients [B, T, d] the median over its places: how far the vector is off as a part of its
    own length, and how long it is in the other's direction. Rows without any gradient are left out.

    A median, since in half precision a few places of a row can be off by more than the whole gradient is long.
    """
    one, other = one.float(), other.float()
    sizes = other.norm(dim=2)
    there = (sizes > 0) | (one.norm(dim=2) > 0)
    off, along = (one - other).norm(dim=2) / sizes, (one * other).sum(dim=2) / sizes.square()
    found = (torch.where(there, values.nan_to_num(nan=float("inf")), float("nan")) for values in (off, along))
    return tuple(values.nanmedian(dim=1).values[there.any(dim=1)] for values in found)


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two ways to the same states differ by rounding alone."""
    return one.shape == other.shape and apart(one, other) <= ROUNDING[one.dtype]


def _first_and_last(base: nn.Module, **given: Tensor) -> tuple[Tensor, Tensor]:
    out = base(**given, output_hidden_states=True, use_cache=False)
    return out.hidden_states[0], out.last_hidden_state


def _as_declared(config: PretrainedConfig, measured: float) -> float:
    """The number of the config that was measured, to its last digit; what was measured, where it says none."""
    numbers = [value for value in config.to_dict().values() if isinstance(value, (int, float))]
    nearest = min(numbers, key=lambda value: abs(value - measured), default=measured)
    return float(nearest) if abs(nearest - measured) <= 1e-2 * abs(measured) else measured
