"""Arms that share batches: each gets the answers that it would get alone, and every row stands in one batch."""

import pytest
import torch
from evaluations import alike_arm, evaluated, evaluation_of
from planted_world import CONFIG, QUESTIONS, Sums

import lab.answers.together as together_module
from lab.answers.arms import ALL_ARMS, RETRAINED
from lab.answers.choosing import respond
from lab.answers.generation import AnswerCache
from lab.config import TEXT
from lab.config.layout import get_layout
from lab.config.run import TranslatorConfig
from lab.models import build_inputs, joined
from lab.translators import build_translator

ARMS = tuple(arm for arm in ALL_ARMS if arm not in RETRAINED)


@pytest.fixture(autouse=True)
def fresh_memory(monkeypatch):
    monkeypatch.setattr(AnswerCache, "_memory", {})


@pytest.fixture
def asked(monkeypatch):
    """Model and questions of every batch that was asked."""
    found = []

    def told(evaluation, model, inputs, questions):
        found.append((model.name, [question.id for question in questions], inputs))
        return respond(evaluation, model, inputs, questions)

    monkeypatch.setattr(together_module, "respond", told)
    return found


def translator(pair, **given):
    torch.manual_seed(0)
    config = TranslatorConfig(**({"soft_tokens": 3, "width": 16, "depth": 1, "heads": 2} | given))
    return build_translator(config, pair, "all")


@pytest.mark.parametrize("soft_tokens", [3, 0])
@pytest.mark.parametrize("batch", [5, 64])
def test_arms_together_answer_as_arms_alone(tiny_pair, monkeypatch, batch, soft_tokens):
    given = {"translator": translator(tiny_pair, soft_tokens=soft_tokens, soft_tokens_cap=20)}
    config = CONFIG.replace(eval_batch_size=batch, soft_tokens=soft_tokens, soft_tokens_cap=20)
    records = evaluated(config, tiny_pair, Sums(), QUESTIONS, ARMS, **given)
    for arm in ARMS:
        monkeypatch.setattr(AnswerCache, "_memory", {})
        alone = evaluated(config, tiny_pair, Sums(), QUESTIONS, (arm,), **given)
        assert [row["arms"][arm] for row in alone] == [alike_arm(row["arms"][arm]) for row in records]


def test_every_row_is_asked_once_and_each_model_in_as_few_batches_as_hold_them(tiny_pair, asked):
    arms = ("source", "target", "latent", "latent_shuffled", "cascade")
    evaluated(CONFIG.replace(eval_batch_size=7), tiny_pair, Sums(), QUESTIONS, arms, translator=translator(tiny_pair))
    sizes = {name: [len(ids) for model, ids, _ in asked if model == name] for name in ("tiny-mistral", "tiny-llama")}
    # 8 questions: the source; target, latent and latent_shuffled; and the cascade, which waits for the source
    assert sizes == {"tiny-mistral": [7, 1], "tiny-llama": [7, 7, 7, 3, 7, 1]}
    counts = [ids.count(QUESTIONS[0].id) for name, ids, _ in asked if name == "tiny-llama"]
    assert sum(counts[:4]) == 3 and sum(counts[4:]) == 1


def test_the_longest_rows_come_first(tiny_pair, asked):
    evaluated(CONFIG, tiny_pair, Sums(), QUESTIONS, ("target", "latent"), translator=translator(tiny_pair))
    lengths = [inputs.prompt_lengths for _, _, inputs in asked]
    assert all(min(one) >= max(other) for one, other in zip(lengths, lengths[1:], strict=False))


def test_what_the_cache_knows_stands_in_no_batch(tiny_pair, asked):
    evaluated(CONFIG, tiny_pair, Sums(), QUESTIONS[:4], ("target",))
    asked.clear()
    evaluated(CONFIG, tiny_pair, Sums(), QUESTIONS, ("target", "latent"), translator=translator(tiny_pair))
    assert sum(len(ids) for _, ids, _ in asked) == 4 + 8


def test_joined_prompts_are_those_of_one_batch(tiny_pair):
    target = tiny_pair.target
    evaluation = evaluation_of(CONFIG, tiny_pair, Sums(), QUESTIONS)
    contexts = [evaluation.context(question) for question in QUESTIONS]
    whole = build_inputs(target, TEXT, None, contexts)
    parts = joined(target, [build_inputs(target, TEXT, None, some) for some in (contexts[:1], contexts[1:])])
    for name in ("embeds", "attention_mask", "position_ids"):
        assert torch.equal(getattr(whole, name), getattr(parts, name))
    assert (parts.prompt_lengths, parts.text_tokens) == (whole.prompt_lengths, whole.text_tokens)
    soft = torch.randn(8, 2, target.embedding_size)
    bridged = build_inputs(target, get_layout("soft_only"), soft, contexts)
    both = joined(target, [whole, bridged])
    assert both.prompt_lengths == whole.prompt_lengths + bridged.prompt_lengths
    assert torch.equal(both.embeds[8:, -bridged.embeds.shape[1] :], bridged.embeds)
