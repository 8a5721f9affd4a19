"""Evidence: finished runs, read for comparison. Which are replicates, which differ in one setting, who answered what.

A comparison is only as good as its rows, so everything that would bend one is refused here by name: other questions,
a question twice, arms scored by another rule, text arms with different prompts, one evaluation counted as two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import yaml

from lab.config import NOT_SCIENTIFIC, RunConfig
from lab.errors import LabError
from lab.evidence.refusals import (
    check_different,
    check_frozen,
    check_prompts,
    check_questions,
    check_same_bounds,
    check_scorer,
    check_split,
    check_words,
)
from lab.evidence.summary import ORACLE, check_records, in_group
from lab.runs import RunDirectory, broken_seal, lying, read_jsonl, read_seal
from lab.tasks import TASKS, load_task

FINAL = "eval_samples_step_final.jsonl"
WITH_EVIDENCE = [name for name, kind in TASKS.items() if "evidence" in kind.takes]
OWN_QUESTIONS = "jsonl"  # the task whose questions are whatever its file holds
ALL = ""  # the group of all questions


@dataclass(frozen=True)
class Run:
    """A finished run: its settings (flat config, defaults filled in) and its test records."""

    path: Path
    settings: Mapping
    records: Sequence[Mapping]
    seal: Mapping | None = None  # what was stored with the records; None for runs that had none

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def seed(self) -> int:
        return self.settings["seed"]

    @property
    def arms(self) -> set[str]:
        """Arms in the records, and the oracle router where source and target are there."""
        found = set(self.records[0]["arms"])
        return found | {ORACLE} if {"source", "target"} <= found else found

    def recipe(self, without: Iterable[str] = ()) -> tuple:
        """All scientific settings but the seed (and those of `without`): equal for replicates, and only for them.

        Where a published dataset lies is none of them: that the same was asked, records and seals say."""
        place = () if self.settings.get("task") == OWN_QUESTIONS else ("data",)
        left_out = {*NOT_SCIENTIFIC, "seed", *without}.union(place)
        return tuple(pair for pair in self._settings if pair[0] not in left_out)

    @cached_property
    def _settings(self) -> list[tuple[str, str]]:
        return sorted((name, repr(value)) for name, value in self.settings.items())

    def right(self, arm: str) -> dict[str, bool]:
        """id -> whether the arm's answer is right."""
        if arm == ORACLE:
            return {
                row["id"]: row["arms"]["source"]["correct"] or row["arms"]["target"]["correct"] for row in self.records
            }
        return {row["id"]: row["arms"][arm]["correct"] for row in self.records}

    def about(self) -> dict:
        """The run, its task, its models and the hash of its config, as every artefact names them."""
        return known_config(self.settings).about(self.name)

    @cached_property
    def texts(self) -> dict[str, dict[str, str | None]]:
        """arm -> id -> what the arm wrote."""
        return {
            arm: {row["id"]: row["arms"][arm].get("text") for row in self.records} for arm in self.records[0]["arms"]
        }

    @cached_property
    def log(self) -> list[dict]:
        """What training logged; empty where nothing was kept."""
        return RunDirectory(self.path).metrics()

    @cached_property
    def looks(self) -> dict[int, tuple[float, int]]:
        """step -> (accuracy on dev, questions), as training logged it."""
        rows = [row for row in self.log if row.get("kind") == "evaluation"]
        return {row["step"]: (row["accuracy"], row["n"]) for row in rows if row.get("accuracy") is not None}

    @cached_property
    def losses(self) -> list[tuple]:
        """(step, loss) of every step that training logged."""
        return [(row.get("step"), row.get("loss")) for row in self.log if row.get("kind") == "step"]

    @cached_property
    def prompt_budgets(self) -> dict[str, str]:
        """How long and how fast the trained prompts of this run's own sub-runs were to be trained, by sub-run."""
        found = {path.parent.name: read_settings(path.parent) for path in self.path.glob("control_*/config.yaml")}
        return {name: f"{one['steps']} steps at {one['learning_rate']:g}" for name, one in sorted(found.items())}

    @cached_property
    def weights(self) -> frozenset[str]:
        """Digests of the translators that the run keeps (best and last) or that its seal names; empty for neither."""
        bridges = (self.seal or {"evaluation": {}})["evaluation"].get("bridges", {})
        found = {bridges["latent"]["weights"]} if "latent" in bridges else set()
        for path in sorted((self.path / "checkpoints").rglob("model.safetensors")):
            with open(path, "rb") as file:
                found.add(hashlib.file_digest(file, "sha256").hexdigest())
        return frozenset(found)

    def context_aware(self) -> bool:
        """Whether the target read the question as text beside the soft tokens: by the record, and by what it saw."""
        return any(
            row["arms"]["latent"]["context_aware"] or row["question"] in row["arms"]["latent"].get("saw", "")
            for row in self.records
            if "latent" in row["arms"]
        )


def read_settings(path: Path) -> dict:
    """The flat config of a run with today's defaults underneath; a field unknown today is kept, not refused."""
    try:
        flat = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise LabError(f"{path / 'config.yaml'} cannot be read: {' '.join(str(error).split())}.") from None
    if not isinstance(flat, dict):
        raise LabError(f"{path / 'config.yaml'} is not a flat list of 'name: value' lines.")
    return RunConfig().parameters() | flat


