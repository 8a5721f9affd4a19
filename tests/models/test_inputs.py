"""Laws of target inputs: one path for training and evaluation, gradients to the soft tokens, padding without effect."""

import pytest
import torch

from lab.config.layout import LAYOUTS, TEXT, get_layout
from lab.errors import LabError
from lab.models.inputs import IGNORED, build_inputs

CONTEXTS = [
    {"instruction": "Solve.\n\n", "shots": "Q: 1 + 1?\nA: 2\n#### 2\n\n", "question": "Tom has 12 apples, how many?"},
    {"instruction": "Solve.\n\n", "shots": "Q: 1 + 1?\nA: 2\n#### 2\n\n", "question": "x?"},
    {"instruction": "", "shots": "", "question": "Mia fills 24 boxes with 120 pens each. How many pens are there?"},
]
ANSWERS = ["12\n#### 12", "0\n#### 0", "24 * 120 = 2880\n#### 2880"]
ALL = [*LAYOUTS.values(), TEXT, get_layout("{instruction}Q: {question} {soft}{shots}!")]
every_layout = pytest.mark.parametrize("layout", ALL, ids=lambda layout: layout.name)


def soft_for(pair, layout, rows=3, count=4):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(rows, count, pair.target.hidden_size, generator=generator) if layout.has_soft else None


def logits(target, inputs):
    with torch.no_grad():
        return target.model(
            inputs_embeds=inputs.embeds, attention_mask=inputs.attention_mask, position_ids=inputs.position_ids
        ).logits


def row_of(inputs, row):
    return inputs.embeds[row][inputs.attention_mask[row].bool()]


@every_layout
def test_left_padding_changes_no_logit(tiny_pair, layout):
    soft = soft_for(tiny_pair, layout)
    inputs = build_inputs(tiny_pair.target, layout, soft, CONTEXTS, ANSWERS)
    batch = logits(tiny_pair.target, inputs)
    assert (inputs.attention_mask == 0).any() and batch.isfinite().all()
    for row in range(3):
        one = None if soft is None else soft[row : row + 1]
        single = build_inputs(tiny_pair.target, layout, one, CONTEXTS[row : row + 1], ANSWERS[row : row + 1])
        alone = logits(tiny_pair.target, single)[0]
        assert torch.equal(row_of(inputs, row), single.embeds[0])
        torch.testing.assert_close(batch[row, -len(alone) :], alone, rtol=1e-3, atol=1e-3)


@every_layout
def test_training_and_evaluation_read_the_same_prompt(tiny_pair, layout):
    soft = soft_for(tiny_pair, layout)
    training = build_inputs(tiny_pair.target, layout, soft, CONTEXTS, ANSWERS)
    evaluation = build_inputs(tiny_pair.target, layout, soft, CONTEXTS)
    assert evaluation.labels is None
    assert training.prompt_lengths == evaluation.prompt_lengths and training.text_tokens == evaluation.text_tokens
    for row, length in enumerate(evaluation.prompt_lengths):
        assert len(row_of(evaluation, row)) == length
        assert torch.equal(row_of(training, row)[:length], row_of(evaluation, row))
        for inputs in (training, evaluation):
            real = inputs.attention_mask[row].bool()
            assert inputs.position_ids[row][real].tolist() == list(range(int(real.sum())))


@every_layout
def test_no_prompt_depends_on_an_answer(tiny_pair, layout):
    soft = soft_for(tiny_pair, layout)
    one, other = (build_inputs(tiny_pair.target, layout, soft, CONTEXTS, a) for a in (ANSWERS, ["7", "8 8", "9\n9"]))
    for row, length in enumerate(one.prompt_lengths):
        assert torch.equal(row_of(one, row)[:length], row_of(other, row)[:length])


def test_text_alone_is_the_plain_prompt(tiny_pair):
    target = tiny_pair.target
    inputs = build_inputs(target, TEXT, None, CONTEXTS)
    texts = [TEXT.visible_text(**context) for context in CONTEXTS]
    ids, mask = target.encode(texts)
    assert torch.equal(inputs.attention_mask, mask) and torch.equal(inputs.embeds, target.embed(ids))
    plain = target.model(input_ids=target.encode(texts[1:2])[0]).logits[0, -1]
    torch.testing.assert_close(logits(target, inputs)[1, -1], plain, rtol=1e-3, atol=1e-3)
    assert inputs.text_tokens == inputs.prompt_lengths == mask.sum(1).tolist()


