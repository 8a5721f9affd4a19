"""The sections of a config, frozen and checked when they are made: what each may hold, and what contradicts itself.

What one section asks of another is in `lab.config.run`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

from lab.config.layout import Layout, get_layout
from lab.config.model_names import PAIRS
from lab.errors import LabError
from lab.tasks import SCORERS, TASKS

OF_TASKS = {
    "data": "where its questions are",
    "evidence": "who reads it, source or both",
    "scorer": f"how its answers are read, {', '.join(SCORERS)}",
    "people": "how many people a translator is trained on",
}  # what a task takes besides numbers of questions
NAMED_LAYERS = ("all", "last", "middle")
NAMED_LAYERS_TEXT = f"{', '.join(NAMED_LAYERS)}, or a list of layer indices"


def _one_of(section: object, name: str, allowed: tuple[str | int, ...]) -> None:
    value = getattr(section, name)
    if value not in allowed:
        raise LabError(f"{name}={value!r} is not known; choose one of {', '.join(map(str, allowed))}.")


def _at_least(section: object, least: float, *names: str) -> None:
    for name in names:
        if getattr(section, name) < least:
            raise LabError(f"{name}={getattr(section, name)} is too small; it must be at least {least}.")


def _above_zero(section: object, *names: str) -> None:
    for name in names:
        if getattr(section, name) <= 0:
            raise LabError(f"{name}={getattr(section, name)} must be above 0.")


class Section:
    """Type checks for all sections; `check` holds what each section asks besides."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            if item.type in ("int", "float", "str", "bool"):
                object.__setattr__(self, item.name, _typed(item.name, item.type, getattr(self, item.name)))
        self.check()

    def check(self) -> None:
        """Raise LabError for values that cannot work."""


def _typed(name: str, kind: str, value: Any) -> Any:
    """`value` as `kind`, without guessing. YAML reads 1e-3 as a text, so a float may be written as one."""
    if kind in ("str", "bool") and type(value).__name__ == kind:
        return value
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind == "float" and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    expected = {"str": "a text", "bool": "true or false", "int": "a whole number", "float": "a finite number"}[kind]
    raise LabError(f"{name}={value!r} is not {expected}.")


@dataclass(frozen=True)
class PairConfig(Section):
    """Which frozen models: those of the pair, unless `source` or `target` names another (a hub id, a folder, a GGUF
    file, "package:<installed package with one>", or "random:<folder>"); "custom" has none of its own.

    `source_layers` is "all" (1..number of layers), "last", "middle" (four layers of the middle), or a list of indices
    into the hidden states (0: embeddings). `source_chat`, `target_chat`: whether the model's own chat template stands
    around all that it reads, in training and in every arm. `target_bits`: 8 or 4 for a target whose linear layers are
    packed to so many bits a weight (`lab.models.quantised`), 0 for one that is all in `dtype`.

    `state_cache`: a folder, from the repository's root, where the source's states are kept between epochs and runs
    ("": none), at most `state_cache_gb` (10^9 bytes) of them. What is kept was read in another batch, so it differs in
    the last bit from what would be read now: a run with a cache ends in other bits than one without, as runs on two
    machines do.

    How fast and in how much memory, on a GPU alone: `cuda_graphs` captures what is computed again and again;
    `fused_kernels` puts Liger's into the frozen layers; `source_leaves` keeps the source's weights in the host's memory
    while training does not read it.
    """

    pair: str = "mini"
    source: str = ""
    target: str = ""
    dtype: str = "float32"
    device: str = "auto"
    source_layers: str | list[int] | tuple[int, ...] = "all"
    source_chat: bool = False
    target_chat: bool = False
    cuda_graphs: bool = True
    fused_kernels: bool = False
    source_leaves: bool = False
    target_bits: int = 0
    state_cache: str = ""
    state_cache_gb: float = 50.0

    def check(self) -> None:
        _one_of(self, "pair", tuple(PAIRS))
        _one_of(self, "dtype", ("float32", "bfloat16"))
        _one_of(self, "target_bits", (0, 8, 4))
        _above_zero(self, "state_cache_gb")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise LabError(f"device={self.device!r} is not known; choose auto, cpu, cuda or cuda:<number>.")
        for side, model in zip(("source", "target"), self.models, strict=True):
            if not model:
                raise LabError(f"pair={self.pair!r} needs {side}: a hub id, a local folder, or random:<folder>.")
        layers = self.source_layers
        if isinstance(layers, (list, tuple)):
            if not layers or any(isinstance(index, bool) or not isinstance(index, int) for index in layers):
                raise LabError(f"source_layers={layers!r} is not a list of at least one whole number.")
            object.__setattr__(self, "source_layers", tuple(layers))  # frozen all the way down
        elif layers not in NAMED_LAYERS:
            raise LabError(f"source_layers={layers!r} is not known; choose {NAMED_LAYERS_TEXT}.")

    @property
    def models(self) -> tuple[str, str]:
        """Names of the source and the target that are loaded."""
        source, target = PAIRS[self.pair]
        return self.source or source, self.target or target


