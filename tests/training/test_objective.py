"""Laws of the objective: every term has a gradient, no weight means no cost, what is logged is what is optimised."""

from itertools import product

import pytest
import torch
from safetensors.torch import load_file, save_file
from sums_task import Sums
from tiny_models import tiny_model
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from lab.answers.generation import greedy
from lab.config.layout import LAYOUTS, TEXT, get_layout
from lab.config.run import RunConfig
from lab.errors import LabError
from lab.models.alignment import overlaps, pooled, projected, token_spans
from lab.models.inputs import answer_logits, build_inputs
from lab.runs.directory import RunDirectory
from lab.tasks import shots_text
from lab.training import losses, objective
from lab.training.loop import train
from lab.training.objective import Batch, due_weights, marker_tokens, training_terms
from lab.translators import build_translator

SMALL = dict(soft_tokens=3, width=16, depth=1, heads=2, batch_size=4, steps=10, warmup_steps=0, learning_rate=1e-2,
             layout="soft_only")  # fmt: skip
TERMS = {
    "answer_nll": {},
    "flow": {"flow_weight": 0.5, "teacher": "answer", "translator": "dit", "flow_condition_dropout": 0.8},
    "token_alignment": {"token_alignment_weight": 0.5, "teacher": "prompt"},
    "prompt_alignment": {"prompt_alignment_weight": 0.5},
    "geometry": {"geometry_weight": 0.5, "soft_tokens": 0},
    "kl": {"kl_weight": 0.5},
    "contrast": {"contrast_weight": 0.5, "contrast_start": 0},
    "format": {"format_weight": 0.5},
    "probe": {"probe_weight": 0.5},
    "decode": {"decode_weight": 0.5, "decode_every": 1, "decode_tokens": 8},
}


def config(**changes) -> RunConfig:
    return RunConfig.from_parameters(**{**SMALL, **changes})


def batch_of(count=3, shots=0) -> Batch:
    task = Sums()
    return Batch(task.train(0, 0)[:count], {"instruction": "", "shots": shots_text(task.exemplars(shots))})


def terms_of(pair, settings, batch=None, step=1, seed=0):
    torch.manual_seed(seed)
    translator = build_translator(settings.translator, pair, "all").train()
    for parameter in translator.parameters():  # the DiT's last layers begin at zero
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return translator, training_terms(translator, pair, settings, batch or batch_of(), step, Sums(), greedy)


@pytest.mark.parametrize("name", TERMS)
def test_a_gradient_runs_through_every_term(tiny_pair, name):
    translator, terms = terms_of(tiny_pair, config(**TERMS[name]))
    assert terms[name].isfinite() and terms[name] > 0
    terms[name].backward()
    reached = [parameter.grad is not None and bool(parameter.grad.any()) for parameter in translator.parameters()]
    assert all(reached)
    assert all(parameter.grad is None for parameter in tiny_pair.target.model.parameters())


@pytest.mark.parametrize("name", TERMS)
def test_a_term_without_weight_costs_nothing(tiny_pair, name, monkeypatch):
    functions = {"answer_nll": "answer_nll", "token_alignment": "token_distance", "prompt_alignment": "mean_distance",
                 "geometry": "token_distance", "kl": "text_kl", "contrast": "contrast", "format": "format_nll",
                 "probe": "word_probe", "decode": "decoded_margin"}  # fmt: skip
    if name in functions:
        monkeypatch.setattr(objective.losses, functions[name], lambda *given: pytest.fail(f"{name} was computed"))
    other = "prompt_alignment" if name != "prompt_alignment" else "probe"
    settings = config(**{"answer_nll_weight": 0.0, f"{other}_weight": 1.0})
    assert set(terms_of(tiny_pair, settings)[1]) == {other}
    if name == "answer_nll":  # and the target is not run at all
        monkeypatch.setattr(objective, "answer_logits", lambda *given: pytest.fail("the target was run"))
        terms_of(tiny_pair, settings)


def test_the_sum_logged_is_the_sum_optimised_term_by_term(tiny_pair, tmp_path):
    settings = config(kl_weight=0.3, contrast_weight=0.05, contrast_start=4, decode_weight=0.02, decode_every=5,
                      decode_tokens=4, format_weight=0.1, steps=10, name="run")  # fmt: skip
    run = RunDirectory.create(tmp_path / "run", settings)
    train(settings, tiny_pair, Sums(), run, decode=greedy)
    rows = [row for row in run.metrics() if row["kind"] == "step"]
    for row in rows:
        assert row["terms"].keys() == row["weights"].keys()
        total = sum(row["weights"][name] * value for name, value in row["terms"].items())
        assert row["loss"] == pytest.approx(total, rel=1e-5)
    assert [row["step"] for row in rows if "contrast" in row["terms"]] == [5, 6, 7, 8, 9, 10]
    assert [row["step"] for row in rows if "decode" in row["terms"]] == [5, 10]


