"""One experiment from its config: train the translator and its control at equal budget, choose on dev, test once.

Several ranks (see `lab.ranks`) go through it together, from `start` on; the first one writes the run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lab import ranks
from lab.answers import (
    TEXT_TUNED,
    Evaluation,
    check_fits,
    check_source_reads,
    check_splits,
    evaluate,
    greedy,
    heard,
    latent_inputs,
    likelihoods,
    weights_of,
)
from lab.clock import Clock, part
from lab.config import RunConfig
from lab.errors import LabError
from lab.evidence import information, summarise
from lab.models import FrozenModel, Pair, check_prompt, check_source_text, device_of, load_pair
from lab.runs import TIME_AND_MEMORY, Onlooker, RunDirectory, write_sealed
from lab.studies.budget import beyond, check_equal_budget, check_same_rates, constant_config, text_tuned_config
from lab.studies.looks import looks, note_look
from lab.tasks import Dev, Task, Test, load_task, source_text, surroundings
from lab.training import (
    Batch,
    Selection,
    TrainResult,
    check_gradients,
    due_weights,
    steps_left,
    train,
    training_terms,
    usable_checkpoint,
)
from lab.translators import Bridge, build_translator

MODELS = ("source", "target")  # the arms of each model alone
CONTROLS = {"latent_constant": "control_constant", TEXT_TUNED: "control_text_tuned"}  # arm -> sub-run that trains it


@dataclass
class Experiment:
    """A started run with its models and its task. `clock`: where its time and memory go; None: one that begins now."""

    config: RunConfig
    run: RunDirectory
    pair: Pair
    task: Task
    clock: Clock | None = None

    def __post_init__(self) -> None:
        self.clock = self.clock or Clock(self.pair.target.device)


def start(config: RunConfig, runs: str | Path = "runs", resume: bool = False) -> Experiment:
    """Load models and task, then make the run's directory: what cannot be loaded leaves nothing behind.

    Of several ranks, all take the first one's `config`: each may have found another free name for the run.
    """
    ranks.join(config.pair.device)
    config = ranks.from_first(lambda: config)
    clock = Clock(device_of(config.pair.device))
    with clock.running(), part("load"):
        task, pair = load_task(config.task), load_pair(config.pair)
        task.exemplars(config.task.shots)
    run = open_run(Path(runs) / config.name, config, resume)
    run.note(device=str(pair.target.device), gpus=ranks.count() * int(pair.target.device.type == "cuda"))
    if ranks.count() > 1:
        run.note(processes=ranks.count())
    if config.losses.duplicate_question:
        run.note(duplicates_question="the soft tokens are taught to say the question that the prompt says already")
    return Experiment(config, run, pair, task, clock)


def open_run(folder: Path, config: RunConfig, resume: bool) -> RunDirectory:
    """The run's directory, made or gone on with; one whose checkpoints are all damaged is left as it is. The first rank
    holds it, others look on."""
    held: list[RunDirectory] = []

    def hold() -> None:
        held.append(RunDirectory.create(folder, config, resume, check=lambda run: usable_checkpoint(run, config)))

    ranks.from_first(hold)
    return held[0] if held else Onlooker(folder)


@part("checks")
def check_training(experiment: Experiment, config: RunConfig) -> None:
    """Before every training: nothing is chosen on test questions, the prompt is that of the evaluation, and every loss
    term trains the translator.

    Raises LabError naming the split, the part or the term. Costs one batch of two questions.
    """
    task, pair = experiment.task, experiment.pair
    used = config.training.steps * config.training.batch_size
    check_splits(task, config.training.seed, used, config.task.shots)
    check_lengths(experiment, config, used)
    config, step = config.replace(decode_every=1), config.training.steps  # its last step: every term is due
    with torch.random.fork_rng():
        translator = build_translator(config.translator, pair, config.pair.source_layers)
        batch = Batch(task.train(2, config.training.seed)[:2], surroundings(task, config.task.shots))
        check_same_as_evaluation(config, pair, task, translator, batch)
        translator.train()
        terms = training_terms(translator, pair, config, batch, step, task, greedy)
        check_gradients(translator, terms, due_weights(config, step))


def check_lengths(experiment: Experiment, config: RunConfig, used: int) -> None:
    """Raise LabError, naming the question, where one that is trained on or evaluated does not fit into the models."""
    task, pair, chosen = experiment.task, experiment.pair, config.translator
    read = [] if chosen.translator == "constant" else [pair.source]
    layout, shared = pair.target.reads(config.layout.at(1)), surroundings(task, config.task.shots)
    soft = 0 if layout.adapter else chosen.soft_tokens or chosen.soft_tokens_cap
    for question in task.train(used, config.training.seed):
        where, context = f"training question {question.id}", {**shared, "question": question.question}
        check_prompt(where, pair.target, layout, context, soft, question.answer)
        for model in read:
            check_source_text(where, model, source_text(question.question, question.evidence))
    for split in (task.dev(), task.test()):
        check_fits(Evaluation(config, pair, task, split), (*MODELS, "latent"), read)


@torch.no_grad()
def check_same_as_evaluation(config: RunConfig, pair: Pair, task: Task, translator: nn.Module, batch: Batch) -> None:
    """Raise LabError unless training gives both models what an evaluation gives them, before the answer.

    Of one real batch, in the layout of the last step: the states that the translator is given, then value by value and
    position by position what enters the target.
    """
    evaluation, bridge = Evaluation(config, pair, task, batch.questions), Bridge(pair.source, translator.eval())
    with heard(translator) as given, pair.target.plainly(), heard_inputs(pair.target) as entered:
        training_terms(translator, pair, answers_alone(config), batch, config.training.steps, task)
    if translator.needs_source:
        check_source_reads("training and evaluation differ", bridge, batch.questions, given[0])
    contexts = [evaluation.context(question) for question in batch.questions]
    asked = latent_inputs(pair.target, evaluation.layout, bridge.write(batch.questions), contexts)
    for row, question in enumerate(batch.questions):
        ours, theirs = entered[0]["attention_mask"][row].bool(), asked.attention_mask[row].bool()
        for name, trained, used in (("embeddings", entered[0]["inputs_embeds"], asked.embeds),
                                    ("positions", entered[0].get("position_ids"), asked.position_ids)):  # fmt: skip
            if trained is None:  # a model that is told no positions
                continue
            prompt = trained[row][ours][: int(theirs.sum())]
            if prompt.shape != used[row][theirs].shape or not torch.allclose(
                prompt.float(), used[row][theirs].float(), rtol=1e-3, atol=1e-4
            ):
                raise LabError(
                    f"training and evaluation differ in the {name} of the prompt of question {question.id}; build both "
                    "by one layout, from the same soft tokens."
                )


def answers_alone(config: RunConfig) -> RunConfig:
    """`config` with the likelihood of the answer as its only loss."""
    others = {name: 0.0 for name in config.parameters() if name.endswith("_weight")}
    steps = max(1, config.translator.flow_backprop_steps)
    return config.replace(**others | {"answer_nll_weight": 1.0, "teacher": "none", "duplicate_question": False,
                                      "flow_guidance": 1.0, "flow_backprop_steps": steps})  # fmt: skip


@contextmanager
def heard_inputs(target: FrozenModel) -> Iterator[list[dict]]:
    """What enters the target inside, call by call."""
    found: list[dict] = []
    hook = target.model.register_forward_pre_hook(lambda _, __, named: found.append(named), with_kwargs=True)
    try:
        yield found
    finally:
        hook.remove()


def selection(experiment: Experiment, config: RunConfig) -> Selection:
    """How training chooses, on dev: by accuracy, where source and target are answered once and come from the cache
    after; or by the likelihood of the gold answers, without generating any."""
    arm = "latent_constant" if config.translator.translator == "constant" else "latent"

    def evaluation_of(translator: nn.Module, questions: Dev) -> Evaluation:
        bridges = {arm: Bridge(experiment.pair.source, translator)}
        return Evaluation(config, experiment.pair, experiment.task, questions, bridges)

    def likelihood(translator: nn.Module, step: int, questions: Dev) -> dict:
        found = likelihoods(evaluation_of(translator, questions), (arm,))[arm]
        return {"nats": -sum(one.nats for one in found) / sum(one.tokens for one in found), "n": len(found)}

    def accuracy(translator: nn.Module, step: int, questions: Dev) -> dict:
        records = evaluate(evaluation_of(translator, questions), (*MODELS, arm), likelihoods=False)
        right = {name: sum(row["arms"][name]["correct"] for row in records) for name in (*MODELS, arm)}
        n = len(records)
        return {"accuracy": right[arm] / n, "n": n, **{name: right[name] / n for name in MODELS}}

    measure = likelihood if config.evaluation.choose_by == "likelihood" else accuracy
    return Selection(Dev.of(experiment.task), measure)


def train_translator(experiment: Experiment) -> TrainResult:
    """Train the translator of the config; evaluations, checkpoints and metrics go to the run."""
    config = experiment.config
    if looks(experiment.run) and steps_left(experiment.run, config):
        raise LabError(
            f"{experiment.run.path}: the test split was looked at, so this translator may not be trained on; start "
            "another run."
        )
    with experiment.clock.running():
        check_training(experiment, config)
        select = selection(experiment, config)
        result = train(config, experiment.pair, experiment.task, experiment.run, select, "translator", greedy)
    experiment.run.note(**{TIME_AND_MEMORY: experiment.clock.record()})
    return result


def train_constant(experiment: Experiment, steps: int = 0, learning_rate: float = 0.0) -> TrainResult:
    """Train a constant prompt at equal budget, in a sub-run with a clock of its own. `steps`, `learning_rate`: more
    than the translator has, 0: the same."""
    config = constant_config(experiment.config, steps, learning_rate)
    return _train_prompt(experiment, config, "latent_constant", "constant prompt")


def train_text_tuned(experiment: Experiment, steps: int = 0, learning_rate: float = 0.0) -> TrainResult:
    """The same with the prompt beside the question's text: what tuning alone makes of all that text tells."""
    config = text_tuned_config(experiment.config, steps, learning_rate)
    return _train_prompt(experiment, config, TEXT_TUNED, "prompt beside the text")


