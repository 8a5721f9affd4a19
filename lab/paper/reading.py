"""What is preserved, read for the paper: runs by the world they belong to, and what measurements left beside them.

Nothing is found by a run's name: `lab.paper.worlds` declares what a world's runs and its main recipe are. Where
several recipes are main ones, the one with the most arms counts, then the most seeds, then the most steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from lab.config import RunConfig, short_name
from lab.errors import LabError
from lab.evidence import FAMILIES as CLAIM_FAMILIES
from lab.evidence import LATENT, Evidence, Run, final_records, judge, known_config, read_evidence, read_settings
from lab.paper.worlds import FULL_SIZE, WORLDS, Declared
from lab.places import ROOT, below_root
from lab.runs import read_seal

PAIRED_BY = ("questions", "target")  # of a seal
UNSEALED = ("", "")  # the weights of a run that has none


@dataclass(frozen=True)
class World:
    """All runs of one world, the main recipe first, and the files that lie beside them."""

    evidence: Evidence
    folder: Path
    """What the runs were preserved in."""
    controls: Mapping[str, Sequence[Run]] = field(default_factory=dict)
    """Arm -> the runs of a control of the main recipe in which it stands in latent's place, by seed."""
    rebuilt: Sequence[Evidence] = ()
    """The same world between other builds of its models, each by itself: one name, other weights, so that nothing of
    them is compared with the main recipe question by question."""

    @property
    def main(self) -> list[Run]:
        return self.evidence.main

    @property
    def of_every_seed(self) -> dict[str, Sequence[Run]]:
        """The controls that were trained for each seed of the main recipe."""
        seeds = {run.seed for run in self.main}
        return {arm: runs for arm, runs in self.controls.items() if seeds <= {run.seed for run in runs}}

    def with_controls(self) -> Evidence:
        """The main recipe's runs alone, with what these controls answered to the same questions as arms."""
        return replace(self.evidence, runs=tuple(self._joined(run) for run in self.main))

    def _joined(self, run: Run) -> Run:
        theirs = {arm: next(other for other in runs if other.seed == run.seed) for arm, runs in
                  self.of_every_seed.items()}  # fmt: skip
        found = {arm: {row["id"]: row["arms"][LATENT] for row in other.records} for arm, other in theirs.items()}
        return replace(run, records=[
            row | {"arms": row["arms"] | {arm: answers[row["id"]] for arm, answers in found.items()}}
            for row in run.records
        ])  # fmt: skip

    def over(self, setting: str) -> list[Evidence]:
        """Of every build of its models, this one first, the runs of the main recipe but for `setting`."""
        wanted = self.main[0].recipe((setting,))
        return [
            replace(build, runs=tuple(run for run in build.runs if run.recipe((setting,)) == wanted))
            for build in (self.evidence, *self.rebuilt)
        ]

    def widest(self, setting: str) -> Evidence:
        """Of these the ones of the build that have most values of `setting`, for a curve over it."""
        return max(self.over(setting), key=lambda build: len({run.settings.get(setting) for run in build.runs}))

    def judged(self, family: str) -> dict:
        return judge(self.evidence, claims=CLAIM_FAMILIES[family])

    def beside_main(self, name: str) -> dict | None:
        """A JSON file in the folder of the main recipe's runs, or in the one that holds them; None without."""
        return next((read_json(folder / name) for folder in self.beside() if (folder / name).is_file()), None)

    def beside(self) -> list[Path]:
        """The folders of the main recipe's runs, and those that hold them."""
        return [folder for run in self.main for folder in (run.path, run.path.parent) if folder != self.folder]

    def measured(self, name: str) -> dict | None:
        """The first JSON file of this name that was measured on the main recipe's models, by its folder's name."""
        found = self.measured_in(name)
        return read_json(found / name) if found else None

    def measured_in(self, name: str) -> Path | None:
        """The folder of that file."""
        models = self.main[0].about()["models"]
        files = sorted(self.folder.rglob(name))
        return next((file.parent for file in files if models_in(read_json(file)) == models), None)


def _paired_by(run: Path) -> dict | None:
    """What two runs have to share for their answers to be paired, as the seal has it; None without one."""
    seal = read_seal(final_records(run))
    return {name: seal["evaluation"][name] for name in PAIRED_BY} if seal else None


