"""Laws of the costs: sizes measured are sizes computed, the clocked loop says what generation says, sums add up."""

from dataclasses import replace

import pytest
import torch
from evaluations import evaluation_of

from lab.answers.generation import AnswerCache, Decoding, Hygiene, generate
from lab.config.layout import LAYOUTS, TEXT
from lab.config.run import RunConfig
from lab.costs import benchmark
from lab.costs.benchmark import (
    TIMED_ARMS,
    check_kv,
    decode,
    kv_bytes_computed,
    kv_bytes_measured,
    question_costs,
    seconds_by_length,
    sizes,
)
from lab.costs.inference import _spread as aggregate_spread
from lab.costs.inference import aggregate, inference_rows, time_by_length, write_inference
from lab.errors import LabError
from lab.models.inputs import build_inputs
from lab.pictures.cost_tables import costs_table, times_table
from lab.runs.records import read_jsonl
from lab.tasks import Question, question_id
from lab.tasks.minigsm import MiniGSM
from lab.tasks.registry import LimitedTask
from lab.translators import Bridge, build_translator

TEXTS = ["Tom has 3 apples and buys 12 more. How many?", "How many pens?", "Ann reads 40 pages a day for 7 days."]
CONFIG = RunConfig.from_parameters(layout="soft_only", soft_tokens=3, width=16, depth=1, heads=2, max_new_tokens=12)


@pytest.fixture
def bridge(tiny_pair):
    torch.manual_seed(0)
    return Bridge(tiny_pair.source, build_translator(CONFIG.translator, tiny_pair, "all"))


@pytest.fixture
def put(tiny_pair, bridge):
    """Questions as an evaluation with this bridge."""

    def made(questions, layout="soft_only", task=None, **changes):
        config = CONFIG.replace(layout=layout, **changes)
        return evaluation_of(config, tiny_pair, task or MiniGSM(), questions, bridge.translator)

    return made


def asked(text):
    return Question(question_id(text), text, "#### 1", "1", "")


class Config:
    def __init__(self, **fields):
        vars(self).update(fields)


def test_grouped_heads_count_once():
    llama = Config(num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, hidden_size=4096)
    assert kv_bytes_computed(llama, 1, torch.bfloat16) == 128 * 1024
    assert kv_bytes_computed(llama, 86, torch.bfloat16) == 10.75 * 2**20
    ungrouped = Config(num_hidden_layers=2, num_attention_heads=4, hidden_size=64, num_key_value_heads=None)
    assert kv_bytes_computed(ungrouped, 3, torch.float32) == 2 * 2 * 4 * 16 * 4 * 3


def test_the_cache_takes_what_the_config_says(tiny_pair):
    for model in (tiny_pair.source, tiny_pair.target):
        inputs = build_inputs(model, TEXT, None, [{"question": TEXTS[0]}])
        tokens = inputs.prompt_lengths[0]
        measured = kv_bytes_measured(model, inputs)
        assert check_kv(model, measured, tokens) == kv_bytes_computed(model.model.config, tokens, model.dtype)
        with pytest.raises(LabError, match="do not all cache alike"):
            check_kv(model, measured, tokens + 1)


@pytest.mark.parametrize("limit", [1, 5, 30])
def test_the_clocked_loop_answers_as_generation_does(tiny_pair, bridge, limit):
    for text in TEXTS:
        soft = bridge.write([asked(text)]).soft_tokens
        inputs = build_inputs(tiny_pair.target, LAYOUTS["soft_plus_text"], soft, [{"question": text}])
        answer, moments, kv = decode(tiny_pair.target, inputs, Decoding(limit))
        assert answer == generate(tiny_pair.target, inputs, Decoding(limit))[0]
        assert len(moments) <= limit and moments == sorted(moments)
        three = decode(tiny_pair.target, inputs, Decoding(limit, ends=lambda text: 3 if len(text) > 3 else None))[0]
        assert three.text == answer.text[:3]
        assert check_kv(tiny_pair.target, kv, inputs.prompt_lengths[0] + len(moments) - 1)


@pytest.mark.parametrize("hygiene", [Hygiene(repetition_penalty=3.0), Hygiene(no_repeat_ngram=2)])
def test_the_clocked_loop_forbids_what_the_accuracies_forbid(tiny_pair, hygiene):
    changed = 0
    for text in TEXTS:
        inputs = build_inputs(tiny_pair.target, TEXT, None, [{"question": text}])
        answer = decode(tiny_pair.target, inputs, Decoding(30, hygiene))[0]
        assert answer == generate(tiny_pair.target, inputs, Decoding(30, hygiene))[0]
        changed += answer.ids != generate(tiny_pair.target, inputs, Decoding(30))[0].ids
    assert changed


def test_times_are_end_to_end(put):
    costs = question_costs(put([], max_new_tokens=6), asked(TEXTS[0]))
    assert tuple(costs) == TIMED_ARMS
    for arm, cost in costs.items():
        assert 0 < cost["seconds_to_first_token"] <= cost["seconds"]
        assert cost["source_seconds"] <= cost["seconds_to_first_token"] and cost["peak_bytes"] is None
        assert (cost["source_seconds"] > 0) == (arm in ("latent", "cascade"))
    assert costs["cascade"]["seconds"] > costs["source"]["seconds"]
    questions = [asked(text) for text in TEXTS]
    times = seconds_by_length(put(questions), questions, [1, 4, 9])
    for lengths in times.values():
        for short, long in zip(lengths[1], lengths[9], strict=True):
            assert 0 < short < long


