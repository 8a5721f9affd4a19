"""Checkpoints of a training: everything that the next step depends on, saved, checked, and loaded again.

Each is a folder `step_<n>` that appears whole and never changes: weights, optimiser, random state, what the loop knows,
the config's hash, how far `metrics.jsonl` was, and what the run had spent so far (see `lab.clock`). That one rename is
all there is to saving; it also decides which step is the best, because the best is named in the folder's own state. So
a kill, wherever it falls, leaves the checkpoint before or the new one, each with its own best and its own metrics. The
newest and the one before it are kept, with the bests of both, and a resume takes the newest that is still what was
saved. `best` and `last` are links for people and notebooks; a resume does not read them.
"""

import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from lab import ranks
from lab.clock import running_clock
from lab.config import RunConfig
from lab.errors import LabError
from lab.runs import FOLDER_MANIFEST, RunDirectory, check_folder, remove_folder, whole_folder
from lab.translators import load_translator, save_translator

STEP = re.compile(r"step_(\d+)")


@dataclass
class Progress:
    """What the loop knows besides the weights: it is saved with every checkpoint."""

    step: int = 0
    best_step: int = 0
    best_score: float | None = None  # see `lab.training.selection.score`
    evaluations_without_gain: int = 0
    history: list[dict] = field(default_factory=list)
    stopped_early: bool = False

    @property
    def begun(self) -> bool:
        """Whether anything is done: a step, or the evaluation before the first."""
        return bool(self.step or self.history)

    @property
    def bests(self) -> set[int]:
        """The step that is the best so far; none before the first evaluation."""
        return {self.best_step} if self.history else set()


def step_folder(run: RunDirectory, step: int) -> Path:
    return run.checkpoints / f"step_{step}"


def checkpoint_facts(run: RunDirectory, config: RunConfig, progress: Progress) -> dict:
    """What a checkpoint's manifest says of this moment."""
    facts = {"step": progress.step, "config_hash": config.hash(), "metrics": run.metrics_so_far()}
    if clock := running_clock():
        facts["clock"] = clock.record()
    return facts


def write_checkpoint(
    run: RunDirectory, facts: dict, translator: nn.Module, state: dict[str, torch.Tensor], progress: Progress
) -> None:
    """Write what `checkpoint_facts`, the translator and `training_state` were at one moment, and tidy up.

    Raises LabError if it cannot be written; those before stay as they are.
    """
    folder = step_folder(run, progress.step)
    try:
        with whole_folder(folder, **facts) as beside:
            save_translator(translator, beside)
            save_file(state, beside / "optimizer.safetensors")
            (beside / "state.json").write_text(json.dumps(vars(progress)), encoding="utf-8")
        _tidy(run, progress)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LabError(
            f"{folder} cannot be saved ({reason}); what was saved before is whole: mend that, then resume the run."
        ) from None


def usable_checkpoint(run: RunDirectory, config: RunConfig) -> tuple[dict, list[str]]:
    """(the manifest of the newest checkpoint that can be resumed, why newer ones cannot); ({}, []) where none is saved.

    Reads only. Raises LabError where something was saved and nothing of it can be used.
    """
    steps, reasons = _saved_steps(run), []
    for step in reversed(steps):
        try:
            return _check(run, config, step), reasons
        except LabError as error:
            reasons += [str(error)] if str(error) not in reasons else []
    if not steps and (run.checkpoints / "last").exists():
        reasons = ["`last` is of an earlier version, which saved nothing that it can be checked against"]
    if reasons:
        raise LabError(
            f"{run.path} cannot be resumed: {'; '.join(reasons)}; move the run away and start it again, or choose "
            "another name."
        )
    return {}, []


def steps_left(run: RunDirectory, config: RunConfig) -> int:
    """How many steps a resume would train; 0 where the run has all of them, or stopped early."""
    checkpoint, _ = usable_checkpoint(run, config)
    if not checkpoint:
        return config.training.steps
    progress = _progress(step_folder(run, checkpoint["step"]))
    return 0 if progress.stopped_early else config.training.steps - progress.step


def resume(
    run: RunDirectory, config: RunConfig, translator: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Progress, str]:
    """Load the newest usable checkpoint, and forget what came after it: (its progress, one line that says so).

    All ranks read it; there may be more or fewer than those that saved it. Without any, training begins: metrics of
    steps before the first checkpoint are dropped, they are done again.
    """
    checkpoint, reasons = usable_checkpoint(run, config)
    if not checkpoint:
        ranks.wait()
        return Progress(), "Started over: there was no checkpoint yet" if run.cut_metrics(0) else ""
    progress = _load(step_folder(run, checkpoint["step"]), translator, optimizer)
    ranks.wait()  # all have read, now the first one may write
    if clock := running_clock():
        clock.go_on(checkpoint.get("clock", {}))
    try:
        run.cut_metrics(checkpoint["metrics"]["bytes"])
        if ranks.is_first():
            for step in _saved_steps(run):
                if step > progress.step:
                    remove_folder(step_folder(run, step))
            _tidy(run, progress)
    except OSError as error:
        raise LabError(
            f"{run.path} cannot be gone on with ({error.strerror}); mend that, then resume the run."
        ) from None
    return progress, "; ".join([f"Resumed after step {progress.step}", *reasons])