@dataclass(frozen=True)
class TaskConfig(Section):
    """Which questions, how many of each split (0: all), after how many worked examples. `data`: the task's folder, or
    its file for jsonl.

    `evidence`: who reads hotpotqa's paragraphs and jsonl's evidence, the source alone or both models. `scorer`: how
    answers of jsonl are read, one of `SCORERS`; the other tasks have their own. `people`: how many of twohop's people
    the translator is trained on (0: all).
    """

    task: str = "minigsm"
    data: str = ""
    evidence: str = "source"
    scorer: str = ""
    people: int = 0
    shots: int = 0
    train_questions: int = 0
    dev_questions: int = 0
    test_questions: int = 0

    def check(self) -> None:
        _one_of(self, "task", tuple(TASKS))
        _one_of(self, "evidence", ("source", "both"))
        if self.scorer:
            _one_of(self, "scorer", tuple(SCORERS))
        _at_least(self, 0, "people", "shots", "train_questions", "dev_questions", "test_questions")
        for name in TASKS[self.task].needs:
            if not getattr(self, name):
                raise LabError(f"task={self.task!r} needs {name}: {OF_TASKS[name]}.")
        for name in OF_TASKS:
            if getattr(self, name) != getattr(TaskConfig, name) and name not in TASKS[self.task].takes:
                readers = " or ".join(task for task, kind in TASKS.items() if name in kind.takes)
                raise LabError(
                    f"{name}={getattr(self, name)!r} is not read by task={self.task!r}; choose task={readers} for it."
                )


