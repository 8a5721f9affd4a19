"""All arms, all seeds, one table: trained translators and their controls, evaluated side by side on the test split.

What is compared comes from finished runs, or is trained here at equal budget. Each seed leaves a run of its own
(config, records, summary), so that `lab.evidence.read` and `lab.evidence.claims` read them as any others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from lab.answers import (
    AFTER_THE_SOURCE,
    BASELINES,
    DEFAULT_CASCADE,
    RETRAINED,
    TEXT_TUNED,
    UNTRAINED,
    WIRED,
    choose_cascade_prompt,
    evaluate,
)
from lab.config import RunConfig, TaskConfig, short_name
from lab.errors import LabError
from lab.evidence import information, summarise
from lab.models import Pair, load_pair
from lab.places import below_root
from lab.progress import tqdm
from lab.runs import RunDirectory, write_sealed, write_text
from lab.studies.budget import PROMPTS, check_equal_budget, check_same_rates
from lab.studies.controls import control_config, load_bridge, load_controls
from lab.studies.counterfactual import choose_edits, edit_source, follow, follow_counts, two_world_questions
from lab.studies.edited_homes import choose_moves, moved_source, questions_of_two_homes
from lab.studies.experiment import start, train_constant, train_text_tuned, train_translator
from lab.studies.measured import Candidate, measured_config
from lab.studies.probe import READ_OF, probe
from lab.tasks import Dev, Task, Test, load_task
from lab.translators import Bridge

__all__ = [
    "choose_cascade", "compare", "from_folders", "probe_source", "run_counterfactual", "train_candidates",
    "write_evidence",
]  # fmt: skip

UNASKED = (*BASELINES, *UNTRAINED, *WIRED)  # what is measured beside the models, latent and its retrained controls


def from_folders(
    translators: Sequence[str], controls: Mapping[str, Sequence[str]], given: Mapping[str, Any]
) -> tuple[Pair, Task, list[Candidate]]:
    """Candidates from trained runs, one per seed: models, task, layout and limits are the run's, but for what is
    `given` (see `measured_config`).

    `controls`: arm -> one run folder per translator, or none; they are measured as their translator is. Raises LabError
    for a control of another budget, for folders that do not pair up, and for runs that cannot stand in one table.
    """
    for arm, folders in controls.items():
        if folders and len(folders) != len(translators):
            raise LabError(f"{arm}: {len(folders)} runs for {len(translators)} translators; give one for each.")
    configs = [measured_config(folder, given) for folder in translators]
    check_one_table(translators, [measured for measured, _ in configs])
    pair, task, found = load_pair(configs[0][0].pair), load_task(configs[0][0].task), []
    for number, (folder, (measured, trained)) in enumerate(zip(translators, configs, strict=True)):
        chosen = {arm: folders[number] if folders else "" for arm, folders in controls.items()}
        metrics, own = RunDirectory(folder).metrics(), measured.replace(name=f"seed_{measured.training.seed}")
        controls_of = load_controls(chosen, pair, trained, metrics)
        found.append(Candidate(own, load_bridge(folder, pair), controls_of, metrics, below_root(folder), trained))
    return pair, task, found


def check_one_table(folders: Sequence[str], configs: Sequence[RunConfig]) -> None:
    """Raise LabError unless all runs are measured with the same models on the same questions, each of another seed."""
    if not folders:
        raise LabError("no trained run was given; set translators to the folder of one, such as runs/demo.")
    for name in ("source", "target", "dtype", *(item.name for item in fields(TaskConfig))):
        values = [_shared(config, name) for config in configs]
        if name != "train_questions" and (other := next((value for value in values if value != values[0]), None)):
            raise LabError(
                f"{folders[0]} is measured with {name}={values[0]!r}, {folders[values.index(other)]} with {other!r}; "
                "one table needs the same models and the same questions."
            )
    seeds = [config.training.seed for config in configs]
    if twice := next((seed for seed in seeds if seeds.count(seed) > 1), None):
        raise LabError(f"two of the translators were trained with seed={twice}; give runs that differ by their seed.")


def _shared(config: RunConfig, name: str) -> Any:
    models = dict(zip(("source", "target"), map(short_name, config.pair.models), strict=True))
    return models.get(name, config.parameters()[name])


def train_candidates(
    config: RunConfig, folder: str | Path, seeds: Sequence[int], arms: Sequence[str] = ("latent_constant",),
    no_lore: str = "", resume: bool = False,
) -> tuple[Pair, Task, list[Candidate]]:  # fmt: skip
    """Train a translator per seed, and for each the retrained controls `arms` with the same batches and budget.

    Each is an ordinary run in `folder`: `trained/seed_1`, and `trained/seed_1_random_source` for a control.
    `no_lore`: the folder of the source that was pretrained without lore.
    """
    runs, found = Path(folder) / "trained", []
    pair, task = load_pair(config.pair), load_task(config.task)
    for seed in seeds:
        own = config.replace(name=f"seed_{seed}", seed=seed)
        experiment = start(own, runs, resume)
        bridge = Bridge(pair.source, train_translator(experiment).translator)
        controls = {}
        for arm in arms:
            if arm in PROMPTS:
                trained = train_text_tuned(experiment) if arm == TEXT_TUNED else train_constant(experiment)
                controls[arm] = Bridge(pair.source, trained.translator)
                continue
            if arm == "latent_no_lore_source" and not no_lore:
                raise LabError("latent_no_lore_source needs no_lore: the folder of a source pretrained without lore.")
            other = start(control_config(own, arm, no_lore), runs, resume)
            check_equal_budget(own, other.config, arm)
            trained = train_translator(other).translator
            check_same_rates(experiment.run.metrics(), other.run.metrics(), arm)
            controls[arm] = Bridge(other.pair.source, trained)
            other.run.finish()
        experiment.run.finish()
        made = experiment.run
        found.append(Candidate(own, bridge, controls, made.metrics(), below_root(made.path), own))
    return pair, task, found


def choose_cascade(
    pair: Pair, task: Task, candidates: Sequence[Candidate], arms: Sequence[str] | None = None
) -> tuple[str, dict[str, float]]:
    """What `choose_cascade_prompt` finds on dev; the default, with nothing measured, where none of `arms` hands the
    source's answer over (see `compare`)."""
    if not set(AFTER_THE_SOURCE) & set(UNASKED if arms is None else arms):
        return DEFAULT_CASCADE, {}
    return choose_cascade_prompt(candidates[0].evaluation(pair, task, Dev.of(task)))


