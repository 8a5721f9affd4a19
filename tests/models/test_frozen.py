"""Laws of frozen models: padding changes nothing, nothing is trainable, and loading tells what is wrong."""

import copy
import shutil

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import lab.models.loading
from lab.answers import generate_from_text
from lab.config.run import PairConfig
from lab.errors import LabError
from lab.models.frozen import FrozenModel, layer_indices, pad_batch, positions
from lab.models.loading import load_pair

TEXTS = ["Tom has 12 apples.", "x", "Q: Mia fills 24 boxes with 100 pens each. How many?\nA:"]


@pytest.fixture(scope="module")
def folders(tiny_pair, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for side in ("source", "target"):
        frozen = getattr(tiny_pair, side)
        frozen.model.save_pretrained(root / side)
        frozen.tokenizer.save_pretrained(root / side)
    return root


def custom(folders, prefix="", **more):
    names = {side: f"{prefix}{folders / side}" for side in ("source", "target")}
    return PairConfig(pair="custom", **{"device": "cpu", **names, **more})


def test_left_padding_changes_no_state(tiny_pair):
    batch = tiny_pair.source.source_states(TEXTS)
    for row, text in enumerate(TEXTS):
        alone = tiny_pair.source.source_states([text])
        length = alone.mask.sum()
        assert length == batch.mask[row].sum() == alone.states.shape[1]
        torch.testing.assert_close(batch.states[row, -length:], alone.states[0], rtol=1e-4, atol=1e-4)
        assert not batch.states[row, :-length].any()


def test_states_are_those_of_the_plain_model(tiny_pair):
    source = tiny_pair.source
    ids, mask = source.encode(TEXTS[:1])
    hidden = source.model(input_ids=ids, output_hidden_states=True).hidden_states
    for layers, indices in (("all", [1, 2, 3]), ("last", [3]), ([0, -2], [0, 2])):
        states = source.source_states(TEXTS[:1], layers)
        assert states.states.shape == (1, ids.shape[1], len(indices), source.hidden_size)
        for place, index in enumerate(indices):
            torch.testing.assert_close(states.states[:, :, place], hidden[index], rtol=1e-5, atol=1e-5)
        assert torch.equal(states.ids, ids) and torch.equal(states.mask, mask)


def test_states_are_ordinary_tensors_outside_the_graph(tiny_pair):
    states = tiny_pair.source.source_states(TEXTS).states
    assert not states.requires_grad and not states.is_inference()
    (states * torch.ones((), requires_grad=True)).sum().backward()


def test_everything_is_frozen(tiny_pair):
    for frozen in (tiny_pair.source, tiny_pair.target):
        assert not frozen.model.training
        assert not any(parameter.requires_grad for parameter in frozen.model.parameters())


def test_encode(tiny_pair):
    tokenizer = tiny_pair.target.tokenizer
    for side in ("left", "right"):
        ids, mask = tiny_pair.target.encode(TEXTS, side=side)
        for row, text in enumerate(TEXTS):
            real = ids[row][mask[row].bool()].tolist()
            assert real == tokenizer(text)["input_ids"] and real[0] == tokenizer.bos_token_id
            assert mask[row, -1 if side == "left" else 0] == 1
    assert tiny_pair.target.encode(TEXTS[:1], bos=False)[0][0].tolist() == tokenizer(TEXTS[0])["input_ids"][1:]
    with pytest.raises(LabError, match="left or right"):
        tiny_pair.target.encode(TEXTS, side="middle")


def test_a_bos_that_the_tokenizer_never_puts_before_a_text_is_put_nowhere(tiny_pair):
    """SmolLM2 names one, for its messages. Before a text it costs half a nat a token."""
    named = copy.deepcopy(tiny_pair.target.tokenizer)
    named.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    model = FrozenModel(tiny_pair.target.model, named, "named", torch.device("cpu"), torch.float32)
    assert model.encode(TEXTS[:1])[0][0].tolist() == named(TEXTS[0])["input_ids"] == model.tokens(TEXTS[:1])[0]
    assert tiny_pair.target.encode(TEXTS[:1])[0].shape[1] == model.encode(TEXTS[:1])[0].shape[1] + 1


def test_a_bos_of_the_template_alone_is_kept(tiny_pair):
    """Where the tokenizer puts none before a text, that of a chat template stands in its frame."""
    named = copy.deepcopy(tiny_pair.target.tokenizer)
    named.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    named.chat_template = "{{ bos_token }}[user]{{ messages[0].content }}[reply]"
    model = FrozenModel(tiny_pair.target.model, named, "named", torch.device("cpu"), torch.float32, chat=True)
    bos = tiny_pair.target.tokenizer.bos_token
    assert model.frame == (f"{bos}[user]", "[reply]")
    ids = model.source_states(["How many?"]).ids[0].tolist()
    assert ids.count(tiny_pair.target.tokenizer.bos_token_id) == 1


def test_the_two_tokenizers_disagree_about_numbers(tiny_pair):
    lengths = [len(frozen.tokens(["120"])[0]) for frozen in (tiny_pair.source, tiny_pair.target)]
    assert lengths[0] == 3 > lengths[1]


def test_positions_count_real_tokens():
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    assert positions(mask).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]
    ids, mask = pad_batch([[5], [6, 7]], 9, "cpu")
    assert ids.tolist() == [[9, 5], [6, 7]] and mask.tolist() == [[0, 1], [1, 1]]


