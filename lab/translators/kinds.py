"""The kinds of translator by name: built from a config, saved to a folder, loaded from one.

A saved translator is a folder with safetensors weights and a config.json of its arguments, the Hub's way.
"""

import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from safetensors import SafetensorError
from torch import nn

from lab.config import TranslatorConfig
from lab.errors import LabError
from lab.models import Pair, layer_indices
from lab.translators.constant import ConstantPrompt
from lab.translators.dit import DiT
from lab.translators.linear import Linear
from lab.translators.resampler import Resampler

KINDS = {"resampler": Resampler, "dit": DiT, "linear": Linear, "constant": ConstantPrompt}
KIND_FILE = "translator.json"


def build_translator(config: TranslatorConfig, pair: Pair, source_layers: str | Sequence[int]) -> nn.Module:
    """The untrained translator of `config`, sized for `pair`, on the target's device, in float32."""
    target = {"target_dim": pair.target.embedding_size, "target_rms": pair.target.embedding_rms}
    source = {
        "source_dim": pair.source.hidden_size,
        "source_layers": len(layer_indices(source_layers, pair.source.num_layers)),
    }
    body = {name: getattr(config, name) for name in ("soft_tokens", "width", "depth", "heads", "dropout", "source_mix")}
    cap = config.soft_tokens_cap
    if config.translator == "constant":
        translator = ConstantPrompt(soft_tokens=config.soft_tokens, **target)
    elif config.translator == "linear":
        translator = Linear(cap=cap, **source, **target)
    elif config.translator == "dit":
        translator = DiT(
            cap=cap,
            conditioning=config.conditioning,
            train_steps=config.flow_train_steps,
            eval_steps=config.flow_eval_steps,
            backprop_steps=config.flow_backprop_steps,
            condition_dropout=config.flow_condition_dropout,
            guidance=config.flow_guidance,
            **body,
            **source,
            **target,
        )
    else:
        translator = Resampler(cap=cap, gate_init=config.gate_init, **body, **source, **target)
    return reading(translator, source_layers).to(pair.target.device)


def reading(translator: nn.Module, layers: str | Sequence[int]) -> nn.Module:
    """`translator`, which from here on knows the source layers that it reads, as a config names them."""
    translator.layers = layers if isinstance(layers, str) else list(layers)
    return translator


def save_translator(translator: nn.Module, folder: str | Path) -> None:
    """Write weights, arguments, the kind, and which source layers it reads."""
    translator.save_pretrained(folder)
    kind = next(kind for kind, cls in KINDS.items() if type(translator) is cls)
    about = {"translator": kind, "source_layers": translator.layers}
    (Path(folder) / KIND_FILE).write_text(json.dumps(about) + "\n")


def load_translator(folder: str | Path) -> nn.Module:
    """The translator in `folder`, which knows its source layers. Raises LabError if the folder holds none."""
    place = Path(folder) / KIND_FILE
    try:
        about = json.loads(place.read_text())
        with redirect_stdout(None):  # the mixin announces where it reads
            return reading(KINDS[about["translator"]].from_pretrained(folder), about["source_layers"])
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise LabError(f"{folder} holds no translator ({error}); give a folder that save_translator wrote.") from None
