"""All arms, all seeds, one table: trained translators and their controls, evaluated side by side on the test split.

What is compared comes from finished runs, or is trained here at equal budget. Each seed leaves a run of its own
(config, records, summary), so that `lab.evidence.read` and `lab.evidence.claims` read them as any others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm.auto import tqdm

from lab.answers import BASELINES, DEFAULT_CASCADE, RETRAINED, UNTRAINED, WIRED, Evaluation, evaluate
from lab.config import RunConfig, short_name
from lab.errors import LabError
from lab.evidence import summarise
from lab.models import Pair, load_pair
from lab.runs import RunDirectory, write_seal, write_text
from lab.studies.budget import check_equal_budget, check_same_rates
from lab.studies.controls import control_config, load_bridge, load_controls
from lab.studies.counterfactual import choose_edits, edit_source, follow, follow_counts, two_world_questions
from lab.studies.experiment import start, train_constant, train_translator
from lab.studies.probe import probe
from lab.tasks import Question, Task, Test, load_task
from lab.translators import Bridge

__all__ = [
    "Candidate", "compare", "from_folders", "probe_source", "run_counterfactual", "train_candidates", "write_evidence",
]  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """One seed: its config, the trained bridge, its retrained controls by arm, and what training logged."""

    config: RunConfig
    bridge: Bridge
    controls: Mapping[str, Bridge] = field(default_factory=dict)
    metrics: Sequence[dict] = ()

    def evaluation(
        self, pair: Pair, task: Task, questions: Sequence[Question], cascade_prompt: str = DEFAULT_CASCADE
    ) -> Evaluation:
        """These questions put to this seed's bridges, as its own config says."""
        return Evaluation(self.config, pair, task, questions, {"latent": self.bridge, **self.controls}, cascade_prompt)


def from_folders(
    config: RunConfig, translators: Sequence[str], controls: Mapping[str, Sequence[str]]
) -> tuple[Pair, Task, list[Candidate]]:
    """Candidates from trained runs (or bare translator folders, to which `config` belongs).

    `controls`: arm -> one run folder per translator, or none. The number of test questions and how they are evaluated
    come from `config`. Raises LabError for a control of another budget, or folders that do not pair up.
    """
    pair, task, found = load_pair(config.pair), load_task(config.task), []
    for number, folder in enumerate(translators):
        own = config.replace(name=f"seed_{config.training.seed + number}", seed=config.training.seed + number)
        if (Path(folder) / "config.yaml").is_file():
            trained = RunConfig.from_yaml(Path(folder) / "config.yaml")
            theirs, ours = (" and ".join(map(short_name, run.pair.models)) for run in (trained, config))
            if theirs != ours:
                raise LabError(f"{folder} was trained with {theirs}, not with {ours}; set pair, source and target.")
            own = trained.replace(
                name=f"seed_{trained.training.seed}", device=config.pair.device,
                test_questions=config.task.test_questions, dev_questions=config.task.dev_questions,
                eval_batch_size=config.evaluation.eval_batch_size, max_new_tokens=config.evaluation.max_new_tokens,
            )  # fmt: skip
        chosen = {}
        for arm, folders in controls.items():
            if folders and len(folders) != len(translators):
                raise LabError(f"{arm}: {len(folders)} runs for {len(translators)} translators; give one for each.")
            chosen[arm] = folders[number] if folders else ""
        bridge = load_bridge(folder, pair)
        metrics = RunDirectory(folder).metrics()
        found.append(Candidate(own, bridge, load_controls(chosen, pair, own, metrics), metrics))
    return pair, task, found


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
            if arm == "latent_constant":
                controls[arm] = Bridge(pair.source, train_constant(experiment).translator)
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
        found.append(Candidate(own, bridge, controls, experiment.run.metrics()))
    return pair, task, found


def compare(
    folder: str | Path, pair: Pair, task: Task, candidates: Sequence[Candidate], cascade_prompt: str,
    arms: Sequence[str] = (*BASELINES, *UNTRAINED, *WIRED), resume: bool = False,
) -> list[Path]:  # fmt: skip
    """Evaluate every candidate on the test split, once: source, target, latent, `arms` and all its retrained controls.

    Writes one run per candidate into `folder`, each with the log of its training, and returns their folders. A task
    without a gold gloss has no text_hint.
    """
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
        write_seal(run.write_records("final", records), records, evaluation.seal())
        run.write_summary(summarise(records) | {"split": "test", "config_hash": config.hash()})
        run.note(cascade_prompt=cascade_prompt)
        run.finish()
        made.append(run.path)
    return made


def probe_source(pair: Pair, task: Task, source_layers: str | Sequence[int], count: int, seed: int = 1) -> list[dict]:
    """The source probe, fitted on `count` training questions and read on the test split; [] for another task or 0."""
    if task.name != "minigsm" or not count:
        return []
    return probe(pair.source, task.train(count, seed), task.test(), source_layers)


def run_counterfactual(
    candidate: Candidate, pair: Pair, task: Task, words: int, steps: int, each: int
) -> tuple[list[dict], dict]:
    """Edit `words` words in a copy of the source and see what the answers do: (rows, counts); empty for 0 words.

    `each`: long questions per word. Only of the task whose facts can be edited.
    """
    if task.name != "minigsm" or not words:
        return [], {}
    edits = choose_edits(words)
    with tqdm(total=steps, desc="edit the source", unit="step") as bar:
        edited = edit_source(candidate.bridge.source, edits, steps, progress=lambda *_: bar.update())
    rows = follow(candidate.config, pair, task, candidate.bridge, edited, two_world_questions(edits, each))
    return rows, follow_counts(rows)


def write_evidence(
    folder: str | Path, arms: Sequence[Mapping], cascade_prompt: str, cascade_accuracies: Mapping[str, float],
    probed: Sequence[Mapping], followed: Sequence[Mapping], counts: Mapping,
) -> Path:  # fmt: skip
    """`evidence.json` in `folder`: the table of arms, the cascade's choice on dev, the probe, the counterfactual."""
    path = Path(folder) / "evidence.json"
    found = {
        "arms": arms,
        "cascade": {"prompt": cascade_prompt, "dev_accuracy": cascade_accuracies},
        "probe": probed,
        "counterfactual": {"counts": counts, "rows": followed},
    }
    write_text(path, json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return path
