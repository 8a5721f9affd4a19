"""Laws of a packed target: what is packed, what is not, and that a gradient still goes through."""

import copy
import importlib.util
import sys

import pytest
import torch
from sums_task import Sums
from tiny_training import config, fresh
from transformers import AutoModelForCausalLM, LlamaConfig

import lab.models.loading
from lab.answers import Evaluation
from lab.config import PairConfig, RunConfig
from lab.errors import LabError
from lab.models import LAWS, fingerprint, load_pair, packed_layers, tried
from lab.models import quantised as packing_module
from lab.models.quantised import LIBRARIES, LOCK, weight_bytes
from lab.training import train

LACKING = sorted({name for each in LIBRARIES.values() for name in each if importlib.util.find_spec(name) is None})
needs_libraries = [
    pytest.mark.slow,  # `make test-slow` installs them
    pytest.mark.skipif(
        bool(LACKING), reason=f"needs {', '.join(LACKING)}: pip install --no-deps -r {LOCK} (make test-slow does)"
    ),
]
BITS = [pytest.param(bits, marks=needs_libraries) for bits in (8, 4)]


def pair_in(bits, **more):
    return load_pair(PairConfig(device="cpu", target_bits=bits, **more))


@pytest.fixture(scope="module")
def plain():
    torch.set_num_threads(1)
    return pair_in(0)


@pytest.mark.parametrize("bits", BITS)
def test_all_laws_hold_on_a_packed_target(bits):
    found = [tried(law, pair_in(bits).target, "target") for law in LAWS]
    assert [finding for finding in found if finding.verdict == "fails"] == []
    assert f"35 layers in {bits} bits" in found[0].measured


@pytest.mark.parametrize("bits", BITS)
def test_layers_between_embeddings_and_head_are_packed_and_no_others(plain, bits):
    pair = pair_in(bits)
    layers = packed_layers(pair.target.model)
    assert set(layers) == {
        name for name, module in plain.target.model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not plain.target.model.get_output_embeddings()
    }  # fmt: skip
    assert not packed_layers(pair.source.model) and fingerprint(pair.source) == fingerprint(plain.source)
    ids, _ = plain.target.encode(["Tom has 12 apples."])
    assert torch.equal(pair.target.embed(ids), plain.target.embed(ids))
    head = pair.target.model.get_output_embeddings().weight
    assert torch.equal(head, plain.target.model.get_output_embeddings().weight)


def unpacked(layer):
    if hasattr(layer.weight, "qdata"):
        return layer.weight.dequantize()
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(layer.weight.data, layer.weight.quant_state)


@pytest.mark.parametrize("bits", BITS)
def test_it_is_the_model_of_its_unpacked_weights_and_so_is_its_gradient(plain, bits):
    """Also after texts were read without a gradient, as loading does: bitsandbytes then changes a layer's layout on
    some CPUs, and no gradient goes through it any more."""
    packed, whole = pair_in(bits).target, copy.deepcopy(plain.target.model)
    for name, layer in packed_layers(packed.model).items():
        whole.get_submodule(name).weight.data.copy_(unpacked(layer))
    ids, _ = packed.encode(["Tom has 12 apples."])
    found = []
    for model in (packed.model, whole):
        embeds = packed.embed(ids).detach().requires_grad_()
        logits = model(inputs_embeds=embeds).logits
        logits[:, -1].logsumexp(-1).sum().backward()
        found.append((logits, embeds.grad))
    for one, other in zip(*found, strict=True):
        assert other.norm() > 0
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(logits, plain.target.model(inputs_embeds=packed.embed(ids)).logits, atol=1e-3)


@pytest.mark.parametrize("bits", BITS)
def test_no_unpacked_weight_is_kept_for_the_way_back(bits):
    target = pair_in(bits).target
    ids, _ = target.encode(["Tom has 12 apples."])
    embeds, kept = target.embed(ids).detach().requires_grad_(), {}

    def pack(tensor):
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        target.base(inputs_embeds=embeds)
    held = {parameter.data_ptr() for parameter in target.model.parameters()}
    layers = packed_layers(target.model).values()
    smallest = min(layer.in_features * layer.out_features for layer in layers) * 4
    assert max(size for place, size in kept.items() if place not in held) < smallest


@pytest.mark.parametrize("bits", BITS)
def test_a_packed_target_is_another_model(plain, bits):
    target = pair_in(bits).target
    assert len({fingerprint(plain.target), fingerprint(target)}) == 2
    before = fingerprint(target)
    target.source_states(["Tom has 12 apples."])
    assert fingerprint(target) == before == fingerprint(pair_in(bits).target)


@pytest.mark.parametrize("bits", BITS)
def test_the_seal_says_how_many_bits(plain, bits):
    packed, unpacked = (
        Evaluation(RunConfig(), pair, Sums(), Sums().dev(), progress=False).seal() for pair in (pair_in(bits), plain)
    )
    assert packed["made_on"] == unpacked["made_on"] | {"target_bits": bits}
    assert packed["target"]["weights"] != unpacked["target"]["weights"] and packed["source"] == unpacked["source"]


