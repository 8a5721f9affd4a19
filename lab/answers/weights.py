"""Which weights a model or a translator has, as 16 hex digits; computed anew only where one of them has changed.

A weight is known to be the same by its place in memory and by PyTorch's count of the edits to it, which every write
raises but one through `.data`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lab.models import FrozenModel

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


def _digest(module: nn.Module, begun: hashlib._Hash, part: Callable[[Tensor], Tensor]) -> str:
    """`begun`, gone on with `part` of each tensor of the module's state."""
    tensors = sorted(module.state_dict().items())
    state = tuple((name, tensor.data_ptr(), tensor._version, tensor.shape, tensor.dtype) for name, tensor in tensors)
    known = _known.setdefault(module, {})
    if known.get(begun.hexdigest(), ((), ""))[0] != state:
        digest = begun.copy()
        for name, tensor in tensors:
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(part(tensor.detach()).float().cpu().numpy().tobytes())
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
