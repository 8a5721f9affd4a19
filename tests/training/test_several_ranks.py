"""Laws of several processes: they train what one process trains with the whole batch, and write one run."""

import json

import pytest
import torch
from sums_task import Sums
from tiny_models import make_tiny_pair
from tiny_training import Killed, choosing, config, fresh, killed_at
from two_ranks import on_ranks

from lab import ranks
from lab.errors import LabError
from lab.runs import Onlooker, RunDirectory
from lab.training.loop import train
from lab.translators import load_translator

pytestmark = pytest.mark.slow
# Every term that is a mean over another number of things on each rank, with negatives of all of them.
TERMS = {"answer_nll_weight": 1.0, "kl_weight": 0.3, "kl_tokens": 2, "format_weight": 0.2, "contrast_weight": 0.1,
         "contrast_start": 0, "prompt_alignment_weight": 0.1, "probe_weight": 0.1, "token_alignment_weight": 0.1,
         "teacher": "answer", "dropout": 0.0, "decode_weight": 0.5, "decode_every": 2, "decode_samples": 1,
         "decode_tokens": 3, "warmup_steps": 1}  # fmt: skip
ALONE = {"dropout": 0.0}


def greedy(*given, **named):
    from lab.answers.generation import greedy

    return greedy(*given, **named)


def run_at(folder, settings):
    """The run, for the rank that writes it or one that looks on."""
    held = []
    ranks.from_first(lambda: held.append(fresh(folder, settings)))
    return held[0] if held else Onlooker(folder)


def steps(folder) -> list[dict]:
    return [row for row in RunDirectory(folder).metrics() if row["kind"] == "step"]


def last(folder) -> dict:
    return load_translator(folder / "checkpoints" / "last").state_dict()


def accuracy(translator, step):
    return {"accuracy": step / 10, "n": 2}


def train_each(folder, variants):
    for name, changes in variants.items():
        settings = config(**changes)
        train(settings, make_tiny_pair(), Sums(), run_at(folder / name, settings), choosing(accuracy), decode=greedy)


def test_two_processes_train_what_one_does(tmp_path):
    variants = {"alone": ALONE, "terms": TERMS, "per_token": {**ALONE, "soft_tokens": 0, "geometry_weight": 0.2}}
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    train_each(tmp_path / "one", variants)
    on_ranks(train_each, tmp_path / "two", variants)
    for name in variants:
        one, two = steps(tmp_path / "one" / name), steps(tmp_path / "two" / name)
        assert len(one) == len(two) == 6
        for before, after in zip(one, two, strict=True):
            assert before["terms"] == pytest.approx(after["terms"], rel=1e-4, abs=1e-6), (name, before["step"])
            assert before["grad_norm"] == pytest.approx(after["grad_norm"], rel=1e-3)
        weights = [last(tmp_path / many / name) for many in ("one", "two")]
        for key, value in weights[0].items():
            torch.testing.assert_close(weights[1][key], value, rtol=1e-3, atol=1e-4, msg=f"{name} {key}")
        configs = [(tmp_path / many / name / "config.yaml").read_bytes() for many in ("one", "two")]
        assert configs[0] == configs[1]  # nor its hash


def train_until(folder, killed_after):
    settings = config()
    with pytest.MonkeyPatch.context() as patch:
        if killed_after:
            killed_at(patch, killed_after)
        try:
            train(settings, make_tiny_pair(), Sums(), run_at(folder, settings), choosing(accuracy))
        except Killed:
            pass


def different_dropout(folder):
    """What each rank draws, and what it reads."""
    from lab.training.batches import Batches

    ranks.draw_apart(1, 3)
    torch_draw = torch.rand(2).tolist() if ranks.rank() else None
    found = ranks.gathered((Batches([1] * 10, 4, 0).own(2), torch_draw))
    if ranks.is_first():
        (folder / "found.json").write_text(json.dumps([*found, Batches([1] * 10, 4, 0).indices(2)]))


def test_every_rank_has_its_own_questions(tmp_path):
    on_ranks(different_dropout, tmp_path)
    (first, _), (second, drawn), whole = json.loads((tmp_path / "found.json").read_text())
    assert first == whole[::2] and second == whole[1::2] and drawn


def test_a_resumed_run_of_two_ends_in_the_same_bits(tmp_path):
    """With dropout, which each rank draws for itself."""
    on_ranks(train_until, tmp_path / "whole", 0)
    on_ranks(train_until, tmp_path / "halves", 4)
    on_ranks(train_until, tmp_path / "halves", 0)
    whole, halves = (last(tmp_path / name) for name in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    assert [row["loss"] for row in steps(tmp_path / "whole")] == [row["loss"] for row in steps(tmp_path / "halves")]


def test_one_goes_on_where_two_were(tmp_path):
    on_ranks(train_until, tmp_path / "run", 4)
    settings = config()
    train(settings, make_tiny_pair(), Sums(), fresh(tmp_path / "run", settings), choosing(accuracy))
    assert [row["step"] for row in steps(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]
    assert "Resumed after step 3" in (tmp_path / "run" / "train.log").read_text()


def refused(folder):
    for changes, why in (({"batch_size": 3}, "batch_size=3 cannot be dealt out to 2 processes"),):
        settings = config(**changes)
        with pytest.raises(LabError, match=why):
            train(settings, make_tiny_pair(), Sums(), run_at(folder, settings))

    def broken():
        raise LabError("the first rank's reason")

    with pytest.raises(LabError, match="the first rank's reason"):
        ranks.from_first(broken)
    with pytest.raises(LabError, match="the weights differ between the 2 processes"):
        ranks.check_alike("the weights", [1.0, float(ranks.rank())])


def test_what_cannot_be_shared_is_refused_on_all(tmp_path):
    on_ranks(refused, tmp_path / "run")
