"""Training a translator between two frozen models: the loop.

The batch of a step is a function of seed and step alone, and a checkpoint holds everything else that a step depends on
(weights, optimiser, dropout's random state), so that a run resumed halfway ends in the same bits. Evaluation comes in
as a callback and sees the dev split; the best checkpoint is a copy on disk, never a reference to moving weights.

Several ranks run this same loop (see `lab.ranks`): `batch_size` is what all of them read in a step, each its own
questions of it, and what they compute is what one process would with the whole batch. The first one writes the run.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from lab import ranks
from lab.clock import part
from lab.config import RunConfig, TrainConfig
from lab.errors import LabError
from lab.models import Pair
from lab.progress import tqdm
from lab.runs import RunDirectory
from lab.tasks import Task, surroundings
from lab.training.batches import Batches
from lab.training.checkpoints import Progress, load_best, resume, start_from
from lab.training.objective import Batch, Decode, training_terms
from lab.training.optimizer import build_optimizer
from lab.training.reading import ReadAhead
from lab.training.saving import Saver
from lab.training.selection import Selection, in_words, score
from lab.training.step import take_step
from lab.training.stopping import asked_to_stop
from lab.training.telling import Telling
from lab.training.texts import STEPS_AHEAD, TextsAhead
from lab.training.tracking import tracking
from lab.translators import Bridge, build_translator

CHECKPOINT_SECONDS = 300  # what a killed job may lose, however rarely it evaluates


@dataclass
class TrainResult:
    """The best translator (on dev; the last one if nothing was evaluated), its step, and every evaluation."""

    translator: nn.Module
    best_step: int
    history: list[dict]
    seconds: float


@part("evaluation")
def _evaluate(
    select: Selection, translator: nn.Module, progress: Progress, run: RunDirectory, config: RunConfig
) -> None:
    """One look at dev: log it, and count it towards patience if it is not the best. The caller saves a checkpoint."""
    translator.eval()  # no dropout, whatever the callback does; a training step switches it on again
    sums = (value.double().sum().item() for value in translator.state_dict().values())
    ranks.check_alike("the translators", sums)
    result = {"step": progress.step, **select(translator, progress.step)}
    progress.history.append(result)
    run.metric(result | {"kind": "evaluation"})
    run.log(f"[Eval] Step {progress.step} | {in_words(result)}")
    if progress.best_score is None or score(result) > progress.best_score:
        progress.best_score, progress.best_step = score(result), progress.step
        progress.evaluations_without_gain = 0
    elif progress.step > config.layout.question_until:  # until then training is about another layout than this look
        progress.evaluations_without_gain += 1


def train(
    config: RunConfig,
    pair: Pair,
    task: Task,
    run: RunDirectory,
    select: Selection | None = None,
    label: str = "train",
    decode: Decode | None = None,
) -> TrainResult:
    """Train the translator of `config` and return the best one; resume from `run`'s last checkpoint if it has one.

    Raises LabError if the loss or its gradient is no longer a finite number, and names the terms; the checkpoints are
    from before that. SIGUSR1 and SIGTERM, on any rank, save after the step that is being done, and then raise LabError.
    """
    settings, began = config.training, time.monotonic()
    _check(settings, select)
    torch.manual_seed(settings.seed)
    translator = build_translator(config.translator, pair, config.pair.source_layers)
    optimizer = build_optimizer(translator, settings)
    progress, said = resume(run, config, translator, optimizer)
    if said:
        run.log(said)
        tqdm.write(f"{label}: {said}")
    if settings.start_from and translator.needs_source and not progress.begun:  # a constant prompt begins with nothing
        start_from(translator, settings.start_from)
    batch_of = _batches(config, pair, task, translator, label)

    with (
        asked_to_stop() as asked,
        Saver(run, config, translator, optimizer) as saver,
        tracking(run, config, label) as track,
    ):
        # --- evaluation before the first step
        if select and not progress.begun:
            _evaluate(select, translator, progress, run, config)
            track(progress.history[-1], progress.step)
            saver.save(progress)
        saved, stop = time.monotonic(), False
        telling = Telling(run, track, label, settings, progress.step)
        while progress.step < settings.steps and not (progress.stopped_early or stop):
            # --- one training step
            batch = batch_of(progress.step)
            ranks.draw_apart(settings.seed, progress.step)
            terms_at = partial(training_terms, translator, pair, config, batch, progress.step + 1, task, decode)
            try:
                underway = take_step(translator, optimizer, config, progress.step, terms_at)
            except Exception:
                telling.catch_up()  # the step before may have been the one that went wrong, and says so itself
                raise
            telling.add(underway)
            progress.step += 1
            # --- evaluate, checkpoint, perhaps stop
            periodic = settings.eval_every and progress.step % settings.eval_every == 0
            if periodic or progress.step == settings.steps:
                telling.catch_up()
                if select:
                    _evaluate(select, translator, progress, run, config)
                    track(progress.history[-1], progress.step)
                out_of_patience = 0 < settings.patience <= progress.evaluations_without_gain
                progress.stopped_early = out_of_patience and progress.step < settings.steps
            due, stop = ranks.any_rank(time.monotonic() - saved > CHECKPOINT_SECONDS, bool(asked))
            if periodic or progress.step == settings.steps or due or stop:
                telling.catch_up()  # of a loss that is no number nothing is saved
                saved = time.monotonic()
                saver.save(progress)
        telling.close()
    (stop,) = ranks.any_rank(stop or bool(asked))  # which also waits for the first one's files
    if stop:
        by = str(asked) if asked else "another process"
        run.log(f"Stopped by {by} after step {progress.step}")
        raise LabError(f"{label}: stopped by {by} after step {progress.step}, which is saved; resume the run.")
    if progress.stopped_early:
        run.log(f"Stopped early at step {progress.step}: {settings.patience} evaluations without gain")
    if select:
        load_best(run, progress, translator)
    best_step = progress.best_step if select else progress.step
    return TrainResult(translator.eval(), best_step, progress.history, time.monotonic() - began)


def _check(settings: TrainConfig, select: Selection | None) -> None:
    """Raise LabError for a way to choose that is none, and for a batch that the ranks cannot share."""
    if not (select is None or isinstance(select, Selection)):
        raise LabError("selection on test: train() chooses by a Selection alone, which takes dev questions.")
    if settings.batch_size % ranks.count():
        raise LabError(
            f"batch_size={settings.batch_size} cannot be dealt out to {ranks.count()} processes; make it a multiple."
        )


def _batches(config: RunConfig, pair: Pair, task: Task, translator: nn.Module, label: str) -> Callable[[int], Batch]:
    """step (from 0) -> this rank's part of its batch, with the source's states, which are read ahead."""
    settings = config.training
    questions = task.train(settings.steps * settings.batch_size, settings.seed)
    if not questions:
        raise LabError(f"{label}: task {task.name!r} has no training questions; check data and train_questions.")
    lengths = [len(question.question) + len(question.answer) for question in questions]
    batches = Batches(lengths, settings.batch_size, settings.seed)
    bridge, shared = Bridge(pair.source, translator), surroundings(task, config.task.shots)
    reader, texts = ReadAhead(bridge, batches, questions, settings.steps), TextsAhead(bridge, pair.target)

    def unread(step: int) -> Batch:
        return Batch([questions[i] for i in batches.own(step)], shared)

    def batch_of(step: int) -> Batch:
        if texts.wanted:
            source, target = (min(step + ahead, settings.steps - 1) for ahead in (reader.window, STEPS_AHEAD))
            texts.tokenise(unread(source), unread(target), config.layout.at(target + 1))
        return replace(unread(step), states=reader.at(step))

    return batch_of
