"""The keys of kept states: a hash of all that decides what a frozen model's states of a text are.

Every value of the weights and the config that says how they are used, the layers, the dtype, the kind of device and the
precision of its products (training allows a GPU faster ones than evaluation), the libraries' versions, the text inside
its chat template and the tokens that are read of it. Not the batch: padding changes states in their last bits only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import transformers

from lab.models.fingerprints import every_weight
from lab.models.state_cache import StateKey

if TYPE_CHECKING:
    from lab.models.frozen import FrozenModel

__all__ = ["state_keys"]

NAMES = ("_name_or_path", "transformers_version")  # of a config: where the model lay, and what saved it


def state_keys(
    model: FrozenModel, texts: Sequence[str], rows: Sequence[Sequence[int]], layers: Sequence[int]
) -> list[StateKey]:
    """The key of each of `texts`, given as they are read, with their tokens `rows`, at `layers` (indices, in order)."""
    reading = _digest(_reading(model, layers))
    return [
        StateKey(_digest([reading, text, list(row)]), (len(row), len(layers), model.hidden_size), model.dtype)
        for text, row in zip(texts, rows, strict=True)
    ]


def _reading(model: FrozenModel, layers: Sequence[int]) -> dict:
    config = {name: value for name, value in model.model.config.to_dict().items() if name not in NAMES}
    return {
        "weights": every_weight(model.model),
        "config": config | {"attention": model.model.config._attn_implementation},
        "layers": list(layers),
        "dtype": str(model.dtype),
        "device": model.device.type,
        "products": torch.get_float32_matmul_precision(),
        "libraries": [torch.__version__, transformers.__version__],
    }


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode("utf-8")).hexdigest()