def test_contrast_begins_after_half_of_warm_up():
    settings = config(contrast_weight=0.05, warmup_steps=8)
    assert ["contrast" in due_weights(settings, step) for step in (4, 5)] == [False, True]


@pytest.mark.parametrize("base, changes", [
    ({}, {"answer_nll_weight": 0.5}), ({}, {"kl_weight": 0.5}), ({"kl_weight": 0.5}, {"kl_tokens": 2}),
    ({}, {"format_weight": 0.5}), ({}, {"probe_weight": 0.5}), ({}, {"prompt_alignment_weight": 0.5}),
    ({}, {"contrast_weight": 0.5}), ({"contrast_weight": 0.5}, {"contrast_start": 2}),
    ({}, {"token_alignment_weight": 0.5, "teacher": "prompt"}),
    ({"token_alignment_weight": 0.5, "teacher": "prompt"}, {"teacher": "answer"}),
    ({"soft_tokens": 0}, {"geometry_weight": 0.5}), ({"soft_tokens": 0}, {"soft_tokens_cap": 6}),
    ({}, {"decode_weight": 0.5, "decode_every": 1, "decode_tokens": 4}),
    ({"decode_weight": 0.5, "decode_every": 1, "decode_tokens": 4}, {"decode_every": 2}),
    ({"decode_weight": 0.5, "decode_every": 1, "decode_tokens": 4}, {"decode_samples": 3}),
    ({"decode_weight": 0.5, "decode_every": 1, "decode_tokens": 4}, {"decode_tokens": 8}),
    ({}, {"question_until": 1}), ({"layout": "soft_plus_text"}, {"injection": "adapter"}),
    ({"layout": "soft_plus_text", "injection": "adapter"}, {"adapter_scale": 0.5}),
    ({"translator": "dit"}, {"conditioning": "mean"}), ({"translator": "dit"}, {"flow_train_steps": 4}),
    ({"translator": "dit"}, {"flow_backprop_steps": 1}),
    ({"translator": "dit"}, {"flow_weight": 0.5, "teacher": "prompt"}),
    ({"translator": "dit", "flow_weight": 0.5, "teacher": "prompt"}, {"flow_condition_dropout": 0.9}),
], ids=str)  # fmt: skip
def test_every_field_changes_the_trained_weights(tiny_pair, tmp_path, base, changes):
    finals = []
    for folder, extra in (("a", base), ("b", {**base, **changes})):
        settings = config(steps=3, name="run", **extra)
        run = RunDirectory.create(tmp_path / folder, settings)
        finals.append(train(settings, tiny_pair, Sums(), run, decode=greedy).translator.state_dict())
    first, second = finals
    assert any(first[key].shape != second[key].shape or not torch.equal(first[key], second[key]) for key in first)


ALLOWED = [("prepend", layout) for layout in LAYOUTS] + [("adapter", "soft_plus_text")]


@pytest.mark.parametrize(
    "translator, where", list(product(["resampler", "dit", "linear", "constant"], ALLOWED)), ids=str
)
def test_ten_steps_of_every_translator_injection_and_layout(tiny_pair, tmp_path, translator, where):
    injection, layout = where
    tokens = 0 if translator == "linear" else 3
    settings = config(translator=translator, soft_tokens=tokens, injection=injection, layout=layout, name="run")
    run = RunDirectory.create(tmp_path / "run", settings)
    if translator == "linear" and injection == "adapter":  # the source reads a BOS and as many tokens as the prompt has
        settings = settings.replace(soft_tokens_cap=8)
    train(settings, tiny_pair, Sums(), run)
    values = [row["loss"] for row in run.metrics() if row["kind"] == "step"]
    assert len(values) == 10 and min(values[5:]) < values[0]


@pytest.mark.parametrize("layout", ["soft_only", "soft_in_context"])
def test_an_adapter_without_text_is_refused(layout):
    with pytest.raises(LabError, match="adapter.*no {question}"):
        config(injection="adapter", layout=layout)


