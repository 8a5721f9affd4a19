"""Which rows go together, and how wide: the run's own rules."""

from types import SimpleNamespace

import pytest
import torch

import lab.models.cross_entropy
import lab.models.frozen
import lab.models.graphs
import lab.models.nll
import lab.models.prefix
import lab.models.slots
import lab.training.reading
from lab.preflight import memory, workload
from lab.preflight.decoder import Decoder
from lab.preflight.shapes import MOST_GRAPHS, Ways, captured, groups, window_of
from lab.preflight.workload import Row
from lab.training import Batches

BIG = Decoder(128256, 4096, 32, 32, 8, 128, 14336)


def drawn(count: int) -> list[Row]:
    generator = torch.Generator().manual_seed(3)
    numbers = torch.randint(20, 300, (count, 3), generator=generator).tolist()
    return [Row(sum(some), some[0], some[1], some[2]) for some in numbers]


def test_its_limits_are_those_of_the_run():
    ways = Ways()
    assert (ways.step, ways.at_once, ways.chunk) == (
        lab.models.frozen.STEP, lab.models.nll.AT_ONCE, lab.models.cross_entropy.CHUNK,
    )  # fmt: skip
    assert MOST_GRAPHS == lab.models.graphs.MOST
    assert (memory.STRIDE, memory.READ) == (lab.models.slots.STRIDE, lab.models.slots.READ)
    assert memory.WHOLE == lab.models.cross_entropy.WHOLE and workload.LEAST_SHARED == lab.models.prefix.LEAST
    reading = lab.training.reading
    assert (reading.ON_DEVICE, reading.ON_HOST, reading.IN_A_PASS, reading.MOST_ROWS) == (2**31, 2**33, 2**31, 1024)


@pytest.mark.parametrize("shared", [0, 100])
@pytest.mark.parametrize("count", [1, 7, 40])
def test_rows_are_grouped_as_the_target_groups_them(count, shared):
    rows, soft = [Row(row.order, row.source, row.prompt + shared, row.answer) for row in drawn(count)], 64
    width = Ways().padded(max(row.prompt + soft + row.answer for row in rows), count)
    target = SimpleNamespace(num_layers=32, hidden_size=4096, dtype=torch.bfloat16, device=torch.device("cuda"))
    inputs = SimpleNamespace(
        embeds=torch.empty(count, width, 1), shared=(0,) * shared, prompt_lengths=[row.prompt + soft for row in rows],
        answer_lengths=[row.answer for row in rows],
    )  # fmt: skip
    theirs = lab.models.nll.passes(target, inputs)
    ours = groups(rows, soft, shared, BIG, 2, Ways())
    assert [one.rows for one in ours] == [len(some) for some in theirs]
    for one, some in zip(ours, theirs, strict=True):
        longest = max(rows[row].prompt + soft + rows[row].answer for row in some)
        assert one.shared == shared and one.width + shared == Ways().padded(longest, count)
        assert one.scored == lab.models.nll._rounded(sum(rows[row].answer for row in some))


def test_a_shape_is_captured_when_it_comes_again():
    one, other = groups(drawn(2), 8, 0, BIG, 2, Ways()), groups(drawn(5), 8, 0, BIG, 2, Ways())
    assert captured([one, other, one, one]) == (set(one), 2)


def test_the_source_reads_as_many_steps_as_there_is_memory_for():
    rows = drawn(400)
    batches = Batches([row.order for row in rows], 10, 1)
    size = sum(row.source for row in rows) / len(rows) * 32 * 4096 * 2
    for ways, room in ((Ways(), 2**31), (Ways(leaves=True), 2**33)):
        window = window_of(rows, batches, 40, BIG, 32, 2, ways)
        assert window.steps == min(40, int(room // size) // 10)
        assert sum(count for count, _ in window.passes) == 10 * window.steps
