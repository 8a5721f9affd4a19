"""Checkpoints of a training: everything that the next step depends on, saved, found again and loaded."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lab.errors import LabError
from lab.runs import RunDirectory, write_jsonl, write_text
from lab.translators import load_translator, save_translator


@dataclass
class Progress:
    """What the loop knows besides the weights: it is saved with every checkpoint."""

    step: int = 0
    best_step: int = 0
    best_accuracy: float = -1.0
    evaluations_without_gain: int = 0
    history: list[dict] = field(default_factory=list)
    stopped_early: bool = False


def save_checkpoint(
    folder: Path, translator: nn.Module, source_layers, optimizer=None, progress: Progress | None = None
) -> None:
    """Write a checkpoint beside its place, then swap: a killed job leaves the old one or the new one."""
    beside, before = folder.with_name(f".{folder.name}.tmp"), folder.with_name(f".{folder.name}.old")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    save_translator(translator, beside, source_layers)
    if optimizer is not None:
        state = optimizer.state_dict()["state"]
        tensors = {f"{i}.{key}": value.contiguous() for i, slots in state.items() for key, value in slots.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if (device := next(translator.parameters()).device).type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(device)
        save_file(tensors, beside / "optimizer.safetensors")
        write_text(beside / "state.json", json.dumps(vars(progress)))
    if folder.exists():  # a full folder cannot be replaced in one call; `find_checkpoint` covers the gap between two
        shutil.rmtree(before, ignore_errors=True)
        folder.rename(before)
    beside.rename(folder)
    shutil.rmtree(before, ignore_errors=True)


def find_checkpoint(folder: Path) -> Path | None:
    """The checkpoint at `folder`, or the one before it if the job was killed while swapping them, or None."""
    before = folder.with_name(f".{folder.name}.old")
    if not folder.exists() and before.exists():
        before.rename(folder)
    return folder if folder.exists() else None


def resume(folder: Path, translator: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Load the checkpoint in `folder` into `translator` and `optimizer`, and set the random state it was saved in."""
    translator.load_state_dict(load_translator(folder)[0].state_dict())
    tensors, state = load_file(folder / "optimizer.safetensors"), {}
    on_gpu, device = tensors.pop("random.cuda", None), next(translator.parameters()).device
    if on_gpu is not None and device.type == "cuda":
        torch.cuda.set_rng_state(on_gpu, device)
    torch.set_rng_state(tensors.pop("random.cpu"))
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return Progress(**json.loads((folder / "state.json").read_text()))


def start_from(translator: nn.Module, folder: str, source_layers: str | Sequence[int]) -> None:
    """Give `translator` the weights of the one in `folder`; LabError unless both have the same shape and layers."""
    earlier, layers = load_translator(folder)
    same = type(earlier) is type(translator) and earlier.state_dict().keys() == translator.state_dict().keys()
    if (
        not same
        or layers != (source_layers if isinstance(source_layers, str) else list(source_layers))
        or any(value.shape != translator.state_dict()[name].shape for name, value in earlier.state_dict().items())
    ):
        raise LabError(f"start_from={folder!r} holds a translator of another kind, size or source_layers.")
    translator.load_state_dict(earlier.state_dict())


def forget_after(run: RunDirectory, step: int) -> None:
    """Drop the metrics of steps after `step` (-1: of all steps): a killed job logged them, they are done again."""
    rows = run.metrics()
    kept = [row for row in rows if row.get("step", -1) <= step]
    if len(kept) < len(rows):
        write_jsonl(run.path / "metrics.jsonl", kept)