def test_an_adapter_longer_than_its_prompt_is_refused_at_the_first_batch(tiny_pair):
    with pytest.raises(LabError, match="soft_tokens=400 is more than the"):
        terms_of(tiny_pair, config(soft_tokens=400, injection="adapter", layout="soft_plus_text"))


def test_an_adapter_adds_to_the_last_embeddings_of_the_plain_prompt(tiny_pair):
    batch, target = batch_of(), tiny_pair.target
    layout = get_layout("soft_plus_text", adapter_scale=0.5)
    soft = torch.randn(3, 4, target.hidden_size)
    plain = build_inputs(target, TEXT, None, batch.contexts, batch.answers)
    adapted = build_inputs(target, layout, soft, batch.contexts, batch.answers)
    assert adapted.text_tokens == plain.text_tokens == adapted.prompt_lengths
    assert torch.equal(adapted.labels, plain.labels)
    change = adapted.embeds - plain.embeds
    for row in range(3):
        ends = int((plain.labels[row] != -100).nonzero()[0])
        torch.testing.assert_close(change[row, ends - 4 : ends], 0.5 * soft[row], atol=1e-5, rtol=1e-4)
        assert not change[row, : ends - 4].any() and not change[row, ends:].any()


def test_the_curriculum_ends_where_evaluation_is():
    settings = config(question_until=4, layout="soft_only")
    assert [settings.layout.at(step).context_aware for step in (1, 4, 5)] == [True, True, False]
    assert settings.layout.at() == settings.layout.at(5) == LAYOUTS["soft_only"]


def test_kl_is_zero_for_the_text_itself_and_its_slice_is_aligned(tiny_pair):
    """At the answer's own positions. The earlier script compared the first positions of each sequence instead, that is
    prompt tokens with answer tokens: it sees a difference where there is none."""
    batch, target = batch_of(), tiny_pair.target
    inputs = build_inputs(target, TEXT, None, batch.contexts, batch.answers)
    logits, labels = answer_logits(target, inputs)
    assert losses.text_kl(logits, logits, inputs).abs() < 1e-6

    shots = build_inputs(
        target, TEXT, None, [{**c, "instruction": "Think.\n\n"} for c in batch.contexts], batch.answers
    )
    longer, again = answer_logits(target, shots)
    assert torch.equal(labels, again) and losses.text_kl(longer, logits, shots) > 0

    def everywhere(inputs):
        return target.model(inputs_embeds=inputs.embeds, attention_mask=inputs.attention_mask,
                            position_ids=inputs.position_ids).logits  # fmt: skip

    moved = build_inputs(target, TEXT, None, batch.contexts[:1], batch.answers[:1])
    prompt = moved.prompt_lengths[0]
    whole = everywhere(moved)[0].log_softmax(-1)
    misaligned = torch.nn.functional.kl_div(
        whole[:3], whole[prompt - 1 : prompt + 2], log_target=True, reduction="batchmean"
    )
    assert misaligned.abs() > 1e-4  # the same model and the same text, and yet a loss


def test_kl_of_the_first_tokens_takes_them_from_every_answer(tiny_pair):
    batch, target = batch_of(), tiny_pair.target
    inputs = build_inputs(target, TEXT, None, batch.contexts, batch.answers)
    logits, _ = answer_logits(target, inputs)
    other = logits + torch.randn_like(logits)
    lengths = (inputs.labels != -100).sum(dim=1).tolist()
    starts = [sum(lengths[:row]) for row in range(3)]
    rows = torch.tensor([start + place for start in starts for place in range(2)])
    expected = torch.nn.functional.kl_div(
        logits[rows].log_softmax(-1), other[rows].log_softmax(-1), log_target=True, reduction="batchmean"
    )
    torch.testing.assert_close(losses.text_kl(logits, other, inputs, first=2), expected)


@pytest.mark.parametrize("term", [losses.answer_nll, lambda logits, other: losses.text_kl(logits, other, None)])
def test_logits_in_pieces_give_the_same_loss_and_gradient_and_keep_no_wide_copy(term, monkeypatch):
    """A vocabulary of 262 144 in float32 copies at batch 32 filled 56 GiB."""
    logits = torch.randn(50, 300, dtype=torch.bfloat16, requires_grad=True)
    other = torch.randint(0, 300, (50,)) if term is losses.answer_nll else torch.randn(50, 300).bfloat16()

    def found():
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: (kept.append(x), x)[1], lambda x: x):
            loss = term(logits, other)
        return loss, torch.autograd.grad(loss, logits)[0], sum(x.nbytes for x in kept if x.dtype == torch.float32)

    loss, gradient, wide = found()
    monkeypatch.setattr(losses, "AT_ONCE", 7 * 300)  # seven rows, and one of them alone at the end
    pieces, again, narrow = found()
    torch.testing.assert_close(pieces, loss)
    torch.testing.assert_close(again, gradient)
    assert wide >= logits.numel() * 4 and narrow < 0.01 * wide


