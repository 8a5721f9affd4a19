"""Caches: an answer kept under a name that says too little. Each evaluates twice with one cache, first otherwise."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from planted_world import CONFIG, Sums

from lab.answers.generation import Asked
from lab.errors import LabError
from lab.models import StateCache
from lab.models.state_keys import _reading

pytestmark = pytest.mark.slow
TEXT_ARMS = ("source", "target")


class Terse(Sums):
    instruction = "Say it.\n\n"


class Hasty(Sums):
    def answer_end(self, text):
        return 5 if len(text) > 5 else None


def refused(world, plant, *forgotten, **first):
    """Answers made as `first` says are kept, then come back for the plain evaluation."""

    def twice(folder):
        world.evaluate(arms=TEXT_ARMS, cache_dir=world.folder / folder, **first)
        world.evaluate(arms=TEXT_ARMS, cache_dir=world.folder / folder)

    twice("sound")
    known = f"{{name: fact for name, fact in self.facts().items() if name not in {forgotten}}}"
    plant.edit(Asked.key, "json.dumps(self.facts(), ", f"json.dumps({known}, ")
    with pytest.raises(LabError, match=f"made with another {forgotten[0]}"):
        twice("planted")


def test_key_forgets_the_limit(world, plant):
    refused(world, plant, "max_new_tokens", config=CONFIG.replace(max_new_tokens=4))


def test_key_forgets_hygiene(world, plant):
    refused(world, plant, "repetition_penalty", "no_repeat_ngram", config=CONFIG.replace(repetition_penalty=1.5))


def test_key_forgets_the_weights(world, plant):
    target = replace(world.pair.target, model=copy.deepcopy(world.pair.target.model))
    with torch.no_grad():
        next(target.model.parameters()).mul_(-1)
    refused(world, plant, "weights", pair=replace(world.pair, target=target))


def test_key_forgets_the_prompt(world, plant):
    def twice(folder):
        world.evaluate(arms=TEXT_ARMS, cache_dir=world.folder / folder, task=Terse())
        world.evaluate(arms=TEXT_ARMS, cache_dir=world.folder / folder)

    twice("sound")
    facts = "self.facts() | {'prompt': self.prompt.rpartition('Q:')[2]}"  # kept by question
    plant.edit(Asked.key, "json.dumps(self.facts(), ", f"json.dumps({facts}, ")
    with pytest.raises(LabError, match="made with another prompt"):
        twice("planted")


def test_key_forgets_the_end_rule(world, plant):
    refused(world, plant, "ends", task=Hasty())


def test_kept_answer_edited(world):
    def evaluate():
        world.evaluate(arms=TEXT_ARMS, cache_dir=world.folder)

    evaluate(), evaluate()
    path = world.folder / "answers.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines() if line]
    path.write_text("".join(json.dumps(row | {"text": "So it is.\n#### 3"}) + "\n" for row in rows))
    with pytest.raises(LabError, match="tokens|altered"):
        evaluate()


def test_states_key_forgets_the_weights(world, plant):
    def twice(folder):
        known = StateCache(world.folder / folder, 10**8)
        source = replace(world.pair.source, model=copy.deepcopy(world.pair.source.model), known_states=known)
        world.evaluate(arms=("latent",), pair=replace(world.pair, source=source))
        with torch.no_grad():
            source.model.get_input_embeddings().weight.mul_(-1)
        world.evaluate(arms=("latent",), pair=replace(world.pair, source=source))

    twice("sound")
    plant.edit(_reading, '"weights": every_weight(model.model)', '"weights": model.name')
    with pytest.raises(LabError, match="states that the translator is given"):
        twice("planted")
