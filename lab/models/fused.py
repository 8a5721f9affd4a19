"""Liger's Triton kernels in a frozen model's layers: norm and gated MLP in one launch each (Hsu et al. 2024).

Optional, and on a GPU alone. Results round as another order of the same sums does.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

import torch
from torch import Tensor
from transformers import PreTrainedModel

from lab.errors import LabError
from lab.models.architecture import apart, close


def can_fuse(device: torch.device) -> bool:
    """Whether the kernels can be had there at all: a GPU, and Liger installed."""
    return device.type == "cuda" and find_spec("liger_kernel") is not None


def fuse(name: str, model: PreTrainedModel, ids: Tensor) -> None:
    """Put the kernels into this one model, in place, and compare what it says to `ids` [1, S] before and after.

    Raises LabError without Liger or a GPU, for an architecture that Liger does not know, and where it says otherwise.
    """
    kind = model.config.model_type
    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance as apply
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as known
    except ImportError as error:
        raise LabError(
            f"fused_kernels=true needs liger-kernel and Triton ({str(error).splitlines()[0]}); install "
            "requirements-fast.lock on a machine with a GPU, or set fused_kernels=false."
        ) from None
    if kind not in known:
        raise LabError(f"model {name!r}: Liger has no kernels for {kind!r}; set fused_kernels=false.")
    before, module = _says(model, ids), sys.modules[type(model).__module__]
    own = dict(vars(module))
    # Rotations and losses are replaced for a whole module of the library at once, not in one model.
    apply(model, rope=False, cross_entropy=False, fused_linear_cross_entropy=False)
    vars(module).update(own)  # nor shall models that are loaded later be others than they say
    after = _says(model, ids)
    if not close(after, before):
        raise LabError(
            f"model {name!r}: with fused kernels its logits differ by {apart(after, before):.1e} of their size; set "
            "fused_kernels=false."
        )


@torch.no_grad()
def _says(model: PreTrainedModel, ids: Tensor) -> Tensor:
    return model(input_ids=ids, use_cache=False).logits