def test_soft_tokens_lie_where_the_layout_says(tiny_pair):
    target, soft = tiny_pair.target, soft_for(tiny_pair, LAYOUTS["soft_in_context"])
    inputs = build_inputs(target, LAYOUTS["soft_in_context"], soft, CONTEXTS)
    for row, context in enumerate(CONTEXTS):
        before = len(target.encode([context["instruction"] + context["shots"] + "Q:"])[0][0])
        assert torch.equal(row_of(inputs, row)[before : before + 4], soft[row])
        after = row_of(inputs, row)[before + 4 :]
        assert torch.equal(after, target.embed(target.encode(["\nA:"], bos=False)[0])[0])
    assert inputs.text_tokens == [length - 4 for length in inputs.prompt_lengths]
    bare = build_inputs(target, LAYOUTS["soft_only"], soft, [{"question": "q"}] * 3)
    bos = torch.tensor(target.tokenizer.bos_token_id)
    assert torch.equal(bare.embeds[:, 0], target.embed(bos).expand(3, -1)) and torch.equal(bare.embeds[:, 1:5], soft)


def test_soft_only_does_not_depend_on_the_question(tiny_pair):
    soft = soft_for(tiny_pair, LAYOUTS["soft_only"])
    one = build_inputs(tiny_pair.target, LAYOUTS["soft_only"], soft, [{"question": "a"}] * 3)
    other = build_inputs(tiny_pair.target, LAYOUTS["soft_only"], soft, [{"question": "quite another"}] * 3)
    assert torch.equal(one.embeds, other.embeds)


def test_labels_are_the_answer_and_its_end_only(tiny_pair):
    target = tiny_pair.target
    layout = LAYOUTS["soft_plus_text"]
    inputs = build_inputs(target, layout, soft_for(tiny_pair, layout), CONTEXTS, ANSWERS)
    for row, answer in enumerate(ANSWERS):
        scored = inputs.labels[row] != IGNORED
        expected = target.tokens([" " + answer], continued=True)[0] + [target.tokenizer.eos_token_id]
        assert inputs.labels[row][scored].tolist() == expected
        assert scored[-len(expected) :].all()
        assert torch.equal(inputs.embeds[row][scored], target.embed(torch.tensor(expected)))
        assert int(inputs.attention_mask[row].sum()) == inputs.prompt_lengths[row] + len(expected)


@pytest.mark.parametrize("name", LAYOUTS)
def test_gradients_reach_every_soft_token_and_nothing_else(tiny_pair, name):
    soft = soft_for(tiny_pair, LAYOUTS[name]).requires_grad_()
    inputs = build_inputs(tiny_pair.target, LAYOUTS[name], soft, CONTEXTS, ANSWERS)
    output = tiny_pair.target.model(
        inputs_embeds=inputs.embeds, attention_mask=inputs.attention_mask, position_ids=inputs.position_ids
    ).logits
    labels = inputs.labels[:, 1:].reshape(-1)
    torch.nn.functional.cross_entropy(output[:, :-1].flatten(0, 1), labels, ignore_index=IGNORED).backward()
    assert soft.grad.isfinite().all() and (soft.grad.abs().amax(dim=2) > 0).all()
    assert all(parameter.grad is None for parameter in tiny_pair.target.model.parameters())


def test_soft_tokens_enter_in_the_dtype_of_the_target(tiny_pair):
    soft = soft_for(tiny_pair, LAYOUTS["soft_only"]).double().requires_grad_()
    inputs = build_inputs(tiny_pair.target, LAYOUTS["soft_only"], soft, CONTEXTS)
    inputs.embeds.sum().backward()
    assert inputs.embeds.dtype == torch.float32 and soft.grad.dtype == torch.float64


@pytest.mark.parametrize(
    ("layout", "shape", "contexts", "answers", "message"),
    [
        ("soft_only", None, CONTEXTS, None, "needs soft tokens"),
        ("text", (3, 2, 48), CONTEXTS, None, "no place for the soft tokens"),
        ("soft_only", (2, 2, 48), CONTEXTS, None, r"\[2, 2, 48\].*\[3, K, 48\]"),
        ("soft_only", (3, 2, 32), CONTEXTS, None, r"\[3, K, 48\]"),
        ("soft_only", (3, 48), CONTEXTS, None, r"\[3, K, 48\]"),
        ("soft_only", (3, 2, 48), CONTEXTS, ["1"], "1 answers for 3 contexts"),
        ("soft_only", (0, 2, 48), [], None, "empty batch"),
        ("soft_only", (1, 2, 48), [{"answer": "42"}], None, "'answer'"),
        ("soft_only", (1, 1024, 48), [{}], None, "at most 1024 tokens"),
    ],
)
def test_arguments_that_disagree_are_told(tiny_pair, layout, shape, contexts, answers, message):
    soft = None if shape is None else torch.zeros(shape)
    with pytest.raises(LabError, match=message):
        build_inputs(tiny_pair.target, {**LAYOUTS, "text": TEXT}[layout], soft, contexts, answers)
