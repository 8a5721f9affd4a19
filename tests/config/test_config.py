"""Laws of the configuration: every mistake is told at construction, and the hash is the experiment."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
import yaml

from lab.config.run import NOT_SCIENTIFIC, SECTION_OF, SECTIONS, PairConfig, RunConfig
from lab.config.yaml_files import load_yaml
from lab.errors import LabError

CHANGES = {
    "name": "other", "device": "cpu", "eval_batch_size": 7, "state_cache": "folder", "state_cache_gb": 1.5,
    "tracker": "auto", "cuda_graphs": False, "fused_kernels": True, "source_leaves": True,
    "pair": "mistral-llama", "source": "b/a", "target": "b/c", "dtype": "bfloat16", "source_layers": "last",
    "source_chat": True, "target_chat": True, "target_bits": 4, "choose_by": "likelihood",
    "task": "gsm8k", "data": "folder", "shots": 2, "train_questions": 5, "dev_questions": 5, "test_questions": 5,
    "people": 900,
    "translator": "constant", "soft_tokens": 4, "width": 64, "depth": 3, "heads": 8, "dropout": 0.1,
    "source_mix": "weighted", "gate_init": 0.0, "layout": "soft_only", "steps": 11, "batch_size": 3,
    "learning_rate": 2e-3, "gate_learning_rate_scale": 1.0, "warmup_steps": 1, "weight_decay": 0.0,
    "gradient_clip": 2.0, "seed": 1, "eval_every": 5, "patience": 1, "start_from": "folder", "max_new_tokens": 9,
    "evidence": "both", "scorer": "f1", "soft_tokens_cap": 64, "conditioning": "mean", "flow_train_steps": 4,
    "flow_eval_steps": 8,
    "flow_backprop_steps": 1, "flow_condition_dropout": 0.2, "flow_guidance": 2.0, "injection": "adapter",
    "adapter_scale": 0.5, "question_until": 3, "answer_nll_weight": 0.5, "teacher": "answer",
    "duplicate_question": True, "flow_weight": 0.1, "token_alignment_weight": 0.1, "prompt_alignment_weight": 0.05,
    "geometry_weight": 0.1, "kl_weight": 0.1, "kl_tokens": 4, "contrast_weight": 0.05, "contrast_start": 7,
    "format_weight": 0.1, "probe_weight": 0.1, "decode_weight": 0.02, "decode_every": 10, "decode_samples": 4,
    "decode_tokens": 24, "repetition_penalty": 1.1, "no_repeat_ngram": 3,
}  # fmt: skip


NEEDS = {  # what has to stand in a config so that the field may be changed
    "patience": {"eval_every": 2}, "question_until": {"layout": "soft_only"},
    "teacher": {"token_alignment_weight": 0.1, "teacher": "prompt", "layout": "soft_only"},
    "token_alignment_weight": {"token_alignment_weight": 0.2, "teacher": "answer"},
    "flow_weight": {"flow_weight": 0.2, "teacher": "answer", "translator": "dit"},
    "duplicate_question": {"token_alignment_weight": 0.1, "teacher": "prompt", "injection": "adapter"},
    "geometry_weight": {"soft_tokens": 0}, "data": {"task": "gsm8k"}, "evidence": {"task": "hotpotqa"},
    "scorer": {"task": "jsonl", "data": "a.jsonl", "scorer": "exact"},
    "people": {"task": "twohop"},
}  # fmt: skip


def base_for(name):
    if name in ("source", "target"):
        return RunConfig.from_parameters(pair="custom", source="a/a", target="a/b")
    return RunConfig.from_parameters(**NEEDS.get(name, {}))


def test_field_names_are_unique_over_the_sections():
    names = Counter(item.name for kind in SECTIONS.values() for item in dataclasses.fields(kind))
    assert set(names.values()) == {1} and "name" not in names


@pytest.mark.parametrize("name", ["name", *SECTION_OF])
def test_every_scientific_field_changes_the_hash_and_no_other_does(name):
    base = base_for(name)
    also = {"injection": "prepend"} if name == "duplicate_question" else {}
    changed = base.replace(**{name: CHANGES[name]}, **also)
    assert changed.parameters()[name] == CHANGES[name] != base.parameters()[name]
    assert (changed.hash() == base.hash()) == (name in NOT_SCIENTIFIC)
    assert len(base.hash()) == 12


def test_yaml_round_trip(tmp_path):
    config = RunConfig.from_parameters(name="x", source_layers=[1, -1], layout="{soft}\n×{question}", learning_rate=1.0)
    config.to_yaml(tmp_path / "config.yaml")
    again = RunConfig.from_yaml(tmp_path / "config.yaml")
    assert again == config and again.hash() == config.hash()
    assert yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8")) == config.parameters()
    assert config.hash() in (tmp_path / "config.yaml").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_numbers_have_one_spelling(tmp_path):
    (tmp_path / "a.yaml").write_text("learning_rate: 1e-3\nweight_decay: 0\n")  # YAML reads 1e-3 as a text
    config = RunConfig.from_yaml(tmp_path / "a.yaml")
    assert config.training.learning_rate == 1e-3
    assert config.hash() == RunConfig.from_parameters(weight_decay=0.0).hash()
    as_tuple, as_list = RunConfig.from_parameters(source_layers=(1, 2)), RunConfig.from_parameters(source_layers=[1, 2])
    assert as_tuple == as_list and as_tuple.hash() == as_list.hash()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "flat"),
        ("a: [", "not YAML"),
        ("sedd: 1", "seed"),
        ("1: 2", "flat"),
        ("", "flat"),
        ("\x00", "not YAML"),
        ("seed: 2024-02-30", "not YAML"),
        ("seed: 1\nsteps: 5\nseed: 2", "the key 'seed' stands on line 1 and again on line 3"),
        ("[" * 2000, "nested too deeply"),
    ],
)
def test_bad_yaml_is_told_with_its_file(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(LabError, match=message) as caught:
        RunConfig.from_yaml(tmp_path / "bad.yaml")
    assert "bad.yaml" in str(caught.value)


def test_a_named_pair_gives_way_to_a_model_that_is_named():
    source, target = PairConfig().models
    assert Path(source, "config.json").is_file() and Path(target, "config.json").is_file()
    assert PairConfig(source="a/b").models == ("a/b", target) and PairConfig(target="a/b").models == (source, "a/b")


def test_a_missing_file_is_told():
    with pytest.raises(LabError, match="nowhere.yaml cannot be read"):
        RunConfig.from_yaml("nowhere.yaml")


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        ({"lerning_rate": 1}, "did you mean 'learning_rate'"),
        ({"zzzzzz": 1}, "known are name, pair"),
        ({"pair": "tiny"}, "pair='tiny'.*mini"),
        ({"pair": "custom", "source": "a"}, "needs target"),
        ({"pair": "custom", "target": "a"}, "needs source"),
        ({"dtype": "float16"}, "float32, bfloat16"),
        ({"device": "gpu"}, "cuda:<number>"),
        ({"source_layers": "first"}, "all, last"),
        ({"source_layers": []}, "at least one"),
        ({"source_layers": [1.5]}, "whole number"),
        ({"source_layers": 3}, "all, last"),
        ({"task": "trivia"}, "minigsm, gsm8k"),
        ({"shots": -1}, "at least 0"),
        ({"data": "folder"}, "not read by task='minigsm'"),
        ({"evidence": "both"}, "choose task=hotpotqa"),
        ({"people": 300}, "not read by task='minigsm'; choose task=twohop"),
        ({"test_questions": True}, "whole number"),
        ({"soft_tokens": -1}, "at least 0"),
        ({"soft_tokens": 8.0}, "whole number"),
        ({"translator": "mlp"}, "resampler, dit, linear, constant"),
        ({"source_mix": "sum"}, "concat, weighted"),
        ({"heads": 5}, "heads=5 does not divide width=128"),
        ({"dropout": 1.0}, "below 1"),
        ({"gate_init": "open"}, "finite number"),
        ({"layout": "{question}"}, "no {soft}"),
        ({"layout": "{soft}{answer}"}, "unknown placeholder"),
        ({"steps": 0}, "at least 1"),
        ({"learning_rate": 0}, "above 0"),
        ({"learning_rate": float("nan")}, "finite number"),
        ({"kl_weight": -1}, "kl_weight=-1.0 is too small"),
        ({"teacher": "oracle"}, "teacher='oracle' is not known; choose one of none, prompt, answer"),
        ({"teacher": "prompt"}, "teaches nothing"),
        ({"token_alignment_weight": 0.1}, "need a teacher"),
        ({"teacher": "prompt", "token_alignment_weight": 0.1}, "duplicate_question=true"),
        ({"duplicate_question": True}, "allows nothing here"),
        ({"duplicate_question": 1}, "true or false"),
        ({"flow_weight": 0.1, "teacher": "answer"}, "needs translator='dit'"),
        ({"geometry_weight": 0.1}, "needs soft_tokens=0"),
        ({"injection": "adapter", "layout": "soft_only"}, "has no {question}"),
        ({"question_until": 5}, "takes the question away"),
        ({"question_until": 1000, "layout": "soft_only"}, "leaves no step"),
        ({"translator": "linear"}, "soft_tokens must be 0"),
        ({"translator": "constant", "soft_tokens": 0}, "at least 1"),
        ({"translator": "dit", "flow_backprop_steps": 4}, "more than flow_train_steps=3"),
        ({"translator": "dit", "flow_backprop_steps": 0}, "flow_backprop_steps=0 lets no gradient.*answer_nll_weight"),
        ({"translator": "dit", "flow_guidance": 2.0}, "flow_guidance=2.0.*flow_weight"),
        ({"answer_nll_weight": 0.0}, "no loss term has a weight"),
        ({"answer_nll_weight": 0.0, "decode_weight": 1.0}, "at every step.*decode_every=1"),
        ({"answer_nll_weight": 0.0, "contrast_weight": 1.0}, "at every step.*contrast_start=0"),
        ({"weight_decay": -0.1}, "at least 0"),
        ({"gradient_clip": 0}, "above 0"),
        ({"steps": 3, "warmup_steps": 4}, "more than steps=3"),
        ({"patience": 2}, "needs eval_every"),
        ({"max_new_tokens": 0}, "at least 1"),
        ({"eval_batch_size": None}, "whole number"),
        ({"name": "../x"}, "folder name"),
        ({"name": ""}, "folder name"),
        ({"seed": "1"}, "whole number"),
        ({"task": "gsm8k", "data": 3}, "a text"),
    ],
)
def test_every_mistake_is_told_at_construction(flat, message):
    with pytest.raises(LabError, match=message):
        RunConfig.from_parameters(**flat)


def test_sections_must_be_sections():
    with pytest.raises(LabError, match="pair takes a PairConfig"):
        RunConfig(pair="mini")


def test_from_notebook_takes_parameters_and_leaves_the_rest():
    config = RunConfig.from_notebook({"steps": 7, "np": object(), "_": 1, "name": "n", "source_layers": [1]})
    assert config == RunConfig.from_parameters(steps=7, name="n", source_layers=[1])


def test_from_notebook_refuses_a_reused_name():
    with pytest.raises(LabError, match="'task' holds a object"):
        RunConfig.from_notebook({"task": object()})


def test_keys_that_are_merged_stand_once():
    """The one way in which YAML itself lets a later value win."""
    assert load_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 1}]}")["b"] == {"x": 1, "y": 3}