def compare(
    folder: str | Path, pair: Pair, task: Task, candidates: Sequence[Candidate], cascade_prompt: str,
    arms: Sequence[str] | None = None, resume: bool = False,
) -> list[Path]:  # fmt: skip
    """Evaluate every candidate on the test split, once: source, target, latent, `arms` (None: all that need no
    training) and all its retrained controls.

    Writes one run per candidate into `folder`, each with the log of its training, and returns their folders. A task
    without a gold gloss has no text_hint.
    """
    arms = UNASKED if arms is None else arms
    if getattr(task, "hint", None) is None:
        arms = [arm for arm in arms if arm != "text_hint"]
    made = []
    for candidate in candidates:
        config = candidate.config
        run = RunDirectory.create(Path(folder) / config.name, config, resume)
        retrained = [arm for arm in RETRAINED if arm in candidate.controls]
        evaluation = candidate.evaluation(pair, task, Test.of(task), cascade_prompt)
        records = evaluate(evaluation, ("source", "target", "latent", *arms, *retrained), run)
        if candidate.metrics:
            run.write_metrics(candidate.metrics)
        write_sealed(run, "final", records, evaluation.seal())
        told = {"split": "test", "likelihood": information([records])}
        run.write_summary(summarise(records) | candidate.about() | told)
        run.note(cascade_prompt=cascade_prompt)
        run.finish()
        made.append(run.path)
    return made


def probe_source(pair: Pair, task: Task, source_layers: str | Sequence[int], count: int, seed: int = 1) -> list[dict]:
    """The source probe, fitted on `count` training questions and read on the test split; [] for another task or 0."""
    if task.name not in READ_OF or not count:
        return []
    quantities = READ_OF[task.name]
    return probe(pair.source, task.train(count, seed), task.test(), source_layers, quantities=quantities)


def run_counterfactual(
    candidate: Candidate, pair: Pair, task: Task, words: int, steps: int, each: int
) -> tuple[list[dict], dict]:
    """Edit `words` words (of twohop: people) in a copy of the source and see what the answers do: (rows, counts); empty
    for 0 words.

    `each`: long questions per word. Only of the tasks whose facts can be edited.
    """
    if task.name not in ("minigsm", "twohop") or not words:
        return [], {}
    if task.name == "twohop":
        moves = choose_moves(words)
        edited, asked = moved_source(candidate.bridge.source, moves, steps), questions_of_two_homes(moves, each)
    else:
        edits = choose_edits(words)
        with tqdm(total=steps, desc="edit the source", unit="step") as bar:
            edited = edit_source(candidate.bridge.source, edits, steps, progress=lambda *_: bar.update())
        asked = two_world_questions(edits, each)
    rows = follow(candidate.config, pair, task, candidate.bridge, edited, asked)
    return rows, follow_counts(rows)


def write_evidence(
    folder: str | Path, candidates: Sequence[Candidate], arms: Sequence[Mapping],
    told: Mapping, cascade: tuple[str, Mapping[str, float]], probed: Sequence[Mapping],
    counterfactual: tuple[Sequence, Mapping],
) -> Path:  # fmt: skip
    """`evidence.json` in `folder`: which runs were measured and how, the table of arms, what `information` says of
    them, the cascade's choice on dev, the probe, the counterfactual. `cascade` and `counterfactual` as their functions
    return them."""
    path = Path(folder) / "evidence.json"
    found = {
        "runs": [candidate.about() for candidate in candidates],
        "arms": arms,
        "likelihood": told,
        "cascade": {"prompt": cascade[0], "dev_accuracy": cascade[1]},
        "probe": probed,
        "counterfactual": {"counts": counterfactual[1], "rows": counterfactual[0]},
    }
    write_text(path, json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return path