def test_forced_lengths_are_timed_after_the_runs_own_worked_examples(put, monkeypatch):
    """A few words would be read in less time than the eight examples that the run's prompt has."""
    read, plain = [], decode

    def noted(model, inputs, *given, **named):
        read.append(inputs.prompt_lengths[0])
        return plain(model, inputs, *given, **named)

    monkeypatch.setattr(benchmark, "decode", noted)
    for shots in (0, 2):
        time_by_length(put([], "soft_in_context", shots=shots), MiniGSM().test()[:1], [1])
    assert all(many > 2 * few for few, many in zip(read[:6], read[6:], strict=True))


def test_the_sources_answer_pays_for_its_evidence(put):
    plain = asked(TEXTS[0])
    evident = replace(plain, evidence="Book: the book is old and it was written long ago.\n")
    costs = [question_costs(put([], max_new_tokens=1), question) for question in (plain, evident)]
    assert costs[0]["source"]["kv_bytes"] < costs[1]["source"]["kv_bytes"]
    assert costs[0]["target"]["kv_bytes"] == costs[1]["target"]["kv_bytes"]


def test_the_cut_prompt_is_timed_with_as_many_tokens_as_there_are_soft_tokens(put, monkeypatch):
    read, plain = [], decode

    def noted(model, inputs, *given, **named):
        read.append(int(inputs.attention_mask.sum()))
        return plain(model, inputs, *given, **named)

    monkeypatch.setattr(benchmark, "decode", noted)
    evaluation = put([], max_new_tokens=1)
    costs = question_costs(evaluation, asked(TEXTS[0]))
    assert read[-1] == 3 + 1  # K tokens of text, and BOS
    assert costs["token_budget"]["kv_bytes"] < costs["target"]["kv_bytes"]


def test_the_cascade_peaks_where_either_of_its_models_does(put, monkeypatch):
    peaks, cost = iter([9, 2, 3, 4, 5]), benchmark._cost

    def with_peak(*given):
        said, found = cost(*given)
        return said, replace(found, peak_bytes=next(peaks))

    monkeypatch.setattr(benchmark, "_cost", with_peak)
    costs = question_costs(put([], max_new_tokens=1), asked(TEXTS[0]))
    assert [costs[arm]["peak_bytes"] for arm in TIMED_ARMS] == [9, 2, 3, 9, 5]


def test_spreads_keep_within_what_was_measured():
    values = [0.1, 0.4, 0.2, 7.0]
    found = aggregate_spread(values)
    assert min(values) <= found["low"] <= found["median"] <= found["high"] <= max(values)
    assert aggregate_spread([0.5])["low"] == 0.5


def test_compression_is_refused_where_the_target_reads_the_question(tiny_pair, put):
    bare, aware = (sizes(put([], name), asked(TEXTS[0])) for name in ("soft_only", "soft_plus_text"))
    assert bare["compression_of_question"] == bare["question_tokens"] / 3
    assert bare["compression_of_prompt"] == bare["prompt_tokens"] / bare["latent_tokens"]
    assert aware["compression_of_question"] is None and "reads the question" in aware["why_no_compression"]
    per_token = kv_bytes_computed(tiny_pair.target.model.config, 1, torch.float32)
    assert bare["kv_bytes_latent"] == per_token * bare["latent_tokens"]


def test_rows_and_aggregate_agree(put, tmp_path, monkeypatch):
    monkeypatch.setattr(AnswerCache, "_memory", {})
    questions = MiniGSM().test()[:5]
    rows = inference_rows(put(questions), 2)
    assert [row["id"] for row in rows] == [question.id for question in questions]
    assert [row["arms"]["latent"]["cost"] is not None for row in rows] == [True, True, False, False, False]
    summary = aggregate(rows, {"latent": {1: [0.1, 0.2], 4: [0.3, 0.5]}})
    assert (summary["n"], summary["timed"]) == (5, 2)
    assert summary["wire"]["int8"]["bytes"] == 3 * (48 + 2)
    assert summary["seconds_by_length"]["latent"]["4"]["median"] == pytest.approx(0.4)
    shown = costs_table(summary)
    assert shown.column("arm") == list(rows[0]["arms"]) and "F1, %" not in shown.columns  # the same as EM here
    assert times_table(summary).column("arm") == list(TIMED_ARMS)
    samples, totals = write_inference(tmp_path, rows, summary, {"run": "r"})
    assert samples.name == "inference_per_sample.jsonl" and totals.name == "inference_aggregate.json"
    assert read_jsonl(samples) == rows


def test_f1_is_the_tasks_own(put, monkeypatch):
    monkeypatch.setattr(AnswerCache, "_memory", {})
    task = MiniGSM()
    monkeypatch.setattr(MiniGSM, "grades", lambda self, extracted, gold: {"f1": 0.25})
    limited = LimitedTask(task, test_questions=2)
    rows = inference_rows(put(limited.test(), task=limited), 0)
    assert {answer["f1"] for row in rows for answer in row["arms"].values()} == {0.25}
