"""Laws of the diagnostics: planted collapse shows, sums are sums, what is near is near, attention is as computed."""

import json

import pytest
import torch

from lab.config.run import RunConfig
from lab.errors import LabError
from lab.pictures.bridge_figures import (
    attention_figure,
    collapse_figure,
    first_token_figure,
    gates_table,
    nearest_table,
)
from lab.studies.diagnostics import (
    attention_over_source,
    diagnose,
    first_token,
    gates,
    nearest_tokens,
    similarity,
    soft_token_sizes,
    write_diagnostics,
)
from lab.tasks import Question
from lab.tasks.minigsm import MiniGSM
from lab.training.losses import check_gradients, gradient_norms
from lab.translators import build_translator
from lab.translators.bridge import Bridge

CONFIG = RunConfig.from_parameters(layout="soft_only", soft_tokens=3, width=16, depth=2, heads=2)


@pytest.fixture
def bridge(tiny_pair):
    torch.manual_seed(0)
    return Bridge(tiny_pair.source, build_translator(CONFIG.translator, tiny_pair, "all"))


def test_collapse_shows():
    one = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(0))
    assert similarity(one.expand(6, 4, 16))["between"] == pytest.approx(1, abs=1e-5)
    assert similarity(one[:, :1].expand(1, 4, 16))["within"] == pytest.approx(1, abs=1e-5)
    different = similarity(torch.eye(16).reshape(4, 4, 16))
    assert different["between"] == pytest.approx(0, abs=1e-6) and different["within"] == pytest.approx(0, abs=1e-6)
    assert similarity(one)["between"] is None and similarity(one[:, :1])["within"] is None


def test_similarity_is_the_mean_over_pairs():
    soft = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(1))
    unit = soft / soft.norm(dim=-1, keepdim=True)
    between = [(unit[i] * unit[j]).sum(-1) for i in range(5) for j in range(5) if i != j]
    within = [unit[i, k] @ unit[i, m] for i in range(5) for k in range(3) for m in range(3) if k != m]
    found = similarity(soft)
    assert found["between_per_slot"] == pytest.approx(torch.stack(between).mean(0).tolist(), abs=1e-5)
    assert found["within"] == pytest.approx(torch.stack(within).mean().item(), abs=1e-5)


def test_sizes_are_multiples_of_the_embeddings():
    assert soft_token_sizes(torch.full((2, 3, 8), 0.5), 0.25)["per_slot"] == [2.0, 2.0, 2.0]


def test_a_word_is_nearest_to_itself(tiny_pair):
    token = tiny_pair.target.tokens([" apples"])[0][0]
    soft = tiny_pair.target.embed(torch.tensor([[token]]))[0] * 3
    (best, cosine), *_ = nearest_tokens(tiny_pair.target, soft)[0]
    assert best == tiny_pair.target.tokenizer.decode([token]) and cosine == pytest.approx(1, abs=1e-5)


def test_the_same_distribution_has_no_divergence(tiny_pair):
    logs = torch.randn(4, 320, generator=torch.Generator().manual_seed(2)).log_softmax(-1)
    found = first_token(tiny_pair.target, logs, logs)
    assert found["kl_text_bridged"] == pytest.approx([0] * 4) and found["shared_top5"] == found["same_top1"] == 1
    uniform = torch.zeros(1, 320).log_softmax(-1)
    assert first_token(tiny_pair.target, uniform, uniform)["entropy_text"] == pytest.approx([5.7683], abs=1e-4)


def test_attention_is_the_translators_own(tiny_pair, bridge):
    """Weights that are rebuilt from the hooks give back what the cross-attention computed."""
    question = Question("x", "Tom has 3 apples. How many?", "", "", "")
    found = attention_over_source(bridge, question)
    weights = torch.tensor(found["weights"])
    assert weights.shape == (3, len(found["tokens"]))
    torch.testing.assert_close(weights.sum(-1), torch.ones(3))
    block, given = bridge.translator.blocks[0], {}
    hook = block.cross_attention.register_forward_hook(lambda m, args, out: given.update(args=args, out=out))
    bridge.write([question])
    hook.remove()
    queries, context, mask = given["args"]
    attention = block.cross_attention
    key, value = (x.unflatten(-1, (2, -1)).transpose(1, 2) for x in attention.key_value(context).chunk(2, dim=-1))
    query = attention.query(queries).unflatten(-1, (2, -1)).transpose(1, 2)
    mixed = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1) @ value
    torch.testing.assert_close(attention.output(mixed.transpose(1, 2).flatten(2)), given["out"])


def test_gradients_of_each_term_alone(bridge):
    weight = bridge.translator.output.weight
    terms = {"a": weight.sum(), "b": 2 * weight.sum(), "c": weight.detach().sum()}
    norms = gradient_norms(bridge.translator, terms)
    assert norms["b"] == pytest.approx(2 * norms["a"]) and norms["c"] == 0 and weight.grad is None
    check_gradients(bridge.translator, terms, {"a": 1.0, "b": 1.0, "c": 0.0})
    with pytest.raises(LabError, match="'c' is detached"):
        check_gradients(bridge.translator, terms, {"a": 1.0, "b": 1.0, "c": 1.0})


def test_a_diagnosis_is_json_and_drawn(tiny_pair, bridge, tmp_path):
    task = MiniGSM()
    found = diagnose(CONFIG, tiny_pair, task, bridge, task.dev()[:6])
    assert json.loads(write_diagnostics(tmp_path, found, {"run": "r"}).read_text()) == {"run": "r", **found}
    assert set(gates(bridge.translator)) == set(found["gates"]) and found["gradient_norms"]["answer_nll"] > 0
    for draw in (collapse_figure, first_token_figure, attention_figure):
        assert draw(found).data
    found["example"]["nearest_tokens"][0][0][0] = "<script>"
    assert "<script>" not in nearest_table(found)._repr_html_() and "<script>" in str(nearest_table(found))
    assert gates_table(found).column("name") == [*found["gates"], *found["loss_terms"]]
