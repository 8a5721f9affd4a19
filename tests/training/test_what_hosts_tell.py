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


def test_all_gradients_go_in_one_piece_and_come_back_where_they_belong(told, monkeypatch):
    said, _ = told
    monkeypatch.setattr(ranks._distributed(), "all_reduce", lambda x: (said.append(x.shape), x.mul_(3)))
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1), torch.nn.Linear(5, 5))
    model[:2](torch.ones(1, 2)).sum().backward()
    before = {name: parameter.grad for name, parameter in model.named_parameters()}
    ranks.sum_gradients(model)
    assert said == [(6 + 3 + 3 + 1,)]
    for name, parameter in model.named_parameters():
        assert parameter.grad is None if before[name] is None else torch.equal(parameter.grad, 3 * before[name])
    assert sum(parameter.grad is None for parameter in model.parameters()) == 2


def test_the_hosts_group_is_made_where_another_opened_the_first(told, monkeypatch):
    made = object()
    monkeypatch.setattr(ranks, "_told", None)
    monkeypatch.setattr(ranks, "started", lambda: (0, 2))
    monkeypatch.setattr(ranks._distributed(), "new_group", lambda backend: (backend, made), raising=False)
    ranks.join()
    assert ranks._told == ("gloo", made)
