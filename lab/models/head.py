"""Logits that are the model's own, at the few positions where they are asked for, or the states that make them.

A head's output is not yet what a model predicts: Granite and Cohere scale it, Gemma 2 caps it, Falcon-H1 multiplies
it. So the model's own forward runs, and only what enters its head is chosen: over a vocabulary of 128 256 all positions
of a long prompt would take gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import ModelOutput

from lab.errors import LabError

Places = Tensor  # the positions in question: [B, T] bool, or their numbers [N] in the batch row by row, long


def run_with_head_at(model: PreTrainedModel, keep: Places, **given) -> ModelOutput:
    """The output of `model(**given)`, its `logits` [N, vocabulary] those of the N positions of `keep`, row by row.

    Raises LabError for a model that does not call its head once, as a module, on states [B, T, d].
    """
    calls: list[tuple] = []

    def chosen(_, states: tuple) -> tuple:
        calls.append(tuple(states[0].shape[:-1]))
        if keep.dtype == torch.long:
            return states[0].flatten(0, 1)[keep][None], *states[1:]
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


@contextmanager
def headless(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the head hands its states on, so that `run_with_head_at` gives these [N, d] in place of logits."""
    head = model.get_output_embeddings()
    own = vars(head).get("forward")  # of a head that has been given one of its own
    head.forward = lambda states: states
    try:
        yield
    finally:
        del head.forward
        if own is not None:
            head.forward = own


@torch.no_grad()
def head_is_last(model: PreTrainedModel, **given) -> bool:
    """Whether a plain product of the head with the states of `headless` is what the model predicts, bit by bit: then
    these states are all that a loss needs. A cap after the head says no; a scale by a power of two passes through it.

    `given`: a text, as the model takes it.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear:
        return False
    some = torch.arange(4, device=head.weight.device)
    logits = run_with_head_at(model, some, **given).logits
    with headless(model):
        states = run_with_head_at(model, some, **given).logits
    return states.shape[-1] == head.in_features and torch.equal(head(states[None])[0], logits)
