"""Will a job fit, and how long will it take? From its parameters alone: no weights, no GPU.

A job is what notebooks 00 and 01 do: a translator trained with its looks at dev, the constant prompts beside it, and
the test split once.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lab.config import GEMMA, LLAMA, MISTRAL, RANDOM, SMOLLM2, RunConfig
from lab.errors import LabError
from lab.models import config_of, layer_indices, tokenizer_of
from lab.preflight import memory, seconds
from lab.preflight.decoder import KNOWN, Decoder
from lab.preflight.gpus import GPU
from lab.preflight.memory import GIB, Arms, Sizes
from lab.preflight.shapes import Group, Ways, Window, captured, groups, steps_of, window_of
from lab.preflight.translator import TranslatorSize
from lab.preflight.workload import Workload, about
from lab.training import Batches

NOTEBOOKS = ("00_start_here", "01_train")
LOOKED_AT = 600  # steps whose shapes are counted; the others are like them
DIGITS = {MISTRAL: 1, LLAMA: 3, SMOLLM2: 1, GEMMA: 1}  # of a number that are one token


def decoder_of(name: str) -> Decoder:
    """A model's sizes, by the numbers that are kept here or by its config.json."""
    return KNOWN[name] if name in KNOWN else Decoder.of(name, config_of(name))


def sizes_of(config: RunConfig) -> Sizes:
    source, target = map(decoder_of, config.pair.models)
    picked = len(layer_indices(config.pair.source_layers, source.layers))
    if config.pair.target_bits and config.pair.models[1].startswith(RANDOM):
        raise LabError(f"target_bits={config.pair.target_bits} packs weights of a file, and random ones have none.")
    translator = TranslatorSize(config.translator, source, target, picked)
    element = 2 if config.pair.dtype == "bfloat16" else 4
    return Sizes(source, target, translator, element, config.pair.target_bits, Ways.of(config))


def workload_of(config: RunConfig) -> Workload:
    """Counted by the models' tokenizers where their folders are here, else by words, numbers and signs."""
    names = dict(zip(("source", "target"), config.pair.models, strict=True))
    found = {side: None if name in KNOWN else tokenizer_of(name) for side, name in names.items()}

    def count(side: str, text: str) -> int:
        if found[side] is None:
            return about(text, DIGITS.get(names[side], 1))
        return len(found[side](text, add_special_tokens=False)["input_ids"])

    return Workload.of(config, count, exact=all(found.values()))


@dataclass(frozen=True)
class Estimate:
    """Of one job on one kind of GPU. `training` and `evaluation`: bytes by term at the peak of each. `reserved`: bytes
    that graphs keep from an evaluation. Seconds of a median step, and of all that is done."""

    gpu: GPU
    training: dict[str, float]
    evaluation: dict[str, float]
    reserved: float
    step_s: float
    training_s: float
    evaluations_s: float
    loading_s: float

    @property
    def training_gib(self) -> float:
        return sum(self.training.values()) / GIB

    @property
    def evaluation_gib(self) -> float:
        return sum(self.evaluation.values()) / GIB

    @property
    def peak_gib(self) -> float:
        """The most that tensors hold."""
        return max(self.training_gib, self.evaluation_gib)

    @property
    def needed_gib(self) -> float:
        """With what graphs keep for training beside an evaluation."""
        return max(self.training_gib, self.evaluation_gib + self.reserved / GIB)

    @property
    def fits(self) -> bool:
        return self.needed_gib <= self.gpu.usable

    @property
    def hours(self) -> float:
        return (self.training_s + self.evaluations_s + self.loading_s) / 3600