@pytest.mark.parametrize("bits", BITS)
def test_its_weights_take_what_was_reckoned(bits):
    target = pair_in(bits).target
    held = {tensor.data_ptr(): tensor.nbytes for _, tensor in lab.models.laws.plain_tensors(target.model.state_dict())}
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(LlamaConfig.from_pretrained(PairConfig().models[1]))
    assert sum(held.values()) == pytest.approx(weight_bytes(empty, torch.float32, bits), rel=0.03)


@pytest.mark.parametrize("bits", BITS)
def test_a_translator_is_trained_through_it(bits, tmp_path):
    pair, settings = pair_in(bits), config(eval_every=0, steps=40, soft_tokens=4, layout="soft_only", target_bits=bits)
    run = fresh(tmp_path / "run", settings)
    train(settings, pair, Sums(), run)
    losses = [row["loss"] for row in run.metrics() if row["kind"] == "step"]
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert not any(parameter.requires_grad for parameter in pair.target.model.parameters())


@pytest.mark.parametrize("bits", BITS)
def test_half_precision_is_packed_as_well(bits):
    target = pair_in(bits, dtype="bfloat16").target
    assert target.embed(target.encode(["Tom"])[0]).dtype == torch.bfloat16
    assert [f for f in (tried(law, target, "target") for law in LAWS) if f.verdict == "fails"] == []


@pytest.mark.parametrize("bits", BITS)
def test_random_weights_are_not_packed(bits):
    with pytest.raises(LabError, match=f"target_bits={bits} packs weights as a file is read"):
        load_pair(PairConfig(target="random:" + PairConfig().models[1], target_bits=bits, device="cpu"))


# --- what needs no library
def test_nothing_is_fetched_from_a_hub_while_a_library_is_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "kernels", sys)
    import kernels

    with packing_module._no_remote_code(), pytest.raises(ImportError):
        import kernels  # noqa: F811
    assert sys.modules["kernels"] is kernels
    monkeypatch.delitem(sys.modules, "kernels")
    with packing_module._no_remote_code():
        pass
    assert "kernels" not in sys.modules


@pytest.mark.parametrize("bits", [8, 4])
def test_a_missing_library_is_one_sentence(monkeypatch, bits):
    monkeypatch.setattr(packing_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LabError, match=rf"target_bits={bits} needs .*`pip install .*{LOCK}`\.$"):
        pair_in(bits)


def test_a_model_without_a_layer_to_pack_is_told(plain):
    with pytest.raises(LabError, match="no layer that can be packed; leave target_bits=4 out"):
        packing_module.made_sound("m", plain.target.model, 4)


def test_packed_embeddings_are_told(plain):
    model = copy.deepcopy(plain.target.model)
    model.get_input_embeddings().weight.quant_state = None
    with pytest.raises(LabError, match="packed embeddings, where soft tokens have to lie"):
        packing_module.made_sound("m", model, 4)


def test_a_device_that_cannot_compute_it_is_told(plain, monkeypatch):
    model = copy.deepcopy(plain.target.model)
    layer = model.get_submodule("model.layers.0.mlp.down_proj")
    layer.weight.quant_state, layer.support_avx512bf16_for_cpu = None, True
    assert packing_module.made_sound("m", model, 4) is model

    def lacking(given):
        raise NotImplementedError("no such kernel\nat line 7")

    monkeypatch.setattr(layer, "forward", lacking)
    with pytest.raises(LabError, match=r"target_bits=4 cannot be computed on cpu \(no such kernel\); leave it out"):
        packing_module.made_sound("m", model, 4)


def test_memory_is_reckoned_by_bits(monkeypatch):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                                                             num_attention_heads=4, vocab_size=100))  # fmt: skip
    linear = 2 * (4 * 64 * 64 + 3 * 64 * 128)
    whole = weight_bytes(model, torch.bfloat16)
    assert whole == 2 * model.num_parameters()
    for bits in (8, 4):
        assert weight_bytes(model, torch.bfloat16, bits) == pytest.approx(
            whole - 2 * linear + linear * bits / 8, rel=0.02
        )
    monkeypatch.setattr(lab.models.loading, "_free_memory", lambda device: 1000)
    with pytest.raises(LabError, match=r"in float32 \(target in 4 bits\)"):
        pair_in(4)


def test_bits_that_there_are_not_are_told():
    with pytest.raises(LabError, match="target_bits=3 is not known; choose one of 0, 8, 4"):
        PairConfig(target_bits=3)


def test_a_run_of_before_keeps_its_hash():
    assert RunConfig.from_parameters(target_bits=0).hash() == RunConfig().hash()
    kept = RunConfig.from_yaml("runs/preserved/evidence_shipped/seed_1234/config.yaml")
    with open("runs/preserved/evidence_shipped/seed_1234/config.yaml") as file:
        assert file.readline().split()[-1] == kept.hash()
