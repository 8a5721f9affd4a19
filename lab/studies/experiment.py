"""One experiment from its config: train the translator and its control at equal budget, choose on dev, test once."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lab.answers import check_not_test, check_splits, evaluate, generate
from lab.config import RunConfig
from lab.errors import LabError
from lab.evidence import summarise
from lab.models import Pair, load_pair
from lab.runs import RunDirectory
from lab.tasks import Task, load_task, surroundings
from lab.training import (
    Batch,
    Evaluate,
    TrainResult,
    check_gradients,
    due_weights,
    train,
    training_terms,
    usable_checkpoint,
)
from lab.translators import build_translator

CONTROL = "control_constant"  # the sub-run that trains the constant prompt


@dataclass
class Experiment:
    """A started run with its models and its task."""

    config: RunConfig
    run: RunDirectory
    pair: Pair
    task: Task


def start(config: RunConfig, runs: str | Path = "runs", resume: bool = False) -> Experiment:
    """Load models and task, then make the run's directory: what cannot be loaded leaves nothing behind."""
    task, pair = load_task(config.task), load_pair(config.pair)
    task.exemplars(config.task.shots)
    run = open_run(Path(runs) / config.name, config, resume)
    run.note(device=str(pair.target.device), gpus=int(pair.target.device.type == "cuda"))
    if config.losses.duplicate_question:
        run.note(duplicates_question="the soft tokens are taught to say the question that the prompt says already")
    return Experiment(config, run, pair, task)


def open_run(folder: Path, config: RunConfig, resume: bool) -> RunDirectory:
    """The run's directory, made or gone on with; one whose checkpoints are all damaged is left as it is."""
    return RunDirectory.create(folder, config, resume, check=lambda run: usable_checkpoint(run, config))


def check_training(experiment: Experiment, config: RunConfig) -> None:
    """Before every training: nothing is chosen on test questions, and every loss term trains the translator.

    Raises LabError naming the split or the term. Costs one batch of two questions.
    """
    task, pair = experiment.task, experiment.pair
    check_splits(task, config.training.seed)
    config, step = config.replace(decode_every=1), config.training.steps  # its last step: every term is due
    with torch.random.fork_rng():
        translator = build_translator(config.translator, pair, config.pair.source_layers)
        batch = Batch(task.train(2, config.training.seed)[:2], surroundings(task, config.task.shots))
        terms = training_terms(translator, pair, config, batch, step, task, generate)
        check_gradients(translator, terms, due_weights(config, step))


def dev_accuracy(experiment: Experiment, config: RunConfig) -> Evaluate:
    """The callback of training: accuracy on dev. Source and target are answered once and come from the cache after."""
    questions = experiment.task.dev()
    check_not_test(experiment.task, questions, "choosing a checkpoint")
    constant = config.translator.translator == "constant"
    arm = "latent_constant" if constant else "latent"

    def accuracy(translator: nn.Module, step: int) -> dict:
        given = {"constant" if constant else "translator": translator}
        records = evaluate(config, experiment.pair, experiment.task, questions, arms=("source", "target", arm), **given)
        right = {name: sum(row["arms"][name]["correct"] for row in records) for name in ("source", "target", arm)}
        n = len(records)
        return {"accuracy": right[arm] / n, "n": n, "source": right["source"] / n, "target": right["target"] / n}

    return accuracy


def train_translator(experiment: Experiment) -> TrainResult:
    """Train the translator of the config; evaluations, checkpoints and metrics go to the run."""
    config = experiment.config
    check_training(experiment, config)
    accuracy = dev_accuracy(experiment, config)
    return train(config, experiment.pair, experiment.task, experiment.run, accuracy, "translator", generate)


def constant_config(chosen: RunConfig) -> RunConfig:
    """`chosen` with a constant prompt in the translator's place: same steps, batches, layout, losses, and soft tokens.

    What has no meaning without a source goes: the flow, geometry, and a number of soft tokens that follows the source's
    (the most there may be stands for it). Raises LabError if no loss is left.
    """
    most = chosen.translator.soft_tokens or chosen.translator.soft_tokens_cap
    without = {"translator": "constant", "soft_tokens": most, "flow_weight": 0.0, "geometry_weight": 0.0}
    if not chosen.losses.token_alignment_weight:
        without |= {"teacher": "none", "duplicate_question": False}
    try:
        return chosen.replace(**without)
    except LabError as error:
        raise LabError(f"the control, a constant prompt, cannot be trained so; set control=false ({error})") from None


def train_constant(experiment: Experiment) -> TrainResult:
    """Train a constant prompt at equal budget, in a sub-run."""
    config = constant_config(experiment.config)
    check_training(experiment, config)
    folder = experiment.run.path / CONTROL
    run = open_run(folder, config, resume=folder.exists())
    accuracy = dev_accuracy(experiment, config)
    result = train(config, experiment.pair, experiment.task, run, accuracy, "constant prompt", generate)
    run.finish()
    return result


def test_once(
    experiment: Experiment, translator: nn.Module, constant: nn.Module | None = None
) -> tuple[list[dict], dict]:
    """The test split, once, all arms: writes `eval_samples_step_final.jsonl` and `summary.json`; (records, summary)."""
    run, config = experiment.run, experiment.config
    records = evaluate(config, experiment.pair, experiment.task, experiment.task.test(), translator, constant, run)
    summary = summarise(records) | {"split": "test", "config_hash": config.hash()}
    run.write_records("final", records)
    run.write_summary(summary)
    run.finish()
    return records, summary


test_once.__test__ = False  # its name is the rule "test once", not a test's
