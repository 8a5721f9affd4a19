"""The worlds of the paper, each declared by what its runs are: task, models and their direction, and a main recipe.

A run of anything else, such as the same models the other way round, belongs to no world and changes none, however it
is called and wherever it lies. What a claim of a world needs besides, its declaration names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from lab.batch import JOBS, all_parameters
from lab.config import NOT_SCIENTIFIC, PAIRS, RunConfig, short_name

Models = tuple[str, str]  # source and target by their short names
MINI, SMALL = (tuple(map(short_name, PAIRS[name])) for name in ("mini", "small"))
FULL_SIZE = set(map(short_name, PAIRS["mistral-llama"]))
PEOPLE = ("real-world/source", "real-world/target")  # what `twohop_build` makes
PLACES = {"seed", "data", *NOT_SCIENTIFIC}  # where and how often, not what


@dataclass(frozen=True)
class Declared:
    """`job`: the job file, below `papermill_jobs`, of the main recipe; `free`: in what it may differ from that file.
    `beside`: (task, models) of other runs that claims of this world are about; `controls`: arm -> the job of a control
    whose runs are runs of their own, in which it answers in latent's place, also from another source."""

    task: str
    models: Models
    job: str
    free: frozenset[str] = frozenset()
    beside: tuple[tuple[str, Models], ...] = field(default=())
    controls: tuple[tuple[str, str], ...] = field(default=())

    def holds(self, config: RunConfig) -> bool:
        """Whether a run with this config belongs to this world."""
        return _kind(config) == (self.task, self.models) or self.is_beside(config)

    def is_beside(self, config: RunConfig) -> bool:
        """Whether it is of another task or other models, and a claim of this world is about it."""
        return _kind(config) in self.beside

    def is_main(self, config: RunConfig) -> bool:
        """Whether it is of the main recipe, under whatever seed."""
        return self._recipe(config) == self._recipes[self.job]

    def control_of(self, config: RunConfig) -> str:
        """The arm that a run with this config is the control of; empty where it is none."""
        own = self._recipe(config)
        return next((arm for arm, job in self.controls if own == self._recipes[job]), "")

    @cached_property
    def _recipes(self) -> dict[str, dict[str, object]]:
        jobs = (self.job, *(job for _, job in self.controls))
        return {job: self._recipe(RunConfig.from_notebook(all_parameters(JOBS / job)[1])) for job in jobs}

    def _recipe(self, config: RunConfig) -> dict[str, object]:
        """What decides a run but for `free` and places; models by names that are the same everywhere."""
        models = {"pair": "", "source": "", "target": "", "models": tuple(map(short_name, config.pair.models))}
        given = config.parameters() | models
        return {name: value for name, value in given.items() if name not in self.free | PLACES}


def _kind(config: RunConfig) -> tuple[str, Models]:
    return config.task.task, tuple(map(short_name, config.pair.models))


WORLDS = {
    # How long and how closely watched is free: what is shipped and what has three seeds differ in it. HotpotQA and the
    # other direction are claims of the documents' family.
    "embedded": Declared("minigsm", MINI, "mini_soft_only.yaml",
                         free=frozenset({"steps", "dev_questions", "eval_every"}),
                         beside=(("hotpotqa", MINI), ("minigsm", MINI[::-1]))),
    "gsm8k": Declared("gsm8k", SMALL, "real/gsm8k.yaml",
                      controls=(("latent_random_source", "real/gsm8k_random_source.yaml"),
                                ("latent_target_source", "real/gsm8k_target_source.yaml"))),
    "twohop": Declared("twohop", PEOPLE, "real/twohop.yaml",
                       controls=(("latent_constant", "real/twohop_control_constant.yaml"),
                                 ("latent_random_source", "real/twohop_control_random_source.yaml"),
                                 ("latent_no_lore_source", "real/twohop_control_no_facts_source.yaml"),
                                 ("latent_target_source", "real/twohop_control_target_source.yaml"))),
}  # fmt: skip