@dataclass(frozen=True)
class Training:
    """One training of a config, on lengths that are known: its shapes are counted once, for every kind of GPU."""

    config: RunConfig
    sizes: Sizes
    workload: Workload

    @cached_property
    def batches(self) -> Batches:
        training = self.config.training
        return Batches([row.order for row in self.workload.training], training.batch_size, training.seed)

    @cached_property
    def shapes(self) -> list[tuple[tuple[int, int], list[Group]]]:
        """Of each step that is looked at: (rows, padded width) for the source, and the target's groups."""
        steps = range(min(self.config.training.steps, LOOKED_AT))
        size, work = self.sizes, self.workload
        soft = 0 if self.config.layout.injection == "adapter" else size.translator.soft
        found = []
        for rows in steps_of(self.batches, work.training, steps):
            width = size.ways.padded(max(row.source for row in rows), len(rows))
            passes = groups(rows, soft, work.shared, size.target, size.element, size.ways)
            found.append(((len(rows), width), passes))
        return found

    @cached_property
    def window(self) -> Window:
        size, steps = self.sizes, self.config.training.steps
        if not size.translator.needs_source:
            return Window(1, [], 0)
        return window_of(self.workload.training, self.batches, steps, size.source, size.translator.picked, size.element,
                         size.ways)  # fmt: skip

    @cached_property
    def captured(self) -> set[Group]:
        return captured(passes for _, passes in self.shapes)[0] if self.sizes.ways.graphs else set()

    def arms(self, test: bool, controls: int = 0) -> Arms:
        """Of a look at dev, or of the test with the trained prompts beside it."""
        size, chosen = self.sizes, self.config.evaluation
        questions = self.workload.test if test else self.workload.dev
        latents = 2 + controls if test else 1
        scores_alone = not test and chosen.choose_by == "likelihood"
        tokens, texts = (0, 0) if scores_alone else (chosen.max_new_tokens, 1)
        prompts = controls * size.translator.soft * size.target.hidden
        scored = test or scores_alone
        return Arms(questions, texts, latents, bool(texts), chosen.eval_batch_size, tokens, prompts, scored)

    def training_bytes(self) -> dict[str, float]:
        size = self.sizes
        found = [memory.stepping(size, self.shapes, self.window, self.captured)]
        if size.translator.needs_source:
            found.append(memory.reading(size, self.window))
        return max(found, key=lambda terms: sum(terms.values()))

    def step_s(self, gpu: GPU) -> float:
        return statistics.median(self._step_s(gpu))

    def _step_s(self, gpu: GPU) -> list[float]:
        text = 4 / 3 if self.config.losses.kl_weight else 1  # the target reads the text as well, forward
        return [seconds.step(self.sizes, gpu, *one) * text for one in self.shapes]

    def seconds(self, gpu: GPU) -> float:
        """Of all steps, with the source's reading and what is captured."""
        mean = statistics.mean(self._step_s(gpu)) + seconds.reading(self.sizes, gpu, self.window)
        return mean * self.config.training.steps + seconds.CAPTURED * len(self.captured)

    def looks_s(self, gpu: GPU, first: bool = True) -> float:
        """Of all evaluations on dev; `first`: source and target are not known yet."""
        training = self.config.training
        looks = 2 if not training.eval_every else 1 + -(-training.steps // training.eval_every)
        arms, size = self.arms(test=False), self.sizes
        again = seconds.evaluation(size, gpu, arms, False)
        return again * (looks - 1) + (seconds.evaluation(size, gpu, arms, True) if first else again)


@dataclass(frozen=True)
class Work:
    """A job: the translator's training, the prompts' that are trained beside it, and the test."""

    main: Training
    prompts: tuple[Training, ...] = ()

    @classmethod
    def of(cls, notebook: str, parameters: Mapping[str, Any], workload: Workload | None = None) -> Work:
        """Of a job's parameters, defaults among them. Raises LabError for a notebook that is not counted."""
        if notebook not in NOTEBOOKS:
            raise LabError(f"preflight counts jobs of {' and '.join(NOTEBOOKS)}, not of {notebook}.")
        config = RunConfig.from_notebook(parameters)
        workload, sizes = workload or workload_of(config), sizes_of(config)
        constant = replace(config.translator, translator="constant", soft_tokens=sizes.translator.soft)
        steps = max(parameters.get("control_steps", 0), config.training.steps)
        own = replace(config, training=replace(config.training, steps=steps))
        size = replace(sizes, translator=replace(sizes.translator, config=constant))
        wanted = [parameters.get("control", True), parameters.get("text_tuned", False)]
        prompts = tuple(Training(own, size, workload) for one in wanted if one)
        return cls(Training(config, sizes, workload), prompts)

    def on(self, gpu: GPU) -> Estimate:
        main, prompts = self.main, self.prompts
        arms = main.arms(test=True, controls=len(prompts))
        looks = [main.arms(test=False), arms]
        evaluations = [memory.evaluating(main.sizes, one, main.captured) for one in looks]
        return Estimate(
            gpu,
            main.training_bytes(),
            max(evaluations, key=lambda terms: sum(terms.values())),
            memory.activation_peak(main.sizes, main.shapes),
            main.step_s(gpu),
            main.seconds(gpu) + sum(one.seconds(gpu) for one in prompts),
            main.looks_s(gpu)
            + sum(one.looks_s(gpu, first=False) for one in prompts)
            + seconds.evaluation(main.sizes, gpu, arms, True),
            seconds.loading(main.sizes),
        )
