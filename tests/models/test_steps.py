"""Steps after a prompt say what reading everything anew says, whatever a model keeps and whoever keeps it."""

import copy
import gc
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import transformers
from model_zoo import ZOO, unsettle, zoo_model, zoo_tokenizer
from transformers import AttentionInterface

import lab.models.steps as steps_module
from lab.config import TEXT
from lab.models import FrozenModel, OwnSteps, build_inputs, first_step, positions, slots
from lab.models.slots import GROUPED, STRIDE, SlotSteps, grouped_attention
from lab.models.steps import fits_slots, replayable

CONTEXTS = [{"question": "Tom has 3 apples."}, {"question": "A box holds 24 pens. Mia fills 5 boxes. How many?"}]
STEPS = 40
OVER_SLOTS = ("llama", "mistral", "qwen2", "qwen3", "gemma", "phi", "phi3", "olmo2", "smollm3", "granite", "minicpm3",
              "gpt2", "gpt_neox", "opt")  # fmt: skip
RECURRENT = {
    "Mamba": dict(hidden_size=32, num_hidden_layers=2, state_size=8),
    "Mamba2": dict(hidden_size=32, num_hidden_layers=2, state_size=8, num_heads=4, head_dim=16, n_groups=1, expand=2),
    "RecurrentGemma": dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
                           lru_width=32, head_dim=8),
}  # fmt: skip
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: a graph is recorded there alone")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def recurrent_model(kind):
    """Models that keep one state a row, or hand nothing on at all (RecurrentGemma's lies in its layers)."""
    tokenizer = zoo_tokenizer()
    special = {f"{token}_token_id": getattr(tokenizer, f"{token}_token_id") for token in ("bos", "eos", "pad")}
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer), initializer_range=0.2, **special, **RECURRENT[kind]
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
        unsettle(model)
    return FrozenModel(model, tokenizer, kind, torch.device("cpu"), torch.float32)


def named(name):
    model = recurrent_model(name) if name in RECURRENT else zoo_model(name)
    if model is None:
        pytest.skip("the installed transformers has no such model")
    return model


def prompt_of(model):
    inputs = build_inputs(model, TEXT, None, CONTEXTS)
    return {"embeds": inputs.embeds}, inputs.attention_mask, inputs.position_ids


def slot_steps(model, given, most=STEPS):
    own = OwnSteps(model, *given, most)
    return SlotSteps(model, own.logits, own.cache, given[1], own.place, most)


def read_anew(model, given, tokens):
    """Logits after a prompt and `tokens` [B, n], nothing kept of what was read before."""
    embeds = torch.cat([given[0]["embeds"], model.embed(tokens)], dim=1)
    mask = torch.cat([given[1], torch.ones_like(tokens)], dim=1)
    return model.model(inputs_embeds=embeds, **model.placed(mask, positions(mask)), use_cache=False).logits[:, -1]


def followed(steps, count=STEPS):
    """Greedy tokens [B, count], and the logits [B, vocabulary] that each was chosen by."""
    logits, tokens = [steps.logits], []
    for _ in range(count - 1):
        tokens.append(logits[-1].argmax(dim=-1))
        logits.append(steps.step(tokens[-1]).clone())
    return torch.stack([*tokens, logits[-1].argmax(dim=-1)], dim=1), logits


