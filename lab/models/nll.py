"""How likely a frozen target finds the answers, and which way its embeddings should move to make them likelier.

The target's weights have no gradient, so its pass, forward and back, is one function of the embeddings: it is run in
one go, on a GPU as a captured graph of launches, and what is left for the translator's own backward pass is a gradient
[B, T, d]. The target's activations are gone by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from lab import ranks
from lab.clock import part
from lab.errors import LabError
from lab.models.architecture import apart, apart_by_row
from lab.models.attention import CAUSAL, attending, goes_unmasked, moved_left
from lab.models.cross_entropy import IGNORED, head_nll, head_scores, scores
from lab.models.inputs import TargetInputs, answer_logits, next_labels
from lab.models.prefix import Unread, unread
from lab.models.transfer import sent

if TYPE_CHECKING:
    from lab.models.frozen import FrozenModel

AT_ONCE = 2**30  # bytes of one hidden state per token and layer; a pass keeps about sixteen times as much
ON_A_CPU = 16  # rows
# How far a graph's loss and gradient may round apart from the same launches one by one, and these from the plain pass,
# which has other kernels: by row, at its median token. In bfloat16 (Gemma-3-270M, GSM8K, 132 rows on a CPU) it is 0 to
# .22 off between two ways to attention; off float32 .05 to .35, with random soft tokens up to 1.04, and whole gradients
# up to 1.3, since few tokens are off by several times their size. So H100s and H200s gave gradients .4 to 2.1 apart
# whose losses agreed. Of other rows, or of the columns beside, every row is 1 off or more. How far a replay is off its
# own launches: 0 to .020 in 370 of them, off the plain pass .048 to .076 in 16 (H100s, full size, random weights); of
# trained weights no GPU has said it yet. In float32 it is the whole gradient; with TF32 an H100 gave .001 to .005.
LOSS_ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.03}
REPLAY_ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.4}
KERNEL_ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.8}
LONGER = 0.4  # than the other gradient, in its direction, or shorter
MOST_ROWS = 0.75  # of a batch in half precision have to be within: what rounds can take a whole row with it
TF32_ROUNDING = 0.05


def answer_nll(target: FrozenModel, inputs: TargetInputs) -> Tensor:
    """Mean negative log-likelihood of the answer tokens, end token included, under teacher forcing (nats per token).

    Gradients reach `inputs.embeds`. Raises LabError where a captured graph and the plain pass differ.
    """
    if torch.is_grad_enabled() and inputs.embeds.requires_grad:
        return _Frozen.apply(inputs.embeds, target, inputs)
    logits, labels = answer_logits(target, inputs)
    return torch.nn.functional.cross_entropy(logits.float(), labels)


@torch.no_grad()
def token_nats(target: FrozenModel, inputs: TargetInputs) -> tuple[Tensor, Tensor]:
    """Of the N labels that positions of `inputs` predict, row by row: the negative log-likelihood [N] (nats), and
    whether each is the likeliest token [N]. No more logits are kept than those of a piece."""
    rest, labels = unread(target, inputs), next_labels(inputs)
    predicts = labels != IGNORED
    given = (predicts[:, -rest.embeds.shape[1] :], rest.embeds, rest.mask, rest.places)
    if target.head_is_last:
        states = target.run_headless(*given, **rest.cache())
        return head_scores(target.model.get_output_embeddings(), states, labels[predicts])
    return scores(target.run(*given, **rest.cache()).logits, labels[predicts])


class _Frozen(torch.autograd.Function):
    """The loss, with the gradient to the embeddings [B, T, d] ready when the forward pass ends."""

    @staticmethod
    def forward(ctx, embeds: Tensor, target: FrozenModel, inputs: TargetInputs) -> Tensor:
        labels, rest = next_labels(inputs), unread(target, inputs)
        gradient, loss, scored = torch.zeros_like(embeds), 0.0, sum(inputs.answer_lengths)
        run, kept = _replayed if target.replays else _computed, rest.embeds.shape[1]
        groups = passes(target, inputs)
        for rows, (width, most) in zip(groups, _shapes(target, inputs, groups, kept), strict=True):
            which = sent(rows, embeds.device)  # a list would be sent by each that is asked for, and waited for
            some, more = rest.part(which, width), max(0, width - kept)
            asked = pad(labels[which, -kept:], (more, 0), value=IGNORED)[:, -width:]
            own, moved = run(target, some, asked, most)
            share = sum(inputs.answer_lengths[row] for row in rows) / scored
            loss = loss + own * share
            gradient[which, more - width :] = moved[:, more:] * share
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx, outer: Tensor) -> tuple:
        (gradient,) = ctx.saved_tensors
        return gradient * outer.to(gradient.dtype), None, None


def passes(target: FrozenModel, inputs: TargetInputs) -> list[list[int]]:
    """The rows of a batch in groups of like length that go through the target one after the other: less padding, and
    no more activations than `AT_ONCE` at a time. A GPU takes as many rows as that allows, a CPU few."""
    rows, width = len(inputs.embeds), inputs.embeds.shape[1] - len(inputs.shared)
    most = AT_ONCE // (width * target.num_layers * target.hidden_size * target.dtype.itemsize)
    count = -(-rows // max(1, min(most, rows if target.device.type == "cuda" else ON_A_CPU)))
    lengths = [sum(pair) for pair in zip(inputs.prompt_lengths, inputs.answer_lengths, strict=True)]
    order = sorted(range(rows), key=lambda row: (lengths[row], row))
    return [order[rows * group // count : rows * (group + 1) // count] for group in range(count)]


def _shapes(
    target: FrozenModel, inputs: TargetInputs, groups: Sequence[Sequence[int]], kept: int
) -> list[tuple[int, int]]:
    """Of each group the width that it is read in, of the `kept` last columns, and how many labels it has. Several ranks
    take the largest of both: a shape is then new to all of them in the same step, and no rank waits while another
    captures one."""
    shapes = []
    for rows in groups:
        longest = max(inputs.prompt_lengths[row] + inputs.answer_lengths[row] for row in rows)
        width = min(-(-longest // target.step) * target.step, inputs.embeds.shape[1])
        shapes.append((width - (inputs.embeds.shape[1] - kept), sum(inputs.answer_lengths[row] for row in rows)))
    if ranks.count() == 1:
        return shapes
    room = torch.zeros(len(inputs.embeds), 2, dtype=torch.long)  # no rank has more groups than rows
    room[: len(shapes)] = torch.tensor(shapes)
    return [tuple(shape) for shape in ranks.greatest(room).tolist()[: len(shapes)]]


def _computed(target: FrozenModel, rest: Unread, labels: Tensor, scored: int) -> tuple[Tensor, Tensor]:
    """(loss, gradient to `rest.embeds`), the plain way: the head at the positions that have a label."""
    places = labels != IGNORED
    with part("target forward"):
        loss, entered = _forward(target, rest, places, labels[places], rest.embeds)
    with part("target backward"):
        return _backward(loss, entered)


def _replayed(target: FrozenModel, rest: Unread, labels: Tensor, scored: int) -> tuple[Tensor, Tensor]:
    """The same as a graph of these shapes, from the second time on that they come. The first replay of each is
    compared with its launches one by one over the same batch, that of the first of a kind with the plain pass as well.
    `scored`: labels, at least as many as there are."""
    bare, padding = goes_unmasked(target, rest.mask.shape[1]), (rest.mask[:, -rest.embeds.shape[1] :] == 0).sum(dim=1)
    entering, asked = (rest.embeds, rest.mask, rest.places), labels
    if bare:
        *entering, asked = (moved_left(values, padding) for values in (rest.embeds, rest.places, labels))
    size = min(labels.numel(), _rounded(scored))
    where = torch.topk((asked != IGNORED).flatten().to(torch.int8), size).indices  # those that are scored come first
    given = (*entering, where, asked.flatten()[where])
    key = (rest.prefix, torch.get_float32_matmul_precision(), *(tuple(value.shape) for value in given))
    forward = partial(_unmasked_forward if bare else _block_forward, target, rest.prefix)
    stages = (("target forward", forward), ("target backward", _backward))
    known, graph = key in target.captured.known, target.captured.at(key, stages, given)
    one_by_one = partial(_one_by_one, stages, given)
    if graph is None:
        loss, gradient = target.captured.beside(one_by_one)
    else:
        loss, gradient = (value.clone() for value in graph(given, part))
    gradient = moved_left(gradient, -padding) if bare else gradient
    if graph is not None and not known:
        own, moved = target.captured.beside(one_by_one)
        same = own, moved_left(moved, -padding) if bare else moved
        _check_replay(target.name, (loss, gradient), same, REPLAY_ROUNDING)
        kind = (bare, rest.prefix is None, torch.get_float32_matmul_precision())
        if kind not in target.captured.held:  # the launches themselves, once for each kind of them
            plain = target.captured.beside(partial(_computed, target, rest, labels, scored))
            _check_replay(target.name, (loss, gradient), plain, KERNEL_ROUNDING)
            target.captured.held.add(kind)
    return loss, gradient


def _one_by_one(stages: Sequence[tuple[str, Callable]], made: tuple, within: Callable = part) -> tuple[Tensor, Tensor]:
    """What a graph of `stages` would replay, launch by launch."""
    for name, stage in stages:
        with within(name):
            made = stage(*made)
    return made


def _check_replay(
    name: str, replayed: tuple[Tensor, Tensor], plain: tuple[Tensor, Tensor], rounding: Mapping[torch.dtype, float]
) -> None:
    """Raise LabError unless the loss and gradient of a graph are those of a pass without one, but for `rounding`."""
    (loss, gradient), (expected, whole) = replayed, plain
    allowed, exact = rounding[gradient.dtype], gradient.dtype == torch.float32
    if torch.get_float32_matmul_precision() != "highest":
        allowed = max(allowed, TF32_ROUNDING)
    finite = bool(gradient.isfinite().all() and whole.isfinite().all())
    off, longer = (apart(gradient, whole), 0.0) if exact or not finite else _most_apart(gradient, whole)
    if not (apart(loss, expected) <= LOSS_ROUNDING[gradient.dtype] and finite and off <= allowed and longer <= LONGER):
        raise LabError(
            f"{name}: a captured graph gives the loss {loss.item():.4f}, a pass without it {expected.item():.4f}, and "
            f"their gradients differ by {off:.1%} of their size; set cuda_graphs=false, and report it with the "
            "model's config.json."
        )


def _most_apart(gradient: Tensor, whole: Tensor) -> tuple[float, float]:
    """How far the rows up to `MOST_ROWS` are off, and how much longer or shorter in the other's direction."""
    off, along = apart_by_row(gradient, whole)
    if not len(off):  # neither has any
        return 0.0, 0.0
    last = math.ceil(MOST_ROWS * len(off)) - 1
    return off.sort().values[last].item(), (along - 1).abs().sort().values[last].item()


