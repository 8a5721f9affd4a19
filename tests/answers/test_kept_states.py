"""What a cache of states must not hide: checks and clocks read the source themselves."""

import copy
from dataclasses import replace

import pytest
import torch
from evaluations import alike, evaluated, evaluation_of
from planted_world import CONFIG, QUESTIONS, Sums

from lab.costs.benchmark import counted_passes, question_costs
from lab.errors import LabError
from lab.models import FrozenModel, StateCache
from lab.models.laws import batch_as_alone
from lab.models.state_keys import state_keys
from lab.tasks import source_text
from lab.translators import build_translator


@pytest.fixture
def pair(tiny_pair, tmp_path):
    model = copy.deepcopy(tiny_pair.source.model)
    return replace(tiny_pair, source=replace(tiny_pair.source, model=model, known_states=StateCache(tmp_path, 10**8)))


@pytest.fixture
def translator(pair):
    torch.manual_seed(0)
    return build_translator(CONFIG.translator, pair, "all")


def latent(pair, translator, questions=QUESTIONS):
    return evaluated(CONFIG, pair, Sums(), questions, ("latent",), translator=translator)


def test_an_evaluation_with_kept_states_is_the_one_without(tiny_pair, pair, translator):
    plain, first = latent(tiny_pair, translator), latent(pair, translator)
    with counted_passes(pair.source) as passes:
        again = latent(pair, translator)
    assert first == again == alike(plain)
    assert 0 < len(passes) < 10  # those of the checks, each alone and in a batch; the answers took none


def test_wrong_states_in_the_cache_are_caught_by_every_evaluation(pair, translator):
    latent(pair, translator)
    texts = [source_text(question.question, question.evidence) for question in QUESTIONS]
    for key in state_keys(pair.source, texts, pair.source.rows(texts), [1, 2, 3]):
        pair.source.known_states.put(key, pair.source.known_states.get(key).flip(0))  # of the text read backwards
    with pytest.raises(LabError, match="states that the translator is given are not those of layers"):
        latent(pair, translator)


def leaking(read):
    return lambda self, ids, mask, picked: read(self, ids, mask, picked) + ids.shape[1]


def test_a_batch_that_leaks_is_found_behind_the_cache(pair, translator, monkeypatch):
    latent(pair, translator)
    monkeypatch.setattr(FrozenModel, "_read", leaking(FrozenModel._read))
    with pytest.raises(LabError, match="alone than in a batch"):
        latent(pair, translator)
    batch_as_alone(pair.source)
    assert batch_as_alone(pair.source).verdict == "fails"


def test_a_clock_times_the_reading_not_the_cache(pair, translator):
    evaluation = evaluation_of(CONFIG, pair, Sums(), QUESTIONS, translator=translator)
    question_costs(evaluation, QUESTIONS[0])
    with counted_passes(pair.source) as passes:
        costs = question_costs(evaluation, QUESTIONS[0])
    assert costs["latent"]["source_seconds"] > 0 and passes