def read_run(path: str | Path) -> Run:
    """A run with its checked records. Raises LabError naming the run and what is wrong with its rows."""
    path = Path(path)
    settings, file = read_settings(path), final_records(path)
    records = read_jsonl(file)
    try:
        RunDirectory(path).check_config()
        seal = read_seal(file)
        if seal and (broken := broken_seal(records, seal)):
            raise LabError(f"{broken[0]}; `python -m lab verify {path}` names everything")
        check_seed(path, settings)
        check_records(records)
        check_words(records)
        task = load_task(known_config(settings).task)
        check_scorer(records, task)
        check_split(records, task, settings["data"])
        if settings["task"] not in WITH_EVIDENCE or settings["evidence"] != "source":  # there the source may read more
            check_prompts(records, seal["evaluation"].get("frames", {}) if seal else {})
    except LabError as error:
        raise LabError(f"run {path.name}: {error}") from None
    return Run(path, settings, records, seal)


def known_config(settings: Mapping) -> RunConfig:
    """The settings that this version knows, as a config."""
    return RunConfig.from_parameters(**{name: settings[name] for name in RunConfig().parameters()})


def check_seed(path: Path, settings: Mapping) -> None:
    """The config names the seed that the run was started with."""
    started = RunDirectory(path).manifest().get("seeds", {}).get("training", settings["seed"])
    if started != settings["seed"]:
        raise LabError(f"its config says seed {settings['seed']}, its manifest {started}; give runs as they were made.")


def final_records(path: Path) -> Path | None:
    """The records of a run's last evaluation, packed or not; None where it has none yet."""
    return lying(path / FINAL)


def paths_of(names: Sequence[str], runs: str | Path) -> list[Path]:
    """Run folders by name under `runs`, or by path where that exists."""
    return [Path(name) if Path(name).is_dir() else Path(runs) / name for name in names]


def find_runs(paths: Sequence[str | Path]) -> tuple[list[Path], list[Path]]:
    """The finished runs among `paths` (runs, or folders of runs), in order, and the unfinished ones."""
    found, unfinished = [], []
    for given in map(Path, paths):
        if not given.is_dir():
            raise LabError(f"{given} is no folder; give run directories, or a folder that holds some.")
        if final_records(given) and (given / "config.yaml").is_file():
            found.append(given)
            continue
        inside = [given] if (given / "config.yaml").is_file() else given.iterdir()
        inner = sorted(child for child in inside if child.is_dir() and (child / "config.yaml").is_file())
        if not inner:
            raise LabError(f"{given} holds no finished run: a run has config.yaml and {FINAL}.")
        found += [child for child in inner if final_records(child)]
        unfinished += [child for child in inner if not final_records(child)]
    if not found:
        raise LabError(
            f"none of these runs is finished ({', '.join(path.name for path in unfinished)}): {FINAL} comes at the end."
        )
    return list(dict.fromkeys(path.resolve() for path in found)), unfinished


@dataclass(frozen=True)
class Evidence:
    """All runs given. The recipe of the first is the main one; its other seeds are its replicates."""

    runs: tuple[Run, ...]
    unfinished: tuple[Path, ...] = ()
    given: tuple[str, ...] = ()
    """The paths that were named to be read."""

    @property
    def main(self) -> list[Run]:
        """The main recipe's runs, one per seed."""
        return self.replicates(self.runs[0])

    def replicates(self, run: Run) -> list[Run]:
        """The runs that differ from `run` by their seed alone, itself among them, in the order of seeds."""
        return sorted((other for other in self.runs if other.recipe() == run.recipe()), key=lambda other: other.seed)

    def recipes(self) -> list[list[Run]]:
        """All runs, as lists of replicates, in the order given."""
        return list({runs[0].recipe(): runs for runs in map(self.replicates, self.runs)}.values())


def read_evidence(paths: Sequence[str | Path]) -> Evidence:
    """Read runs. Raises LabError where two of them are one experiment, or one evaluation under two names."""
    found, unfinished = find_runs(paths)
    runs = tuple(read_run(path) for path in found)
    seen: dict = {}
    for run in runs:
        key = (run.recipe(), run.seed)
        if key in seen:
            raise LabError(f"runs {seen[key]} and {run.name} have the same config and seed; give one of them.")
        seen[key] = run.name
    check_questions(runs)
    for number, run in enumerate(runs):
        for other in runs[:number]:
            check_different(other, run)
    check_frozen(runs)
    check_same_bounds(runs)
    return Evidence(runs, tuple(unfinished), tuple(map(str, paths)))


@dataclass(frozen=True)
class Rows:
    """The questions of a comparison: their records in one fixed order, and the clusters that they form."""

    records: Sequence[Mapping]

    @property
    def ids(self) -> list[str]:
        return [row["id"] for row in self.records]

    @property
    def clusters(self) -> list[str]:
        return [row.get("word", "") for row in self.records]

    def values(self, runs: Sequence[Run], arm: str) -> np.ndarray:
        """[seeds, n] ones and zeros: whether `arm` was right, for each run and question."""
        table = []
        for run in runs:
            right = run.right(arm)
            if missing := [key for key in self.ids if key not in right]:
                raise LabError(f"run {run.name} lacks question {missing[0]}; its records hold other questions.")
            table.append([right[key] for key in self.ids])
        return np.array(table, dtype=float)


def rows_of(runs: Sequence[Run], groups: Sequence[str] = (ALL,)) -> Rows:
    """The questions of any of `groups` that all `runs` answered; refused if they answered different ones."""
    first = {row["id"] for row in runs[0].records}
    for run in runs[1:]:
        if stray := sorted(first ^ {row["id"] for row in run.records}):
            raise LabError(
                f"runs {runs[0].name} and {run.name} answered different questions ({len(stray)} of them, first "
                f"{stray[0]}); compare runs on the same test split."
            )
    return Rows([row for row in runs[0].records if any(g == ALL or in_group(row["cell"], g) for g in groups)])