def _rounded(count: int) -> int:
    """`count` and at most a quarter more, so that shapes come again."""
    step = max(64, 1 << max(0, count.bit_length() - 3))
    return -(-count // step) * step


def _block_forward(target, prefix, embeds: Tensor, mask: Tensor, places: Tensor, where: Tensor, labels: Tensor):
    """The head at the positions `where` [N], those that are `IGNORED` counting for nothing: no shape depends on a
    value."""
    return _forward(target, Unread(embeds, mask, places, prefix), where, labels, embeds)


def _unmasked_forward(target, prefix, embeds: Tensor, places: Tensor, where: Tensor, labels: Tensor):
    """The same of rows that begin at the left."""
    with attending(target.model, CAUSAL):
        return _forward(target, Unread(embeds, None, places, prefix), where, labels, embeds)


@torch.enable_grad()
def _forward(target: FrozenModel, rest: Unread, keep: Tensor, labels: Tensor, embeds: Tensor) -> tuple[Tensor, Tensor]:
    """(loss, the leaf that the gradient is asked of)."""
    entered = embeds.detach().requires_grad_()
    if target.head_is_last:
        states = target.run_headless(keep, entered, rest.mask, rest.places, **rest.cache())
        head = target.model.get_output_embeddings()
        return head_nll(head, states, labels, target.fused), entered
    logits = target.run(keep, entered, rest.mask, rest.places, **rest.cache()).logits
    return torch.nn.functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED), entered


def _backward(loss: Tensor, entered: Tensor) -> tuple[Tensor, Tensor]:
    (gradient,) = torch.autograd.grad(loss, entered)
    return loss.detach(), gradient
