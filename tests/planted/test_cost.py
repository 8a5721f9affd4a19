"""Costs: a pass that nobody pays for, bytes that nobody sends."""

import pytest
from evaluations import evaluation_of
from planted_world import CONFIG, QUESTIONS, Sums

from lab.answers.wire import Wire
from lab.costs import inference_rows
from lab.costs.benchmark import kv_bytes_computed, question_costs, seconds_by_length
from lab.errors import LabError

pytestmark = pytest.mark.slow
BARE = CONFIG.replace(layout="soft_only")


def clocked(world):
    evaluation = evaluation_of(BARE, world.pair, Sums(), QUESTIONS[:4], world.translator(BARE))
    return inference_rows(evaluation, timed=2)


def test_cost_without_the_source_pass(world, plant):
    clocked(world)
    plant.edit(question_costs, "source_seconds = time.perf_counter() - began",
               "source_seconds = time.perf_counter() - began\n        began = _begin(device)")  # fmt: skip
    with pytest.raises(LabError, match="source"):
        clocked(world)


def test_forced_lengths_without_the_source_pass(world, plant):
    evaluation = evaluation_of(BARE, world.pair, Sums(), QUESTIONS[:2], world.translator(BARE))
    seconds_by_length(evaluation, QUESTIONS[:2], [1, 4])
    plant.edit(seconds_by_length, "inputs = inputs_of(question)",
               "inputs = inputs_of(question)\n                began = time.perf_counter()")  # fmt: skip
    with pytest.raises(LabError, match="clock began after the source's pass"):
        seconds_by_length(evaluation, QUESTIONS[:2], [1, 4])


def test_cascade_without_the_sources_answer(world, plant):
    clocked(world)
    plant.edit(question_costs, "began = _begin(device) - waited", "began = _begin(device)")
    with pytest.raises(LabError, match="cascade"):
        clocked(world)


def test_cache_of_ungrouped_heads(world, plant):
    clocked(world)
    plant.edit(kv_bytes_computed, 'getattr(config, "num_key_value_heads", None) or config', "config")
    with pytest.raises(LabError, match="the KV cache of .* tokens takes"):
        clocked(world)


def test_quantisation_that_does_nothing(world, plant):
    clocked(world)
    plant.edit(Wire.through, "return (whole * scale).flatten(-2)[..., :size].to(soft.dtype)", "return soft")
    with pytest.raises(LabError, match="int4"):
        clocked(world)
