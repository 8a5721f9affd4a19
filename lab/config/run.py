"""The configuration of a run: its sections put together, flat in notebooks and YAML files.

Field names are unique over all sections, so that a notebook parameter or a YAML key is one bare name. Every field but
those of `NOT_SCIENTIFIC` enters the hash: two runs with one hash are the same experiment.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.config.model_names import short_name
from lab.config.sections import (
    EvalConfig,
    LayoutConfig,
    LossConfig,
    PairConfig,
    Section,
    TaskConfig,
    TrainConfig,
    TranslatorConfig,
)
from lab.config.yaml_files import load_yaml
from lab.errors import LabError

__all__ = [
    "EvalConfig", "LayoutConfig", "LossConfig", "PairConfig", "RunConfig", "TaskConfig", "TrainConfig",
    "TranslatorConfig", "set_in",
]  # fmt: skip

# They change where and how fast, not what.
NOT_SCIENTIFIC = (
    "name", "device", "eval_batch_size", "cuda_graphs", "fused_kernels", "source_leaves", "state_cache",
    "state_cache_gb", "tracker",
)  # fmt: skip
# They came when runs had been made: at their default they are not in the hash, so that those runs keep theirs.
CAME_LATER = {
    "target_bits": PairConfig.target_bits, "choose_by": EvalConfig.choose_by, "people": TaskConfig.people,
}  # fmt: skip


@dataclass(frozen=True)
class RunConfig(Section):
    """Everything that makes a run. `name` is also the name of its folder."""

    name: str = "run"
    pair: PairConfig = field(default_factory=PairConfig)
    task: TaskConfig = field(default_factory=TaskConfig)
    translator: TranslatorConfig = field(default_factory=TranslatorConfig)
    layout: LayoutConfig = field(default_factory=LayoutConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)

    def check(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*", self.name):
            raise LabError(f"name={self.name!r} is no folder name; use letters, digits, dot, minus and underscore.")
        for section, kind in SECTIONS.items():
            if not isinstance(getattr(self, section), kind):
                raise LabError(f"RunConfig's {section} takes a {kind.__name__}; flat names go to from_parameters.")
        kind, losses = self.translator.translator, self.losses
        if (losses.flow_weight > 0) and kind != "dit":
            raise LabError(f"flow_weight={losses.flow_weight} needs translator='dit', not {kind!r}.")
        if kind == "dit":
            self._check_flow()
        if losses.geometry_weight and self.translator.soft_tokens:
            raise LabError(
                f"geometry_weight={losses.geometry_weight} compares soft tokens with the source tokens they stand for; "
                f"that needs soft_tokens=0, not {self.translator.soft_tokens}."
            )
        if losses.geometry_weight and self.pair.source_chat:
            raise LabError(
                f"geometry_weight={losses.geometry_weight} places soft tokens by the question's own text; it needs "
                "source_chat=false."
            )
        beside_text = self.layout.at().context_aware and self.layout.injection == "prepend"
        if losses.teacher == "prompt" and beside_text and not losses.duplicate_question:
            raise LabError(
                f"teacher='prompt' with layout={self.layout.layout!r} writes the question twice, which hurt the target "
                "in earlier runs; choose soft_only, or allow it with duplicate_question=true."
            )
        if losses.duplicate_question and not (losses.teacher == "prompt" and beside_text):
            raise LabError("duplicate_question=true allows nothing here: it is for teacher='prompt' beside text.")
        if self.layout.question_until >= self.training.steps:
            raise LabError(
                f"question_until={self.layout.question_until} leaves no step of steps={self.training.steps} without "
                "the question; lower it."
            )

    def _check_flow(self) -> None:
        """What the DiT's flow fields ask of the losses."""
        chosen, losses = self.translator, self.losses
        others = [name for name, value in vars(losses).items() if name.endswith("_weight") and value]
        if not chosen.flow_backprop_steps and others != ["flow_weight"]:
            raise LabError(
                f"flow_backprop_steps=0 lets no gradient from the soft tokens to the translator, but {others[0]} needs "
                "one; choose at least 1, or flow_weight alone."
            )
        if chosen.flow_guidance != 1 and not (losses.flow_weight and chosen.flow_condition_dropout):
            raise LabError(
                f"flow_guidance={chosen.flow_guidance} goes beyond a condition that training never drops; set "
                "flow_weight and flow_condition_dropout above 0, or leave it at 1."
            )

    @classmethod
    def from_parameters(cls, **flat: Any) -> RunConfig:
        """Route each flat name to its section. Raises LabError, with the nearest match, for an unknown name.

        task="auto" is the pair's own: minigsm for the embedded pair, gsm8k for any other.
        """
        if flat.get("task") == "auto":
            flat["task"] = "minigsm" if flat.get("pair", PairConfig.pair) == "mini" else "gsm8k"
        for name in flat:
            if name != "name" and name not in SECTION_OF:
                near = difflib.get_close_matches(str(name), ["name", *SECTION_OF], n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"known are name, {', '.join(SECTION_OF)}."
                raise LabError(f"parameter {name!r} is not known; {hint}")
        sections = {
            section: kind(**{name: value for name, value in flat.items() if SECTION_OF.get(name) == section})
            for section, kind in SECTIONS.items()
        }
        return cls(name=flat.get("name", "run"), **sections)

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> RunConfig:
        """The parameters of a notebook: every flat name that `namespace` (its `globals()`) holds; others are ignored.

        Raises LabError if such a name holds no literal: a cell has reused a parameter's name, and going on with the
        default instead would run another experiment than the notebook shows.
        """
        return cls.from_parameters(**_literals(namespace, ("name", *SECTION_OF)))

    def parameters(self) -> dict[str, Any]:
        """All fields as one flat dict of literals, in a fixed order."""
        flat: dict[str, Any] = {"name": self.name}
        for name, section in SECTION_OF.items():
            value = getattr(getattr(self, section), name)
            flat[name] = list(value) if isinstance(value, tuple) else value
        return flat

    def replace(self, **flat: Any) -> RunConfig:
        """A copy with some flat fields changed, checked again."""
        return self.from_parameters(**{**self.parameters(), **flat})

    def hash(self) -> str:
        """12 hex digits over the scientific fields; those of `NOT_SCIENTIFIC` leave it as it is."""
        scientific = {name: value for name, value in self.parameters().items() if name not in NOT_SCIENTIFIC}
        for name, default in CAME_LATER.items():
            if scientific[name] == default:
                del scientific[name]
        return hashlib.sha256(json.dumps(scientific, sort_keys=True).encode("utf-8")).hexdigest()[:12]

    def about(self, run: str) -> dict[str, Any]:
        """What a result says of itself: the run that it is of, its task, its models, and the hash of its config."""
        models = dict(zip(("source", "target"), map(short_name, self.pair.models), strict=True))
        return {"run": run, "task": self.task.task, "models": models, "config_hash": self.hash()}

    def to_yaml(self, path: str | Path) -> None:
        """Write all fields as flat YAML, the hash as a comment on top."""
        path = Path(path)
        text = yaml.safe_dump(self.parameters(), sort_keys=False, allow_unicode=True)
        beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        beside.write_text(f"# hash {self.hash()}\n{text}", encoding="utf-8")
        os.replace(beside, path)

    @classmethod
    def from_yaml(cls, path: str | Path) -> RunConfig:
        """Read flat YAML; fields it leaves out have their defaults. Raises LabError naming the file."""
        try:
            flat = load_yaml(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise LabError(f"config {path} cannot be read: {error.strerror}.") from None
        except (yaml.YAMLError, ValueError) as error:  # ValueError: broken UTF-8, or a date that does not exist
            raise LabError(f"config {path} is not YAML: {' '.join(str(error).split())}.") from None
        if not isinstance(flat, dict) or not all(isinstance(name, str) for name in flat):
            raise LabError(f"config {path} is not a flat list of 'name: value' lines.")
        try:
            return cls.from_parameters(**flat)
        except LabError as error:
            raise LabError(f"config {path}: {error}") from None


def set_in(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The flat names, all but `name`, that a notebook about a finished run sets itself: in such a notebook None stands
    for what the run has. Raises LabError as `RunConfig.from_notebook` does."""
    return _literals({name: value for name, value in namespace.items() if value is not None}, tuple(SECTION_OF))


def _literals(namespace: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    flat = {name: namespace[name] for name in names if name in namespace}
    for name, value in flat.items():
        if not isinstance(value, (str, bool, int, float, list, tuple)):
            raise LabError(
                f"parameter {name!r} holds a {type(value).__name__} in this notebook; "
                "give that object another name and run the parameters cell again."
            )
    return flat


SECTIONS: dict[str, type] = {
    "pair": PairConfig,
    "task": TaskConfig,
    "translator": TranslatorConfig,
    "layout": LayoutConfig,
    "losses": LossConfig,
    "training": TrainConfig,
    "evaluation": EvalConfig,
}
SECTION_OF = {item.name: section for section, kind in SECTIONS.items() for item in dataclasses.fields(kind)}
"""Flat field name -> name of its section."""
