"""What is evaluated, in one object: whose answers, to which questions, under which prompt, limits and layout.

Every arm, the cache's key, the records' seal and the checks are derived from it, so nothing is passed twice and no arm
can be given another limit, another instruction or other questions than the one beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import torch

from lab.answers.decoding import Hygiene
from lab.answers.generation import Decoding
from lab.config import Layout, RunConfig, get_layout, short_name
from lab.models import fingerprint, layer_indices, weights_of
from lab.progress import tqdm
from lab.runs import questions_hash
from lab.tasks import Question, Task, surroundings
from lab.translators import Bridge

if TYPE_CHECKING:
    from lab.models import Pair

DEFAULT_CASCADE = "note"
TEXT_TUNED = "text_tuned"  # the arm whose trained prompt stands beside the text, whatever the others read
Row = TypeVar("Row")


@dataclass(frozen=True)
class Evaluation:
    """Questions of one split, and everything that decides their answers.

    `bridges`: trained translators with their sources, by the arm that each was trained for ("latent",
    "latent_constant", ...). `cascade_prompt`: where the cascade puts the source's answer. `progress`: bars on the
    screen; it changes no answer.
    """

    config: RunConfig
    pair: Pair
    task: Task
    questions: Sequence[Question]
    bridges: Mapping[str, Bridge] = field(default_factory=dict)
    cascade_prompt: str = DEFAULT_CASCADE
    progress: bool = True

    @cached_property
    def layout(self) -> Layout:
        """What the target reads in the arms with soft tokens."""
        return self.pair.target.reads(self.config.layout.at())

    def layout_of(self, arm: str) -> Layout:
        """What the target reads in one arm with soft tokens."""
        return self.pair.target.reads(get_layout("soft_plus_text")) if arm == TEXT_TUNED else self.layout

    @cached_property
    def decoding(self) -> Decoding:
        """How every arm generates."""
        chosen = self.config.evaluation
        hygiene = Hygiene(chosen.repetition_penalty, chosen.no_repeat_ngram)
        return Decoding(chosen.max_new_tokens, hygiene, self.task.answer_end)

    @cached_property
    def exemplars(self) -> list[Question]:
        return self.task.exemplars(self.config.task.shots)

    @cached_property
    def shared(self) -> dict[str, str]:
        """Instruction and worked examples, which stand around every question."""
        return surroundings(self.task, self.config.task.shots)

    def context(self, question: Question) -> dict[str, str]:
        """The placeholders of a layout for one question. The gold answer is not among them."""
        return {**self.shared, "question": question.question}

    def batches(self, rows: Iterable[Row], label: str, length: Callable[[Row], object]) -> Iterator[list[Row]]:
        """Rows in batches of similar `length`, the longest first (what does not fit in memory fails at once)."""
        order = sorted(rows, key=length, reverse=True)
        size = self.config.evaluation.eval_batch_size
        with tqdm(total=len(order), desc=label, unit="q", disable=not self.progress, leave=False) as bar:
            for start in range(0, len(order), size):
                batch = order[start : start + size]
                yield batch
                bar.update(len(batch))

    def seal(self) -> dict:
        """What fixes this evaluation, as plain values that are stored with its records; see `lab.runs.seals`.

        Two evaluations with one seal ask the same models the same questions in the same way; where the device and the
        batch agree as well (`made_on`), frozen models answer alike, in half precision beside the same arms.
        """
        source, target = self.pair.source, self.pair.target
        exemplars = [f"{question.question}\n{question.answer}" for question in self.exemplars]
        return {
            "task": self.task.name,
            "questions": questions_hash(self.questions),
            "n": len(self.questions),
            "instruction": self.shared["instruction"],
            "exemplars": [hashlib.sha256(text.encode("utf-8")).hexdigest()[:16] for text in exemplars],
            "frames": {"source": list(source.frame), "target": list(target.frame)},
            "decoding": self.decoding.facts(),
            "layout": {"template": self.layout.template, "adapter_scale": self.layout.adapter_scale},
            "source": {"name": short_name(source.name), "weights": fingerprint(source)},
            "target": {"name": short_name(target.name), "weights": fingerprint(target)},
            "bridges": {arm: _bridge_facts(self.bridges[arm]) | self._own_layout(arm) for arm in sorted(self.bridges)},
            "cascade_prompt": self.cascade_prompt,
            **({"chooses": self.task.chooses} if self.task.chooses else {}),
            "made_on": {"device": _device_name(target.device, target.dtype),
                        "dtype": str(target.dtype).removeprefix("torch."),
                        "batch": self.config.evaluation.eval_batch_size,
                        **({"graphs": target.graphs} if target.device.type == "cuda" else {}),
                        **({"target_bits": target.bits} if target.bits else {})},
        }  # fmt: skip

    def _own_layout(self, arm: str) -> dict:
        own = self.layout_of(arm)
        return {} if own == self.layout else {"layout": own.template}


def _device_name(device: torch.device, dtype: torch.dtype) -> str:
    """Where an answer is made: in half precision a card by its own name, since another one rounds otherwise."""
    named = device.type == "cuda" and dtype != torch.float32
    return torch.cuda.get_device_name(device) if named else device.type


def _bridge_facts(bridge: Bridge) -> dict:
    layers = bridge.source_layers if bridge.translator.needs_source else []
    return {
        "weights": weights_of(bridge.translator),
        "source": fingerprint(bridge.source) if bridge.translator.needs_source else "",
        "layers": layer_indices(layers, bridge.source.num_layers),
    }