def _train_prompt(experiment: Experiment, config: RunConfig, arm: str, label: str) -> TrainResult:
    check_equal_budget(experiment.config, config, arm)
    folder = experiment.run.path / CONTROLS[arm]
    with Clock(experiment.pair.target.device).running() as clock:
        check_training(experiment, config)
        run = open_run(folder, config, resume=folder.exists())
        select = selection(experiment, config)
        result = train(config, experiment.pair, experiment.task, run, select, label, greedy)
    run.note(**{TIME_AND_MEMORY: clock.record()})
    check_same_rates(experiment.run.metrics(), run.metrics(), arm, **beyond(experiment.config, config))
    run.finish()
    return result


def test_once(
    experiment: Experiment, translator: nn.Module, constant: nn.Module | None = None, tuned: nn.Module | None = None
) -> tuple[list[dict], dict]:
    """The test split, once, all arms: writes `eval_samples_step_final.jsonl` and `summary.json`; (records, summary).

    The summary is that of `summarise`, with "likelihood" (see `lab.evidence.information`), what the run is
    (`RunConfig.about`), the split, the number of looks at it, and `time_and_memory` (see `time_and_memory`).
    """
    run, config, source = experiment.run, experiment.config, experiment.pair.source
    trained = {"latent": translator, "latent_constant": constant, TEXT_TUNED: tuned}
    bridges = {arm: Bridge(source, module) for arm, module in trained.items() if module is not None}
    evaluation = Evaluation(config, experiment.pair, experiment.task, Test.of(experiment.task), bridges)
    ranks.from_first(lambda: note_look(run, "test", weights_of(translator)))
    with experiment.clock.running():
        with part("evaluation"):
            records = evaluate(evaluation, run=run)
        if ranks.is_first():
            write_sealed(run, "final", records, evaluation.seal())  # first: a summary can be made again
    summary = summarise(records) | config.about(run.path.name) | {"split": "test", "test_looks": len(looks(run))}
    summary |= {"likelihood": information([records]), TIME_AND_MEMORY: time_and_memory(experiment)}
    run.write_summary(summary)
    run.finish()
    ranks.wait()
    return records, summary


def time_and_memory(experiment: Experiment) -> dict:
    """What the run has spent, every session of it (see `lab.clock.Clock.record`): loading, training, and evaluation on
    dev and test; and under "control_constant" and "control_text_tuned" the same of the trainings of these sub-runs.

    Time between two calls, in which a notebook waits for its reader, is nobody's. Of a session that was killed there
    counts what came before its last checkpoint.
    """
    found = experiment.clock.record()
    for name in CONTROLS.values():
        if control := RunDirectory(experiment.run.path / name).manifest().get(TIME_AND_MEMORY):
            found[name] = control
    return found


test_once.__test__ = False  # its name is the rule "test once", not a test's
