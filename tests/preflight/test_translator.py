"""A translator in numbers is the real one, built without memory, and AdamW's state of it."""

from types import SimpleNamespace

import pytest
import torch

from lab.config import RunConfig
from lab.preflight.decoder import Decoder
from lab.preflight.translator import TranslatorSize
from lab.training.optimizer import build_optimizer
from lab.translators import build_translator

SOURCE, TARGET = Decoder(50, 24, 5, 2, 2, 12, 40), Decoder(60, 36, 3, 2, 2, 18, 40)
KINDS = {
    "resampler": {}, "weighted": {"source_mix": "weighted"}, "as long as the source": {"soft_tokens": 0},
    "constant": {"translator": "constant"}, "linear": {"translator": "linear", "soft_tokens": 0},
    "dit": {"translator": "dit", "conditioning": "cross"}, "dit, mean": {"translator": "dit", "conditioning": "mean"},
    "dit, attention": {"translator": "dit", "conditioning": "attention", "source_mix": "weighted"},
}  # fmt: skip


@pytest.fixture
def pair():
    cpu = torch.device("cpu")
    return SimpleNamespace(
        source=SimpleNamespace(hidden_size=24, num_layers=5, device=cpu),
        target=SimpleNamespace(embedding_size=36, embedding_rms=1.0, device=cpu),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_and_the_optimisers_state(pair, kind):
    config = RunConfig.from_parameters(width=16, depth=2, heads=4, **KINDS[kind])
    translator = build_translator(config.translator, pair, "all")
    size = TranslatorSize(config.translator, SOURCE, TARGET, 5)
    assert size.parameters == sum(parameter.numel() for parameter in translator.parameters())
    for parameter in translator.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = build_optimizer(translator, config.training)
    optimizer.step()
    held = [value for state in optimizer.state.values() for name, value in state.items() if name != "step"]
    assert size.optimizer_bytes == sum(value.nbytes for value in held)


def test_the_translator_of_the_benchmark_of_full_size():
    config = RunConfig.from_parameters(soft_tokens=64, width=1024, depth=2, heads=16)
    full = Decoder(32768, 4096, 32, 32, 8, 128, 14336)
    assert TranslatorSize(config.translator, full, full, 32).parameters == pytest.approx(168e6, rel=0.001)
