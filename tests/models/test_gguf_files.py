"""A GGUF file loads as the model that it was written from, or is refused in one sentence."""

import subprocess
import sys

import pytest
import torch
from tiny_gguf import install, tiny_llama, write_gguf

import lab.models.gguf_files
from lab.config import PairConfig
from lab.errors import LabError
from lab.models import load_pair
from lab.models.fingerprints import fingerprint
from lab.models.gguf_files import as_folder

pytestmark = pytest.mark.slow  # what reads GGUF is installed for the slow tests
TEXT = "Q: Tom has 3 apples and buys   12 more.\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for files, beside an empty cache."""
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def tiny(place):
    """(the model, its GGUF file)."""
    pytest.importorskip("gguf", reason="needs gguf: pip install --no-deps -r requirements-real.lock")
    frozen = tiny_llama()
    return frozen, write_gguf(place / "tiny.gguf", frozen)


def loaded(name, other=None):
    return load_pair(PairConfig(pair="custom", source=str(name), target=str(other or name), device="cpu"))


def test_it_says_what_the_model_says(tiny):
    frozen, path = tiny
    pair = loaded(path)
    ids, _ = pair.source.encode([TEXT])
    assert ids[0, 0] == frozen.tokenizer.bos_token_id and pair.source.tokenizer.decode(ids[0, 1:]) == TEXT
    torch.testing.assert_close(pair.source.model(input_ids=ids).logits, frozen.model(input_ids=ids).logits)
    assert pair.source.tokenizer.tokenize("a   12")[1:] == pair.source.tokenizer.tokenize("   ") + ["1", "2"]


def test_a_text_begins_as_the_file_says(tiny, place):
    first = loaded(tiny[1], write_gguf(place / "plain.gguf", tiny[0], bos=False))
    with_bos, without = (side.encode(["12"])[0][0].tolist() for side in (first.source, first.target))
    assert with_bos == [tiny[0].tokenizer.bos_token_id, *without]


def test_it_is_written_once_by_content(tiny, place, monkeypatch, capsys):
    frozen, path = tiny
    folder = as_folder(str(path))
    assert "is written once to" in capsys.readouterr().out and folder.startswith(
        str(place / "cache" / "models" / "tiny-")
    )
    copy = path.rename(place / "sub.gguf").rename(path)
    monkeypatch.setattr(lab.models.gguf_files, "_make", lambda *given: pytest.fail("written again"))
    assert as_folder(str(copy)) == folder
    monkeypatch.undo()
    monkeypatch.setenv("LAB_CACHE", str(place / "cache"))
    other = write_gguf(place / "tiny.gguf", tiny_llama(seed=1))
    assert as_folder(str(other)) != folder
    names = {file.name for file in (place / "cache" / "models").iterdir() if not file.name.endswith(".lock")}
    assert len(names) == 2 and not any(name.startswith(".") for name in names)


def test_the_same_name_with_other_weights_is_another_model(tiny, place):
    frozen, path = tiny
    first = fingerprint(loaded(path).source)
    assert first != fingerprint(loaded(write_gguf(path, tiny_llama(seed=1))).source)
    digest = as_folder(str(path)).rpartition("tiny-")[2][:16]
    assert as_folder(f"{path}@{digest}") == as_folder(str(path))
    with pytest.raises(LabError, match="sha256 is .*, it is another model than the one named"):
        as_folder(f"{path}@00000000")


def test_one_in_a_package_is_loaded_by_its_name(tiny, place, monkeypatch):
    monkeypatch.syspath_prepend(place / "site")
    install(place / "site", "toy", {"tiny.gguf": tiny[1].read_bytes()})
    pair = loaded("package:toy", tiny[1])
    assert pair.source.name == "package:toy" and fingerprint(pair.source) == fingerprint(pair.target)


def test_two_processes_write_one_folder(tiny, place):
    code = f"from lab.models.gguf_files import as_folder; print(as_folder({str(tiny[1])!r}))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0].splitlines() for process in both]
    assert said[0][-1] == said[1][-1] and sorted(map(len, said)) == [1, 2]  # one said that it writes


def test_what_a_killed_process_left_is_no_model(tiny, place):
    folder = as_folder(str(tiny[1]))
    half = place / "cache" / "models" / (f".{folder.rpartition('/')[2]}.tmp")
    subprocess.run(["mv", folder, half], check=True)
    assert as_folder(str(tiny[1])) == folder and not half.exists()


def test_a_damaged_file_is_one_sentence(tiny, place):
    for content in (tiny[1].read_bytes()[:9000], b"GGUF", b"no model", b""):
        (place / "bad.gguf").write_bytes(content)
        with pytest.raises(LabError, match="cannot be read as a GGUF file .*; it is damaged, or of an architecture"):
            as_folder(str(place / "bad.gguf"))
    assert not [file for file in (place / "cache" / "models").iterdir() if not file.name.endswith(".lock")]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"more": {"rope_freqs.weight": torch.ones(4)}}, "it holds .* numbers, of which the model takes"),
        ({"without": "blk.0.ffn_up.weight"}, "it lacks the weights of .*up_proj"),
        ({"scaling": "yarn"}, "its positions are scaled .yarn."),
        ({"merges": 3}, "of its tokenizer's entries 69% are what their own text is encoded as"),
    ],
)
def test_what_the_model_would_not_take_is_refused(tiny, place, how, message):
    with pytest.raises(LabError, match=f"cannot be read from GGUF as it was meant: {message}"):
        as_folder(str(write_gguf(place / "odd.gguf", tiny[0], **how)))  # bytes alone are most of a tiny vocabulary


def test_without_the_reader_it_is_one_sentence(place, monkeypatch):
    (place / "any.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(lab.models.gguf_files, "find_spec", lambda name: None)
    with pytest.raises(LabError, match="which needs gguf and accelerate; `pip install gguf accelerate`"):
        as_folder(str(place / "any.gguf"))


def test_a_file_that_is_not_there_is_one_sentence(place):
    with pytest.raises(LabError, match="there is no file .*none.gguf; give a GGUF file, a folder, or a hub id"):
        as_folder(str(place / "none.gguf"))


def test_a_cache_that_cannot_be_written_is_one_sentence(place, monkeypatch):
    (place / "any.gguf").write_bytes(b"GGUF")
    (place / "file").write_text("")
    monkeypatch.setenv("LAB_CACHE", str(place / "file"))
    monkeypatch.setattr(lab.models.gguf_files, "find_spec", lambda name: True)
    with pytest.raises(LabError, match="cannot be written to .*; name another folder in .* LAB_CACHE"):
        as_folder(str(place / "any.gguf"))


@pytest.mark.parametrize("name", ["org/model", "org/model-gguf", "./folder"])
def test_other_names_are_left_alone(name):
    assert as_folder(name) == name
