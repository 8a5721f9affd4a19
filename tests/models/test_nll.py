"""The loss of a frozen target, and its gradient made in the forward pass: the same as the straightforward way."""

import copy

import pytest
import torch
import torch.nn.functional as F
from model_zoo import ZOO, zoo_model
from transformers import AttentionInterface

import lab.models.attention as attention
import lab.models.cross_entropy as pieces
import lab.models.nll as nll
from lab.config.layout import get_layout
from lab.errors import LabError
from lab.models import IGNORED, answer_logits, answer_nll, build_inputs
from lab.models.architecture import apart
from lab.models.attention import causal_attention, goes_unmasked, moved_left, says_the_same_unmasked
from lab.models.cross_entropy import head_nll
from lab.models.inputs import next_labels
from lab.models.nll import _backward, _block_forward
from lab.models.prefix import unread

SHOTS = "Q: Ana has 3 figs and buys 4 more. How many?\nA: 3 + 4 = 7.\n#### 7\n\n" * 3
QUESTIONS = ["Tom has 3 apples.", "A box holds 24 pens. Mia fills 5 boxes. How many?"]
ANSWERS = ["3 + 12 = 15.\n#### 15", "#### 120"]


def installed(name):
    model = zoo_model(name)
    if model is None:
        pytest.skip("the installed transformers has no such model")
    return model


def batch(model, shots="", scale=1.0):
    torch.manual_seed(0)
    soft = (torch.randn(2, 3, model.embedding_size) * model.embedding_rms * scale).to(model.device).requires_grad_()
    contexts = [{"shots": shots, "question": question} for question in QUESTIONS]
    return build_inputs(model, get_layout("soft_in_context"), soft, contexts, ANSWERS), soft


def plain(model, inputs, soft):
    logits, labels = answer_logits(model, inputs)
    loss = F.cross_entropy(logits.float(), labels)
    return loss, torch.autograd.grad(loss, soft, retain_graph=True)[0]


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("shots", ["", SHOTS], ids=["short", "behind a prefix"])
def test_loss_and_gradient_are_those_of_the_plain_pass(name, shots):
    model = installed(name)
    inputs, soft = batch(model, shots)
    with model.plainly():
        loss, gradient = plain(model, inputs, soft)
    ours = answer_nll(model, inputs)
    torch.testing.assert_close(ours, loss, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.autograd.grad(3 * ours, soft)[0], 3 * gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ZOO)