def weights_in(run: Path) -> tuple[str, str]:
    """The weights of source and target that answered in a run, as its seal names them."""
    seal = read_seal(final_records(run))
    return tuple(seal["evaluation"][side]["weights"] for side in ("source", "target")) if seal else UNSEALED


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
        """World -> its runs; one whose main recipe is not preserved is left out."""
        found = {name: self._world(world) for name, world in WORLDS.items()}
        return {name: world for name, world in found.items() if world}

    @cached_property
    def _configs(self) -> dict[Path, RunConfig]:
        return {path: known_config(read_settings(path)) for path in run_folders(self.folder)}

    def _world(self, declared: Declared) -> World | None:
        first, *others = self._builds(declared)
        if not any(declared.is_main(self._configs[path]) for path in first):
            return None
        evidence = read_evidence([*first, *self._beside(declared)])
        recipes = sorted(evidence.recipes(), key=lambda runs: _place(runs, declared))
        if not _is_main(recipes[0], declared):
            return None
        runs = tuple(run for recipe in recipes for run in recipe)
        rebuilt = tuple(self._given(read_evidence(paths)) for paths in others)
        known = [run for build in rebuilt for run in build.runs if declared.is_main(known_config(run.settings))]
        controls = self._controls(declared, runs[0], known)
        return World(self._given(replace(evidence, runs=runs)), self.folder.resolve(), controls, rebuilt)

    def _given(self, evidence: Evidence) -> Evidence:
        """The same, said to be of the preserved folders that its runs lie in."""
        tops = [below_root(self.folder / run.path.relative_to(self.folder.resolve()).parts[0]) for run in evidence.runs]
        return replace(evidence, given=tuple(dict.fromkeys(tops)))

    def _builds(self, declared: Declared) -> list[list[Path]]:
        """The runs between the world's models, by the weights of both: first the build of which the main recipe is
        there, and of several the one that more of the controls are of. What has no seal is of the first."""
        found: dict[tuple[str, str], list[Path]] = {}
        for path, config in self._configs.items():
            if declared.holds(config) and not declared.is_beside(config):
                found.setdefault(weights_in(path), []).append(path)
        controls = [weights_in(path)[1] for path, config in self._configs.items() if declared.control_of(config)]

        def place(build: tuple[str, str]) -> tuple:
            return not any(declared.is_main(self._configs[path]) for path in found[build]), -controls.count(build[1])

        unsealed = found.pop(UNSEALED, [])
        first, *others = [found[build] for build in sorted(found, key=place)] or [[]]
        return [[*first, *unsealed], *others]

    def _beside(self, declared: Declared) -> list[Path]:
        return [path for path, config in self._configs.items() if declared.is_beside(config)]

    def _controls(self, declared: Declared, main: Run, rebuilt: Sequence[Run]) -> dict[str, Sequence[Run]]:
        """Arm -> the runs of that control, which may have another source than the world's. Those of another build of
        its models are left out where the main recipe is there of it, too (`rebuilt`). Raises LabError for one of a
        target or of questions that no main recipe has: it could not be paired."""
        found: dict[str, list[Path]] = {}
        for path, config in self._configs.items():
            if arm := declared.control_of(config):
                found.setdefault(arm, []).append(path)
        wanted, theirs, own = _paired_by(main.path), [_paired_by(run.path) for run in rebuilt], {}
        for arm, path in ((arm, path) for arm, paths in found.items() for path in paths):
            given = _paired_by(path)
            if not given or not wanted or given == wanted:
                own.setdefault(arm, []).append(path)
            elif given not in theirs:
                differ = [name for name in PAIRED_BY if given[name] != wanted[name]]
                raise LabError(
                    f"{path} is no control of {main.name}: not the same {' and '.join(differ)}; preserve controls of "
                    "the same build."
                )
        return {arm: read_evidence(paths).runs for arm, paths in own.items()}

    def of_full_size(self) -> list[str]:
        """The names of runs between the full-size models, in either direction."""
        return [path.name for path, config in self._configs.items()
                if set(map(short_name, config.pair.models)) == FULL_SIZE]  # fmt: skip

    def benchmark(self, name: str) -> dict | None:
        """A checked file of what was measured once; None where it is not there."""
        path = self.benchmarks / name
        return read_json(path) if path.is_file() else None


def _is_main(runs: Sequence[Run], declared: Declared) -> bool:
    return declared.is_main(known_config(runs[0].settings)) and all(LATENT in run.arms for run in runs)


def _place(runs: Sequence[Run], declared: Declared) -> tuple:
    first = runs[0]
    return (not _is_main(runs, declared), -len(first.arms), -len(runs), -first.settings["steps"], str(first.path))


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
