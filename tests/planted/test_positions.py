"""Positions: right tokens, wrong places."""

import pytest
from planted_world import CONFIG

from lab.errors import LabError
from lab.models import build_inputs

pytestmark = pytest.mark.slow


def test_positions_count_padding(world, plant):
    world.evaluate()
    plant.edit(build_inputs, "mask, positions(mask)", "mask, torch.arange(width).expand_as(mask)")
    with pytest.raises(LabError, match="inputs are built wrongly"):
        world.evaluate()


def test_padded_on_the_right(world, plant):
    world.evaluate()
    plant.edit(build_inputs, "target.padded(rows)", "target.padded(rows, 'right')")
    with pytest.raises(LabError, match="inputs are built wrongly"):
        world.evaluate()


def test_soft_tokens_from_the_padding(world, plant):
    config = CONFIG.replace(translator="linear", soft_tokens=0)
    world.evaluate(config)
    plant.edit(build_inputs, "else soft[soft_mask])", "else torch.cat([own[:n] for own, n in zip(soft, counts)]))")
    with pytest.raises(LabError, match="inputs are built wrongly"):
        world.evaluate(config)
