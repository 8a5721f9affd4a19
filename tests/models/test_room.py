"""What does not fit into a model's context is told before anything runs, with the place and what to do."""

import pytest
from model_zoo import LENGTH, zoo_model

from lab.answers import Decoding, generate
from lab.config import TEXT
from lab.errors import LabError
from lab.models import build_inputs, check_prompt, check_source_text, count_tokens
from lab.models.architecture import context_length

PARTS = {"instruction": "", "shots": ""}


def words(model, tokens):
    """A question whose plain prompt takes that many tokens."""
    text, word = "", " a"
    while count_tokens(model, TEXT, {**PARTS, "question": text}) < tokens:
        text += word
    return {**PARTS, "question": text}


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "mpt", "xglm", "gpt_neo"])
def test_prompt_and_new_tokens_are_held_to_the_context(name):
    model = zoo_model(name)
    assert model.context_length == LENGTH
    fits = words(model, LENGTH - 20)
    check_prompt("here", model, TEXT, fits, 20)
    with pytest.raises(LabError, match="^here: its text takes 492 tokens and what comes with it 21.* at most 512; "):
        check_prompt("here", model, TEXT, fits, 21)
    inputs = build_inputs(model, TEXT, None, [fits])
    generate(model, inputs, Decoding(20, ends=len))  # to the last place that there is
    with pytest.raises(LabError, match="reads at most 512 tokens, but a row has 513"):
        generate(model, inputs, Decoding(21))


@pytest.mark.parametrize("name", ["llama", "gpt2", "mpt"])
def test_the_sources_text_is_held_to_the_context(name):
    model = zoo_model(name)
    fits = "a" + " a" * (LENGTH - 2)
    assert model.encode([fits])[0].shape[1] == LENGTH
    check_source_text("here", model, fits)
    assert model.source_states([fits], "last").states.shape[1] == LENGTH
    with pytest.raises(LabError, match="^here: its text takes 513 tokens, but"):
        check_source_text("here", model, fits + " a")
    with pytest.raises(LabError, match="reads at most 512 tokens, but a row has 513"):
        model.source_states([fits + " a"], "last")


def test_a_training_answer_counts():
    model = zoo_model("llama")
    with pytest.raises(LabError, match="its text takes 514 tokens"):
        check_prompt("here", model, TEXT, words(model, LENGTH - 2), 0, "a a a")


def test_a_model_that_declares_no_limit_has_none():
    assert context_length(zoo_model("bloom").model.config) is None
    check_source_text("here", zoo_model("bloom"), "a " * 5000)
