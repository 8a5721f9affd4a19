"""A model whose weights are away: read a layer at a time, it says the same, and holds nothing in between."""

import copy

import pytest
import torch
from model_zoo import zoo_model

from lab.models import Pair
from lab.models.residence import Residence

TEXTS = ["Q: Tom has 3 apples.", "Q: Two and two?\nA:"]


@pytest.fixture(params=["llama", "gemma3", "opt", "bloom", "gpt2"])
def model(request):
    found = copy.deepcopy(zoo_model(request.param))
    found.residence = Residence(found.model, found.device)
    return found


def addresses(model):
    return {name: parameter.data_ptr() for name, parameter in model.model.named_parameters()}


def test_away_it_says_the_same_and_holds_nothing(model):
    home = model.source_states(TEXTS).states
    model.residence.leave()
    away = addresses(model)
    assert set(away.values()) == {kept.data_ptr() for kept in model.residence.host.values()}
    assert torch.equal(model.source_states(TEXTS).states, home)
    assert addresses(model) == away  # what came for a pass has gone


def test_one_module_at_a_time_is_there(model):
    model.residence.leave()
    away, most = set(addresses(model).values()), []

    def count(*_):
        most.append(sum(address not in away for address in addresses(model).values()))

    hooks = [module.register_forward_pre_hook(count) for module in model.model.modules()]
    model.source_states(TEXTS)
    for hook in hooks:
        hook.remove()
    assert max(most) == max(len(list(m.parameters(recurse=False))) for m in model.base.modules()) >= 1


def test_at_home_all_of_it_is_there_and_leaves_again(model):
    model.residence.leave()
    away = addresses(model)
    with pytest.raises(KeyError), model.at_home():
        assert not set(addresses(model).values()) & set(away.values())
        assert not model.residence.away
        raise KeyError
    assert addresses(model) == away and model.residence.away
    model.residence.come()
    with model.at_home():
        pass
    assert not model.residence.away


def test_room_is_asked_of_the_device_for_every_weight_once(model, monkeypatch):
    weights = sum(parameter.nbytes for parameter in model.model.parameters())  # tied ones once
    model.residence.leave()
    assert model.residence.has_room()  # in the host's memory nothing has to move
    monkeypatch.setattr(model.residence, "device", torch.device("cuda"))
    for free, found in ((weights, False), (1.19 * weights, False), (1.21 * weights, True)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 2**40))
        assert model.residence.has_room() == found


@pytest.mark.parametrize("room", [True, False])
def test_what_was_captured_gives_way_where_there_is_no_room(model, monkeypatch, room):
    monkeypatch.setattr(Residence, "has_room", lambda self: room)
    pair, graph = Pair(model, model), object()
    for away in (False, True):
        model.captured.known["a shape"] = graph
        if away:
            model.residence.leave()
        with pair.source_at_home():
            assert not model.residence.away and ("a shape" in model.captured.known) == (room or not away)
        assert model.residence.away == away


def test_a_pass_that_fails_leaves_nothing_behind(model):
    model.residence.leave()
    away = addresses(model)
    with pytest.raises(IndexError):
        model.base(input_ids=torch.tensor([[10**6]]))
    assert addresses(model) == away


def test_tied_weights_stay_tied(model):
    tied = model.model.get_output_embeddings().weight is model.model.get_input_embeddings().weight
    model.residence.leave()
    model.residence.come()
    assert (model.model.get_output_embeddings().weight is model.model.get_input_embeddings().weight) == tied
    assert len(model.residence.host) == len(list(model.model.parameters()))
