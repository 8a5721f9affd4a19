"""Laws of the wire: bytes as counted by hand, errors within a quantisation step, bf16 exactly bf16."""

import pytest
import torch

from lab.answers.wire import WIRES, get_wire
from lab.errors import LabError


def test_bytes_by_hand():
    assert [WIRES[name].bytes(16, 192) for name in ("bf16", "int8", "int4")] == [6144, 16 * 194, 16 * (96 + 12)]
    assert WIRES["int4"].bytes(3, 40) == 3 * (20 + 2 * 2)  # a group that is not full has a scale as well
    assert WIRES["bf16"].bytes(64, 4096) == 512 * 1024


@pytest.mark.parametrize("size", [192, 50])
def test_the_error_is_within_half_a_step(size):
    soft = torch.randn(5, 16, size, generator=torch.Generator().manual_seed(0)) * 0.1
    for name, relative in (("bf16", 2**-8), ("int8", 0.6 / 127), ("int4", 0.6 / 7)):
        error = (WIRES[name].through(soft) - soft).abs().amax(dim=-1)
        assert (error <= soft.abs().amax(dim=-1) * relative).all(), name
    assert torch.equal(WIRES["bf16"].through(soft), soft.bfloat16().float())


def test_zeros_stay_zero_and_an_unknown_format_is_refused():
    for wire in WIRES.values():
        assert not wire.through(torch.zeros(2, 3, 8)).any()
    with pytest.raises(LabError, match="bf16, int8, int4"):
        get_wire("int2")


@pytest.mark.parametrize("name, most", [("int8", 127), ("int4", 7)])
def test_the_scale_that_is_counted_as_bf16_is_one(name, most):
    soft = torch.randn(64, 32, generator=torch.Generator().manual_seed(0)) * 0.1  # one group each
    scale = WIRES[name].through(soft).abs().amax(dim=-1) / most
    assert torch.equal(scale, scale.bfloat16().float())
