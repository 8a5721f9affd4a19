"""Laws of the translators: every parameter learns, padding is invisible, sizes match the target, files round-trip."""

import json
from dataclasses import replace

import pytest
import torch

from lab.config import TranslatorConfig
from lab.errors import LabError
from lab.models import SourceStates
from lab.translators import ConstantPrompt, Resampler, build_translator, load_translator, save_translator
from lab.translators.contract import match_rms

TEXTS = ["Q: Tom has 3 apples.\nA:", "Q: A box holds 24 pens and Mia fills 5 boxes. How many pens?\nA:"]
SMALL = TranslatorConfig(soft_tokens=3, width=16, depth=2, heads=2)


@pytest.fixture
def states(tiny_pair) -> SourceStates:
    return tiny_pair.source.source_states(TEXTS, "all")


def made(pair, seed: int = 0, **changes):
    torch.manual_seed(seed)
    return build_translator(replace(SMALL, **changes), pair, "all")


@pytest.mark.parametrize("changes", [{}, {"source_mix": "weighted"}, {"dropout": 0.2}, {"translator": "constant"}])
def test_gradient_reaches_every_parameter(tiny_pair, states, changes):
    translator = made(tiny_pair, **changes)
    soft = translator(states).soft_tokens
    assert soft.shape == (2, 3, tiny_pair.target.hidden_size)
    (soft * torch.randn_like(soft)).sum().backward()
    for name, parameter in translator.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_padding_and_batch_do_not_show(tiny_pair, states):
    translator = made(tiny_pair).eval()
    together = translator(states).soft_tokens
    alone = torch.cat([translator(tiny_pair.source.source_states([text], "all")).soft_tokens for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_what_padding_holds_is_never_read(tiny_pair, states):
    translator = made(tiny_pair).eval()
    noise = torch.where(states.mask[:, :, None, None] == 0, torch.randn_like(states.states), states.states)
    assert not torch.equal(noise, states.states)
    dirty = translator(replace(states, states=noise)).soft_tokens
    torch.testing.assert_close(dirty, translator(states).soft_tokens, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("source_mix", ["concat", "weighted"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_every_source_layer_changes_the_soft_tokens(tiny_pair, states, source_mix, layer):
    translator = made(tiny_pair, source_mix=source_mix).eval()
    changed = states.states.clone()
    changed[:, :, layer] = changed[:, :, layer].flip(-1)
    assert not torch.allclose(translator(replace(states, states=changed)).soft_tokens, translator(states).soft_tokens)


@pytest.mark.parametrize("changes", [{}, {"source_mix": "weighted"}, {"translator": "constant"}])
def test_soft_tokens_have_the_size_of_target_embeddings(tiny_pair, states, changes):
    soft = made(tiny_pair, **changes)(states).soft_tokens
    rms = soft.square().mean(dim=(1, 2)).sqrt()
    torch.testing.assert_close(rms, torch.full_like(rms, tiny_pair.target.embedding_rms))


def test_initialisation_alone_is_near_that_size(tiny_pair, states, monkeypatch):
    """Else the clamp of the scale would hide a factor, and the first steps would be spent on it."""
    import lab.translators.resampler as module

    monkeypatch.setattr(module, "match_rms", lambda soft, rms: soft)
    ratio = made(tiny_pair)(states).soft_tokens.square().mean().sqrt() / tiny_pair.target.embedding_rms
    assert 0.7 < ratio < 1.4


def test_the_scale_is_clamped_and_detached():
    tiny = torch.full((1, 2, 4), 1e-6, requires_grad=True)
    scaled = match_rms(tiny, 1.0)
    torch.testing.assert_close(scaled, 4 * tiny)  # not blown up to 1
    torch.testing.assert_close(match_rms(torch.full((1, 2, 4), 100.0), 1.0), torch.full((1, 2, 4), 25.0))
    scaled.sum().backward()
    torch.testing.assert_close(tiny.grad, torch.full_like(tiny, 4.0))
    free = torch.tensor([[[1.0, 3.0]]], requires_grad=True)  # inside the clamp the scale depends on the tokens
    match_rms(free, 2.0).sum().backward()
    torch.testing.assert_close(free.grad, torch.full_like(free, 2.0 / 5.0**0.5))


def test_queries_are_orthogonal_and_gates_open(tiny_pair):
    translator = made(tiny_pair, gate_init=0.7)
    products = translator.queries @ translator.queries.T
    torch.testing.assert_close(products, products.diag().diag(), atol=1e-4, rtol=0)
    gates = {name: gate for name, gate in translator.named_parameters() if name.endswith("_gate")}
    assert len(gates) == 3 * SMALL.depth and all(gate.item() == pytest.approx(0.7) for gate in gates.values())


def test_shut_gates_pass_the_queries_through(tiny_pair, states):
    first, second = made(tiny_pair, gate_init=0.0)(states).soft_tokens
    torch.testing.assert_close(first, second)  # nothing of the source yet


def test_a_constant_prompt_reads_nothing(tiny_pair, states):
    constant = made(tiny_pair, translator="constant")
    first, second = constant(states).soft_tokens
    torch.testing.assert_close(first, second)
    assert not constant.needs_source and Resampler.needs_source


@pytest.mark.parametrize("changes", [{}, {"source_mix": "weighted", "dropout": 0.1}, {"translator": "constant"}])
def test_a_saved_translator_is_the_same_translator(tiny_pair, states, tmp_path, changes):
    translator = made(tiny_pair, **changes).eval()
    save_translator(translator, tmp_path / "saved", "all")
    loaded, layers = load_translator(tmp_path / "saved")
    assert layers == "all" and type(loaded) is type(translator)
    assert torch.equal(loaded.eval()(states).soft_tokens, translator(states).soft_tokens)
    files = {path.name for path in (tmp_path / "saved").iterdir()}
    assert "model.safetensors" in files and "config.json" in files
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in files)


def test_layers_survive_the_file(tiny_pair, tmp_path):
    save_translator(ConstantPrompt(soft_tokens=1, target_dim=4, target_rms=1.0), tmp_path, (1, -1))
    assert load_translator(tmp_path)[1] == [1, -1]


@pytest.mark.parametrize("damage", ["nothing there", "kind", "weights", "shape"])
def test_a_damaged_folder_is_told_in_one_sentence(tiny_pair, tmp_path, damage):
    if damage != "nothing there":
        save_translator(made(tiny_pair), tmp_path, "all")
    if damage == "kind":
        (tmp_path / "translator.json").write_text(json.dumps({"translator": "unheard", "source_layers": "all"}))
    elif damage == "weights":
        (tmp_path / "model.safetensors").write_bytes(b"torn")
    elif damage == "shape":
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | {"soft_tokens": 7}))
    with pytest.raises(LabError, match="holds no translator"):
        load_translator(tmp_path)
