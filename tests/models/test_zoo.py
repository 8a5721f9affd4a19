"""Laws of any causal language model, on tiny random ones of many architectures: what enters and leaves is its own."""

import pytest
import torch
import torch.nn.functional as F
import transformers
from model_zoo import EAGER, ZOO, unsettle, zoo_config, zoo_model, zoo_tokenizer

from lab.answers.model_checks import replay_check
from lab.config import TEXT
from lab.config.layout import get_layout
from lab.config.run import PairConfig
from lab.errors import LabError
from lab.models import IGNORED, answer_logits, build_inputs, load_pair, positions
from lab.models.architecture import attention_of, check_causal
from lab.training.losses import answer_nll

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


# --- what is refused, and what is taken out of something larger


def saved(folder, config, kind=transformers.AutoModelForCausalLM):
    """A folder with a random model of this config, its tokenizer beside it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind.from_config(config)
        unsettle(model)
    model.save_pretrained(folder)
    zoo_tokenizer().save_pretrained(folder)
    return str(folder)


def loaded(folder, source=""):
    return load_pair(PairConfig(pair="custom", source=source or folder, target=folder, device="cpu"))


@pytest.mark.parametrize("name", ["gemma2", "falcon_h1", "opt", "bloom", "mpt"])
def test_a_saved_model_loads_and_answers_alike(name, tmp_path):
    if (config := zoo_config(name)) is None:
        pytest.skip("the installed transformers has no such model")
    model = loaded(saved(tmp_path, config)).target
    assert model.model.config._attn_implementation == ("eager" if name in EAGER else "sdpa")
    inputs = build_inputs(model, TEXT, None, CONTEXTS, ANSWERS)
    with torch.no_grad():
        loss = answer_nll(*answer_logits(model, inputs))
        assert loss.item() == pytest.approx(own_loss(model, inputs).item(), rel=1e-5)


def test_a_multimodal_wrapper_gives_its_text_model(tmp_path):
    vision = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16,
                  patch_size=8)  # fmt: skip
    whole = transformers.Gemma3Config(text_config=zoo_config("gemma3"), vision_config=vision, mm_tokens_per_image=4)
    model = loaded(saved(tmp_path, whole)).target.model
    assert type(model).__name__ == "Gemma3ForCausalLM"
    assert not any("vision" in name for name, _ in model.named_modules())
    wrapper = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    ids, _ = zoo_model("gemma3").encode(TEXTS[:1])
    torch.testing.assert_close(model(input_ids=ids).logits, wrapper(input_ids=ids).logits)


def test_a_model_of_another_kind_is_refused(tmp_path):
    config = transformers.T5Config(d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8, vocab_size=320)
    with pytest.raises(LabError, match="is of type 't5', of which transformers makes no causal language model"):
        loaded(saved(tmp_path, config, transformers.AutoModelForSeq2SeqLM))


def test_a_model_that_reads_ahead_is_refused(tmp_path):
    config = transformers.BertConfig(
        vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        initializer_range=0.2,
    )  # fmt: skip
    with pytest.raises(LabError, match="reads ahead"):
        loaded(saved(tmp_path, config))


def test_a_model_that_looks_tokens_up_again_is_refused(tmp_path):
    """Gemma 3n has a second table that every layer reads: an embedding of no token has no row in it."""
    config = transformers.Gemma3nTextConfig(
        vocab_size=320, vocab_size_per_layer_input=320, hidden_size=32, hidden_size_per_layer_input=8,
        intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        laurel_rank=4, num_kv_shared_layers=0, layer_types=["sliding_attention", "full_attention"],
        activation_sparsity_pattern=[0.0, 0.0], initializer_range=0.2,
    )  # fmt: skip
    with pytest.raises(LabError, match="cannot be given embeddings in place of tokens"):
        loaded(saved(tmp_path, config))
