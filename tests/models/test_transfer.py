"""Laws of what crosses between host and device: the numbers themselves, in order, and nobody waits who need not."""

import numpy as np
import pytest
import torch

from lab.models import Moment, Returning, sent

CPU = torch.device("cpu")
on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that may be behind")


@pytest.mark.parametrize("numbers", [[3, 1], np.array([3, 1]), torch.tensor([3, 1])], ids=["list", "array", "tensor"])
def test_what_is_sent_arrives(numbers):
    found = sent(numbers, CPU)
    assert found.dtype == torch.long and found.tolist() == [3, 1]
    assert sent(torch.tensor([0.5]), "cpu").dtype == torch.float32


def test_on_a_cpu_all_is_there_at_once():
    begun = Moment(CPU)
    numbers = Returning(torch.tensor([1.5, 2.0], requires_grad=True))
    assert numbers.there.is_now and numbers.tolist() == [1.5, 2.0]
    assert numbers.there.seconds_since(begun) >= 0


def test_numbers_are_read_after_they_have_come(monkeypatch):
    events = []
    monkeypatch.setattr(Moment, "__init__", lambda self, device: events.append("asked for"))
    monkeypatch.setattr(Moment, "wait", lambda self: events.append("waited for"))
    numbers = Returning(torch.tensor([1.0]))
    kept = numbers._numbers
    numbers._numbers = type("Read", (), {"tolist": lambda self: events.append("read") or kept.tolist()})()
    assert numbers.tolist() == [1.0] and events == ["asked for", "waited for", "read"]


@on_a_gpu
def test_nobody_waits_for_a_gpu_but_who_reads_from_it():
    torch.cuda.synchronize()
    begun = Moment(torch.device("cuda"))
    torch.cuda._sleep(10**8)
    values = sent(np.arange(8), "cuda") * 2
    numbers, before = Returning(values), torch.cuda.Event()
    torch.cuda._sleep(10**8)
    before.record()
    assert numbers.tolist() == list(range(0, 16, 2)) and not before.query()
    assert not numbers.there.is_now and numbers.there.seconds_since(begun) > 0
