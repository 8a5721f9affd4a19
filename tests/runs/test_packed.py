"""What is packed is read as what it was; of a torn archive as much as can be had, and it is said."""

import gzip
import json
import lzma

import pytest

from lab.errors import LabError
from lab.runs import read_jsonl, read_seal
from lab.runs.packed import SUFFIXES, lying, pack, plain_name, unpack, unpack_tolerantly
from lab.runs.reading import read_step
from lab.runs.runfiles import find_runs, step_of
from lab.runs.seals import seal_path

ROWS = [{"id": str(number), "text": f"Ä\u2028{number}" * 50} for number in range(200)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
PACKERS = {".xz": pack, ".gz": lambda data: gzip.compress(data, mtime=0)}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_packed_file_is_what_it_was(suffix, tmp_path):
    packed = PACKERS[suffix](LINES)
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(packed)
    assert packed == PACKERS[suffix](LINES) and len(packed) < len(LINES) / 5
    assert unpack(path) == LINES and unpack_tolerantly(packed) == (LINES, None)
    assert read_jsonl(path) == ROWS and plain_name(path) == "rows.jsonl"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_torn_archive_gives_what_it_holds_and_is_refused_where_rows_count(suffix, tmp_path):
    whole = PACKERS[suffix](LINES) + PACKERS[suffix](LINES)  # an archive may have several members
    assert unpack_tolerantly(whole) == (2 * LINES, None)
    held, damage = unpack_tolerantly(whole[:-20])
    assert (2 * LINES).startswith(held) and len(held) >= len(LINES) and "ends too early" in damage
    broken = bytearray(whole)
    broken[len(whole) // 2 + 40] ^= 0xFF
    held, damage = unpack_tolerantly(bytes(broken))
    assert held.startswith(LINES[:100]) and "is damaged" in damage
    path = tmp_path / f"eval_samples_step_5.jsonl{suffix}"
    for torn in (whole[:-20], bytes(broken), whole + b"more"):
        path.write_bytes(torn)
        with pytest.raises(LabError, match="cannot be read"):
            read_jsonl(path)
    assert find_runs(tmp_path)[0].step(5).path == path and step_of(path.name) == 5
    assert any("archive" in text for _, text in read_step(path).warnings)


def test_a_file_as_it_was_written_comes_before_a_packed_one(tmp_path):
    plain = tmp_path / "metrics.jsonl"
    assert lying(plain) is None
    for suffix in reversed(SUFFIXES):
        plain.with_name(plain.name + suffix).write_bytes(PACKERS[suffix](LINES))
        assert lying(plain).suffix == suffix
    plain.write_bytes(LINES)
    assert lying(plain) == plain and unpack(plain) == LINES and unpack_tolerantly(LINES) == (LINES, None)


def test_a_packed_seal_stands_beside_packed_records(tmp_path):
    records = tmp_path / "eval_samples_step_final.jsonl.xz"
    seal = {"version": 1, "evaluation": {}, "rows": {}}
    assert read_seal(records) is None
    path = seal_path(records)
    assert path.name == "eval_samples_step_final.seal.json"
    packed = path.with_name(path.name + ".xz")
    packed.write_bytes(pack(json.dumps(seal).encode()))
    assert read_seal(records) == seal == read_seal(tmp_path / "eval_samples_step_final.jsonl")
    packed.write_bytes(lzma.compress(b"{}")[:-9])
    with pytest.raises(LabError, match="is no seal that this version reads"):
        read_seal(records)