def test_embedding_rms(tiny_pair):
    weight = tiny_pair.target.model.get_input_embeddings().weight
    assert tiny_pair.target.embedding_rms == pytest.approx(weight.pow(2).mean(1).sqrt().median().item(), rel=1e-5)
    ids, _ = tiny_pair.target.encode(TEXTS)
    assert torch.equal(tiny_pair.target.embed(ids), weight[ids])


@pytest.mark.parametrize("layers", [[4], [-5], "first"])
def test_a_layer_that_does_not_exist_is_told(layers):
    with pytest.raises(LabError, match="source_layers"):
        layer_indices(layers, 3)


def test_the_middle_layers_follow_the_depth():
    assert layer_indices("middle", 32) == [12, 16, 20, 24]
    assert layer_indices("middle", 4) == [2, 3] and layer_indices("middle", 1) == [1]


def metaspace_tokenizer():
    """Marks the start of a text like SentencePiece does."""
    vocabulary = {"<s>": 0, "</s>": 1, **{character: 2 + place for place, character in enumerate("▁\nabA:")}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first", split=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def test_text_that_goes_on_gets_no_mark_of_a_start(tiny_pair):
    frozen = FrozenModel(tiny_pair.target.model, metaspace_tokenizer(), "marks", torch.device("cpu"), torch.float32)
    show = frozen.tokenizer.convert_ids_to_tokens
    assert show(frozen.tokens(["ab"])[0]) == ["▁", "a", "b"]
    assert show(frozen.tokens(["ab"], continued=True)[0]) == ["a", "b"]
    assert show(frozen.tokens([" ab"], continued=True)[0]) == ["▁", "a", "b"]
    assert show(frozen.tokens(["\nA:"], continued=True)[0]) == ["\n", "A", ":"]
    assert frozen.tokenizer.pad_token == "</s>"  # borrowed, the vocabulary keeps its size


def test_loading_from_folders_gives_the_same_models(tiny_pair, folders):
    pair = load_pair(custom(folders))
    for side in ("source", "target"):
        saved, loaded = getattr(tiny_pair, side), getattr(pair, side)
        assert loaded.tokens(TEXTS) == saved.tokens(TEXTS)
        assert torch.equal(loaded.source_states(TEXTS).states, saved.source_states(TEXTS).states)
        assert loaded.model.config._attn_implementation == "sdpa" and loaded.dtype == torch.float32


def test_random_weights_have_the_dtype_and_are_always_the_same(tiny_pair, folders):
    state = torch.get_rng_state()
    first, second = (load_pair(custom(folders, "random:", dtype="bfloat16")) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert {parameter.dtype for parameter in first.target.model.parameters()} == {torch.bfloat16}
    states = first.source.source_states(TEXTS).states
    assert states.dtype == torch.bfloat16 and states.isfinite().all()
    assert torch.equal(states, second.source.source_states(TEXTS).states)
    saved = tiny_pair.target.model.get_input_embeddings().weight.bfloat16()
    assert not torch.equal(first.target.model.get_input_embeddings().weight, saved)


def test_a_missing_folder_is_told(folders):
    for name in ("random:/no/where", "/no/where", "./nowhere"):
        with pytest.raises(LabError, match="there is no folder"):
            load_pair(PairConfig(pair="custom", source=name, target=str(folders / "target")))


def test_a_model_that_is_not_on_the_hub_is_told(folders, monkeypatch):
    def offline(name, local_files_only, **options):
        raise OSError("We couldn't connect")

    monkeypatch.setattr(lab.models.loading.AutoConfig, "from_pretrained", offline)
    with pytest.raises(LabError, match="'nobody/nothing' cannot be found.*couldn't connect.*local folder"):
        load_pair(PairConfig(pair="custom", source="nobody/nothing", target=str(folders / "target")))


def test_weights_that_are_missing_or_not_safetensors_are_told(tiny_pair, folders, tmp_path):
    shutil.copytree(folders / "source", tmp_path / "source")
    shutil.copytree(folders / "target", tmp_path / "target")
    state = tiny_pair.source.model.state_dict()
    lost = state.pop("model.layers.0.mlp.up_proj.weight")
    tiny_pair.source.model.save_pretrained(tmp_path / "source", state_dict=state)
    assert lost is not None
    with pytest.raises(LabError, match="lacks the weights of .*up_proj"):
        load_pair(custom(tmp_path))
    (tmp_path / "source" / "model.safetensors").unlink()
    torch.save(tiny_pair.source.model.state_dict(), tmp_path / "source" / "pytorch_model.bin")
    with pytest.raises(LabError, match="safetensors"):
        load_pair(custom(tmp_path))
    (tmp_path / "source" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(LabError, match="cannot be read"):
        load_pair(custom(tmp_path))


def test_too_little_memory_is_told_before_weights_are_read(folders, monkeypatch):
    monkeypatch.setattr(lab.models.loading, "_free_memory", lambda device: 1000)
    monkeypatch.setattr(lab.models.loading, "_load", lambda *_: pytest.fail("weights were read"))
    with pytest.raises(LabError, match="needs about .* GiB in float32.*bfloat16"):
        load_pair(custom(folders))


def test_free_memory_is_told():
    free = lab.models.loading._free_memory(torch.device("cpu"))
    assert free is None or free > 2**20


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_told(folders):
    with pytest.raises(LabError, match="sees 0 GPUs"):
        load_pair(custom(folders, device="cuda"))
    assert load_pair(custom(folders, device="auto")).source.device.type == "cpu"


def test_a_tokenizer_of_another_model_is_told(tiny_pair):
    tokenizer = metaspace_tokenizer()
    tokenizer.add_tokens([f"extra{number}" for number in range(1000)])
    with pytest.raises(LabError, match="other: its tokenizer has 1008 entries"):
        FrozenModel(tiny_pair.target.model, tokenizer, "other", torch.device("cpu"), torch.float32)


def test_padding_is_no_part_of_a_context(tiny_pair, monkeypatch):
    """On a GPU rows are padded on to a multiple; a text that just fits has to be read, and answered, there too."""
    model, texts = tiny_pair.source, ["Tom has 3 apples.", "Two and two?"]
    longest = model.encode(texts)[0].shape[1]
    monkeypatch.setattr(FrozenModel, "step", 32)
    monkeypatch.setattr(FrozenModel, "context_length", longest)
    assert model.source_states(texts).ids.shape[1] > longest
    with pytest.raises(LabError, match=f"reads at most {longest} tokens"):
        model.source_states([texts[0] + " More."])
    monkeypatch.setattr(FrozenModel, "context_length", longest + 2)
    assert len(generate_from_text(model, texts, 2)) == 2
