"""Training: losses that train nothing."""

import pytest
import torch
from planted_world import CONFIG

from lab.errors import LabError
from lab.models import build_inputs
from lab.training.losses import format_nll
from lab.training.objective import training_terms
from lab.translators.dit import DiT

pytestmark = pytest.mark.slow


def test_loss_detached(world, plant):
    world.train()
    plant.edit(training_terms, "({name: terms[name] for", "({name: terms[name].detach() for")
    with pytest.raises(LabError, match="loss term 'answer_nll' is detached"):
        world.train()


def test_loss_reaches_no_weight(world, plant):
    world.train()

    def planted(kept, target, layout, soft, *given):
        cut = None if soft is None else soft.detach().requires_grad_(torch.is_grad_enabled())
        return kept(target, layout, cut, *given)

    plant.around(build_inputs, planted)
    with pytest.raises(LabError, match="loss term 'answer_nll' is detached"):
        world.train()


def test_flow_loss_detached(world, plant):
    config = CONFIG.replace(translator="dit", flow_weight=0.5, teacher="answer")
    world.train(config)
    plant.edit(DiT.flow_loss, "error = (velocity - ", "error = (velocity.detach() - ")
    with pytest.raises(LabError, match="loss term 'flow' is detached"):
        world.train(config)


def test_format_loss_through_argmax(world, plant):
    config = CONFIG.replace(format_weight=0.5)
    world.train(config)
    plant.edit(format_nll, "return F.cross_entropy(logits[chosen].float(), labels[chosen], reduction=\"sum\")",
               "return (logits[chosen].argmax(dim=-1) != labels[chosen]).float().sum()")  # fmt: skip
    with pytest.raises(LabError, match="loss term 'format' is detached"):
        world.train(config)
