"""The doctor: is this pair of models sound? Laws tried on both and one training step, before hours go into them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

import torch

from lab.answers import greedy, replay_check
from lab.config import RunConfig
from lab.errors import LabError
from lab.models import LAWS, Finding, Pair, load_pair, tried
from lab.progress import tqdm
from lab.tasks import Question, Task, load_task, surroundings
from lab.training import Batch, due_weights, training_terms
from lab.translators import build_translator

FEW = 2  # questions of the first step
QUICK = 0.3  # seconds that a step of few questions may take for a whole batch to be tried as well
ANSWER = 8  # new tokens of an answer that is compared


def examine_pair(config: RunConfig) -> list[dict[str, str]]:
    """Load the pair of `config` and examine it. A model that cannot be loaded is a finding, not an error."""
    with tqdm(total=1, desc=f"loading {config.pair.pair}", delay=2, leave=False, bar_format="{desc} ({elapsed})"):
        try:
            pair = load_pair(config.pair)
        except LabError as error:
            return [asdict(Finding("loads", "fails", str(error), "give another source or target", "pair"))]
    return examine(config, pair, load_task(config.task))


def examine(config: RunConfig, pair: Pair, task: Task) -> list[dict[str, str]]:
    """Every law on both models, then a training step of `config`: one row per finding, see `lab.models.Finding`.

    Seconds for small models. Random numbers are left as they were.
    """
    questions = task.train(config.training.batch_size, config.training.seed)[: config.training.batch_size]
    trials = [partial(tried, law, getattr(pair, side), side) for side in ("source", "target") for law in LAWS]
    trials += [partial(trial, config, pair, task, questions) for trial in (answers_alike, training_step)]
    with torch.random.fork_rng():
        return [asdict(trial()) for trial in tqdm(trials, desc="doctor", unit="law", delay=2, leave=False)]


def check_sound(found: Sequence[dict[str, str]]) -> None:
    """Raise LabError, naming the law and what to do, unless every finding is sound."""
    if failed := [row for row in found if row["verdict"] == "fails"]:
        first = failed[0]
        raise LabError(
            f"{len(failed)} of {len(found)} laws fail, the first is {first['law']!r} of the {first['model']} "
            f"({first['measured'].rstrip('.')}): {first['advice'] or 'choose another model'}."
        )


def answers_alike(config: RunConfig, pair: Pair, task: Task, questions: Sequence[Question]) -> Finding:
    """The target's greedy answers are the same from embeddings and from token ids."""
    law, shared = "answers alike", surroundings(task, config.task.shots)
    try:
        replay_check(pair.target, [{**shared, "question": question.question} for question in questions[:FEW]], ANSWER)
    except (LabError, ValueError, RuntimeError) as error:
        return Finding(law, "fails", str(error).splitlines()[0][:160], "choose another target", "target")
    compared = "embeddings and tokens answer" if pair.target.dtype == torch.float32 else "what enters is"
    return Finding(law, "sound", f"{compared} alike", "", "target")


def training_step(config: RunConfig, pair: Pair, task: Task, questions: Sequence[Question]) -> Finding:
    """Forward and backward through the translator and the target: that it trains, and how long it takes."""
    law, shared = "training step", surroundings(task, config.task.shots)
    try:
        seconds = _seconds(config, pair, task, [Batch(questions[:FEW], shared)] * 2)  # the first one warms up
        count = len(questions) if seconds <= QUICK else FEW
        if count > FEW:
            seconds = _seconds(config, pair, task, [Batch(questions, shared)])
    except (LabError, RuntimeError, ValueError) as error:
        advice = "lower batch_size or the translator's size, or choose other models"
        return Finding(law, "fails", str(error).splitlines()[0][:160], advice, "pair")
    peak = torch.cuda.max_memory_allocated(pair.target.device) if pair.target.device.type == "cuda" else 0
    held = f", {peak / 2**30:.1f} GiB at most" if peak else ""
    steps, size = config.training.steps, config.training.batch_size
    if count == size:
        whole = f"{steps} steps take about {seconds * steps / 60:,.1f} min"
    else:  # a batch does not take as many times as long: no guess
        whole = f"a batch of {size} was not tried"
    return Finding(law, "sound", f"{seconds:.2f} s for {count} questions{held}; {whole}", "", "pair")


def _seconds(config: RunConfig, pair: Pair, task: Task, batches: Sequence[Batch]) -> float:
    """Seconds of forward and backward of the last of these batches."""
    translator = build_translator(config.translator, pair, config.pair.source_layers).train()
    weights = due_weights(config, 1)
    for batch in batches:
        began = time.perf_counter()
        terms = training_terms(translator, pair, config, batch, 1, task, greedy)
        torch.stack([weights[name] * term for name, term in terms.items()]).sum().backward()
        if pair.target.device.type == "cuda":
            torch.cuda.synchronize(pair.target.device)
        seconds = time.perf_counter() - began
    if not all(p.grad is None or p.grad.isfinite().all() for p in translator.parameters()):
        raise LabError("the gradient on the translator is not finite")
    return seconds
