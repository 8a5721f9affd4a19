"""Timed answers, token by token with a cache, are those of `generate`, whatever it is that an architecture caches."""

import pytest
import torch
from model_zoo import zoo_model

from lab.answers import Decoding, generate
from lab.config import TEXT
from lab.costs.benchmark import decode
from lab.models import build_inputs


def never(text):
    """The rule of an answer that does not end before its limit."""


@pytest.mark.parametrize("name", ["gemma2", "granite", "cohere2", "falcon_h1", "gpt2", "opt", "bloom", "mpt", "xglm"])
def test_timed_answers_are_those_of_generate(name):
    torch.set_num_threads(1)
    if (model := zoo_model(name)) is None:
        pytest.skip("the installed transformers has no such model")
    inputs = build_inputs(model, TEXT, None, [{"question": "A box holds 24 pens. Mia fills 5 boxes. How many?"}])
    decoding = Decoding(12, ends=never)
    timed, moments, _ = decode(model, inputs, decoding)
    assert [timed] == generate(model, inputs, decoding) and len(moments) == timed.new_tokens
