"""Loss terms: pure functions of what the target computes and what the translator wrote, and one weighted sum of them.

Which of them a config asks for, and what they are given, is in `lab.training.objective`.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lab import ranks
from lab.errors import LabError
from lab.models import IGNORED, TargetInputs, sent

TEMPERATURE = 0.07  # InfoNCE (He et al. 2020, section 3.3)
AT_ONCE = 2**26  # logits of which float32 copies are kept at a time: 256 MiB each
MARGIN = 1.0  # nats per token by which the gold answer is to lead a wrong one


def answer_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood of the answer tokens, end token included, under teacher forcing (nats per token)."""
    return _in_pieces(_summed_nll, logits, labels) / len(labels)


def _summed_nll(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.float(), labels, reduction="sum")


def _in_pieces(summed: Callable[..., Tensor], logits: Tensor, others: Tensor) -> Tensor:
    """`summed(logits, others)`, a sum over rows, of logits [N, V] so many rows at a time that their float32 copies fit
    in `AT_ONCE`; what a piece computes is computed again in the backward pass. A vocabulary of 262 144 takes 4 GB a
    copy at batch 32, and there are several."""
    size = max(1, AT_ONCE // logits.shape[1])
    if len(logits) <= size:
        return summed(logits, others)
    again = partial(checkpoint, summed, use_reentrant=False, preserve_rng_state=False)
    return torch.stack([again(*piece) for piece in zip(logits.split(size), others.split(size), strict=True)]).sum()


def format_nll(logits: Tensor, labels: Tensor, marker: set[int]) -> Tensor:
    """The same over the tokens of the answer's ``####`` marker alone: likelihood has a gradient, an argmax has none."""
    chosen = in_marker(labels, marker)
    return F.cross_entropy(logits[chosen].float(), labels[chosen], reduction="sum") / chosen.sum().clamp_min(1)


def in_marker(labels: Tensor, marker: set[int]) -> Tensor:
    """[N] bool: which labels are tokens of the marker."""
    return torch.isin(labels, sent(sorted(marker), labels.device))


def text_kl(logits: Tensor, text_logits: Tensor, inputs: TargetInputs, first: int = 0) -> Tensor:
    """KL(text || soft) of the next token at the same answer positions (Hinton et al. 2015; nats per token).

    `text_logits` [N, vocabulary] come from the target that read the question as text, under the same labels. `first`:
    only so many tokens of each answer, 0: all.
    """
    chosen = slice(None)
    if first:
        scored = inputs.labels[:, 1:] != IGNORED
        chosen = (scored.cumsum(dim=1) <= first)[scored]
    logits = logits[chosen]
    return _in_pieces(_summed_kl, logits, text_logits[chosen]) / len(logits)


def _summed_kl(logits: Tensor, text_logits: Tensor) -> Tensor:
    log_p, log_q = text_logits.float().log_softmax(-1), logits.float().log_softmax(-1)
    return F.kl_div(log_q, log_p, reduction="sum", log_target=True)


def contrast(anchors: Tensor, positives: Tensor) -> Tensor:
    """InfoNCE (van den Oord et al. 2018, equation 4) in float32: row i of [B, d] belongs to row i and to no
    other. Negatives come from all ranks. A batch of one on one rank has no negative, and the term is 0.
    """
    anchors, positives = F.normalize(anchors.float(), dim=-1), F.normalize(positives.float(), dim=-1)
    everyone = ranks.every_row(positives)
    labels = torch.arange(len(anchors), device=anchors.device) + ranks.rank() * len(anchors)
    return F.cross_entropy(anchors @ everyone.T / TEMPERATURE, labels)


def mean_token(tokens: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean [B, d] of the tokens [B, K, d] that exist."""
    if mask is None:
        return tokens.mean(dim=1)
    return (tokens * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp_min(1)


def mean_distance(soft: Tensor, mask: Tensor | None, prompt: Tensor, rms: float) -> Tensor:
    """Prompt alignment: squared distance of the mean soft token to the mean prompt embedding [B, d], in units of the
    target's embedding RMS. It anchors where soft tokens lie, not what each of them says."""
    return ((mean_token(soft, mask) - prompt) / rms).square().mean()


def token_distance(soft: Tensor, wanted: Tensor, mask: Tensor, rms: float) -> Tensor:
    """Squared distance of each soft token [B, K, d] to the embedding wanted in its place, where `mask` [B, K] says that
    there is one, in units of the target's embedding RMS. Token alignment (to a teacher) and geometry (by offsets)."""
    error = ((soft - wanted) / rms).square().mean(dim=2)
    return (error * mask).sum() / mask.sum().clamp_min(1)


def word_probe(soft: Tensor, mask: Tensor | None, table: Tensor, words: list[list[int]]) -> Tensor:
    """Auxiliary probe: can the question's tokens be read off the soft tokens through the target's embedding table?

    Each place gives a distribution over the vocabulary (cosine to the table [V, d], at `TEMPERATURE`); the loss is the
    mean negative log of each question token's probability in the mixture over places (nats per token).
    """
    scores = F.normalize(soft.float(), dim=-1) @ F.normalize(table.float(), dim=-1).T / TEMPERATURE
    log_p = scores.log_softmax(-1)
    if mask is not None:
        log_p = log_p.masked_fill(~mask[..., None], float("-inf"))
    places = mask.sum(1) if mask is not None else torch.full((len(soft),), soft.shape[1], device=soft.device)
    mixed = log_p.logsumexp(dim=1) - places.log()[:, None]  # [B, V]
    rows = [mixed[row, sent(sorted(set(ids)), soft.device)].mean() for row, ids in enumerate(words)]
    return -torch.stack(rows).mean()


def mean_log_likelihood(logits: Tensor, labels: Tensor, inputs: TargetInputs) -> Tensor:
    """[B]: each answer's log-likelihood per token, from the logits of `answer_logits`."""
    scored = inputs.labels[:, 1:] != IGNORED
    row = torch.arange(len(scored), device=scored.device)[:, None].expand_as(scored)[scored]
    values = -F.cross_entropy(logits.float(), labels, reduction="none")
    return torch.zeros(len(scored), device=scored.device).index_add(0, row, values) / scored.sum(dim=1).clamp_min(1)


def decoded_margin(gold: Tensor, decoded: Tensor, wrong: Tensor) -> Tensor:
    """Decode-aware hinge (Edunov et al. 2018, section 3.3): where the target's own greedy answer is `wrong` [k] bool,
    the gold answer's log-likelihood per token has to lead it by `MARGIN`. 0 where all are right."""
    return (F.relu(MARGIN + decoded - gold) * wrong).mean()


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The sum that is optimised: every term times its weight. A term without a weight is an error, not a zero.

    While gradients are recorded, a weighted term outside the graph is refused: it would be logged and never trained.
    """
    if torch.is_grad_enabled():
        for name, term in terms.items():
            if weights.get(name) and not term.requires_grad:
                raise LabError(f"loss term {name!r} is detached: no gradient reaches the translator; keep its graph.")
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def gradient_norms(translator: nn.Module, terms: Mapping[str, Tensor]) -> dict[str, float]:
    """Norm of each term's own gradient over all parameters of `translator`; 0 for a term that never reaches them."""
    parameters, norms = list(translator.parameters()), {}
    for name, term in terms.items():
        found = (
            torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True) if term.requires_grad else ()
        )
        norms[name] = sum((g.float().square().sum().item() for g in found if g is not None), 0.0) ** 0.5
    return norms


def check_gradients(translator: nn.Module, terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> None:
    """Raise LabError for a weighted term that is not zero and whose gradient does not reach `translator`."""
    for name, norm in gradient_norms(translator, terms).items():
        if weights.get(name) and norm == 0 and terms[name].item() != 0:
            raise LabError(f"loss term {name!r} is detached: its gradient on the translator is zero; keep its graph.")
