"""Records survive the file."""

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from file_events import full_disk

from lab.errors import LabError
from lab.runs.directory import RunDirectory
from lab.runs.records import read_jsonl, write_jsonl, write_text


def test_rows_come_back_whole(tmp_path):
    rows = [{"id": "1", "text": 'a\nb\u2028c\u0085 "ü" \x1c </script>'}, {"id": "2", "x": 0.1, "none": None}]
    write_jsonl(tmp_path / "deep" / "r.jsonl", rows)
    assert read_jsonl(tmp_path / "deep" / "r.jsonl") == rows
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["r.jsonl"]


@pytest.mark.parametrize("broken", [
    '{"id": ', "[1]", '{"id": "\udcff"}', '{"loss": NaN}', '{"loss": -Infinity}', '{"loss": 1e999}',
    '{"question": "\\ud83d"}', '{"a": ' * 100_000,
], ids=lambda text: text[:20].encode("ascii", "replace").decode())  # fmt: skip
def test_a_broken_line_is_named(tmp_path, broken):
    """What reads, can be written again: else the mistake shows hours later, far from the file that has it."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"id": "1"}\n' + broken.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(LabError, match=r"r\.jsonl:2: "):
        read_jsonl(path)


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path):
    (tmp_path / "r.jsonl").write_bytes(b'\xef\xbb\xbf{"id": "1"}\n')
    assert read_jsonl(tmp_path / "r.jsonl") == [{"id": "1"}]


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(LabError, match="cannot be read"):
        read_jsonl(tmp_path / "none.jsonl")


def test_a_row_that_is_not_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "r.jsonl"
    write_jsonl(path, [{"id": "1"}])
    with pytest.raises(LabError, match="finite"):
        write_jsonl(path, [{"id": "2"}, {"loss": float("nan")}])
    assert read_jsonl(path) == [{"id": "1"}]


def test_what_cannot_be_written_is_one_sentence_and_leaves_what_was(tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"
    write_jsonl(path, [{"id": "1"}])
    with pytest.raises(LabError, match="half a surrogate pair"):
        write_jsonl(path, [{"id": "\ud83d"}])
    with monkeypatch.context() as patch, pytest.raises(LabError, match="r.jsonl cannot be written .No space left"):
        patch.setattr(os, "fsync", full_disk)
        write_jsonl(path, [{"id": "2"}])
    for bad in (tmp_path / ("n" * 300), path / "inside"):  # too long a name; a file where a folder belongs
        with pytest.raises(LabError, match="cannot be written"):
            write_text(bad, "x")
    assert read_jsonl(path) == [{"id": "1"}] and os.listdir(tmp_path) == ["r.jsonl"]
