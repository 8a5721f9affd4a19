"""Liger's kernels in a frozen model: refused where they cannot be, and where they say something else."""

import copy
import sys
import types

import pytest
import torch
import transformers
from model_zoo import zoo_model

from lab.errors import LabError
from lab.models.fused import can_fuse, fuse

MODULE = "transformers.models.llama.modeling_llama"


@pytest.fixture
def model():
    return copy.deepcopy(zoo_model("llama"))


def with_liger(monkeypatch, apply, kinds=("llama",)):
    package, patches = types.ModuleType("liger_kernel.transformers"), types.ModuleType("monkey_patch")
    package._apply_liger_kernel_to_instance = apply
    patches.MODEL_TYPE_TO_APPLY_LIGER_FN = dict.fromkeys(kinds)
    for name, module in {"liger_kernel": types.ModuleType("liger_kernel"), "liger_kernel.transformers": package,
                         "liger_kernel.transformers.monkey_patch": patches}.items():  # fmt: skip
        monkeypatch.setitem(sys.modules, name, module)


def test_without_liger_it_is_one_sentence(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    with pytest.raises(LabError, match="fused_kernels=true needs liger-kernel.*set fused_kernels=false"):
        fuse("a model", model.model, torch.tensor([[5, 6, 7]]))


@pytest.mark.parametrize("device, liger, can", [("cpu", True, False), ("cuda", True, True), ("cuda", False, False)])
def test_they_need_a_gpu_and_liger(device, liger, can, monkeypatch):
    monkeypatch.setattr("lab.models.fused.find_spec", lambda name: object() if liger else None)
    assert can_fuse(torch.device(device)) is can


def test_an_architecture_that_liger_does_not_know_is_refused(model, monkeypatch):
    with_liger(monkeypatch, lambda *_, **__: None, kinds=["bloom"])
    with pytest.raises(LabError, match="no kernels for 'llama'"):
        fuse("a model", model.model, torch.tensor([[5, 6, 7]]))


def test_kernels_that_say_something_else_are_refused(model, monkeypatch):
    def spoil(model, **given):
        model.base_model.layers[0].mlp.forward = lambda states: 2 * states

    with_liger(monkeypatch, spoil)
    with pytest.raises(LabError, match="with fused kernels its logits differ"):
        fuse("a model", model.model, torch.tensor([[5, 6, 7]]))


def test_no_other_model_is_changed(model, monkeypatch):
    """Liger replaces classes and functions of the library's module for all models of a kind; only this one is asked."""
    library, given = sys.modules[MODULE], []
    own = dict(vars(library))

    def apply(model, **chosen):
        given.append(chosen)
        library.LlamaMLP, library.apply_rotary_pos_emb = "another", "another"

    with_liger(monkeypatch, apply)
    fuse("a model", model.model, torch.tensor([[5, 6, 7]]))
    assert dict(vars(library)) == own and library.LlamaMLP is transformers.models.llama.modeling_llama.LlamaMLP
    assert given == [{"rope": False, "cross_entropy": False, "fused_linear_cross_entropy": False}]
