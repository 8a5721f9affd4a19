"""Loss terms: pure functions of what the target computes, and one weighted sum of them."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

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
    """The sum that is optimised: every term times its weight. A term without a weight is an error, not a zero."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
