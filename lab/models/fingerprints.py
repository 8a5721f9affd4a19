"""What a frozen model is told apart by: its weights and its vocabulary, as a few hex digits.

`fingerprint` looks at a part of every large tensor and is written into seals and into the keys of answers.
`every_weight` looks at every value, and is what states that are kept between processes are known by.
"""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Iterator, Mapping
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from lab.models.frozen import FrozenModel

__all__ = ["every_weight", "fingerprint", "plain_tensors"]


def fingerprint(model: FrozenModel) -> str:
    """16 hex digits of the weights (small tensors whole, 4 096 evenly spaced values of large ones) and vocabulary."""
    digest = hashlib.sha256(json.dumps(sorted(model.tokenizer.get_vocab().items())).encode())
    for name, tensor in sorted(plain_tensors(model.model.state_dict()), key=itemgetter(0)):
        flat = tensor.detach().flatten()
        flat = flat if len(flat) <= 65536 else flat[:: len(flat) // 4096]
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(flat.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def plain_tensors(named: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of all that `named` holds; of a packed weight the tensors that it is made of."""
    for name, tensor in named.items():
        if hasattr(tensor, "__tensor_flatten__"):
            yield from plain_tensors(
                {f"{name}.{part}": getattr(tensor, part) for part in tensor.__tensor_flatten__()[0]}
            )
        else:
            yield name, tensor


# Of each model, by the name of a tensor: the tensor, which version of it was read and where, and its digest.
_read: weakref.WeakKeyDictionary[nn.Module, dict[str, tuple]] = weakref.WeakKeyDictionary()


def every_weight(model: nn.Module) -> str:
    """64 hex digits of every value of every parameter and buffer, those that no file holds among them.

    A tensor is read again only where another stands in its place or it was written to: PyTorch counts the writes. Not
    those through `.data`, which nobody may use on a frozen model.
    """
    known, digest = _read.setdefault(model, {}), hashlib.sha256()
    for name, tensor in _tensors(model):
        kept, version, place, hexes = known.get(name, (None, 0, 0, ""))
        if kept is None or kept() is not tensor or (version, place) != (tensor._version, tensor.data_ptr()):
            hexes = _bytes_of(tensor)
            known[name] = weakref.ref(tensor), tensor._version, tensor.data_ptr(), hexes
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} {hexes}\n".encode())
    return digest.hexdigest()


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(model.named_parameters(), model.named_buffers())


def _bytes_of(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().flatten()
    return hashlib.sha256(flat.view(torch.uint8).numpy()).hexdigest()
