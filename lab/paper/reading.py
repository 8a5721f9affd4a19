"""What is preserved, read for the paper: runs by the world they belong to, and what measurements left beside them.

Nothing is found by a run's name. A world is a task between a pair of models; its main recipe is the one with the most
arms, then the most seeds; among equals one whose target reads soft tokens alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lab.config import PAIRS, short_name
from lab.errors import LabError
from lab.evidence import FAMILIES as CLAIM_FAMILIES
from lab.evidence import Evidence, Run, final_records, judge, known_config, read_evidence, read_settings
from lab.places import ROOT, below_root

MINI = {short_name(name) for name in PAIRS["mini"]}
FULL_SIZE = {short_name(name) for name in PAIRS["mistral-llama"]}
# World -> whether a run with this task and these models belongs to it. HotpotQA is a claim of the first family.
WORLDS: dict[str, Callable[[str, set[str]], bool]] = {
    "embedded": lambda task, models: task in ("minigsm", "hotpotqa") and models == MINI,
    "gsm8k": lambda task, models: task == "gsm8k" and not models & (MINI | FULL_SIZE),
    "twohop": lambda task, models: task == "twohop",
    "full_size": lambda task, models: models == FULL_SIZE,
}
FIRST_TASK = {"embedded": "minigsm"}


@dataclass(frozen=True)
class World:
    """All runs of one world, the main recipe first, and the files that lie beside them."""

    evidence: Evidence
    folder: Path
    """What the runs were preserved in."""

    @property
    def main(self) -> list[Run]:
        return self.evidence.main

    def judged(self, family: str) -> dict:
        return judge(self.evidence, claims=CLAIM_FAMILIES[family])

    def beside_main(self, name: str) -> dict | None:
        """A JSON file in the folder of the main recipe's runs, or in the one that holds them; None without."""
        for run in self.main:
            for folder in (run.path, run.path.parent):
                if folder != self.folder and (folder / name).is_file():
                    return read_json(folder / name)
        return None

    def measured(self, name: str) -> dict | None:
        """The first JSON file of this name that was measured on the main recipe's models, by its folder's name."""
        models = self.main[0].about()["models"]
        found = (read_json(path) for path in sorted(self.folder.rglob(name)))
        return next((one for one in found if models_in(one) == models), None)


def models_in(found: Mapping) -> Mapping | None:
    """The models that a measurement says it is of."""
    return found.get("models") or next((one.get("models") for one in found.get("runs", ())), None)


@dataclass(frozen=True)
class Preserved:
    """Everything below a folder of preserved runs, and the figures measured once, in `benchmarks`."""

    folder: Path
    benchmarks: Path = ROOT / "benchmarks"

    @cached_property
    def worlds(self) -> dict[str, World]:
        found: dict[str, list[Path]] = {}
        for path in run_folders(self.folder):
            settings = read_settings(path)
            models = set(map(short_name, known_config(settings).pair.models))
            for name, belongs in WORLDS.items():
                if belongs(settings["task"], models):
                    found.setdefault(name, []).append(path)
        return {name: self._world(paths, FIRST_TASK.get(name, "")) for name, paths in found.items()}

    def _world(self, paths: list[Path], first_task: str) -> World:
        evidence = read_evidence(paths)
        recipes = sorted(evidence.recipes(), key=lambda runs: _place(runs, first_task))
        runs = tuple(run for recipe in recipes for run in recipe)
        tops = [below_root(self.folder / run.path.relative_to(self.folder.resolve()).parts[0]) for run in runs]
        return World(replace(evidence, runs=runs, given=tuple(dict.fromkeys(tops))), self.folder.resolve())

    def folders(self) -> list[str]:
        """What to name to another command: the folders of all worlds, the main recipe's first, then what else lies
        there, such as measurements of costs."""
        named = [name for world in WORLDS if world in self.worlds for name in self.worlds[world].evidence.given]
        others = [below_root(path) for path in sorted(self.folder.iterdir()) if path.is_dir()]
        return list(dict.fromkeys([*named, *others]))

    def benchmark(self, name: str) -> dict | None:
        """A checked file of what was measured once; None where it is not there."""
        path = self.benchmarks / name
        return read_json(path) if path.is_file() else None


def _place(runs: list[Run], first_task: str) -> tuple:
    first = runs[0]
    return (
        first.settings["task"] != first_task, "latent" not in first.arms, -len(first.arms), -len(runs),
        first.context_aware(), first.settings["pair"].endswith("swapped"), first.name,
    )  # fmt: skip


def run_folders(folder: Path) -> Iterator[Path]:
    """Every finished run below a folder; not the trainings of its controls, which lie within a run."""
    for path in sorted(folder.rglob("config.yaml")):
        within = any((above / "config.yaml").is_file() for above in path.parent.parents if above != above.parent)
        if final_records(path.parent) and not within:
            yield path.parent


def read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabError(f"{path} cannot be read ({error}): preserve it again") from None
