"""Laws of any causal language model, on tiny random ones of many architectures: what enters and leaves is its own."""

import pytest
import torch
import torch.nn.functional as F
from model_zoo import EAGER, ZOO, zoo_config, zoo_model

from lab.answers.model_checks import replay_check
from lab.config import TEXT
from lab.config.layout import get_layout
from lab.models import IGNORED, build_inputs, positions
from lab.models.architecture import attention_of, check_causal
from lab.training.losses import answer_logits, answer_nll

TEXTS = ["Tom has 12 apples.", "x", "Q: Mia fills 24 boxes with 100 pens each. How many?\nA:"]
CONTEXTS = [{"question": "Tom has 3 apples."}, {"question": "A box holds 24 pens. Mia fills 5 boxes. How many?"}]
ANSWERS = ["3 + 12 = 15.\n#### 15", "#### 120"]


@pytest.fixture(params=ZOO)
def model(request):
    torch.set_num_threads(1)
    found = zoo_model(request.param)
    if found is None:
        pytest.skip("the installed transformers has no such model")
    return found


def own_loss(model, inputs):
    """Mean loss of the labels, from the logits of the model's own forward at every position."""
    out = model.model(inputs_embeds=inputs.embeds, **model.placed(inputs.attention_mask, inputs.position_ids))
    return F.cross_entropy(out.logits[:, :-1].flatten(0, 1), inputs.labels[:, 1:].flatten(), ignore_index=IGNORED)


def test_embeddings_are_read_as_their_tokens_are(model):
    ids, mask = model.encode(TEXTS)
    placed = model.placed(mask, positions(mask))
    by_ids = model.model(input_ids=ids, **placed).logits
    by_embeddings = model.model(inputs_embeds=model.embed(ids), **placed).logits
    torch.testing.assert_close(by_embeddings[mask.bool()], by_ids[mask.bool()], rtol=1e-5, atol=1e-5)


def test_the_size_of_soft_tokens_is_that_of_what_enters(model):
    vocabulary = torch.arange(model.model.get_input_embeddings().weight.shape[0])
    entering = model.embed(vocabulary)
    assert entering.shape[1] == model.embedding_size
    assert model.embedding_rms == pytest.approx(entering.square().mean(1).sqrt().median().item(), rel=1e-5)


def test_the_loss_is_that_of_the_models_own_forward(model):
    soft = torch.randn(2, 3, model.embedding_size, generator=torch.Generator().manual_seed(0)) * model.embedding_rms
    for layout, given in ((TEXT, None), (get_layout("soft_plus_text"), soft)):
        inputs = build_inputs(model, layout, given, CONTEXTS, ANSWERS)
        with torch.no_grad():
            loss = answer_nll(*answer_logits(model, inputs))
            assert loss.item() == pytest.approx(own_loss(model, inputs).item(), rel=1e-5)


def test_the_head_runs_where_labels_are_alone(model):
    inputs, seen = build_inputs(model, TEXT, None, CONTEXTS, ANSWERS), []
    hook = model.model.get_output_embeddings().register_forward_hook(lambda _, given, out: seen.append(out.shape[:-1]))
    logits, labels = answer_logits(model, inputs)
    hook.remove()
    assert [shape.numel() for shape in seen] == [len(labels)] == [len(logits)]


def test_gradients_reach_soft_tokens(model):
    soft = torch.randn(2, 3, model.embedding_size).mul(model.embedding_rms).requires_grad_()
    answer_nll(*answer_logits(model, build_inputs(model, get_layout("soft_only"), soft, CONTEXTS, ANSWERS))).backward()
    assert (soft.grad.abs().sum(dim=-1) > 0).all()


def test_a_batch_changes_no_state(model):
    batch = model.source_states(TEXTS)
    assert batch.states.shape[2:] == (model.num_layers, model.hidden_size)
    for row, text in enumerate(TEXTS):
        alone = model.source_states([text])
        length = int(alone.mask.sum())
        torch.testing.assert_close(batch.states[row, -length:], alone.states[0], rtol=1e-3, atol=1e-3)


def test_states_do_not_know_what_comes(model):
    check_causal("zoo", model.model, model.tokens([TEXTS[2]])[0])


def test_answers_from_embeddings_are_those_from_tokens(model):
    contexts = [{"instruction": "", "shots": "", **context} for context in CONTEXTS]
    replay_check(model, contexts, 8)


@pytest.mark.parametrize("name", ZOO)
def test_attention_is_sdpa_where_there_is_one(name):
    if (config := zoo_config(name)) is None:
        pytest.skip("the installed transformers has no such model")
    assert attention_of(name, config) == ("eager" if name in EAGER else "sdpa")
