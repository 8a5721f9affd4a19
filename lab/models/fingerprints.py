"""What a frozen model is told apart by: its weights and its vocabulary, as a few hex digits.

`fingerprint` looks at a part of every large tensor and is written into seals and into the keys of answers.
`every_weight` looks at every value, and is what states that are kept between processes are known by; `weights_of` does
so for a translator. All are computed anew only where a weight has changed: it is known to be the same by its place in
memory and by PyTorch's count of the edits to it, which every write raises but one through `.data`.
"""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lab.models.frozen import FrozenModel

__all__ = ["every_weight", "fingerprint", "plain_tensors", "weights_of"]


_LARGE, _SAMPLED = 65536, 4096  # a tensor of more values is sampled, evenly, at about so many

# By the object itself, while it lives: another one may later stand in the same place in memory. Of each, what it was
# digested after -> the state of its weights then, and the digest.
_known: WeakKeyDictionary[nn.Module, dict[str, tuple[tuple, str]]] = WeakKeyDictionary()
_vocabularies: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, hashlib._Hash]] = WeakKeyDictionary()


def fingerprint(model: FrozenModel) -> str:
    """16 hex digits of the weights (small tensors whole, 4 096 evenly spaced values of large ones) and vocabulary."""
    return _digest(model.model, _vocabulary(model.tokenizer), _sampled)


def weights_of(module: nn.Module) -> str:
    """16 hex digits of all weights of a translator: two translators with the same ones are the same."""
    return _digest(module, hashlib.sha256(), lambda tensor: tensor)


def _digest(module: nn.Module, begun: hashlib._Hash, seen: Callable[[Tensor], Tensor]) -> str:
    """`begun`, gone on with what is `seen` of each tensor of the module's state."""
    tensors = sorted(plain_tensors(module.state_dict()), key=itemgetter(0))
    state = tuple((name, tensor.data_ptr(), tensor._version, tensor.shape, tensor.dtype) for name, tensor in tensors)
    known = _known.setdefault(module, {})
    if known.get(begun.hexdigest(), ((), ""))[0] != state:
        digest = begun.copy()
        for name, tensor in tensors:
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(seen(tensor.detach()).float().cpu().numpy().tobytes())
        known[begun.hexdigest()] = state, digest.hexdigest()[:16]
    return known[begun.hexdigest()][1]


def _sampled(tensor: Tensor) -> Tensor:
    flat = tensor.flatten()
    return flat if len(flat) <= _LARGE else flat[:: len(flat) // _SAMPLED]


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> hashlib._Hash:
    """What a tokenizer's entries are digested to; known until their number changes."""
    if tokenizer not in _vocabularies or _vocabularies[tokenizer][0] != len(tokenizer):
        entries = sorted(tokenizer.get_vocab().items())
        _vocabularies[tokenizer] = len(tokenizer), hashlib.sha256(json.dumps(entries).encode())
    return _vocabularies[tokenizer][1]


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