def load_best(run: RunDirectory, progress: Progress, translator: nn.Module) -> None:
    """Give `translator` the weights of the best step."""
    translator.load_state_dict(load_translator(step_folder(run, progress.best_step)).state_dict())


def check_translator(folder: Path) -> None:
    """Raise LabError if the translator in `folder` is a checkpoint's, and no longer what was saved.

    A bare translator, and one of an earlier version, says nothing of itself.
    """
    if (folder / FOLDER_MANIFEST).exists() or STEP.fullmatch(folder.resolve().name):
        try:
            check_folder(folder)
        except LabError as error:
            raise LabError(f"{folder} is damaged: {error}; give another translator, or train it again.") from None


def start_from(translator: nn.Module, folder: str) -> None:
    """Give `translator` the weights of the one in `folder`; LabError unless both have the same shape and layers."""
    check_translator(Path(folder))
    earlier = load_translator(folder)
    same = type(earlier) is type(translator) and earlier.state_dict().keys() == translator.state_dict().keys()
    if (
        not same
        or earlier.layers != translator.layers
        or any(value.shape != translator.state_dict()[name].shape for name, value in earlier.state_dict().items())
    ):
        raise LabError(f"start_from={folder!r} holds a translator of another kind, size or source_layers.")
    translator.load_state_dict(earlier.state_dict())


def _saved_steps(run: RunDirectory) -> list[int]:
    names = [path.name for path in run.checkpoints.iterdir()] if run.checkpoints.is_dir() else []
    return sorted(int(found[1]) for found in map(STEP.fullmatch, names) if found)


def _check(run: RunDirectory, config: RunConfig, step: int) -> dict:
    """The manifest of a checkpoint, once all that a run of `config` needs to go on after `step` is as it was saved:
    its files, its best's, and the metrics so far. Raises LabError with what is not."""
    folder = step_folder(run, step)
    manifest, progress = check_folder(folder), _progress(folder)
    for checked in (manifest, *(check_folder(step_folder(run, best)) for best in progress.bests - {step})):
        if checked.get("config_hash") != config.hash():
            raise LabError(f"{folder.name} was saved with config {checked.get('config_hash')}, not {config.hash()}")
    if not manifest.get("step") == progress.step == step:
        raise LabError(f"{folder.name} holds another step")
    try:
        run.check_metrics(**manifest["metrics"])
    except (KeyError, TypeError):
        raise LabError(f"the {FOLDER_MANIFEST} of {folder.name} cannot be read") from None
    return manifest


def _progress(folder: Path) -> Progress:
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if "best_accuracy" in state:  # its name before 2026-12, when accuracy was all that could choose
            state["best_score"] = state.pop("best_accuracy")
        return Progress(**state)
    except (OSError, ValueError, TypeError, RecursionError):
        raise LabError(f"the state.json of {folder.name} cannot be read") from None


def training_state(translator: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's tensors as `<parameter>.<slot>`, and the state of the random numbers."""
    state = optimizer.state_dict()["state"]
    tensors = {f"{i}.{key}": value.contiguous() for i, slots in state.items() for key, value in slots.items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if (device := next(translator.parameters()).device).type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    return tensors


def _load(folder: Path, translator: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Load what `folder` holds into `translator` and `optimizer`, and set the random state it was saved in."""
    translator.load_state_dict(load_translator(folder).state_dict())
    tensors, state = load_file(folder / "optimizer.safetensors"), {}
    on_gpu, device = tensors.pop("random.cuda", None), next(translator.parameters()).device
    if on_gpu is not None and device.type == "cuda":
        torch.cuda.set_rng_state(on_gpu, device)
    torch.set_rng_state(tensors.pop("random.cpu"))
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return _progress(folder)


def _tidy(run: RunDirectory, progress: Progress) -> None:
    """Let `last` and `best` lead to what `progress` says, and delete what neither of the newest two needs."""
    _point(run.checkpoints / "last", step_folder(run, progress.step))
    for best in progress.bests:
        _point(run.checkpoints / "best", step_folder(run, best))
    steps = _saved_steps(run)
    kept = set(steps[-2:])
    for step in steps[-2:]:
        try:
            kept |= _progress(step_folder(run, step)).bests
        except LabError:
            continue  # damaged since: nobody will go on from it
    for step in set(steps) - kept:
        remove_folder(step_folder(run, step))
    for leftover in run.checkpoints.glob(".*"):  # of a job that was killed
        _remove(leftover)


def _point(name: Path, folder: Path) -> None:
    """Let `name` lead to `folder`: a link, or a copy where there can be no links."""
    beside = name.with_name(f".{name.name}.tmp")
    _remove(beside)
    try:
        os.symlink(folder.name, beside, target_is_directory=True)
    except OSError:
        shutil.copytree(folder, beside)
    if not (name.is_symlink() and beside.is_symlink()):
        _remove(name)  # only a link can take the place of a link; a run that was copied may have none
    os.replace(beside, name)


def _remove(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
