"""Laws of kept states: what is kept is what would be read, for as long as nothing that decides it changes."""

import copy
import multiprocessing
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from sums_task import Sums
from tiny_training import config, fresh

from lab.config import PairConfig
from lab.errors import LabError
from lab.models import StateCache, load_pair, state_cache
from lab.models.state_cache import StateKey
from lab.models.state_keys import state_keys
from lab.training import train

TEXTS = ["Tom has 12 apples.", "x", "Q: Mia fills 24 boxes with 100 pens each. How many?\nA:"]
MORE = ["Ann reads 40 pages.", *TEXTS[::-1], "A box holds 24 pens."]
PLENTY = 10**8


@pytest.fixture
def source(tiny_pair, tmp_path):
    """The tiny source with a cache; weights and remembered tokens are its own."""
    model, known = copy.deepcopy(tiny_pair.source.model), StateCache(tmp_path / "states", PLENTY)
    return replace(tiny_pair.source, model=model, known_states=known, _known_tokens={})


@pytest.fixture
def passes(source):
    """How many texts each pass of the source had."""
    sizes = []
    source.base.register_forward_pre_hook(lambda _, __, given: sizes.append(len(given["input_ids"])), with_kwargs=True)
    return sizes


def same(one, other):
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("states", "mask", "ids"))


def entries(cache):
    return sorted(cache.folder.rglob("*.safetensors"))


def used(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in (".safetensors", ".tmp"))


def noted(folder):
    return int((folder / ".used").read_text())


def key_of(number, size=100):
    return StateKey(f"{number:064x}", (size, 2, 3), torch.float32)


def states_of(number, size=100):
    return torch.arange(size * 6, dtype=torch.float32).reshape(size, 2, 3) + number


# --- what comes back
@pytest.mark.parametrize("layers", ["all", "last", [2, 0]], ids=str)
def test_states_of_the_same_batch_come_back_bit_by_bit(tiny_pair, source, passes, layers):
    plain = tiny_pair.source.source_states(TEXTS, layers)
    first, again = source.source_states(TEXTS, layers), source.source_states(TEXTS, layers)
    assert same(first, plain) and same(again, plain) and passes == [len(TEXTS)]
    assert not again.states.requires_grad and again.states.device == plain.states.device


def test_states_of_another_batch_come_back_but_for_rounding(tiny_pair, source, passes):
    source.source_states(TEXTS)
    plain, found = tiny_pair.source.source_states(MORE), source.source_states(MORE)
    assert passes == [3, 2]  # only what was not known, together
    assert torch.equal(found.mask, plain.mask) and torch.equal(found.ids, plain.ids)
    torch.testing.assert_close(found.states, plain.states, rtol=1e-4, atol=1e-4)
    assert not found.states[found.mask == 0].any() and bool((found.mask == 0).any())


def test_a_text_that_stands_twice_is_read_once(tiny_pair, source, passes):
    twice = [TEXTS[2], TEXTS[0], TEXTS[2]]
    found = source.source_states(twice)
    torch.testing.assert_close(found.states, tiny_pair.source.source_states(twice).states, rtol=1e-4, atol=1e-4)
    assert torch.equal(found.states[0], found.states[2]) and passes == [2] and len(entries(source.known_states)) == 2


def test_half_precision_comes_back(source):
    source = replace(source, model=source.model.bfloat16(), dtype=torch.bfloat16)
    first, again = source.source_states(TEXTS), source.source_states(TEXTS)
    assert first.states.dtype == torch.bfloat16 and same(first, again)


def test_without_the_cache_nothing_is_taken_from_it_or_put_there(source, passes):
    with source.without_cache():
        source.source_states(TEXTS)
        source.source_states(TEXTS)
    assert passes == [3, 3] and not entries(source.known_states)
    with pytest.raises(ZeroDivisionError), source.without_cache():
        raise ZeroDivisionError
    assert source.known_states is not None


# --- what decides states is in the key
def added(index, value):
    def edit(source, monkeypatch):
        weight = source.model.get_parameter("model.layers.1.mlp.down_proj.weight")
        with torch.no_grad():
            weight.flatten()[index] += value

    return edit


def with_config(source, monkeypatch):
    source.model.config.rms_norm_eps *= 2


def with_other_frequencies(source, monkeypatch):
    source.model.model.rotary_emb.inv_freq.mul_(2)  # a buffer that no file holds


def with_chat(source, monkeypatch):
    source.__dict__["frame"] = ("<user>", "<reply>")


def with_fast_products(source, monkeypatch):
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")


def in_half_precision(source, monkeypatch):
    source.model.bfloat16()
    source.dtype = torch.bfloat16


def on_a_gpu(source, monkeypatch):
    source.device = torch.device("cuda")


def with_other_libraries(source, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "1.0")


