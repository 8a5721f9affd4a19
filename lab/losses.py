"""Loss terms: pure functions of what the target computes, and one weighted sum of them."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.errors import LabError
from lab.inputs import IGNORED, TargetInputs
from lab.models import FrozenModel


def answer_logits(target: FrozenModel, inputs: TargetInputs) -> tuple[Tensor, Tensor]:
    """Logits `[N, vocabulary]` at the N positions that predict a label, and those labels `[N]`.

    The head runs only there: over a vocabulary of 128 256 all positions of a long prompt would take gigabytes.
    """
    hidden = target.base(
        inputs_embeds=inputs.embeds,
        attention_mask=inputs.attention_mask,
        position_ids=inputs.position_ids,
        use_cache=False,
    ).last_hidden_state
    predicts = inputs.labels[:, 1:] != IGNORED
    return target.model.lm_head(hidden[:, :-1][predicts]), inputs.labels[:, 1:][predicts]


def answer_nll(target: FrozenModel, inputs: TargetInputs) -> Tensor:
    """Mean negative log-likelihood of the answer tokens, end token included, under teacher forcing (nats per token)."""
    logits, labels = answer_logits(target, inputs)
    return F.cross_entropy(logits.float(), labels)


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
    """Raise LabError for a weighted term whose gradient does not reach `translator`."""
    for name, norm in gradient_norms(translator, terms).items():
        if weights.get(name) and norm == 0:
            raise LabError(f"loss term {name!r} is detached: its gradient on the translator is zero; keep its graph.")
