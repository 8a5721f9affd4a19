"""Laws of the losses: the fast path is the plain one, and gradients go through the frozen target to the soft tokens."""

import pytest
import torch
import torch.nn.functional as F

from lab.config.layout import LAYOUTS
from lab.models.inputs import IGNORED, answer_logits, build_inputs
from lab.training.losses import answer_nll, weighted_sum

CONTEXTS = [{"question": "Tom has 3 apples and buys 12 more. How many?"}, {"question": "How many pens?"}]
ANSWERS = ["3 + 12 = 15.\n#### 15", "24.\n#### 24"]


def inputs_with(pair, soft):
    return build_inputs(pair.target, LAYOUTS["soft_plus_text"], soft, CONTEXTS, ANSWERS)


@pytest.fixture
def soft(tiny_pair):
    return (torch.randn(2, 3, tiny_pair.target.hidden_size) * tiny_pair.target.embedding_rms).requires_grad_()


def fast_nll(target, inputs):
    return answer_nll(*answer_logits(target, inputs))


def plain_nll(target, inputs):
    """The textbook way: logits everywhere, shifted labels, ignored positions left out."""
    logits = target.model(inputs_embeds=inputs.embeds, attention_mask=inputs.attention_mask,
                          position_ids=inputs.position_ids).logits  # fmt: skip
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), inputs.labels[:, 1:].flatten(), ignore_index=IGNORED)


def test_logits_only_at_labels_equal_the_full_logits(tiny_pair, soft):
    fast, plain = (loss(tiny_pair.target, inputs_with(tiny_pair, soft)) for loss in (fast_nll, plain_nll))
    torch.testing.assert_close(fast, plain)
    fast_grad, plain_grad = (torch.autograd.grad(loss, soft)[0] for loss in (fast, plain))
    torch.testing.assert_close(fast_grad, plain_grad, atol=1e-6, rtol=1e-4)


def test_logits_are_made_for_the_answers_alone(tiny_pair, soft):
    inputs = inputs_with(tiny_pair, soft)
    logits, labels = answer_logits(tiny_pair.target, inputs)
    assert len(logits) == len(labels) == (inputs.labels != IGNORED).sum()
    assert labels[-1] == tiny_pair.target.tokenizer.eos_token_id


def test_gradients_reach_every_soft_token_and_no_frozen_weight(tiny_pair, soft):
    fast_nll(tiny_pair.target, inputs_with(tiny_pair, soft)).backward()
    assert soft.grad.isfinite().all() and (soft.grad.abs().sum(dim=-1) > 0).all()
    assert all(parameter.grad is None for parameter in tiny_pair.target.model.parameters())


def test_the_loss_falls_along_its_gradient(tiny_pair, soft):
    before = fast_nll(tiny_pair.target, inputs_with(tiny_pair, soft))
    (direction,) = torch.autograd.grad(before, soft)
    step = 1e-3 * soft.norm() / direction.norm()
    after = fast_nll(tiny_pair.target, inputs_with(tiny_pair, soft - step * direction))
    assert after < before


def test_weighted_sum_weighs_every_term_and_refuses_an_unknown_one():
    terms = {"a": torch.tensor(2.0, requires_grad=True), "b": torch.tensor(3.0, requires_grad=True)}
    total = weighted_sum(terms, {"a": 1.0, "b": 0.5})
    assert total.item() == 3.5
    total.backward()
    assert (terms["a"].grad.item(), terms["b"].grad.item()) == (1.0, 0.5)
    with pytest.raises(KeyError, match="b"):
        weighted_sum(terms, {"a": 1.0})
