"""A model's own chat template stands around all that it reads: in every arm, in training, in the record; or nowhere."""

from dataclasses import replace

import pytest
import torch
from chat_templates import with_chat
from evaluations import evaluated, evaluation_of

from lab.answers.generation import AnswerCache
from lab.answers.model_checks import replay_check
from lab.config import TEXT, RunConfig
from lab.errors import LabError
from lab.models import Pair, build_inputs
from lab.runs import RunDirectory
from lab.studies.experiment import Experiment, check_training
from lab.tasks.minigsm import MiniGSM
from lab.translators import build_translator

BEFORE, AFTER = "[user 26 Jul 2024]\n", "</s>[assistant]\n"
ARMS = ("source", "target", "latent", "token_budget", "token_budget_question", "cascade", "same_bytes", "text_hint",
        "latent_shuffled", "latent_zero", "latent_int8")  # fmt: skip


@pytest.fixture(scope="module")
def chatting(tiny_pair):
    return Pair(with_chat(tiny_pair.source), with_chat(tiny_pair.target))


def settings(**changes):
    return RunConfig.from_parameters(**{"layout": "soft_plus_text", "soft_tokens": 3, "width": 16, "depth": 1,
                                        "heads": 2, "max_new_tokens": 6, "eval_batch_size": 3, "steps": 2,
                                        "warmup_steps": 0, **changes})  # fmt: skip


@pytest.fixture
def translator(chatting):
    torch.manual_seed(0)
    return build_translator(settings().translator, chatting, "all").eval()


@pytest.fixture(autouse=True)
def fresh_memory(monkeypatch):
    monkeypatch.setattr(AnswerCache, "_memory", {})


def test_the_frame_is_the_templates_without_a_second_beginning(chatting, tiny_pair):
    assert chatting.target.frame == (BEFORE, AFTER)
    assert tiny_pair.target.frame == ("", "") and tiny_pair.target.reads(TEXT) is TEXT
    inputs = build_inputs(chatting.target, chatting.target.reads(TEXT), None, [{"question": "How many?"}])
    ids, _ = chatting.target.encode([f"{BEFORE}Q: How many?\nA:{AFTER}"])
    assert torch.equal(inputs.embeds, chatting.target.embed(ids))
    bos = chatting.target.tokenizer.bos_token_id
    assert (ids == bos).sum() == 1


@pytest.mark.parametrize("layout", ["soft_only", "soft_in_context", "soft_plus_text"])
def test_every_arm_reads_inside_its_models_template(chatting, translator, layout):
    questions = MiniGSM().test()[:4]
    records = evaluated(settings(layout=layout), chatting, MiniGSM(), questions, ARMS, translator=translator)
    for record in records:
        for arm, row in record["arms"].items():
            assert row["saw"].startswith(BEFORE) and row["saw"].endswith(AFTER), arm
            assert row["saw"].count(BEFORE) == row["saw"].count(AFTER) == 1


def test_an_adapter_is_added_inside_the_template(chatting, translator):
    config = settings(injection="adapter", adapter_scale=0.5)
    for record in evaluated(config, chatting, MiniGSM(), MiniGSM().test()[:3], ARMS, translator=translator):
        assert record["arms"]["latent"]["saw"].endswith(AFTER + "<+soft×3>")


def test_one_arm_outside_the_template_is_refused(chatting, translator, monkeypatch):
    import lab.answers.text as text

    kept = text.answer_of
    monkeypatch.setattr(text, "answer_of", lambda q, g, model, layout, *rest, **named: replace(
        kept(q, g, model, layout, *rest, **named), saw=TEXT.visible_text("", "", q.question)))  # fmt: skip
    with pytest.raises(LabError, match="the chat template does not stand around question"):
        evaluated(settings(), chatting, MiniGSM(), MiniGSM().test()[:3], ("target",))


def test_the_source_is_read_inside_its_template(chatting, tiny_pair):
    framed, bare = chatting.source.source_states(["Q: x\nA:"]), tiny_pair.source.source_states(["Q: x\nA:"])
    assert framed.states.shape[1] > bare.states.shape[1]
    ids, _ = chatting.source.encode([f"{BEFORE}Q: x\nA:{AFTER}"])
    assert torch.equal(framed.ids, ids)


def test_training_has_the_prompt_of_the_evaluation(chatting, tmp_path):
    config = settings(kl_weight=0.1, layout="soft_only")
    run = RunDirectory.create(tmp_path / "run", config)
    check_training(Experiment(config, run, chatting, MiniGSM()), config)
    replay_check(chatting.target, [{"instruction": "", "shots": "", "question": "How many?"}])


def test_the_seal_says_which_frames_there_were(chatting, tiny_pair):
    seals = [evaluation_of(settings(), pair, MiniGSM(), MiniGSM().test()[:2]).seal() for pair in (chatting, tiny_pair)]
    assert seals[0]["frames"] == {"source": [BEFORE, AFTER], "target": [BEFORE, AFTER]}
    assert seals[1]["frames"] == {"source": ["", ""], "target": ["", ""]}


@pytest.mark.parametrize("template, said", [
    (None, "cannot be used"), ("{{ nothing.there.at.all }}", "cannot be used"), ("always the same", "once"),
    ("{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", "once"),
])  # fmt: skip
def test_a_template_that_cannot_be_used_is_one_sentence(tiny_pair, template, said):
    with pytest.raises(LabError, match=said):
        with_chat(tiny_pair.target, template).frame  # noqa: B018
