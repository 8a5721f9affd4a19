"""The seed reaches everything that is drawn: initial weights, data, dropout, noise. Each by itself."""

import pytest
import torch
from sums_task import Sums
from tiny_training import choosing, config, fresh, weights_of

from lab.training.batches import Batches
from lab.training.loop import train
from lab.translators import build_translator, save_translator


def trained(pair, folder, **changes):
    """(weights before the first step, the losses) of a training."""
    settings, first = config(**changes), []

    def look(translator, step):
        first.append(weights_of(translator))
        return {"accuracy": 0.0, "n": 2}

    run = fresh(folder, settings)
    train(settings, pair, Sums(), run, choosing(look))
    return first[0], [row["loss"] for row in run.metrics() if row["kind"] == "step"]


def test_initial_weights_are_the_seeds(tiny_pair, tmp_path):
    torch.manual_seed(77)  # whatever was drawn before
    one, two, same = (trained(tiny_pair, tmp_path / name, seed=seed)[0] for name, seed in
                      (("a", 1), ("b", 2), ("c", 1)))  # fmt: skip
    assert one == same != two


def test_the_order_of_the_data_is_the_seeds():
    one, two, same = (Batches([3] * 50, 4, seed).indices(0) for seed in (1, 2, 1))
    assert one == same != two


@pytest.fixture
def begun(tiny_pair, tmp_path):
    """Settings in which all runs begin with the same weights and every batch holds every question."""

    def made(**changes):
        torch.manual_seed(0)
        settings = config(batch_size=10, train_questions=10, **changes)
        save_translator(build_translator(settings.translator, tiny_pair, "all"), tmp_path / "first")
        return dict(batch_size=10, train_questions=10, start_from=str(tmp_path / "first"), **changes)

    return made


NOISY = dict(translator="dit", flow_weight=0.5, teacher="answer", dropout=0.0, flow_condition_dropout=0.0)


@pytest.mark.parametrize("source, changes", [("dropout", {"dropout": 0.3}), ("noise", NOISY)])
def test_dropout_and_noise_are_the_seeds(tiny_pair, tmp_path, begun, source, changes):
    settings = begun(**changes)
    runs = [trained(tiny_pair, tmp_path / name, seed=seed, **settings)
            for name, seed in (("a", 1), ("b", 2), ("c", 1))]  # fmt: skip
    weights, losses = zip(*runs, strict=True)
    assert len(set(weights)) == 1, "all begin alike"
    assert losses[0] == losses[2]
    assert abs(losses[0][0] - losses[1][0]) > 1e-6, f"the seed does not reach the {source}"


def test_where_nothing_is_drawn_the_seed_changes_nothing(tiny_pair, tmp_path, begun):
    """So that the test above can fail: without dropout, one batch of all questions has the same loss (but for the
    order in which it is added up)."""
    settings = begun(dropout=0.0)
    one, two = (trained(tiny_pair, tmp_path / name, seed=seed, **settings)[1] for name, seed in (("a", 1), ("b", 2)))
    assert one[0] == pytest.approx(two[0], abs=1e-6)
