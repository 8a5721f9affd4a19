"""Logits that are the model's own, at the few positions where they are asked for.

A head's output is not yet what a model predicts: Granite and Cohere scale it, Gemma 2 caps it, Falcon-H1 multiplies
it. So the model's own forward runs, and only what enters its head is chosen: over a vocabulary of 128 256 all positions
of a long prompt would take gigabytes.
"""

from __future__ import annotations

from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import ModelOutput

from lab.errors import LabError


def run_with_head_at(model: PreTrainedModel, keep: Tensor, **given) -> ModelOutput:
    """The output of `model(**given)`, its `logits` [N, vocabulary] those of the N positions in `keep` [B, T] bool.

    Raises LabError for a model that does not call its head once, as a module, on states [B, T, d].
    """
    calls: list[tuple] = []

    def chosen(_, states: tuple) -> tuple:
        calls.append(tuple(states[0].shape[:-1]))
        if calls[-1] != tuple(keep.shape):
            raise LabError(f"{type(model).__name__}: its head reads {list(calls[-1])} states, not {list(keep.shape)}.")
        return states[0][keep][None], *states[1:]  # [1, N, d]: what follows the head may count dimensions

    hook = model.get_output_embeddings().register_forward_pre_hook(chosen)
    try:
        out = model(**given)
    finally:
        hook.remove()
    if len(calls) != 1:
        raise LabError(f"{type(model).__name__}: its head ran {len(calls)} times in a pass; no logits can be chosen.")
    out.logits = out.logits[0]
    return out
