"""Laws of an evaluation on several processes: the same records as on one, to the last digit."""

import json

import pytest
import torch
from evaluations import evaluation_of
from planted_world import CONFIG, QUESTIONS, Sums
from tiny_models import make_tiny_pair
from two_ranks import on_ranks

import lab.answers.together as together_module
from lab import ranks
from lab.answers import evaluate, likelihoods
from lab.answers.arms import ALL_ARMS, RETRAINED
from lab.config.run import TranslatorConfig
from lab.errors import LabError
from lab.translators import build_translator

pytestmark = pytest.mark.slow
ARMS = tuple(arm for arm in ALL_ARMS if arm not in RETRAINED)


def evaluation(soft_tokens):
    pair = make_tiny_pair()
    torch.manual_seed(0)
    chosen = {"soft_tokens": soft_tokens, "soft_tokens_cap": 20}
    translator = build_translator(TranslatorConfig(**chosen, width=16, depth=1, heads=2), pair, "all")
    return evaluation_of(CONFIG.replace(eval_batch_size=5, **chosen), pair, Sums(), QUESTIONS, translator=translator)


def evaluate_each(folder):
    """The records, and in how many batches this rank asked its models."""
    inner, batches = together_module.respond, []

    def counted(evaluation, model, inputs, questions):
        batches.append(len(questions))
        return inner(evaluation, model, inputs, questions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(together_module, "respond", counted)
        for soft_tokens in (3, 0):
            records = evaluate(evaluation(soft_tokens), ARMS, cache_dir=folder / "cache")
            text = json.dumps(records)
            assert ranks.gathered(text) == [text] * ranks.count()
            if ranks.is_first():
                (folder / f"{soft_tokens}.json").write_text(text)
    found = likelihoods(evaluation(3), ("target", "latent"))
    everyone = ranks.gathered(sum(batches))
    if ranks.is_first():
        (folder / "likelihoods.json").write_text(json.dumps({arm: [one.nats for one in found[arm]] for arm in found}))
        (folder / "asked.json").write_text(json.dumps(everyone))


def test_two_processes_find_what_one_does(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    evaluate_each(one)
    on_ranks(evaluate_each, two)
    for name in ("3.json", "0.json", "likelihoods.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert [row["id"] for row in json.loads((two / "3.json").read_text())] == [question.id for question in QUESTIONS]
    (alone,), shares = (json.loads((folder / "asked.json").read_text()) for folder in (one, two))
    assert sum(shares) == alone and min(shares) > alone / 3  # each row is asked once, by one of them
    lines = [sorted((folder / "cache" / "answers.jsonl").read_text().split("\n")) for folder in (one, two)]
    assert lines[0] == lines[1]  # the first one writes the cache


def fails_on_one():
    def respond(evaluation, model, inputs, questions):
        raise LabError(f"rank {ranks.rank()} has no memory") if ranks.rank() else KeyError("never reached by rank 0")

    whole = evaluation(3)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(LabError, match="has no memory"):
        if ranks.rank():
            patch.setattr(together_module, "respond", respond)
        evaluate(whole, ("source", "target"), likelihoods=False)


def test_an_error_of_one_is_raised_on_all(tmp_path):
    on_ranks(fails_on_one)
