"""A digest of weights is remembered, and never of other weights than those that are there."""

import copy
from dataclasses import replace

import pytest
import torch
from tiny_models import tiny_tokenizer

import lab.models.fingerprints as weights_module
from lab.models.fingerprints import fingerprint, weights_of


@pytest.fixture
def computed(monkeypatch):
    """The tensors that were read for a digest."""
    found, kept = [], weights_module._sampled
    monkeypatch.setattr(weights_module, "_sampled", lambda tensor: found.append(tensor) or kept(tensor))
    return found


@pytest.fixture
def model(tiny_pair):
    return replace(tiny_pair.target, model=copy.deepcopy(tiny_pair.target.model))


def edits(parameter):
    yield lambda: parameter.add_(1)
    yield lambda: parameter.view(-1)[0].mul_(2)
    yield lambda: parameter.detach()[0].fill_(3)
    yield lambda: torch._foreach_add_([parameter], 1)  # as optimizers do
    yield lambda: setattr(parameter, "data", parameter + 1)


@torch.no_grad()
def test_an_edit_in_place_changes_the_fingerprint(model):
    seen = [fingerprint(model)]
    for edit in edits(next(model.model.parameters())):
        edit()
        seen.append(fingerprint(model))
    assert len(set(seen)) == len(seen)


@torch.no_grad()
def test_an_edit_in_place_changes_the_weights_of_a_translator():
    module = torch.nn.Linear(3, 2)
    seen = [weights_of(module)]
    for edit in edits(module.weight):
        edit()
        seen.append(weights_of(module))
    assert len(set(seen)) == len(seen)


def test_a_step_of_the_optimizer_changes_the_weights(model):
    module = torch.nn.Linear(3, 2)
    optimizer, before = torch.optim.AdamW(module.parameters()), weights_of(module)
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert weights_of(module) != before


def test_what_did_not_change_is_not_read_again(model, computed):
    first = fingerprint(model)
    assert computed
    computed.clear()
    assert fingerprint(model) == first and not computed


@torch.no_grad()
def test_weights_put_back_have_their_old_digest(model):
    parameter = next(model.model.parameters())
    kept, before = parameter.clone(), fingerprint(model)
    parameter.zero_()
    assert fingerprint(model) != before
    parameter.copy_(kept)
    assert fingerprint(model) == before


def test_another_model_in_the_same_place_is_another():
    """The first one's memory may be given to the second; what was known of the first says nothing of it."""
    seen = set()
    for number in range(8):
        module = torch.nn.Linear(64, 64)
        with torch.no_grad():
            module.weight.fill_(number)
            module.bias.zero_()
        seen.add(weights_of(module))
        del module
    assert len(seen) == 8


def test_a_tokenizer_that_grows_is_another(model):
    tokenizer = tiny_tokenizer(r"\p{N}")
    before = fingerprint(replace(model, tokenizer=tokenizer))
    other = tiny_tokenizer(r"\p{N}")
    assert fingerprint(replace(model, tokenizer=other)) == before
    tokenizer.add_tokens(["blick"])
    known = weights_module._vocabulary(tokenizer).hexdigest()
    assert known != weights_module._vocabulary(other).hexdigest()