def test_any_architecture_can_be_the_target(tiny_pair):
    """Its head may have another name than Llama's; the logits are the model's own."""
    shape = dict(hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=6)
    target = tiny_model(GPTNeoXForCausalLM, GPTNeoXConfig, tiny_pair.target.tokenizer, **shape)
    inputs = build_inputs(target, TEXT, None, batch_of().contexts, batch_of().answers)
    logits, _ = answer_logits(target, inputs)
    whole = target.model(inputs_embeds=inputs.embeds, attention_mask=inputs.attention_mask,
                         position_ids=inputs.position_ids).logits  # fmt: skip
    torch.testing.assert_close(logits, whole[:, :-1][inputs.labels[:, 1:] != -100])


def test_contrast_prefers_the_own_prompt_and_works_in_float32():
    own = torch.eye(4, 8, dtype=torch.bfloat16)
    assert losses.contrast(own, own) < losses.contrast(own, own.flip(0))
    assert losses.contrast(own, own).dtype == torch.float32
    assert losses.contrast(own[:1], own[:1]) == 0


def test_format_loss_sees_the_marker_alone(tiny_pair):
    batch, target = batch_of(), tiny_pair.target
    inputs = build_inputs(target, TEXT, None, batch.contexts, batch.answers)
    logits, labels = answer_logits(target, inputs)
    marker = marker_tokens(target)
    text = target.tokenizer.decode(sorted(marker))
    assert "#" in text and not any(character.isdigit() for character in text)
    elsewhere = logits.clone()
    elsewhere[~torch.isin(labels, torch.tensor(sorted(marker)))] += torch.randn(logits.shape[1])
    torch.testing.assert_close(losses.format_nll(logits, labels, marker), losses.format_nll(elsewhere, labels, marker))


def test_the_decode_term_is_silent_where_the_answers_are_right():
    gold, decoded = torch.tensor([-1.0, -1.0]), torch.tensor([-0.5, -0.5])
    assert losses.decoded_margin(gold, decoded, torch.tensor([False, False])) == 0
    assert losses.decoded_margin(gold, decoded, torch.tensor([True, False])) == pytest.approx(0.75)


def test_offsets_align_two_tokenizations():
    assert overlaps([(0, 3), (3, 5)], [(0, 2), (2, 5)]).tolist() == [[2.0, 1.0], [0.0, 2.0]]


def test_projection_of_a_model_to_itself_is_its_embeddings(tiny_pair):
    text, model = "Q: Tom has 312 apples.\nA:", tiny_pair.target
    values, found = projected(model, model, text)
    ids = model.tokens([text])[0]
    assert found.tolist() == [False] + [True] * len(ids)  # BOS stands for no characters
    torch.testing.assert_close(values[1:], model.embed(torch.tensor(ids)))
    across, known = projected(tiny_pair.source, model, text)
    assert len(across) == 1 + len(token_spans(tiny_pair.source, text)) and known[1:].all()


def test_pooling_keeps_short_texts_and_averages_long_ones():
    rows = torch.arange(6.0)[:, None]
    assert torch.equal(pooled(rows, 6), rows)
    assert pooled(rows, 3).flatten().tolist() == [0.5, 2.5, 4.5]


def negatives_of_two_ranks(rank, folder, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/sync", rank=rank, world_size=2)
    rows = torch.eye(4)[2 * rank : 2 * rank + 2].clone().requires_grad_()
    loss = losses.contrast(rows, rows + 0.1)
    loss.backward()
    save_file({"loss": loss.detach(), "grad": rows.grad}, f"{folder}/{rank}.safetensors")
    torch.distributed.destroy_process_group()


def test_negatives_come_from_all_ranks(tmp_path):
    torch.multiprocessing.spawn(negatives_of_two_ranks, (str(tmp_path), None), nprocs=2)
    halves = [load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1)]
    whole = losses.contrast(torch.eye(4), torch.eye(4) + 0.1)
    torch.testing.assert_close(sum(half["loss"] for half in halves) / 2, whole)
    assert all(half["grad"].any() for half in halves)
