"""Training a translator between two frozen models: the loop, its checkpoints, and exact resume.

The batch of a step is a function of seed and step alone, and a checkpoint holds everything else that a step depends on
(weights, optimiser, dropout's random state), so that a run resumed halfway ends in the same bits. Evaluation comes in
as a callback and sees the dev split; the best checkpoint is a copy on disk, never a reference to moving weights.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lab.config import RunConfig, TrainConfig
from lab.errors import LabError
from lab.models import Pair
from lab.progress import tqdm
from lab.runs import RunDirectory, write_jsonl, write_text
from lab.tasks import Task, surroundings
from lab.training.losses import weighted_sum
from lab.training.objective import Batch, Decode, due_weights, training_terms
from lab.translators import build_translator, load_translator, save_translator

Evaluate = Callable[[nn.Module, int], dict]  # (translator, step) -> {"accuracy", "n", ...} on dev
LOG_EVERY = 20
WINDOW = 8  # batches that are sorted by length together
CHECKPOINT_SECONDS = 300  # what a killed job may lose, however rarely it evaluates


@dataclass
class Progress:
    """What the loop knows besides the weights: it is saved with every checkpoint."""

    step: int = 0
    best_step: int = 0
    best_accuracy: float = -1.0
    evaluations_without_gain: int = 0
    history: list[dict] = field(default_factory=list)
    stopped_early: bool = False


@dataclass
class TrainResult:
    """The best translator (by dev accuracy; the last one if nothing was evaluated), its step, and every evaluation."""

    translator: nn.Module
    best_step: int
    history: list[dict]
    seconds: float


class Batches:
    """Which questions a step trains on: a function of the seed and the step alone.

    Every epoch is one seeded permutation of all questions. Within windows of `WINDOW` batches they are sorted by
    length, so that little of a batch is padding; the batches of a window come in random order.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed = np.asarray(lengths), batch_size, seed
        self._epoch, self._order = -1, np.empty(0, dtype=int)

    def indices(self, step: int) -> list[int]:
        """The questions of `step` (from 0); a batch at the end of an epoch goes on in the next one."""
        first, count = step * self.batch_size, len(self.lengths)
        found = []
        for epoch in range(first // count, (first + self.batch_size - 1) // count + 1):
            start, stop = max(first - epoch * count, 0), min(first + self.batch_size - epoch * count, count)
            found += self._order_of(epoch)[start:stop].tolist()
        return found

    def _order_of(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            rng = np.random.default_rng([self.seed, epoch])
            order, size = rng.permutation(len(self.lengths)), self.batch_size
            batches = []
            for start in range(0, len(order), WINDOW * size):
                window = order[start : start + WINDOW * size]
                window = window[np.argsort(self.lengths[window], kind="stable")]
                pieces = [window[i : i + size] for i in range(0, len(window), size)]
                batches += [pieces[i] for i in rng.permutation(len(pieces))]
            self._epoch, self._order = epoch, np.concatenate(batches)
        return self._order


def schedule(step: int, config: TrainConfig) -> float:
    """The learning rate's factor at `step` (from 0): linear warm-up, then linear decay to zero at the end."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    return (config.steps - step) / max(1, config.steps - config.warmup_steps)


def build_optimizer(translator: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW. Gates learn faster and are not decayed; neither are norms, biases and the learned vectors."""
    gates = [p for name, p in translator.named_parameters() if name.endswith("_gate")]
    matrices = [p for name, p in translator.named_parameters() if p.ndim == 2 and name.endswith("weight")]
    known = {id(p) for p in gates + matrices}
    rest = [p for p in translator.parameters() if id(p) not in known]
    rate = config.learning_rate
    groups = [
        {"params": matrices, "lr": rate, "weight_decay": config.weight_decay},
        {"params": rest, "lr": rate, "weight_decay": 0.0},
        {"params": gates, "lr": rate * config.gate_learning_rate_scale, "weight_decay": 0.0},
    ]
    groups = [group | {"peak_lr": group["lr"]} for group in groups if group["params"]]
    return torch.optim.AdamW(groups, fused=next(translator.parameters()).is_cuda)


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


def _start_from(translator: nn.Module, folder: str, source_layers: str | Sequence[int]) -> None:
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


def _forget_after(run: RunDirectory, step: int) -> None:
    """Drop the metrics of steps after `step` (-1: of all steps): a killed job logged them, they are done again."""
    rows = run.metrics()
    kept = [row for row in rows if row.get("step", -1) <= step]
    if len(kept) < len(rows):
        write_jsonl(run.path / "metrics.jsonl", kept)


def _evaluate(
    evaluate: Evaluate, translator: nn.Module, progress: Progress, run: RunDirectory, config: RunConfig
) -> None:
    """One look at dev: log it, keep a copy if it is the best, count it towards patience if it is not."""
    translator.eval()  # no dropout, whatever the callback does; a training step switches it on again
    result = {"step": progress.step, **evaluate(translator, progress.step)}
    progress.history.append(result)
    run.metric(result | {"kind": "evaluation"})
    run.log(f"[Eval] Step {progress.step} | Bridged acc: {result['accuracy']:.3f} (n = {result['n']})")
    if result["accuracy"] > progress.best_accuracy:
        progress.best_accuracy, progress.best_step = result["accuracy"], progress.step
        progress.evaluations_without_gain = 0
        save_checkpoint(run.checkpoints / "best", translator, config.pair.source_layers)
    elif progress.step > config.layout.question_until:  # until then training is about another layout than this look
        progress.evaluations_without_gain += 1


def train(
    config: RunConfig,
    pair: Pair,
    task: Task,
    run: RunDirectory,
    evaluate: Evaluate | None = None,
    label: str = "train",
    decode: Decode | None = None,
) -> TrainResult:
    """Train the translator of `config` and return the best one; resume from `run`'s last checkpoint if it has one.

    Raises LabError if the loss or its gradient is no longer a finite number; the checkpoints are from before that.
    """
    settings, began = config.training, time.monotonic()
    torch.manual_seed(settings.seed)
    translator = build_translator(config.translator, pair, config.pair.source_layers)
    if settings.start_from and translator.needs_source:  # the constant prompt has nothing to begin with
        _start_from(translator, settings.start_from, config.pair.source_layers)
    optimizer = build_optimizer(translator, settings)
    last = run.checkpoints / "last"
    if find_checkpoint(last):
        progress = resume(last, translator, optimizer)
        _forget_after(run, progress.step)
        run.log(f"Resumed after step {progress.step}")
    else:
        progress = Progress()
        _forget_after(run, -1)
    questions = task.train(settings.steps * settings.batch_size, settings.seed)
    if not questions:
        raise LabError(f"{label}: task {task.name!r} has no training questions; check data and train_questions.")
    lengths = [len(question.question) + len(question.answer) for question in questions]
    batches = Batches(lengths, settings.batch_size, settings.seed)
    shared = surroundings(task, config.task.shots)

    # --- evaluation before the first step
    if evaluate and progress.step == 0 and not progress.history:
        _evaluate(evaluate, translator, progress, run, config)
    saved = time.monotonic()
    bar = tqdm(initial=progress.step, total=settings.steps, desc=label, unit="step", mininterval=1)
    while progress.step < settings.steps and not progress.stopped_early:
        # --- one training step
        batch = Batch([questions[i] for i in batches.indices(progress.step)], shared)
        terms_at = partial(training_terms, translator, pair, config, batch, progress.step + 1, task, decode)
        row = _step(translator, optimizer, config, progress.step, terms_at)
        progress.step += 1
        bar.update()
        # --- log
        run.metric({"kind": "step", "step": progress.step, **row})
        if not (math.isfinite(row["loss"]) and math.isfinite(row["grad_norm"])):
            raise LabError(
                f"{label}: at step {progress.step} the loss is {row['loss']}, its gradient {row['grad_norm']}; "
                f"lower learning_rate={settings.learning_rate}."
            )
        if progress.step % LOG_EVERY == 0 or progress.step == settings.steps:
            bar.set_postfix(loss=f"{row['loss']:.3f}")
            run.log(f"Step {progress.step}/{settings.steps} | Loss {row['loss']:.4f} | LR {row['lr']:.2e}")
        # --- evaluate, checkpoint, perhaps stop
        periodic = settings.eval_every and progress.step % settings.eval_every == 0
        if periodic or progress.step == settings.steps:
            if evaluate:
                _evaluate(evaluate, translator, progress, run, config)
            out_of_patience = 0 < settings.patience <= progress.evaluations_without_gain
            progress.stopped_early = out_of_patience and progress.step < settings.steps
        if periodic or progress.step == settings.steps or time.monotonic() - saved > CHECKPOINT_SECONDS:
            saved = time.monotonic()
            save_checkpoint(last, translator, config.pair.source_layers, optimizer, progress)
    bar.close()
    if progress.stopped_early:
        run.log(f"Stopped early at step {progress.step}: {settings.patience} evaluations without gain")
    if evaluate:
        translator.load_state_dict(load_translator(run.checkpoints / "best")[0].state_dict())
    best_step = progress.best_step if evaluate else progress.step
    return TrainResult(translator.eval(), best_step, progress.history, time.monotonic() - began)


@contextmanager
def _fast_products() -> Iterator[None]:
    """TF32 inside (a GPU's fast products of float32, with 10 bits of mantissa). Answers stay plain float32, also after
    a step that was interrupted."""
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def _step(
    translator: nn.Module, optimizer: torch.optim.Optimizer, config: RunConfig, step: int, terms_at: Callable[[], dict]
) -> dict:
    """One optimiser step, the one after `step` others; returns its row of `metrics.jsonl`.

    The row holds the loss that is optimised, its terms and their weights, learning rate, gradient norm and seconds.
    """
    began, factor = time.monotonic(), schedule(step, config.training)
    translator.train()
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
    with _fast_products():
        terms, weights = terms_at(), due_weights(config, step + 1)
        loss = weighted_sum(terms, weights)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(translator.parameters(), config.training.gradient_clip)
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {
        "loss": loss.item(),
        "terms": {name: term.item() for name, term in terms.items()},
        "weights": weights,
        "lr": config.training.learning_rate * factor,
        "grad_norm": norm.item(),
        "seconds": time.monotonic() - began,
    }
