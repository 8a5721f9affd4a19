"""An evaluation whose question does not fit into a model is refused before any arm answers, and names the question."""

from dataclasses import replace

import pytest
import torch
from evaluations import evaluation_of

import lab.answers.arms
from lab.answers import evaluate
from lab.config import RunConfig
from lab.errors import LabError
from lab.models import FrozenModel, Pair
from lab.studies.experiment import Experiment, check_lengths
from lab.tasks.minigsm import MiniGSM
from lab.translators import build_translator

CONFIG = RunConfig.from_parameters(
    layout="soft_plus_text", soft_tokens=3, width=16, depth=1, heads=2, max_new_tokens=6, steps=2, batch_size=4
)


class Short(FrozenModel):
    """A model that reads few tokens."""

    context_length = 450


@pytest.fixture
def questions():
    few = list(MiniGSM().dev()[:3])
    few[1] = replace(few[1], evidence="One more word. " * 60)
    return few


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch):
    monkeypatch.setattr(lab.answers.arms, "_check_models", lambda *_: pytest.fail("something ran"))


def short(model):
    return Short(model.model, model.tokenizer, "short", model.device, model.dtype)


def refusal(pair, questions, arms, config=CONFIG):
    torch.manual_seed(0)
    translator = build_translator(config.translator, pair, "all").eval()
    with pytest.raises(LabError) as error:
        evaluate(evaluation_of(config, pair, MiniGSM(), questions, translator), arms)
    return str(error.value)


def test_the_sources_text_is_held_before_anything_runs(tiny_pair, questions):
    said = refusal(Pair(short(tiny_pair.source), tiny_pair.target), questions, ("latent",))
    assert said.startswith(f"the source's states, question {questions[1].id}") and "short reads at most 450" in said


@pytest.mark.parametrize("arm", ["source", "cascade"])
def test_the_sources_own_prompt_is_held(tiny_pair, questions, arm):
    said = refusal(Pair(short(tiny_pair.source), tiny_pair.target), questions, (arm,))
    assert said.startswith(f"arm source, question {questions[1].id}") and "and what comes with it 6" in said


@pytest.mark.parametrize(("arm", "with_it"), [("target", 440), ("latent", 443)])
def test_new_tokens_count(tiny_pair, questions, arm, with_it):
    config = CONFIG.replace(max_new_tokens=440)
    said = refusal(Pair(tiny_pair.source, short(tiny_pair.target)), questions, (arm,), config)
    assert said.startswith(f"arm {arm}, question {questions[0].id}") and f"what comes with it {with_it}" in said


def test_training_is_held_to_all_that_it_will_read(tiny_pair):
    pair = Pair(tiny_pair.source, short(tiny_pair.target))
    with pytest.raises(LabError, match="^training question .* short reads at most 450"):
        check_lengths(Experiment(CONFIG, None, pair, MiniGSM()), CONFIG.replace(soft_tokens=440), 8)
    with pytest.raises(LabError, match="^arm target, question"):
        check_lengths(Experiment(CONFIG, None, pair, MiniGSM()), CONFIG.replace(max_new_tokens=440), 8)
