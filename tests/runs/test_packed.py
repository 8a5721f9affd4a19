"""What is packed is read as what it was; of a torn archive as much as can be had, and it is said."""

import gzip
import hashlib
import json
import lzma
import random
import struct
import subprocess
import sys

import pytest
import zstandard

from lab.errors import LabError
from lab.runs import read_jsonl, read_seal
from lab.runs.packed import SUFFIXES, is_near, lying, pack, pack_against, plain_name, unpack, unpack_tolerantly
from lab.runs.reading import read_step
from lab.runs.rows import read_lines
from lab.runs.runfiles import find_runs, step_of
from lab.runs.seals import seal_path

ROWS = [{"id": str(number), "text": f"Ä\u2028{number}" * 50} for number in range(200)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
PACKERS = {".xz": pack, ".gz": lambda data: gzip.compress(data, mtime=0)}
NAME = "eval_samples_step_5.jsonl"
WORDS = [f"{random.Random(number).getrandbits(60):x}" for number in range(2000)]  # of which each run says the same


def read(path, raw):
    path.write_bytes(raw)
    return unpack_tolerantly(path)


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_is_what_it_was(suffix, tmp_path):
    packed = PACKERS[suffix](LINES)
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(packed)
    assert packed == PACKERS[suffix](LINES) and len(packed) < len(LINES) / 5
    assert unpack(path) == LINES and unpack_tolerantly(path) == (LINES, None)
    assert read_jsonl(path) == ROWS and plain_name(path) == "rows.jsonl"


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_torn_archive_gives_what_it_holds_and_is_refused_where_rows_count(suffix, tmp_path):
    path = tmp_path / f"{NAME}{suffix}"
    whole = PACKERS[suffix](LINES) + PACKERS[suffix](LINES)  # an archive may have several members
    assert read(path, whole) == (2 * LINES, None)
    held, damage = read(path, whole[:-20])
    assert (2 * LINES).startswith(held) and len(held) >= len(LINES) and "ends too early" in damage
    broken = bytearray(whole)
    broken[len(whole) // 2 + 40] ^= 0xFF
    held, damage = read(path, bytes(broken))
    assert held.startswith(LINES[:100]) and "is damaged" in damage
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
        plain.with_name(plain.name + suffix).write_bytes(b"packed somehow")
        assert lying(plain).suffix == suffix
    plain.write_bytes(LINES)
    assert lying(plain) == plain and unpack(plain) == LINES and unpack_tolerantly(plain) == (LINES, None)


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


# --- against a neighbour ----------------------------------------------------------------------------------------------


def rows_of(seed):
    drawn = random.Random(seed)
    return [{"id": str(number), "text": word, "luck": drawn.random()} for number, word in enumerate(WORDS)]


def lines_of(seed):
    return "".join(json.dumps(row) + "\n" for row in rows_of(seed)).encode()


BASE, NEXT = lines_of(1), lines_of(2)
UNTOLD = "it says no size up to 1 GiB, or has no checksum"


@pytest.fixture
def near(tmp_path):
    """The records of a first run, packed by themselves."""
    (tmp_path / "seed_1").mkdir()
    (tmp_path / "seed_2").mkdir()
    path = tmp_path / "seed_1" / f"{NAME}.xz"
    path.write_bytes(pack(BASE))
    return path


@pytest.fixture
def against(near, tmp_path):
    """Those of the next one, packed against the first."""
    path = tmp_path / "seed_2" / f"{NAME}.zst"
    path.write_bytes(pack_against(NEXT, near, path.parent))
    return path


def parts_of(path):
    """What the head of a packed file says, and the frame behind it."""
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[4:8], "little")
    return json.loads(raw[8:end]), raw[end:]


def joined(about, frame, magic=0x184D2A50):
    head = about if isinstance(about, bytes) else json.dumps(about).encode()
    return struct.pack("<II", magic, len(head)) + head + frame


def frame_of(size, blocks=1, checksum=True, window=17):
    """A frame that says what it holds, with blocks that each repeat a byte 500 times, none of them the last."""
    return (b"\x28\xb5\x2f\xfd" + bytes([0xC0 | 4 * checksum, (window - 10) << 3]) + size.to_bytes(8, "little")
            + ((500 << 3) | 2).to_bytes(3, "little").join([b"", *[b"x"] * blocks]))  # fmt: skip


def test_what_is_packed_against_a_neighbour_is_what_it_was(near, against):
    assert against.read_bytes() == pack_against(NEXT, near, against.parent)
    assert len(against.read_bytes()) < 0.6 * len(pack(NEXT))
    assert unpack(against) == NEXT and unpack_tolerantly(against) == (NEXT, None)
    assert read_jsonl(against) == rows_of(2) and len(read_lines(against)[0]) == len(WORDS)
    assert plain_name(against) == NAME and step_of(against.name) == 5
    assert find_runs(against.parent)[0].step(5).path == against == lying(against.with_name(NAME))
    about, frame = parts_of(against)
    assert about == {"neighbour": f"../seed_1/{NAME}.xz", "sha256": hashlib.sha256(BASE).hexdigest()}
    said = zstandard.get_frame_parameters(frame)
    assert said.content_size == len(NEXT) and said.has_checksum


@pytest.mark.parametrize("data", [b"", b"x", NEXT])
@pytest.mark.parametrize("base", [b"", b"x", BASE])
@pytest.mark.parametrize("place", ["rows.jsonl", "rows.jsonl.gz", "deep/down/rows.jsonl.xz"])
def test_any_content_against_any_plain_neighbour(data, base, place, tmp_path):
    near, path = tmp_path / place, tmp_path / "run" / "rows.jsonl.zst"
    near.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir()
    near.write_bytes(PACKERS.get(near.suffix, bytes)(base))
    assert read(path, pack_against(data, near, path.parent)) == (data, None)


def test_folders_that_are_moved_together_are_read(against, tmp_path):
    (tmp_path / "other").mkdir()
    for name in ("seed_1", "seed_2"):
        (tmp_path / name).rename(tmp_path / "other" / name)
    assert unpack(tmp_path / "other" / "seed_2" / against.name) == NEXT


def told(path):
    """Why a file is not read: the same sentence for its bytes as for its rows."""
    with pytest.raises(OSError) as error:
        unpack(path)
    with pytest.raises(LabError) as rows:
        read_jsonl(path)
    assert str(error.value) in str(rows.value)
    return str(error.value)


def test_a_neighbour_that_is_not_as_it_was_is_named(near, against):
    name = f"../seed_1/{NAME}.xz, which it"
    near.write_bytes(pack(BASE.replace(b"1", b"2", 1)))
    assert told(against) == f"{name} was packed against, is not the file that it was"
    with pytest.raises(LabError, match="is not the file that it was"):
        read_lines(against)
    near.write_bytes(pack(BASE)[:-30])
    assert told(against) == f"{name} is packed against, cannot be read: the xz archive ends too early"
    near.unlink()
    assert told(against) == f"{name} is packed against, is missing"
    near.mkdir()
    assert told(against) == f"{name} is packed against, is missing"


def test_a_neighbour_packed_anew_in_another_way_is_as_good(near, against):
    near.write_bytes(gzip.compress(BASE))
    assert unpack(against) == NEXT


@pytest.mark.parametrize(
    "place", ["../../rows.jsonl", "a/../../../rows.jsonl", "/etc/rows.jsonl", "../seed_1/../../rows.jsonl"]
)
def test_a_neighbour_far_off_is_not_opened(place, against):
    about, frame = parts_of(against)
    against.write_bytes(joined(about | {"neighbour": place}, frame))
    assert told(against) == f"{place}, which it is packed against, lies more than one folder up"


def test_what_could_not_be_unpacked_is_not_packed(near, against, tmp_path):
    deep = tmp_path / "a" / "b" / "c"
    assert is_near(near, tmp_path) and is_near(near, against.parent) and not is_near(near, deep)
    with pytest.raises(OSError, match="more than one folder up"):
        pack_against(NEXT, near, deep)
    with pytest.raises(OSError, match="is packed against another file itself"):
        pack_against(NEXT, against, near.parent)


def test_a_neighbour_has_none_itself(near, against, tmp_path):
    """Else a chain of files would have to be whole for the last, or a circle would never end."""
    third = tmp_path / "seed_1" / f"{NAME}.zst"
    about, frame = parts_of(against)
    third.write_bytes(joined(about | {"neighbour": f"../seed_2/{NAME}.zst"}, frame))
    assert told(third) == f"../seed_2/{NAME}.zst, which it is packed against, is packed against another file itself"


def test_an_archive_torn_anywhere_gives_what_it_holds(against):
    raw = against.read_bytes()
    start = len(raw) - len(parts_of(against)[1])
    for length in (start, start + 30, (start + len(raw)) // 2, len(raw) - 1):
        held, damage = read(against, raw[:length])
        assert NEXT.startswith(held) and damage == told(against) and "ends too early" in damage
    assert len(held) > len(NEXT) / 2
    for length in (0, 7, 20, start - 1):
        against.write_bytes(raw[:length])
        assert "does not begin with the neighbour" in told(against)
    against.write_bytes(raw[: start + 5])
    assert "the zstd archive is damaged" in told(against)


def test_no_altered_byte_is_read_as_content(against):
    raw = against.read_bytes()
    for place in [*range(8), *range(8, len(raw), 97), *range(len(raw) - 8, len(raw))]:
        broken = bytearray(raw)
        broken[place] ^= 0x15
        against.write_bytes(broken)
        assert told(against)


@pytest.mark.parametrize("behind", [b"\0", b"more", "itself"])
def test_something_behind_the_archive_is_refused(behind, against):
    raw = against.read_bytes()
    held, damage = read(against, raw + (parts_of(against)[1] if behind == "itself" else behind))
    assert held == NEXT and damage == told(against) == "the zstd archive is damaged (something else stands behind it)"


@pytest.mark.parametrize(
    "head",
    [b"{", b"[]", b"{}", b"7", b'{"neighbour": 7, "sha256": ""}', b'{"neighbour": "a"}', b"[" * 2000, b"\xff" * 9],
)
def test_a_head_that_names_no_neighbour_is_refused(head, against):
    about, frame = parts_of(against)
    for raw in (joined(head, frame), joined(about, frame, 0x184D2A51), frame, NEXT):
        against.write_bytes(raw)
        assert "does not begin with the neighbour that it was packed against" in told(against)


@pytest.mark.parametrize(
    ("frame", "reason"),
    {
        "no checksum": (frame_of(1000, checksum=False), UNTOLD),
        "more than is believed": (frame_of(2**30 + 1), UNTOLD),
        "no size": (zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compress(NEXT), UNTOLD),
        "a frame that is skipped": (struct.pack("<II", 0x184D2A53, 0), UNTOLD),
        "more than it says": (frame_of(2**20, 40000), "it holds more than it says"),
        "a window without end": (frame_of(1000, window=30), "requires too much memory"),
        "no frame": (b"frame" * 9, "Unknown frame descriptor"),
    }.values(),
)  # fmt: skip
def test_a_frame_asks_for_no_more_than_it_says(frame, reason, against):
    held, damage = read(against, joined(parts_of(against)[0], frame))
    assert damage == told(against) and damage.startswith("the zstd archive is damaged (") and reason in damage
    assert len(held) <= 2**21


def test_without_zstandard_one_sentence_and_the_rest_is_read(near, against, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)  # not to be found
    assert told(against) == "it needs zstandard, which is not installed: `pip install zstandard`"
    with pytest.raises(OSError, match="not installed"):
        pack_against(NEXT, near, against.parent)
    assert unpack(near) == BASE


def test_zstandard_is_loaded_only_where_it_is_needed(near):
    code = f"import sys, lab.runs; lab.runs.read_jsonl({str(near)!r}); sys.exit('zstandard' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_seal_whose_neighbour_is_gone_says_so(near, against):
    seal = json.dumps({"version": 1, "evaluation": {}, "rows": {str(number): "0" for number in range(99)}}).encode()
    first, path = (
        seal_path(file).with_name(seal_path(file).name + end) for file, end in ((near, ".xz"), (against, ".zst"))
    )
    first.write_bytes(pack(seal))
    path.write_bytes(pack_against(seal, first, path.parent))
    assert read_seal(against) == json.loads(seal) == read_seal(near)
    first.unlink()
    with pytest.raises(LabError, match="no seal that this version reads .*seed_1/.*, is missing"):
        read_seal(against)


@pytest.mark.parametrize("way", ["../link/base.xz", "..\\\\..\\\\base.xz", "C:/base.xz"])
def test_a_neighbour_by_a_link_or_in_the_ways_of_another_system_is_not_opened(way, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "base.xz").write_bytes(pack(LINES))
    run = tmp_path / "set" / "run"
    run.mkdir(parents=True)
    (tmp_path / "set" / "link").symlink_to(tmp_path / "far")
    about = json.dumps({"neighbour": way, "sha256": hashlib.sha256(LINES).hexdigest()}).encode()
    file = run / "rows.jsonl.zst"
    file.write_bytes(struct.pack("<II", 0x184D2A50, len(about)) + about + zstandard.ZstdCompressor().compress(b"x"))
    with pytest.raises(OSError, match="lies more than one folder up"):
        unpack(file)