@dataclass(frozen=True)
class TranslatorConfig(Section):
    """Source states to `soft_tokens` soft tokens; 0: one per source token, at most `soft_tokens_cap` of them.

    `constant` is the control that never looks at the source. `conditioning` and the names with `flow` are the DiT's:
    how it reads the source, Euler steps in training and evaluation, through how many of the last training steps the
    gradient runs, how often the condition is dropped, and how far evaluation goes beyond it (1: not).
    """

    translator: str = "resampler"
    soft_tokens: int = 8
    soft_tokens_cap: int = 128
    width: int = 128
    depth: int = 2
    heads: int = 4
    dropout: float = 0.0
    source_mix: str = "concat"
    gate_init: float = 0.5
    conditioning: str = "cross"
    flow_train_steps: int = 3
    flow_eval_steps: int = 6
    flow_backprop_steps: int = 3
    flow_condition_dropout: float = 0.1
    flow_guidance: float = 1.0

    def check(self) -> None:
        _one_of(self, "translator", ("resampler", "dit", "linear", "constant"))
        _one_of(self, "source_mix", ("concat", "weighted"))
        _one_of(self, "conditioning", ("mean", "attention", "cross"))
        _at_least(self, 0, "soft_tokens", "flow_backprop_steps", "flow_guidance")
        _at_least(self, 1, "soft_tokens_cap", "width", "depth", "heads", "flow_train_steps", "flow_eval_steps")
        if self.width % self.heads:
            raise LabError(f"heads={self.heads} does not divide width={self.width}; choose heads that do.")
        for name in ("dropout", "flow_condition_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise LabError(f"{name}={getattr(self, name)} must be at least 0 and below 1.")
        if self.translator == "dit" and self.flow_backprop_steps > self.flow_train_steps:
            raise LabError(
                f"flow_backprop_steps={self.flow_backprop_steps} is more than "
                f"flow_train_steps={self.flow_train_steps}; lower it."
            )
        if self.translator == "linear" and self.soft_tokens:
            raise LabError(
                f"translator='linear' writes one soft token per source token: soft_tokens must be 0, not "
                f"{self.soft_tokens}."
            )
        if self.translator == "constant" and not self.soft_tokens:
            raise LabError("soft_tokens=0 is as many as the source has tokens; translator='constant' needs at least 1.")


@dataclass(frozen=True)
class LayoutConfig(Section):
    """What the target reads: soft_only, soft_in_context, soft_plus_text, or a template with exactly one `{soft}`.

    `injection`: prepend (soft tokens stand where `{soft}` is) or adapter (added to the prompt's last embeddings, times
    `adapter_scale`). `question_until`: a curriculum whose first so many steps train on soft_plus_text.
    """

    layout: str = "soft_plus_text"
    injection: str = "prepend"
    adapter_scale: float = 1.0
    question_until: int = 0

    def check(self) -> None:
        _one_of(self, "injection", ("prepend", "adapter"))
        _above_zero(self, "adapter_scale")
        _at_least(self, 0, "question_until")
        if self.at().context_aware and self.question_until:
            raise LabError(
                f"question_until={self.question_until} takes the question away in training, but "
                f"layout={self.layout!r} keeps it in evaluation; choose soft_only or soft_in_context."
            )

    def at(self, step: int | None = None) -> Layout:
        """The layout of training step `step` (from 1), or that of evaluation."""
        if step is not None and step <= self.question_until:
            return get_layout("soft_plus_text")
        return get_layout(self.layout, self.adapter_scale if self.injection == "adapter" else None)


@dataclass(frozen=True)
class LossConfig(Section):
    """The weight of each loss term (0: the term is not computed) and what shapes it; see `lab.training.losses`.

    `teacher`: the text whose target embeddings the flow and token alignment aim at. With a prompt teacher, soft tokens
    say what a context-aware prompt says already; `duplicate_question` has to allow that.
    """

    answer_nll_weight: float = 1.0
    teacher: str = "none"
    duplicate_question: bool = False
    flow_weight: float = 0.0
    token_alignment_weight: float = 0.0
    prompt_alignment_weight: float = 0.0
    geometry_weight: float = 0.0
    kl_weight: float = 0.0
    kl_tokens: int = 0
    contrast_weight: float = 0.0
    contrast_start: int = -1
    format_weight: float = 0.0
    probe_weight: float = 0.0
    decode_weight: float = 0.0
    decode_every: int = 100
    decode_samples: int = 2
    decode_tokens: int = 48

    def check(self) -> None:
        _one_of(self, "teacher", ("none", "prompt", "answer"))
        weights = [item.name for item in dataclasses.fields(self) if item.name.endswith("_weight")]
        _at_least(self, 0, *weights, "kl_tokens")
        _at_least(self, -1, "contrast_start")
        _at_least(self, 1, "decode_every", "decode_samples", "decode_tokens")
        now_and_then = {"contrast_weight": self.contrast_start != 0, "decode_weight": self.decode_every > 1}
        if not any(getattr(self, name) for name in weights if not now_and_then.get(name)):
            raise LabError(
                f"no loss term has a weight at every step; set one of {', '.join(weights)} above 0 "
                "(contrast_weight alone needs contrast_start=0, decode_weight alone decode_every=1)."
            )
        taught = self.flow_weight or self.token_alignment_weight
        if taught and self.teacher == "none":
            raise LabError("flow_weight and token_alignment_weight need a teacher; choose teacher=prompt or answer.")
        if self.teacher != "none" and not taught:
            raise LabError(
                f"teacher={self.teacher!r} teaches nothing; set flow_weight or token_alignment_weight above 0."
            )


@dataclass(frozen=True)
class TrainConfig(Section):
    """The training loop. `eval_every`=0: evaluate at start and end only. `patience` counts evaluations, 0: off.

    `batch_size`: the questions of a step, on however many processes. `start_from`: the folder of a trained translator
    to begin with instead of random weights. `tracker`: what shows the metrics while they are made, auto: TensorBoard.
    """

    steps: int = 1000
    batch_size: int = 32
    learning_rate: float = 1e-3
    gate_learning_rate_scale: float = 3.0
    warmup_steps: int = 0
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    seed: int = 1234
    eval_every: int = 0
    patience: int = 0
    start_from: str = ""
    tracker: str = "none"

    def check(self) -> None:
        _one_of(self, "tracker", ("none", "auto", "tensorboard", "wandb", "trackio"))
        _at_least(self, 1, "steps", "batch_size")
        _at_least(self, 0, "warmup_steps", "weight_decay", "seed", "eval_every", "patience")
        _above_zero(self, "learning_rate", "gate_learning_rate_scale", "gradient_clip")
        if self.warmup_steps > self.steps:
            raise LabError(f"warmup_steps={self.warmup_steps} is more than steps={self.steps}; lower it.")
        if self.patience and not self.eval_every:
            raise LabError(f"patience={self.patience} needs eval_every above 0: without evaluations it never ends.")


@dataclass(frozen=True)
class EvalConfig(Section):
    """Generation while evaluating: greedy; `repetition_penalty` 1 and `no_repeat_ngram` 0 leave it so.

    `choose_by`: what training chooses the best checkpoint by, on dev: accuracy, or the likelihood of the gold answers,
    which tells models apart that are too small to answer.
    """

    choose_by: str = "accuracy"
    eval_batch_size: int = 64
    max_new_tokens: int = 160
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0

    def check(self) -> None:
        _one_of(self, "choose_by", ("accuracy", "likelihood"))
        _at_least(self, 1, "eval_batch_size", "max_new_tokens", "repetition_penalty")
        _at_least(self, 0, "no_repeat_ngram")
