"""Caches: an answer kept under a name that says too little. Each evaluates twice with one cache, first otherwise."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from planted_world import CONFIG, Sums

from lab.answers.generation import answer_key
from lab.errors import LabError

pytestmark = pytest.mark.slow
TEXT_ARMS = ("source", "target")


class Terse(Sums):
    instruction = "Say it.\n\n"


class Hasty(Sums):
    def answer_end(self, text):
        return 5 if len(text) > 5 else None


def refused(world, plant, old, new, **first):
    """Answers made as `first` says are kept, then come back for the plain evaluation."""

    def twice(folder):
        world.evaluate(arms=TEXT_ARMS, cache_dir=world.folder / folder, **first)
        world.evaluate(arms=TEXT_ARMS, cache_dir=world.folder / folder)

    twice("sound")
    plant.edit(answer_key, old, new)
    with pytest.raises(LabError, match="kept"):
        twice("planted")


def test_key_forgets_the_limit(world, plant):
    refused(world, plant, "prompt, max_new_tokens, ends", "prompt, ends", config=CONFIG.replace(max_new_tokens=4))


def test_key_forgets_hygiene(world, plant):
    refused(world, plant, ", *asdict(hygiene).values()]", "]", config=CONFIG.replace(repetition_penalty=1.5))


def test_key_forgets_the_weights(world, plant):
    target = replace(world.pair.target, model=copy.deepcopy(world.pair.target.model))
    with torch.no_grad():
        next(target.model.parameters()).mul_(-1)
    refused(world, plant, "told = [name, weights, ", "told = [name, ", pair=replace(world.pair, target=target))


def test_key_forgets_the_prompt(world, plant):
    refused(world, plant, "weights, prompt, ", "weights, prompt.rpartition('Q:')[2], ", task=Terse())


def test_key_forgets_the_end_rule(world, plant):
    refused(world, plant, "ends.__qualname__, ", "", task=Hasty())


def test_kept_answer_edited(world):
    def evaluate():
        world.evaluate(arms=TEXT_ARMS, cache_dir=world.folder)

    evaluate(), evaluate()
    path = world.folder / "answers.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines() if line]
    path.write_text("".join(json.dumps(row | {"text": "So it is.\n#### 3"}) + "\n" for row in rows))
    with pytest.raises(LabError, match="kept"):
        evaluate()
