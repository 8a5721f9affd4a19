"""Translators: source states in, soft tokens out. One contract, each architecture its own module.

A saved translator is a folder with safetensors weights and a config.json of its arguments, the Hub's way.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from torch import nn

from lab.config import TranslatorConfig
from lab.errors import LabError
from lab.models import Pair, layer_indices
from lab.translators.constant import ConstantPrompt
from lab.translators.contract import TranslatorOutput
from lab.translators.resampler import Resampler

__all__ = ["ConstantPrompt", "Resampler", "TranslatorOutput", "build_translator", "load_translator", "save_translator"]

KINDS = {"resampler": Resampler, "constant": ConstantPrompt}
KIND_FILE = "translator.json"


def build_translator(config: TranslatorConfig, pair: Pair, source_layers: str | Sequence[int]) -> nn.Module:
    """The untrained translator of `config`, sized for `pair`, on the target's device, in float32."""
    target = {"target_dim": pair.target.hidden_size, "target_rms": pair.target.embedding_rms}
    if config.translator == "constant":
        translator = ConstantPrompt(soft_tokens=config.soft_tokens, **target)
    else:
        layers = len(layer_indices(source_layers, pair.source.num_layers))
        translator = Resampler(
            soft_tokens=config.soft_tokens,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            dropout=config.dropout,
            source_mix=config.source_mix,
            gate_init=config.gate_init,
            source_dim=pair.source.hidden_size,
            source_layers=layers,
            **target,
        )
    return translator.to(pair.target.device)


def save_translator(translator: nn.Module, folder: str | Path, source_layers: str | Sequence[int]) -> None:
    """Write weights, arguments, the kind, and which source layers it reads."""
    translator.save_pretrained(folder)
    kind = next(kind for kind, cls in KINDS.items() if type(translator) is cls)
    layers = source_layers if isinstance(source_layers, str) else list(source_layers)
    (Path(folder) / KIND_FILE).write_text(json.dumps({"translator": kind, "source_layers": layers}) + "\n")


def load_translator(folder: str | Path) -> tuple[nn.Module, str | list[int]]:
    """The translator in `folder` and the source layers that it reads. Raises LabError if the folder holds none."""
    place = Path(folder) / KIND_FILE
    try:
        about = json.loads(place.read_text())
        return KINDS[about["translator"]].from_pretrained(folder), about["source_layers"]
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise LabError(f"{folder} holds no translator ({error}); give a folder that save_translator wrote.") from None
