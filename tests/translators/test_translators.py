"""Laws of the translators: every parameter learns, padding is invisible, sizes match the target, files round-trip."""

import json
from dataclasses import replace

import pytest
import torch

from lab.config.run import TranslatorConfig
from lab.errors import LabError
from lab.models.frozen import SourceStates
from lab.translators import ConstantPrompt, Resampler, Teacher, build_translator, load_translator, save_translator
from lab.translators.contract import match_rms
from lab.translators.dit import question_noise
from lab.translators.kinds import reading

TEXTS = ["Q: Tom has 3 apples.\nA:", "Q: A box holds 24 pens and Mia fills 5 boxes. How many pens?\nA:"]
SMALL = TranslatorConfig(soft_tokens=3, width=16, depth=2, heads=2)


@pytest.fixture
def states(tiny_pair) -> SourceStates:
    return tiny_pair.source.source_states(TEXTS, "all")


def made(pair, seed: int = 0, **changes):
    torch.manual_seed(seed)
    return build_translator(replace(SMALL, **changes), pair, "all")


DITS = [{"translator": "dit", "conditioning": kind} for kind in ("mean", "attention", "cross")]
LONG = [{"soft_tokens": 0}, {"translator": "linear", "soft_tokens": 0}, {"translator": "dit", "soft_tokens": 0}]


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

    monkeypatch.setattr(module, "match_rms", lambda soft, rms, mask=None: soft)
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
    save_translator(translator, tmp_path / "saved")
    loaded = load_translator(tmp_path / "saved")
    layers = loaded.layers
    assert layers == "all" and type(loaded) is type(translator)
    assert torch.equal(loaded.eval()(states).soft_tokens, translator(states).soft_tokens)
    files = {path.name for path in (tmp_path / "saved").iterdir()}
    assert "model.safetensors" in files and "config.json" in files
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in files)


def test_layers_survive_the_file(tiny_pair, tmp_path):
    save_translator(reading(ConstantPrompt(soft_tokens=1, target_dim=4, target_rms=1.0), (1, -1)), tmp_path)
    assert load_translator(tmp_path).layers == [1, -1]


@pytest.mark.parametrize("damage", ["nothing there", "kind", "weights", "shape"])
def test_a_damaged_folder_is_told_in_one_sentence(tiny_pair, tmp_path, damage):
    if damage != "nothing there":
        save_translator(made(tiny_pair), tmp_path)
    if damage == "kind":
        (tmp_path / "translator.json").write_text(json.dumps({"translator": "unheard", "source_layers": "all"}))
    elif damage == "weights":
        (tmp_path / "model.safetensors").write_bytes(b"torn")
    elif damage == "shape":
        config = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(config | {"soft_tokens": 7}))
    with pytest.raises(LabError, match="holds no translator"):
        load_translator(tmp_path)


def opened(translator, seed: int = 1):
    """With its zero-initialised layers filled, so that what they hide shows."""
    torch.manual_seed(seed)
    for parameter in translator.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return translator


def teacher_for(pair, places: int = 3) -> Teacher:
    embeds = torch.randn(2, places, pair.target.hidden_size) * pair.target.embedding_rms
    return Teacher(embeds, torch.tensor([[True] * places, [True] * (places - 1) + [False]]))


@pytest.mark.parametrize("changes", DITS)
def test_the_flow_loss_reaches_every_parameter_of_the_dit(tiny_pair, states, changes):
    translator = opened(made(tiny_pair, **changes, flow_condition_dropout=0.5)).train()
    torch.manual_seed(3)
    losses = [translator(states, teacher_for(tiny_pair)).auxiliary["flow"] for _ in range(4)]  # both with and without
    torch.stack(losses).sum().backward()
    for name, parameter in translator.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


def test_a_fresh_dit_learns_from_either_loss(tiny_pair, states):
    """Its last layer begins at zero, as AdaLN-zero has it: that layer has a gradient at once, the rest follows."""
    translator = made(tiny_pair, translator="dit").train()
    output = translator(states, teacher_for(tiny_pair))
    for loss in (output.auxiliary["flow"], output.soft_tokens.square().sum()):
        (gradient,) = torch.autograd.grad(loss, translator.output.weight, retain_graph=True)
        assert gradient.any()


@pytest.mark.parametrize("changes", DITS)
def test_what_the_dit_writes_does_not_depend_on_the_teacher(tiny_pair, states, changes):
    """The earlier script mixed the answer's embeddings into the soft tokens while training."""
    translator = opened(made(tiny_pair, **changes)).train()
    written = []
    for teacher in (None, teacher_for(tiny_pair), teacher_for(tiny_pair)):
        torch.manual_seed(5)
        written.append(translator(states, teacher).soft_tokens)
    assert torch.equal(written[0], written[1]) and torch.equal(written[0], written[2])


@pytest.mark.parametrize("changes", [*DITS, *LONG])
def test_what_is_written_depends_on_the_question_alone(tiny_pair, states, changes):
    """Not on the batch, its padding, or whoever drew random numbers before: two evaluations are the same."""
    translator = opened(made(tiny_pair, **changes)).eval()
    together = translator(states)
    torch.manual_seed(99)
    again = translator(states)
    assert torch.equal(together.soft_tokens, again.soft_tokens)
    for row, text in enumerate(TEXTS):
        alone = translator(tiny_pair.source.source_states([text], "all")).soft_tokens[0]
        inside = together.soft_tokens[row] if together.mask is None else together.soft_tokens[row][together.mask[row]]
        torch.testing.assert_close(inside, alone, atol=1e-5, rtol=1e-4)


def test_the_dit_has_other_noise_for_another_question(tiny_pair, states):
    noise = question_noise(states, 3, 8)
    assert not torch.allclose(noise[0], noise[1])
    assert abs(question_noise(states, 500, 40).std().item() - 1) < 0.02


@pytest.mark.parametrize("field, value", [
    ("conditioning", "attention"), ("flow_eval_steps", 8), ("flow_guidance", 2.0), ("source_mix", "weighted"),
])  # fmt: skip
def test_every_field_of_the_dit_changes_what_it_writes(tiny_pair, states, field, value):
    one, other = (opened(made(tiny_pair, translator="dit", **extra)).eval() for extra in ({}, {field: value}))
    assert not torch.allclose(one(states).soft_tokens, other(states).soft_tokens)


def test_the_gradient_runs_through_the_last_steps_alone(tiny_pair, states):
    gradients = []
    for steps in (0, 1, 3):
        translator = opened(made(tiny_pair, translator="dit", flow_backprop_steps=steps)).train()
        torch.manual_seed(4)
        soft = translator(states).soft_tokens
        assert soft.requires_grad == (steps > 0)
        if steps:
            gradients.append(torch.autograd.grad(soft.square().sum() + soft.sum(), translator.noisy_in.weight)[0])
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize("changes", LONG)
def test_one_soft_token_per_source_token_up_to_the_cap(tiny_pair, states, changes):
    lengths = states.mask.sum(dim=1).tolist()
    assert made(tiny_pair, **changes)(states).counts() == lengths
    assert made(tiny_pair, **changes, soft_tokens_cap=12)(states).counts() == [min(length, 12) for length in lengths]


@pytest.mark.parametrize("changes", [*DITS, *LONG])
def test_the_new_ones_survive_their_files(tiny_pair, states, tmp_path, changes):
    translator = opened(made(tiny_pair, **changes)).eval()
    save_translator(translator, tmp_path)
    loaded = load_translator(tmp_path).eval()
    assert torch.equal(loaded(states).soft_tokens, translator(states).soft_tokens)
