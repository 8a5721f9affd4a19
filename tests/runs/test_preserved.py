"""Runs that are preserved together: packed against the first of them, read and verified as they were written."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_runs import make_run

from lab.errors import LabError
from lab.evidence.read import read_evidence
from lab.evidence.verify import verify_run
from lab.places import ROOT
from lab.runs import check_sums, preserve, read_jsonl, read_seal, write_seal
from lab.runs import preserved as preserving
from lab.runs.packed import pack, plain_name, unpack

NAME, SEAL = "eval_samples_step_final.jsonl", "eval_samples_step_final.seal.json"
SEEDS = (1, 2, 3)
LOOKS = [random.Random(look).random() for look in range(200)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three seeds in one folder, with seals, and with logs that are long enough to be packed in either way."""
    folder = tmp_path_factory.mktemp("runs") / "seeds"
    for seed in SEEDS:
        seal(make_run(folder, f"seed_{seed}", seed, looks=LOOKS))
    return folder


def seal(run: Path) -> Path:
    evaluation = {"decoding": {"max_new_tokens": 12}}
    return write_seal(run / NAME, read_jsonl(run / NAME), evaluation)


@pytest.fixture
def kept(runs, tmp_path):
    return preserve(runs, "the test rests on it", "nothing", tmp_path / "kept")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def verified(folder: Path) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "lab", "verify", str(folder), "--no-tokens"]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)


def test_records_and_seals_are_packed_against_the_first_run(runs, kept, tmp_path):
    others = [f"seed_{seed}/{name}.zst" for seed in SEEDS[1:] for name in (NAME, SEAL)]
    logs = [f"seed_{seed}/metrics.jsonl.xz" for seed in SEEDS]
    assert {f"seed_1/{NAME}.xz", f"seed_1/{SEAL}.xz", *others, *logs} <= files_of(kept).keys()
    assert sum(name.endswith(".zst") for name in files_of(kept)) == len(others)
    for name in others:
        assert len((kept / name).read_bytes()) < len(pack(unpack(kept / name)))
    assert files_of(kept) == files_of(preserve(runs, "the test rests on it", "nothing", tmp_path / "again"))


def test_they_are_read_and_verified_as_they_were_written(runs, kept):
    for path in (path for path in kept.rglob("*") if path.is_file() and path.name != "SHA256SUMS"):
        assert unpack(path) == (runs / path.relative_to(kept)).with_name(plain_name(path)).read_bytes()
    for seed in SEEDS:
        assert verify_run(kept / f"seed_{seed}") == [] and read_seal(kept / f"seed_{seed}" / NAME)
    assert check_sums(kept) == []
    assert [run.records for run in read_evidence([kept]).main] == [run.records for run in read_evidence([runs]).main]
    assert verified(kept).stdout == "".join(f"{kept}/seed_{seed}: sound\n" for seed in SEEDS)


def test_a_neighbour_that_was_deleted_or_altered_is_named(kept):
    first = kept / "seed_1" / f"{NAME}.xz"
    first.write_bytes(pack(unpack(first).replace(b"so 1", b"so 2", 1)))
    assert check_sums(kept) == [f"seed_1/{NAME}.xz is not the file that was preserved"]
    told = f"../seed_1/{NAME}.xz, which it was packed against, is not the file that it was"
    with pytest.raises(LabError, match=told):
        verify_run(kept / "seed_2")
    assert verified(kept).returncode == 1 and told in " ".join(verified(kept).stderr.split())
    first.unlink()
    assert check_sums(kept) == [f"seed_1/{NAME}.xz is missing"]
    with pytest.raises(LabError, match=f"../seed_1/{NAME}.xz, which it is packed against, is missing"):
        verify_run(kept / "seed_2")


def test_a_seal_whose_neighbour_is_gone_is_a_finding(kept):
    (kept / "seed_1" / f"{SEAL}.xz").unlink()
    (finding,) = verify_run(kept / "seed_3")
    assert f"../seed_1/{SEAL}.xz, which it is packed against, is missing" in finding
    assert check_sums(kept) == [f"seed_1/{SEAL}.xz is missing"]


def test_what_is_altered_in_a_packed_file_is_named_by_its_sum_and_its_seal(kept):
    path = kept / "seed_2" / f"{NAME}.zst"
    rows = unpack(path).replace(b"so 1", b"so 2", 1)
    path.write_bytes(preserving.pack_against(rows, kept / "seed_1" / f"{NAME}.xz", path.parent))
    assert check_sums(kept) == [f"seed_2/{NAME}.zst is not the file that was preserved"]
    assert any("was altered after it was written" in finding for finding in verify_run(kept / "seed_2"))


def test_a_run_alone_and_runs_that_share_nothing_are_packed_by_themselves(runs, tmp_path):
    alone = preserve(runs / "seed_2", "why", "what", tmp_path / "kept")
    assert not any(name.endswith(".zst") for name in files_of(alone))
    other = tmp_path / "other"
    for name, text in (("a", "x" * 999), ("b", "y" * 999)):
        (other / name).mkdir(parents=True)
        (other / name / NAME).write_text(text)
    assert sorted(files_of(preserve(other, "why", "what", tmp_path / "kept"))) == [
        "SHA256SUMS", f"a/{NAME}.xz", f"b/{NAME}.xz"]  # fmt: skip


def test_a_first_run_that_lies_too_far_off_is_no_neighbour(runs, tmp_path):
    far = tmp_path / "far"
    shutil.copytree(runs / "seed_1", far / "a" / "b" / "seed_1")
    for seed in (2, 3):
        shutil.copytree(runs / f"seed_{seed}", far / "c" / "d" / f"seed_{seed}")
    files = files_of(preserve(far, "why", "what", tmp_path / "kept"))
    assert f"a/b/seed_1/{NAME}.xz" in files and f"c/d/seed_2/{NAME}.xz" in files
    assert f"c/d/seed_3/{NAME}.zst" in files and b"../seed_2/" in files[f"c/d/seed_3/{NAME}.zst"]


def test_without_zstandard_nothing_is_preserved_in_another_way(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)  # not to be found
    with pytest.raises(LabError, match="cannot be packed against .* needs zstandard, which is not installed"):
        preserve(runs, "why", "what", tmp_path / "kept")
    assert not (tmp_path / "kept" / "seeds").exists()