def with_other_tokens(source, monkeypatch):
    source._known_tokens[TEXTS[0]] = [5, 6, 7]


CHANGES = [
    added(0, 1e-3), added(1, 1e-3), added(-1, 1e-3), with_config, with_other_frequencies, with_chat,
    with_fast_products, in_half_precision, on_a_gpu, with_other_libraries, with_other_tokens,
]  # fmt: skip


def key_now(source, text=TEXTS[0], layers=(1, 3)):
    whole = source.frame[0] + text + source.frame[1]
    return state_keys(source, [whole], source.rows([whole]), layers)[0]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_whatever_decides_states_changes_the_key(source, monkeypatch, change):
    before = key_now(source)
    assert before == key_now(source)
    change(source, monkeypatch)
    assert key_now(source).digest != before.digest


def test_another_text_and_other_layers_have_other_keys(source):
    keys = [key_now(source), key_now(source, TEXTS[1]), key_now(source, TEXTS[0] + " ")]
    keys += [key_now(source, layers=layers) for layers in ([3, 1], [1], [1, 2], [0, 3])]
    assert len({key.digest for key in keys}) == len(keys)


def test_a_copy_of_the_model_elsewhere_has_the_same_keys(source):
    other = replace(source, model=copy.deepcopy(source.model), name="elsewhere")
    other.model.config._name_or_path = "/another/place"
    assert key_now(other) == key_now(source)


def test_an_edited_model_is_read_again(source, passes):
    before, sound = source.source_states(TEXTS), copy.deepcopy(source.model.state_dict())
    added(1, 1.0)(source, None)
    assert not torch.equal(source.source_states(TEXTS).states, before.states) and passes == [3, 3]
    source.model.load_state_dict(sound)
    assert same(source.source_states(TEXTS), before) and passes == [3, 3]  # and taken back, it is known again


# --- what is damaged is never believed
def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path):
    path.write_bytes(b"")


def lengthened(path):
    path.write_bytes(path.read_bytes() + b"\0")


def flipped(place):
    def flip(path):
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)

    return flip


def foreign(path):
    save_file({"states": torch.ones(3)}, path)


def misshapen(path):
    states = load_file(path)["states"]
    data = state_cache.save({"states": states.transpose(1, 2).contiguous()}, state_metadata(path))
    path.write_bytes(data)


def state_metadata(path):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata()


DAMAGES = [cut, emptied, lengthened, flipped(-1), flipped(-40), flipped(0), flipped(9), foreign, misshapen]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_entry_is_made_again_and_said(tmp_path, capsys, damage):
    cache = StateCache(tmp_path, PLENTY)
    for number in (1, 2):
        cache.put(key_of(number), states_of(number))
    for path in entries(cache):
        damage(path)
    assert cache.get(key_of(1)) is None and cache.get(key_of(2)) is None and not entries(cache)
    assert capsys.readouterr().out.count("is damaged or of something else") == 1  # once, whatever their number
    cache.put(key_of(1), states_of(1))
    assert torch.equal(cache.get(key_of(1)), states_of(1)) and noted(tmp_path) == used(tmp_path)


def test_every_bit_of_an_entry_is_held(tmp_path):
    """Wherever a bit flips, what comes back is the states or nothing."""
    cache, key = StateCache(tmp_path, PLENTY), key_of(1, size=2)
    cache.put(key, states_of(1, size=2))
    [path] = entries(cache)
    sound = path.read_bytes()
    for place in range(len(sound)):
        for bit in range(8):
            data = bytearray(sound)
            data[place] ^= 1 << bit
            found = state_cache._unpacked(key, bytes(data))
            assert found is None or torch.equal(found, states_of(1, size=2)), (place, bit)


def test_an_entry_under_another_name_is_not_believed(tmp_path):
    cache = StateCache(tmp_path, PLENTY)
    cache.put(key_of(1), states_of(1))
    os.rename(cache._path(key_of(1)), cache._path(key_of(2)))
    assert cache.get(key_of(2)) is None and not entries(cache)


def test_states_that_are_not_those_of_their_key_are_told(tmp_path):
    with pytest.raises(LabError, match="not those of their key"):
        StateCache(tmp_path, PLENTY).put(key_of(1), states_of(1).half())


# --- its size
def test_the_oldest_go_and_the_limit_is_kept(tmp_path):
    one = len(state_cache._packed(key_of(0), states_of(0)))
    cache = StateCache(tmp_path, 10 * one)
    for number in range(30):
        cache.put(key_of(number), states_of(number))
        assert used(tmp_path) <= 10 * one
        assert cache.get(key_of(0)) is not None  # used all the time
    kept = [number for number in range(30) if cache._path(key_of(number)).exists()]
    assert kept[0] == 0 and kept[-1] == 29 and len(kept) >= 8 and kept[1:] == list(range(31 - len(kept), 30))


