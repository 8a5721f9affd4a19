"""The loss of a frozen head without its logits: a few rows at a time, the gradient made where the loss is.

Over a vocabulary of 262 144 the logits of one batch take gigabytes, several times over in float32. The head is frozen,
so all that the backward pass needs of them is their product with its weight, which is as small as the states: it is
computed at once and the logits are dropped (Wijmans et al. 2024, section 4, and Hsu et al. 2024, section 3.2, chunk
likewise).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100  # the label of a position that is not scored
WHOLE = 2**24  # logits that are computed in one piece, the plain way: 64 MiB in float32
CHUNK = 2**28  # logits of a piece: 1 GiB in float32


def head_nll(head: nn.Linear, states: Tensor, labels: Tensor, fused: bool = False) -> Tensor:
    """Mean negative log-likelihood (nats) of `labels` [N], those that are `IGNORED` apart, where `head` reads states
    [N, d]. `fused`: the pieces run compiled, on a GPU."""
    if states.shape[0] * head.weight.shape[0] <= WHOLE:
        return F.cross_entropy(head(states).float(), labels, ignore_index=IGNORED)
    return _Pieces.apply(states, head.weight, head.bias, labels, _compiled() if fused else _loss_and_error)


def head_scores(head: nn.Linear, states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """`scores` of the labels [N] where `head` reads states [N, d], a piece of the logits at a time."""
    size = max(1, CHUNK // head.weight.shape[0])
    pieces = zip(states.split(size), labels.split(size), strict=True)
    nats, likeliest = zip(*(scores(head(some), own) for some, own in pieces), strict=True)
    return torch.cat(nats), torch.cat(likeliest)


def scores(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(negative log-likelihood of each label [N] in nats, whether it is the likeliest one), of logits [N, V], which are
    used up."""
    wide = logits.float()
    own, (most, likeliest) = wide.gather(1, labels[:, None]), wide.max(dim=-1, keepdim=True)
    total = wide.sub_(most).exp_().sum(dim=-1, keepdim=True)
    return (total.log() + most - own)[:, 0], likeliest[:, 0] == labels


def _loss_and_error(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(sum of the negative log-likelihoods, softmax minus one-hot in the logits' dtype, zero where ignored).

    The logits are used up: a second array of their size would cost as much as the arithmetic.
    """
    scored = (labels != IGNORED)[:, None].float()
    label = labels.clamp_min(0)[:, None]
    wide = logits.float()
    most, own = wide.amax(dim=-1, keepdim=True), wide.gather(1, label)
    raised = wide.sub_(most).exp_()
    total = raised.sum(dim=-1, keepdim=True)
    loss = ((total.log() + most - own) * scored).sum()
    share = scored / total
    error = raised.mul_(share).to(logits.dtype)
    return loss, error.scatter_(1, label, ((own - most).exp() * share - scored).to(error.dtype))


_known: list = []


def _compiled():
    """One compiled function for pieces of any size: it makes one pass over the logits of what are six."""
    if not _known:
        _known.append(torch.compile(_loss_and_error, dynamic=True))
    return _known[0]


class _Pieces(torch.autograd.Function):
    """The mean loss, piece by piece; its gradient to the states is ready when the forward pass ends."""

    @staticmethod
    def forward(ctx, states, weight, bias, labels, loss_and_error):
        size, loss = max(1, CHUNK // weight.shape[0]), states.new_zeros((), dtype=torch.float32)
        gradient = torch.empty_like(states)
        for rows in range(0, len(states), size):
            piece = slice(rows, rows + size)
            added, error = loss_and_error(F.linear(states[piece], weight, bias), labels[piece])
            loss = loss + added
            gradient[piece] = error @ weight
        count = (labels != IGNORED).sum()
        ctx.save_for_backward(gradient, count)
        return loss / count

    @staticmethod
    def backward(ctx, outer):
        gradient, count = ctx.saved_tensors
        return gradient * (outer / count).to(gradient.dtype), None, None, None, None
