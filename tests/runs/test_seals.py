"""Laws of the seal: a file of records is as it was written, or what was changed in it is named."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import LabError
from lab.runs.directory import RunDirectory
from lab.runs.seals import (
    broken_seal,
    pack_tokens,
    questions_hash,
    read_seal,
    row_digest,
    seal_path,
    unpack_tokens,
    write_seal,
    write_sealed,
)
from lab.tasks import Question, question_id

EVALUATION = {"decoding": {"max_new_tokens": 8}}


def rows():
    return [
        {"id": question_id(f"q{n}"), "question": f"How many is {n}?", "gold": str(n), "cell": "plain", "word": "",
         "arms": {"latent": {"text": f"#### {n}", "correct": True, "new_tokens": 4}}}
        for n in range(4)
    ]  # fmt: skip


@pytest.fixture
def seal(tmp_path):
    write_seal(tmp_path / "eval_samples_step_final.jsonl", rows(), EVALUATION)
    return read_seal(tmp_path / "eval_samples_step_final.jsonl")


def test_an_untouched_file_is_sound(seal):
    assert broken_seal(rows(), seal) == []


def altered(change):
    found = rows()
    change(found)
    return found


EDITS = {
    "a row dropped": (lambda r: r.pop(1), "1 rows were dropped"),
    "two rows dropped": (lambda r: r.__delitem__(slice(0, 2)), "2 rows were dropped"),
    "a row doubled": (lambda r: r.append(r[0]), "stands twice, again in row 5"),
    "a row doubled under another id": (lambda r: r.append({**r[0], "id": "0" * 16}), "repeats question"),
    "a question of another evaluation": (
        lambda r: r.append({**r[0], "id": "f" * 16, "question": "Another one?"}), "was not in this evaluation"
    ),
    "a text altered": (lambda r: r[2]["arms"]["latent"].update(text="#### 9"), "was altered"),
    "right made of wrong": (lambda r: r[2]["arms"]["latent"].update(correct=False), "was altered"),
    "another gold": (lambda r: r[2].update(gold="9"), "was altered"),
    "another cell": (lambda r: r[2].update(cell="lore"), "was altered"),
    "the word taken away": (lambda r: r[2].pop("word"), "was altered"),
    "more tokens than the limit": (lambda r: r[1]["arms"]["latent"].update(new_tokens=9), "the limit is 8"),
    "another order": (lambda r: r.reverse(), "another order"),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_named(seal, name):
    change, said = EDITS[name]
    found = broken_seal(altered(change), seal)
    assert found and any(said in sentence for sentence in found), found


def test_questions_are_told_by_content_not_by_id():
    one = Question("a", "Tom has 3 figs.", "#### 3", "3", "")
    same, other = Question("b", "tom has  3 figs", "#### 3", "3", ""), Question("a", "Tom has 4 figs.", "#### 4", "4", "")
    assert questions_hash([one]) == questions_hash([same]) != questions_hash([other])
    assert questions_hash([one, other]) != questions_hash([other, one])


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_tokens_come_back(ids):
    packed = pack_tokens(ids)
    assert unpack_tokens(packed) == ids
    assert len(packed) <= 8 + 6 * len(ids)


@pytest.mark.parametrize("text", ["", "u3:AAAA", "u2:%%", "u4:AAA=", "AAAA"])
def test_other_texts_are_no_tokens(text):
    with pytest.raises(LabError, match="are not what"):
        unpack_tokens(text)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 99, "evaluation": {}, "rows": {}}', "{" * 2000])
def test_a_damaged_seal_is_refused(tmp_path, content):
    path = tmp_path / "eval_samples_step_250.jsonl.gz"
    assert read_seal(path) is None and seal_path(path).name == "eval_samples_step_250.seal.json"
    seal_path(path).write_text(content)
    with pytest.raises(LabError, match="no seal that this version reads"):
        read_seal(path)


def test_the_digest_is_of_the_row_as_json():
    row = rows()[0]
    assert row_digest(row) == row_digest(json.loads(json.dumps(row))) == row_digest(dict(reversed(row.items())))


def test_the_manifest_names_every_step_that_was_sealed(tmp_path):
    run = RunDirectory(tmp_path)
    asked = [Question(row["id"], row["question"], "", row["gold"], "") for row in rows()]
    evaluation = EVALUATION | {"n": len(asked), "questions": questions_hash(asked)}
    for step in (10, 20, "final"):
        write_sealed(run, step, rows(), evaluation)
    assert run.manifest()["sealed"] == ["10", "20", "final"]


def test_the_digest_is_of_letters_not_of_their_escapes():
    """What another program writes of the same row, in UTF-8, has the same digest."""
    text = '{"a": "Größe 東京", "id": "1"}'
    assert row_digest(json.loads(text)) == hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def test_a_row_without_its_question_is_named(seal):
    found = rows()
    for row in found[:2]:
        del row["question"]
        row["id"] = f"other {row['gold']}"
    assert [sentence for sentence in broken_seal(found, seal) if "was not in this evaluation" in sentence]