def test_what_a_graph_captures_is_the_plain_pass(name):
    """More positions than are scored, those without a label counting for nothing: no shape depends on a value."""
    model = installed(name)
    inputs, soft = batch(model)
    loss, gradient = plain(model, inputs, inputs.embeds)
    rest, labels = unread(model, inputs), next_labels(inputs).flatten()
    where = torch.arange(len(labels))[-90:]
    assert (labels[:-90] == IGNORED).sum() + (labels[where] != IGNORED).sum() < len(labels)
    assert (labels != IGNORED).sum() == (labels[where] != IGNORED).sum()
    found, moved = _backward(*_block_forward(model, None, rest.embeds, rest.mask, rest.places, where, labels[where]))
    torch.testing.assert_close(found, loss, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moved, gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("shots", ["", SHOTS], ids=["short", "behind a prefix"])
def test_rows_at_the_left_need_no_mask(name, shots):
    """Where a model passes its trial, loss and gradient are those of the plain pass, behind a kept prefix as well."""
    model = installed(name)
    if not says_the_same_unmasked(model):
        assert name not in ("llama", "mistral", "qwen3", "gemma", "smollm3")
        return
    inputs, soft = batch(model, shots)
    if (getattr(model.model.config, "sliding_window", None) or 2**30) < inputs.embeds.shape[1]:
        return  # a window that ends within the row is never tried, see `goes_unmasked`
    loss, gradient = plain(model, inputs, inputs.embeds)
    rest, labels = unread(model, inputs), next_labels(inputs)
    count = rest.embeds.shape[1]
    padding = (rest.mask[:, -count:] == 0).sum(dim=1)
    assert padding.max() > 0 and padding.min() == 0
    asked = moved_left(labels[:, -count:], padding).flatten()
    where = (asked != IGNORED).nonzero()[:, 0]
    given = moved_left(rest.embeds, padding), moved_left(rest.places, padding), where, asked[where]
    found, moved = _backward(*nll._unmasked_forward(model, rest.prefix, *given))
    torch.testing.assert_close(found, loss, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moved_left(moved, -padding), gradient[:, -count:], rtol=1e-3, atol=1e-6)


def test_a_kernel_that_is_right_forward_and_wrong_back_is_not_taken(monkeypatch):
    """As one may be for heads of another size: nothing but the gradient tells."""
    model = installed("gemma")
    assert says_the_same_unmasked(model)

    def twisted(module, query, key, value, attention_mask, **more):
        found, _ = causal_attention(module, query, key, value, attention_mask, **more)
        return found.detach() + (found - found.detach()).roll(1, dims=1), None

    monkeypatch.setattr(attention, "_unmasked", {})
    monkeypatch.setitem(AttentionInterface._global_mapping, attention.CAUSAL, twisted)
    assert not says_the_same_unmasked(model)


def test_what_is_moved_left_comes_back():
    values, by = torch.randn(3, 7, 2), torch.tensor([0, 2, 6])
    assert torch.equal(moved_left(moved_left(values, by), -by), values)
    assert torch.equal(moved_left(values, by)[1, :5], values[1, 2:])
    assert torch.equal(moved_left(values[..., 0], by), moved_left(values, by)[..., 0])


@pytest.mark.parametrize("shots", ["", SHOTS], ids=["short", "behind a prefix"])
@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_groups_of_rows_are_the_whole_batch(tiny_pair, monkeypatch, rows, shots):
    model = tiny_pair.target
    torch.manual_seed(0)
    soft = torch.randn(7, 3, model.embedding_size).requires_grad_()
    contexts = [{"shots": shots, "question": "Tom has 3 apples. " * (1 + place % 4)} for place in range(7)]
    answers = ["#### 1", "3 + 12 = 15.\n#### 15", "2", "3 * 4 = 12, then 12 + 9 = 21.\n#### 21", "5", "6", "7"]
    inputs = build_inputs(model, get_layout("soft_in_context"), soft, contexts, answers)
    loss, gradient = plain(model, inputs, soft)
    monkeypatch.setattr(nll, "ON_A_CPU", rows)
    groups = nll.passes(model, inputs)
    assert sorted(row for group in groups for row in group) == list(range(7))
    assert max(map(len, groups)) <= rows and len(groups) == -(-7 // rows)
    ours = answer_nll(model, inputs)
    torch.testing.assert_close(ours, loss, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.autograd.grad(ours, soft)[0], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("shots", ["", SHOTS], ids=["short", "behind a prefix"])
def test_the_shape_of_another_rank_changes_nothing(tiny_pair, monkeypatch, shots):
    """Wider than this rank's batch, with room for more labels: what several ranks agree on."""
    inputs, soft = batch(tiny_pair.target, shots)
    loss, gradient = plain(tiny_pair.target, inputs, soft)
    monkeypatch.setattr(nll, "ON_A_CPU", 1)
    monkeypatch.setattr(nll.ranks, "count", lambda: 2)
    monkeypatch.setattr(nll.ranks, "greatest", lambda numbers: numbers + torch.tensor([13, 50]))
    own, widths = nll._computed, []
    monkeypatch.setattr(nll, "_computed", lambda *given: (widths.append(given[1].embeds.shape[1]), own(*given))[1])
    ours = answer_nll(tiny_pair.target, inputs)
    assert len(widths) == 2 and all(width > 13 for width in widths)
    assert max(widths) > unread(tiny_pair.target, inputs).embeds.shape[1]
    torch.testing.assert_close(ours, loss, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.autograd.grad(ours, soft)[0], gradient, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 700, 7501, 20000])
def test_counts_are_rounded_up_by_a_quarter_at_most(count):
    assert count <= nll._rounded(count) <= count * 1.25 + 64
    assert len({nll._rounded(near) for near in range(count, 2 * count + 1)}) <= 12


def test_what_is_kept_of_a_pass_is_bounded(tiny_pair, monkeypatch):
    inputs, _ = batch(tiny_pair.target)
    monkeypatch.setattr(nll, "AT_ONCE", 1)
    assert sorted(nll.passes(tiny_pair.target, inputs)) == [[0], [1]]


def test_without_a_gradient_it_is_a_number(tiny_pair):
    inputs, _ = batch(tiny_pair.target)
    with torch.no_grad():
        value = answer_nll(tiny_pair.target, inputs)
    assert not value.requires_grad
    assert value.item() == pytest.approx(answer_nll(tiny_pair.target, inputs).item(), rel=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_the_loss_in_pieces_is_that_of_whole_logits(monkeypatch, bias):
    torch.manual_seed(0)
    head, states = torch.nn.Linear(16, 50, bias=bias).requires_grad_(False), torch.randn(23, 16, requires_grad=True)
    labels = torch.randint(0, 50, (23,))
    labels[[0, 7, 22]] = IGNORED
    whole = head_nll(head, states, labels)
    wanted = torch.autograd.grad(2 * whole, states)[0]
    monkeypatch.setattr(pieces, "WHOLE", 0)
    for size in (1, 4, 23):
        monkeypatch.setattr(pieces, "CHUNK", size * 50)
        loss = head_nll(head, states, labels)
        torch.testing.assert_close(loss, whole)
        torch.testing.assert_close(torch.autograd.grad(2 * loss, states)[0], wanted)


def test_the_error_of_a_sure_label_is_not_rounded_away():
    """In half precision 1 - p of a label that is nearly certain is a number of its own, not the rest of a rounded p."""
    logits, labels = torch.zeros(3, 50, dtype=torch.bfloat16), torch.tensor([4, 9, IGNORED])
    logits[0, 4] = logits[1, 9] = 12
    wide = logits.float().clone().requires_grad_()
    wanted = torch.autograd.grad(torch.nn.functional.cross_entropy(wide, labels, reduction="sum"), wide)[0]
    _, error = pieces._loss_and_error(logits.clone(), labels)
    assert 0 < -wanted[0, 4] < 1e-3
    torch.testing.assert_close(error, wanted.to(torch.bfloat16), rtol=8e-3, atol=0)


def test_a_large_vocabulary_goes_in_pieces(monkeypatch):
    seen = []
    own = pieces._loss_and_error
    monkeypatch.setattr(
        pieces, "_loss_and_error", lambda logits, labels: seen.append(len(logits)) or own(logits, labels)
    )
    monkeypatch.setattr(pieces, "WHOLE", 100)
    monkeypatch.setattr(pieces, "CHUNK", 200)
    head = torch.nn.Linear(4, 50, bias=False).requires_grad_(False)
    head_nll(head, torch.randn(2, 4), torch.tensor([1, 2]))
    assert not seen
    head_nll(head, torch.randn(9, 4), torch.arange(9))
    assert seen == [4, 4, 1]


def test_whether_the_head_comes_last():
    """A cap after the head cannot be had from its states; a scale by a power of two (Granite's) can."""
    heads = {name: zoo_model(name).head_is_last for name in ("llama", "qwen2", "gemma3", "granite", "gemma2")}
    assert heads == {"llama": True, "qwen2": True, "gemma3": True, "granite": True, "gemma2": False}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs are captured on a GPU")
@pytest.mark.parametrize("name", ["llama", "gemma3", "granite"])
@pytest.mark.parametrize("shots", ["", SHOTS], ids=["short", "behind a prefix"])
def test_graphs_replay_what_the_plain_pass_gives(name, shots):
    """Captured when a shape comes again, compared with the plain pass then, replayed on other values since."""
    model = copy.deepcopy(zoo_model(name))
    model.model.to("cuda")
    model.device, model.graphs = torch.device("cuda"), True
    for scale in (1.0, 1.0, 0.5, 2.0):
        inputs, soft = batch(model, shots, scale)
        with model.plainly():
            loss, gradient = plain(model, inputs, soft)
        ours = answer_nll(model, inputs)
        torch.testing.assert_close(ours, loss, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(torch.autograd.grad(ours, soft)[0], gradient, rtol=1e-2, atol=1e-5)
    assert len(model.captured.known) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="flash attention runs on a GPU")
@pytest.mark.parametrize("shots", ["", SHOTS], ids=["short", "behind a prefix"])
def test_on_a_gpu_rows_at_the_left_give_what_the_masked_pass_gives(shots):
    """In half precision; seen first, captured, and replayed."""
    model = copy.deepcopy(zoo_model("llama"))
    model.model.to("cuda", torch.bfloat16)
    model.device, model.dtype, model.graphs = torch.device("cuda"), torch.bfloat16, True
    for scale in (1.0, 1.0, 0.5):
        inputs, soft = batch(model, shots, scale)
        assert goes_unmasked(model, inputs.embeds.shape[1])
        with model.plainly():
            loss, gradient = plain(model, inputs, soft)
        ours = answer_nll(model, inputs)
        torch.testing.assert_close(ours.float(), loss.float(), rtol=1e-2, atol=1e-2)
        assert apart(torch.autograd.grad(ours, soft)[0], gradient) < 0.3


@pytest.mark.parametrize("rounding", [nll.REPLAY_ROUNDING, nll.KERNEL_ROUNDING], ids=["launches", "plain"])
@pytest.mark.parametrize(
    "dtype, products, noise",
    [(torch.float32, "highest", 1e-4), (torch.float32, "high", 5e-3), (torch.bfloat16, "highest", 0.2)],
)
def test_a_replay_may_round_and_may_not_be_another_batch(dtype, products, noise, rounding, monkeypatch):
    """In bfloat16 two ways to a gradient round much further apart than their losses, with TF32 as well."""
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: products)
    torch.manual_seed(0)
    loss, gradient = torch.tensor(1.5), torch.randn(4, 9, 16).to(dtype)
    gradient[:, :2] = 0  # padding
    rounded = (gradient * (1 + noise * torch.randn(4, 9, 16))).to(dtype)
    factor = 1.001 if dtype == torch.bfloat16 else 1.0001  # 1.3116 for 1.3127, as an H100 had it
    nll._check_replay("tiny", (loss * factor, rounded), (loss, gradient), rounding)
    wrong = {"other rows": gradient.roll(1, 0), "other columns": gradient.roll(1, 1), "no gradient": 0 * gradient,
             "NaN": gradient * float("nan"), "half": gradient / 2, "the other way": -gradient,
             "two rows": torch.cat([rounded[:2], gradient[1:3]]),
             "two rows without": torch.cat([rounded[:2], 0 * rounded[2:]])}  # fmt: skip
    if dtype == torch.float32:
        wrong |= {"one row": torch.cat([rounded[:3], gradient[2:3]]),
                  "a row without": torch.cat([rounded[:3], 0 * rounded[3:]])}  # fmt: skip
    for name, other in wrong.items():
        with pytest.raises(LabError, match="gradients differ by .* of their size; set cuda_graphs=false"):
            nll._check_replay(name, (loss, other), (loss, gradient), rounding)
    if products == "highest" and dtype == torch.float32:
        with pytest.raises(LabError, match="gradients differ by 0.5% of their size"):
            nll._check_replay("tiny", (loss, gradient * 1.005), (loss, gradient), rounding)
    with pytest.raises(LabError, match="gives the loss 3.0000, a pass without it 1.5000"):
        nll._check_replay("tiny", (2 * loss, gradient), (loss, gradient), rounding)


def test_few_tokens_of_a_row_may_round_by_more_than_the_gradient_is_long_and_a_whole_row_too():
    """In bfloat16: H100s gave gradients 2.1 apart whose losses agreed, and a sound run was refused for it."""
    torch.manual_seed(0)
    loss, gradient = torch.tensor(1.2), torch.randn(8, 40, 16).bfloat16()
    spiked = gradient.clone()
    spiked[:, :6] += 9 * torch.randn(8, 6, 16).bfloat16()
    spiked[0] = torch.randn(40, 16)
    assert apart(spiked, gradient) > 2
    nll._check_replay("tiny", (loss, spiked), (loss, gradient), nll.REPLAY_ROUNDING)
    single = gradient.float()
    few = single.clone()
    few[:, :6] += 9 * torch.randn(8, 6, 16)
    with pytest.raises(LabError, match="gradients differ"):
        nll._check_replay("tiny", (loss, few), (loss, single), nll.REPLAY_ROUNDING)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_replay_with_a_nan_in_it_passes(dtype):
    torch.manual_seed(0)
    loss, gradient = torch.tensor(1.5), torch.randn(4, 9, 16).to(dtype)
    gradient[:, :2] = 0  # padding
    nothing, nan, padded, token = (gradient.clone() for _ in range(4))
    nothing.zero_(), nan.fill_(float("nan")), padded[:, 0].fill_(float("nan")), token[:, 4].fill_(float("nan"))
    for ours, theirs in ((nan, nothing), (nan, nan), (padded, gradient), (token, gradient)):
        with pytest.raises(LabError, match="set cuda_graphs=false"):
            nll._check_replay("tiny", (loss, ours), (loss, theirs), nll.KERNEL_ROUNDING)
    with pytest.raises(LabError, match="gives the loss 3.0000"):
        nll._check_replay("tiny", (2 * loss, nothing), (loss, nothing), nll.KERNEL_ROUNDING)
    nll._check_replay("tiny", (loss, nothing), (loss, nothing), nll.KERNEL_ROUNDING)
