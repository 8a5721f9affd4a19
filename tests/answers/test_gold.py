"""How likely every arm finds the gold answers: the training's own loss, of prompts that know nothing of them."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from evaluations import evaluated, evaluation_of
from planted_world import CONFIG, QUESTIONS, Sums

import lab.answers.gold as gold_module
import lab.models.nll as nll_module
from lab.answers import TEXT_TUNED, evaluate, likelihoods
from lab.answers.generation import AnswerCache
from lab.errors import LabError
from lab.models import answer_nll, build_inputs
from lab.models.cross_entropy import head_scores, scores
from lab.tasks import source_text
from lab.translators import Bridge, build_translator

ARMS = ("source", "target", "latent", "latent_shuffled", "cascade", "text_hint", "token_budget", TEXT_TUNED)
CONFIG = CONFIG.replace(layout="soft_only")


@pytest.fixture
def bridges(tiny_pair):
    torch.manual_seed(0)
    translator = build_translator(CONFIG.translator, tiny_pair, "all")
    prompt = build_translator(CONFIG.replace(translator="constant").translator, tiny_pair, "all")
    return {"translator": translator, "controls": {TEXT_TUNED: Bridge(tiny_pair.source, prompt)}}


def records(pair, bridges, questions=QUESTIONS, **given):
    AnswerCache._memory.clear()
    return evaluated(CONFIG, pair, Sums(), questions, ARMS, **bridges, **given)


def of_tokens(model, text: str, answer: str) -> float:
    """The plain way: the whole text and its answer as tokens through the model alone, its own logits."""
    prompt = [model.tokenizer.bos_token_id] + model.tokens([text])[0]
    ending = model.tokens([f" {answer}"], continued=True)[0] + [model.tokenizer.eos_token_id]
    logits = model.model(input_ids=torch.tensor([prompt + ending])).logits[0].float().log_softmax(-1)
    return -sum(logits[len(prompt) + place - 1, token].item() for place, token in enumerate(ending))


@torch.no_grad()
def test_it_is_that_of_the_text_that_the_arm_saw(tiny_pair, bridges):
    for row, question in zip(records(tiny_pair, bridges), QUESTIONS, strict=True):
        assert row["gold_text"] == question.answer
        for arm in ("source", "target", "cascade", "text_hint", "token_budget"):
            model = tiny_pair.source if arm == "source" else tiny_pair.target
            found = row["arms"][arm]
            assert found["gold_nats"] == pytest.approx(of_tokens(model, found["saw"], question.answer), abs=2e-3)
            assert found["gold_tokens"] == len(model.tokens([f" {question.answer}"], continued=True)[0]) + 1


@torch.no_grad()
def test_it_is_the_loss_that_training_lowers(tiny_pair, bridges):
    """Per token, over all questions: what the loop calls the loss of these answers."""
    found, target = records(tiny_pair, bridges), tiny_pair.target
    own = {"latent": bridges["translator"], TEXT_TUNED: bridges["controls"][TEXT_TUNED].translator}
    evaluation = evaluation_of(CONFIG, tiny_pair, Sums(), QUESTIONS)
    states = tiny_pair.source.source_states([source_text(question.question) for question in QUESTIONS])
    contexts = [evaluation.context(question) for question in QUESTIONS]
    for arm, translator in own.items():
        soft = translator.eval()(states).soft_tokens
        inputs = build_inputs(target, evaluation.layout_of(arm), soft, contexts, [q.answer for q in QUESTIONS])
        nats, tokens = (sum(row["arms"][arm][name] for row in found) for name in ("gold_nats", "gold_tokens"))
        assert nats / tokens == pytest.approx(answer_nll(target, inputs).item(), abs=1e-4)


def test_a_prompt_tuned_beside_the_text_reads_the_text_and_no_source(tiny_pair, bridges):
    for row in records(tiny_pair, bridges):
        tuned, latent = row["arms"][TEXT_TUNED], row["arms"]["latent"]
        assert row["question"] in tuned["saw"] and row["question"] not in latent["saw"]
        assert tuned["soft_tokens"] == latent["soft_tokens"] == 3 and tuned["context_aware"] and not tuned["soft_from"]


def test_the_gold_changes_its_likelihood_and_nothing_that_an_arm_sees_or_says(tiny_pair, bridges):
    others = [replace(question, answer="Many.\n#### 12345", gold="12345") for question in QUESTIONS]
    for ours, theirs in zip(records(tiny_pair, bridges), records(tiny_pair, bridges, others), strict=True):
        for arm in ARMS:
            one, other = ours["arms"][arm], theirs["arms"][arm]
            assert one["gold_nats"] != other["gold_nats"]
            assert {k: one[k] for k in ("saw", "text", "tokens")} == {k: other[k] for k in ("saw", "text", "tokens")}


def test_without_answers_it_is_the_same(tiny_pair, bridges):
    evaluation = evaluation_of(CONFIG, tiny_pair, Sums(), QUESTIONS, **bridges)
    alone = likelihoods(evaluation, ("target", "latent", TEXT_TUNED))
    for index, row in enumerate(records(tiny_pair, bridges)):
        for arm, found in alone.items():
            assert -found[index].nats == pytest.approx(row["arms"][arm]["gold_nats"], rel=1e-4, abs=1e-3)
    with pytest.raises(LabError, match="cascade"):
        likelihoods(evaluation, ("cascade",))
    assert "gold_nats" not in evaluate(evaluation, ("target",), likelihoods=False)[0]["arms"]["target"]


@pytest.mark.parametrize("arm", ["target", "latent"])
def test_a_batch_that_scores_otherwise_than_a_row_alone_is_refused(tiny_pair, bridges, monkeypatch, arm):
    kept = gold_module.log_likelihoods

    def shifted(model, prompts, endings):
        found = kept(model, prompts, endings)
        return found[1:] + found[:1] if len(found) > 1 else found  # the answer of another row

    monkeypatch.setattr(gold_module, "log_likelihoods", shifted)
    with pytest.raises(LabError, match=f"arm {arm}: the gold answer to question"):
        likelihoods(evaluation_of(CONFIG, tiny_pair, Sums(), QUESTIONS, **bridges), (arm,))


def test_a_gold_answer_that_no_model_can_read_is_refused(tiny_pair, bridges):
    endless = [replace(QUESTIONS[0], answer="1 + 1 = 2. " * 400 + "\n#### 2"), *QUESTIONS[1:]]
    with pytest.raises(LabError, match="reads at most 1024 tokens"):
        records(tiny_pair, bridges, endless)


def test_pieces_of_a_large_vocabulary_score_as_the_whole(monkeypatch):
    torch.manual_seed(0)
    head, states, labels = torch.nn.Linear(8, 50), torch.randn(11, 8), torch.randint(50, (11,))
    with torch.no_grad():
        nats, likeliest = scores(head(states), labels)
        torch.testing.assert_close(nats, torch.nn.functional.cross_entropy(head(states), labels, reduction="none"))
        assert likeliest.tolist() == (head(states).argmax(-1) == labels).tolist()
        monkeypatch.setattr("lab.models.cross_entropy.CHUNK", 150)  # three rows
        in_pieces = head_scores(head, states, labels)
    torch.testing.assert_close(in_pieces[0], nats)
    assert in_pieces[1].tolist() == likeliest.tolist()


@pytest.mark.parametrize("last", [True, False])
def test_a_head_that_is_not_last_scores_by_the_models_own_logits(tiny_pair, bridges, monkeypatch, last):
    monkeypatch.setitem(vars(tiny_pair.target), "head_is_last", last)
    called = []
    monkeypatch.setattr(nll_module, "head_scores", lambda *a: called.append(1) or head_scores(*a))
    found = likelihoods(evaluation_of(CONFIG, tiny_pair, Sums(), QUESTIONS, **bridges), ("target",))["target"]
    assert bool(called) == last
    expected = of_tokens(tiny_pair.target, f"Think.\n\nQ: {QUESTIONS[0].question}\nA:", QUESTIONS[0].answer)
    assert -found[0].nats == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("dtype", "alone", "batched", "sound"), [
    ("bfloat16", -8.2, -8.6, True), ("bfloat16", -7.5, -8.6, False), ("float32", -8.5, -8.6, False),
    ("bfloat16", -1.1, -1.28, True), ("bfloat16", -1.1, -1.33, False), ("bfloat16", -1.33, -1.1, False),
])  # fmt: skip
def test_what_costs_much_may_be_rounded_by_more_in_half_precision(monkeypatch, dtype, alone, batched, sound):
    """An untrained prompt before Gemma: a batch said -860 nats and the same row by itself -838, in bfloat16."""
    model = SimpleNamespace(dtype=getattr(torch, dtype))
    arm = SimpleNamespace(name="latent", model=model, inputs=lambda indices: None)
    monkeypatch.setattr(gold_module, "answer_rows", lambda model, answers: [[1] * 10])
    monkeypatch.setattr(gold_module, "log_likelihoods", lambda *given: [gold_module.Likelihood(10 * alone, 10, False)])
    found = {0: gold_module.Likelihood(10 * batched, 10, False)}
    with nullcontext() if sound else pytest.raises(LabError, match="cannot be trusted"):
        gold_module.check_alone(arm, QUESTIONS[0], 0, found)
