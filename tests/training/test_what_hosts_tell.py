"""What ranks tell one another beside gradients goes by a group of the hosts, so that no step waits for a GPU."""

from types import SimpleNamespace

import pytest
import torch

from lab import ranks


@pytest.fixture
def told(monkeypatch):
    """(name of the call, its group) of everything that was said, between two ranks that are played."""
    said, host = [], object()

    def spoken(name):
        def call(*args, group=None, **more):
            said.append((name, group))
            if name == "all_gather_object":
                args[0][:] = [args[1]] * 2
            return SimpleNamespace(wait=lambda: said.append(("wait", group)))

        return call

    calls = ("all_gather_object", "broadcast_object_list", "all_reduce")
    group = SimpleNamespace(
        get_world_size=lambda: 2, get_rank=lambda: 0, ReduceOp=torch.distributed.ReduceOp,
        **{name: spoken(name) for name in calls},
    )  # fmt: skip
    monkeypatch.setattr(ranks, "_distributed", lambda: group)
    monkeypatch.setattr(ranks, "_told", host)
    return said, host


def test_numbers_and_objects_go_by_the_hosts_and_gradients_by_the_devices(told):
    said, host = told
    assert ranks.gathered(7) == [7, 7] and ranks.any_rank(True, False) == [True, False]
    assert ranks.from_first(lambda: "x") == "x"
    ranks.wait()
    ranks.greatest(torch.tensor([1, 2]))
    assert len(said) == 5 and {group for _, group in said} == {host}
    said.clear()
    ranks.summed(torch.ones(2))
    assert said == [("all_reduce", None)]


def test_a_gradient_is_sent_as_soon_as_it_is_there_and_none_is_left_on_its_way(told):
    said, _ = told
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    before = []
    model[0].weight.register_hook(lambda gradient: before.append(len(said)))  # the last one of the pass
    with ranks.summing_gradients(model):
        model(torch.ones(1, 2)).sum().backward()
        assert said == [("all_reduce", None)] * 4
    assert before[0] >= 2 and said[4:] == [("wait", None)] * 4
    model(torch.ones(1, 2)).sum().backward()  # nothing of it stays
    assert len(said) == 8
    with pytest.raises(ZeroDivisionError), ranks.summing_gradients(model):
        model(torch.ones(1, 2)).sum().backward()
        raise ZeroDivisionError
    assert said[12:] == [("wait", None)] * 4


def test_the_hosts_group_is_made_where_another_opened_the_first(told, monkeypatch):
    made = object()
    monkeypatch.setattr(ranks, "_told", None)
    monkeypatch.setattr(ranks, "started", lambda: (0, 2))
    monkeypatch.setattr(ranks._distributed(), "new_group", lambda backend: (backend, made), raising=False)
    ranks.join()
    assert ranks._told == ("gloo", made)