@torch.no_grad()
@pytest.mark.parametrize("name", ["gemma3", "cohere2"])
def test_a_window_that_is_never_full_is_none(name):
    model = copy.deepcopy(named(name))
    given, short = prompt_of(model), OwnSteps(model, *prompt_of(model), STEPS)
    assert not replayable(model, short)  # 16 tokens
    model.model.config.sliding_window = given[1].shape[1] + STEPS
    assert not replayable(model, OwnSteps(model, *given, STEPS))
    model.model.config.sliding_window += 1
    assert replayable(model, OwnSteps(model, *given, STEPS))
    ours, expected = (
        followed(make(model, given), 20) for make in (slot_steps, lambda *g: OwnSteps(g[0], *g[1], STEPS))
    )
    assert torch.equal(ours[0], expected[0])
    torch.testing.assert_close(ours[1][-1], expected[1][-1], rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("name", [*ZOO, *RECURRENT])
def test_steps_say_what_reading_anew_says(name):
    model = named(name)
    given = prompt_of(model)
    tokens, logits = followed(OwnSteps(model, *given, STEPS), 20)  # past the window of those that have one
    for step in (0, 1, 19):
        torch.testing.assert_close(logits[step], read_anew(model, given, tokens[:, :step]), rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("name", OVER_SLOTS)
def test_steps_over_slots_say_the_same(name, monkeypatch):
    """As far as into a second length that attention reads."""
    monkeypatch.setattr(slots, "READ", STRIDE)
    model = named(name)
    given = prompt_of(model)
    own, over = followed(OwnSteps(model, *given, STEPS)), followed(slot_steps(model, given))
    assert given[1].shape[1] < STRIDE < given[1].shape[1] + STEPS
    assert torch.equal(own[0], over[0])
    for one, other in zip(own[1], over[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", [*ZOO, *RECURRENT])
def test_a_model_tells_whether_slots_suit_it(name):
    model = named(name)
    with torch.no_grad():
        steps = OwnSteps(model, *prompt_of(model), 1)
    assert replayable(model, steps) == (name in OVER_SLOTS)


@contextmanager
def attending(function):
    AttentionInterface.register(GROUPED, function)
    try:
        yield
    finally:
        AttentionInterface.register(GROUPED, grouped_attention)


def refused(*given, **named):
    raise RuntimeError("operation not permitted when stream is capturing")


def unscaled(module, query, key, value, attention_mask, **rest):
    return grouped_attention(module, query, key, value, attention_mask, **(rest | {"scaling": 2.0}))


@pytest.mark.parametrize("function", [refused, unscaled])
def test_a_model_that_says_otherwise_over_slots_is_stepped_by_itself(function, monkeypatch):
    monkeypatch.setattr(steps_module, "_fits", {})
    with attending(function):
        assert not fits_slots(zoo_model("llama"))
    monkeypatch.setattr(steps_module, "_fits", {})
    assert fits_slots(zoo_model("llama"))


def test_a_model_is_tried_once(monkeypatch):
    tries = []
    monkeypatch.setattr(steps_module, "_fits", {})
    monkeypatch.setattr(steps_module, "_tried", lambda model: bool(tries.append(model)) or True)
    assert fits_slots(zoo_model("llama")) and fits_slots(zoo_model("llama")) and len(tries) == 1


def test_attention_of_the_model_is_its_own_again():
    model = zoo_model("llama")
    with torch.no_grad(), attending(refused), pytest.raises(RuntimeError):
        steps = slot_steps(model, prompt_of(model))
        steps.step(steps.logits.argmax(dim=-1))
    assert model.model.config._attn_implementation == "sdpa"


def test_without_a_gpu_a_model_steps_by_itself():
    with torch.no_grad():
        assert isinstance(first_step(zoo_model("llama"), *prompt_of(zoo_model("llama")), 4, graphs=True), OwnSteps)


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in ZOO if name != "falcon_h1"])
def test_rows_go_on_as_before_when_others_are_dropped(name):
    model = named(name)
    given = prompt_of(model)
    tokens, logits = followed(OwnSteps(model, *given, STEPS), 20)
    steps = OwnSteps(model, *given, STEPS)
    for step in range(19):
        rows = slice(None) if step < 8 else slice(1, 2)
        if step == 8:
            assert steps.drops_rows
            steps.keep(torch.tensor([1]))
        found = steps.step(tokens[rows, step])
    assert len(found) == 1
    torch.testing.assert_close(found[0], logits[-1][1], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_rows_stay_where_dropping_them_would_round_or_is_not_known():
    """In half precision, and where a layer keeps more than keys and values."""
    model = zoo_model("llama")
    half = replace(model, model=transformers.LlamaForCausalLM(model.model.config).bfloat16(), dtype=torch.bfloat16)
    assert not OwnSteps(half, *prompt_of(half), 1).drops_rows
    for name in ("falcon_h1", *RECURRENT):
        assert not OwnSteps(named(name), *prompt_of(named(name)), 1).drops_rows


@torch.no_grad()
def test_slots_that_nothing_was_written_to_are_not_read(monkeypatch):
    """Whatever stands there, NaN included, changes nothing beyond what is read."""
    monkeypatch.setattr(slots, "READ", STRIDE)
    model = zoo_model("llama")
    given = prompt_of(model)
    steps, clean = (slot_steps(model, given, 2 * STRIDE) for _ in range(2))
    for layer in steps.layers:
        layer.keys[:, :, STRIDE:] = layer.values[:, :, STRIDE:] = torch.nan
    tokens = steps.logits.argmax(dim=-1)
    torch.testing.assert_close(steps.step(tokens), clean.step(tokens))


# --- on a GPU


def on_gpu(name):
    model = zoo_model(name)
    copied = type(model.model)(model.model.config)
    copied.load_state_dict(model.model.state_dict())
    return replace(model, model=copied.cuda(), device=torch.device("cuda"))


@gpu
@torch.no_grad()
@pytest.mark.parametrize("name", OVER_SLOTS)
def test_replayed_steps_are_those_of_the_model(name):
    model = on_gpu(name)
    given = prompt_of(model)
    steps = first_step(model, *given, STEPS, graphs=True)
    assert isinstance(steps, SlotSteps)
    over, own = followed(steps), followed(OwnSteps(model, *given, STEPS))
    assert steps.recorded is not None and torch.equal(own[0], over[0])
    assert isinstance(first_step(model, *given, STEPS, graphs=False), OwnSteps)


@gpu
@torch.no_grad()
def test_nothing_waits_for_the_gpu_between_two_looks():
    model = on_gpu("llama")
    steps = first_step(model, *prompt_of(model), STEPS, graphs=True)
    tokens = steps.logits.argmax(dim=-1)
    for _ in range(2):  # the first is taken, the second recorded
        steps.step(tokens)
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps.step(tokens)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@gpu
def test_memory_of_a_batch_returns():
    model = on_gpu("llama")

    def used():
        gc.collect()
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    def answered():
        with torch.no_grad():
            followed(first_step(model, *prompt_of(model), 3 * STRIDE, graphs=True), 3 * STRIDE)

    answered()
    before = used()
    for _ in range(3):
        answered()
    assert used() == before