def test_a_folder_that_has_grown_too_large_is_cut_when_it_is_opened(tmp_path):
    cache = StateCache(tmp_path, PLENTY)
    for number in range(10):
        cache.put(key_of(number), states_of(number))
    limit = used(tmp_path) // 2
    StateCache(tmp_path, limit)
    assert 0 < used(tmp_path) <= limit


def test_what_a_killed_process_left_counts_and_goes(tmp_path):
    cache = StateCache(tmp_path, PLENTY)
    cache.put(key_of(1), states_of(1))
    half = cache._path(key_of(1)).with_suffix(".77.tmp")
    half.write_bytes(b"0" * 500)
    os.utime(half, (1, 1))
    (tmp_path / ".used").write_text("")  # it died between two writes
    again = StateCache(tmp_path, used(tmp_path) - 1)
    assert not half.exists() and again.get(key_of(1)) is not None


def test_files_of_others_are_left_alone(tmp_path):
    others = [tmp_path / "model.safetensors", tmp_path / "ab" / "notes.txt", tmp_path / "ab" / "model.safetensors"]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"0" * 9999)
    cache = StateCache(tmp_path, 5000)
    for number in range(9):
        cache.put(key_of(number), states_of(number))
    assert all(path.stat().st_size == 9999 for path in others)


def test_states_larger_than_the_limit_are_not_kept(tmp_path):
    cache = StateCache(tmp_path, 100)
    cache.put(key_of(1), states_of(1))
    assert cache.get(key_of(1)) is None and used(tmp_path) == 0


# --- several processes
ROUNDS, NUMBERS = 150, 12


def hammer(folder, limit, seed, failed):
    cache, drawn = StateCache(folder, limit), torch.Generator().manual_seed(seed)
    for _ in range(ROUNDS):
        number = int(torch.randint(NUMBERS, (), generator=drawn))
        found = cache.get(key_of(number))
        if found is None:
            cache.put(key_of(number), states_of(number))
        elif not torch.equal(found, states_of(number)):
            failed.put(f"entry {number} is another")
        if used_now(folder) > limit:
            failed.put("over the limit")


def used_now(folder):
    total = 0
    for path in folder.rglob("*.[st]*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            pass
    return total


def test_processes_that_share_a_folder_read_no_wrong_states_and_keep_the_limit(tmp_path, capfd):
    limit = 5 * len(state_cache._packed(key_of(0), states_of(0)))
    spawn = multiprocessing.get_context("spawn")
    failed = spawn.SimpleQueue()
    workers = [spawn.Process(target=hammer, args=(tmp_path, limit, seed, failed)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0] and failed.empty()
    assert "damaged" not in capfd.readouterr().out  # and nobody saw half a file
    assert 0 < used(tmp_path) <= limit and noted(tmp_path) == used(tmp_path)


# --- where it cannot be
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="cannot be written .*choose another folder as state_cache, or none"):
        StateCache(tmp_path / "file" / "states", PLENTY)
    with pytest.raises(LabError, match="state cache .* cannot be written"):
        load_pair(PairConfig(device="cpu", state_cache=str(tmp_path / "file")))


def test_an_entry_that_cannot_be_read_is_one_sentence(tmp_path):
    cache = StateCache(tmp_path, PLENTY)
    cache._path(key_of(1)).mkdir(parents=True)
    with pytest.raises(LabError, match="cannot be read"):
        cache.get(key_of(1))


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    cache = StateCache(tmp_path, PLENTY)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_cache.os, "replace", full)
    with pytest.raises(LabError, match="cannot be written .No space left on device."):
        cache.put(key_of(1), states_of(1))


# --- in use
def test_the_config_wires_it_to_the_source_alone(tmp_path):
    pair = load_pair(PairConfig(device="cpu", state_cache=str(tmp_path), state_cache_gb=0.5))
    assert (pair.source.known_states.folder, pair.source.known_states.limit_bytes) == (tmp_path, 5 * 10**8)
    assert pair.target.known_states is None and load_pair(PairConfig(device="cpu")).source.known_states is None


def test_training_with_the_cache_is_training_and_the_second_run_reads_nothing(tiny_pair, source, passes, tmp_path):
    settings = config(steps=8, eval_every=0)
    found, cached = [], replace(tiny_pair, source=source)
    for name, pair in {"plain": tiny_pair, "first": cached, "next": cached}.items():
        run = fresh(tmp_path / name, settings)
        train(settings, pair, Sums(), run)
        found.append([row["loss"] for row in run.metrics() if row["kind"] == "step"])
        if name == "first":
            assert sum(passes) == 10  # the ten sums, each once
    plain, first, again = map(torch.tensor, found)
    assert sum(passes) == 10 and torch.equal(first, again)
    torch.testing.assert_close(first, plain, rtol=1e-3, atol=1e-4)
