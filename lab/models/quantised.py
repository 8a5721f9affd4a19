"""A target in 8 or 4 bits, so that a pair fits onto a smaller card: the linear layers between its embeddings and its
head are packed, by transformers and the library that can do it; everything else stays in the config's dtype.

Weights alone are rounded, never what flows through: a row's result depends on no other row, and the gradient on soft
tokens is that of the very function that is evaluated. 8 bits: torchao, one scale for each output. 4 bits: bitsandbytes,
NF4 in blocks of 64 whose scales are themselves in 8 bits (Dettmers et al. 2023, QLoRA, sections 3 and 4). The 8 bits of
bitsandbytes are not used: they round activations, too, and which of them they spare is decided by the whole batch
(Dettmers et al. 2022, LLM.int8()), so that an answer depends on its neighbours.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BitsAndBytesConfig, PreTrainedModel, TorchAoConfig
from transformers.pytorch_utils import Conv1D

from lab.errors import LabError

__all__ = ["made_sound", "packed_layers", "packing", "weight_bytes"]

LOCK = "requirements-quantised.lock"
LIBRARIES = {8: ("torchao", "accelerate"), 4: ("bitsandbytes", "accelerate")}
SCALES = {
    8: 0.1,
    4: 0.13,
}  # bits a weight that its scale takes: 32 for a row of 320 or more; 8 for 64, and 32 for 16 384


def packing(bits: int, dtype: torch.dtype) -> BitsAndBytesConfig | TorchAoConfig:
    """How transformers packs a model as it loads. Raises LabError where the library is not installed."""
    absent = " ".join(name for name in LIBRARIES[bits] if importlib.util.find_spec(name) is None)
    if absent:
        raise LabError(
            f"target_bits={bits} needs what is not installed here: `pip install {absent}`, or all of it with "
            f"`pip install --no-deps -r {LOCK}`."
        )
    for library in LIBRARIES[bits]:  # kernels for other machines that they cannot load, line by line
        logging.getLogger(library).setLevel(logging.ERROR)
    if bits == 4:
        with _no_remote_code():
            import bitsandbytes  # noqa: F401

        return BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
        )
    from torchao.quantization import Int8WeightOnlyConfig

    # Its settings of the compiler would also allow faster, coarser products everywhere in this process.
    return TorchAoConfig(Int8WeightOnlyConfig(set_inductor_config=False))


@contextmanager
def _no_remote_code() -> Iterator[None]:
    """Inside, the package `kernels` is not to be found: with it bitsandbytes would fetch a kernel from the hub and run
    it, on some CPUs and as soon as it is imported."""
    found = sys.modules.get("kernels", KeyError)
    sys.modules["kernels"] = None
    try:
        yield
    finally:
        del sys.modules["kernels"]
        if found is not KeyError:
            sys.modules["kernels"] = found


def packed_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers whose weights are packed, by name."""
    return {
        name: module for name, module in model.named_modules()
        if hasattr(getattr(module, "weight", None), "quant_state") or hasattr(getattr(module, "weight", None), "qdata")
    }  # fmt: skip


def made_sound(name: str, model: PreTrainedModel, bits: int) -> PreTrainedModel:
    """`model` as it was packed, once gradients go through it as they have to, and without a copy of its weights.

    Raises LabError where nothing was packed, or embeddings were, or the device cannot compute a packed layer both ways.
    """
    layers = packed_layers(model)
    if not layers:
        raise LabError(f"model {name!r} has no layer that can be packed; leave target_bits={bits} out.")
    if model.get_input_embeddings() in layers.values():
        raise LabError(f"model {name!r} comes with packed embeddings, where soft tokens have to lie; choose another.")
    for layer in layers.values():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            # A layout for some CPUs that bitsandbytes changes to when it first reads without a gradient; no gradient
            # goes through it ever after, and none is missed: what goes past the layers comes out as if it were all.
            layer.support_avx512bf16_for_cpu = False
        else:
            layer.forward = MethodType(_unpacked_anew, layer)
    _try_both_ways(next(iter(layers.values())), model.get_input_embeddings().weight, bits)
    return model


def _try_both_ways(layer: nn.Module, embeddings: Tensor, bits: int) -> None:
    given = embeddings.new_ones(1, layer.in_features, requires_grad=True)
    try:
        layer(given).sum().backward()
    except (RuntimeError, NotImplementedError, ImportError) as error:
        reason = str(error).split("\n")[0][:120]
        raise LabError(
            f"target_bits={bits} cannot be computed on {embeddings.device} ({reason}); leave it out, or choose another "
            "device."
        ) from None


class _UnpackedAnew(torch.autograd.Function):
    """A linear layer that keeps nothing for the way back. torchao's keeps its whole weight in the input's dtype: over
    all layers the model's full size, which packing was to save."""

    @staticmethod
    def forward(ctx, given: Tensor, layer: nn.Linear) -> Tensor:
        ctx.layer = layer
        return F.linear(given, layer.weight, layer.bias)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient @ ctx.layer.weight.dequantize().to(gradient.dtype), None


def _unpacked_anew(layer: nn.Linear, given: Tensor) -> Tensor:
    return _UnpackedAnew.apply(given, layer)


def weight_bytes(model: PreTrainedModel, dtype: torch.dtype, bits: int = 0) -> float:
    """Bytes of the weights of a model (it may be on no device), loaded in `dtype`, its linear layers in `bits`."""
    kinds = (nn.Linear, Conv1D) if bits == 4 else nn.Linear  # GPT-2's layers, which torchao does not know
    head = model.get_output_embeddings()
    linear = [module for module in model.modules() if isinstance(module, kinds) and module is not head]
    packed = sum(module.weight.numel() for module in linear) if bits else 0
    rest = model.num_parameters() - packed
    return rest * torch.empty(0, dtype=dtype).element_size() + packed * (bits + SCALES.get(bits, 0)) / 8
