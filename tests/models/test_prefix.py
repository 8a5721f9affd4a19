"""What all rows begin with is read once: the same logits and the same gradients as when each row reads it."""

from dataclasses import replace

import pytest
import torch
from model_zoo import ZOO, zoo_model

import lab.models.prefix as prefix_module
from lab.config import TEXT
from lab.config.layout import get_layout
from lab.models import answer_logits, build_inputs
from lab.models.prefix import LEAST, prefix_of, shared_start

SHOTS = "Q: Ana has 3 figs and buys 4 more. How many?\nA: 3 + 4 = 7.\n#### 7\n\n" * 3
CONTEXTS = [{"shots": SHOTS, "question": "Tom has 3 apples."},
            {"shots": SHOTS, "question": "A box holds 24 pens. Mia fills 5 boxes. How many?"}]  # fmt: skip
ANSWERS = ["3 + 12 = 15.\n#### 15", "#### 120"]
PLAIN = ("llama", "mistral", "qwen2", "gpt2", "opt", "bloom")  # whose cache is keys and values and nothing else


def both_ways(model, inputs, soft=None):
    """(logits, gradient of their squares' sum to `soft`) with the beginning read once, and with it in every row."""
    found = []
    for given in (inputs, replace(inputs, shared=())):
        logits, labels = answer_logits(model, given)
        gradient = torch.autograd.grad(logits.square().sum(), soft, retain_graph=True)[0] if soft is not None else None
        found.append((logits, labels, gradient))
    return found


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("layout", ["soft_in_context", "text"])
def test_a_shared_beginning_changes_nothing(name, layout):
    model = zoo_model(name)
    if model is None:
        pytest.skip("the installed transformers has no such model")
    torch.manual_seed(0)
    soft = None
    if layout != "text":
        soft = (torch.randn(2, 3, model.embedding_size) * model.embedding_rms).requires_grad_()
    inputs = build_inputs(model, TEXT if soft is None else get_layout(layout), soft, CONTEXTS, ANSWERS)
    assert len(inputs.shared) >= LEAST
    (fast, labels, gradient), (plain, same, other) = both_ways(model, inputs, soft)
    assert torch.equal(labels, same)
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-4)
    if soft is not None:
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-3 * other.abs().max().item())
    if name in PLAIN:
        assert prefix_of(model, inputs.shared) is not None


def test_it_is_read_once_for_all_steps(monkeypatch):
    model, read = zoo_model("llama"), []
    monkeypatch.setattr(model, "prefixes", {})
    kept = prefix_module._read
    monkeypatch.setattr(prefix_module, "_read", lambda *given: read.append(given) or kept(*given))
    for _ in range(3):
        soft = torch.randn(2, 3, model.embedding_size)
        answer_logits(model, build_inputs(model, get_layout("soft_in_context"), soft, CONTEXTS, ANSWERS))
    assert len(read) == 1


def test_no_soft_token_and_no_label_is_in_it(tiny_pair):
    """Soft tokens in front: nothing is shared but what stands before them."""
    soft = torch.randn(2, 3, tiny_pair.target.embedding_size)
    inputs = build_inputs(tiny_pair.target, get_layout("soft_plus_text"), soft, CONTEXTS, ANSWERS)
    assert inputs.shared == (tiny_pair.target.tokenizer.bos_token_id,)
    same = build_inputs(tiny_pair.target, TEXT, None, [CONTEXTS[0]] * 2, ANSWERS)
    assert len(same.shared) == same.prompt_lengths[0] - 1


def test_shared_start_is_the_longest_one():
    rows = [[1, 2, 3, 4, 9], [1, 2, 3, 5], [1, 2, 3, 4, 9]]
    assert shared_start(rows, [5, 4, 5]) == (1, 2, 3)
    assert shared_start(rows, [2, 4, 5]) == (1, 2) and shared_start(rows, [0, 4, 5]) == ()
    assert shared_start([rows[0]], [4]) == (1, 2, 3, 4)
