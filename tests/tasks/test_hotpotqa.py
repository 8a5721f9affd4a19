"""Laws of HotpotQA: the official scores, no gold in an input, evidence where the config says."""

import json
from pathlib import Path

import pytest
from evaluations import evaluated
from hypothesis import given
from hypothesis import strategies as st

from lab.answers import arms, choosing
from lab.answers.generation import AnswerCache, Decoding, Generation, cut_generation
from lab.config.run import RunConfig
from lab.errors import LabError
from lab.evidence.summary import summarise
from lab.pictures.arm_tables import arms_table
from lab.tasks import INVALID, load_task, source_text
from lab.tasks.hotpotqa import HotpotQA, paragraphs
from lab.tasks.phrases import f1, normalised
from lab.translators import build_translator

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "hotpotqa"


@pytest.fixture
def folder(tmp_path):
    rows = [
        {"question": f"Who wrote book {n}?", "answer": f"The Author {n}", "type": "bridge",
         "context": [["Book", [f"Book {n} is old.", f" Author {n} wrote it."]], ["Other", ["Nothing."]]]}
        for n in range(24)
    ]  # fmt: skip
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    return tmp_path


def test_scores_are_the_official_ones():
    task = HotpotQA("nowhere")
    assert normalised(" The  Eiffel-Tower, in a Park!") == "eiffeltower in park"
    assert task.correct("the author 3", "Author 3.") and not task.correct("author", "Author 3")
    assert f1("author 3 of it", "The Author 3") == pytest.approx(2 * 2 / (4 + 2))
    assert f1("yes indeed", "yes") == 0.0 and f1("yes", "yes") == 1.0 and f1(INVALID, "x") == 0.0
    assert not task.correct(INVALID, INVALID)
    assert task.extract(" #### Chief of Protocol\nQ: next #### no") == "Chief of Protocol"
    assert task.extract("no marker") == INVALID and task.extract("#### \n") == INVALID


def test_an_answer_of_articles_or_punctuation_is_only_itself():
    """The official script leaves nothing of either, so that it calls them equal."""
    task = HotpotQA("nowhere")
    assert normalised("!!!") == "!!!" and normalised("The The") == "the the"
    assert not task.correct("the", "!!!") and not task.correct("", "") and not task.correct("a", "The")
    assert task.correct("the the", "The  The") and f1("the the", "The The") == 1.0 and f1("the", "!!!") == 0.0


answers = st.lists(st.sampled_from(["the", "The", "a", "!!!", ".", "yes", "no", "Yes.", "Author", "3"]), max_size=4)


@given(answers.map(" ".join), answers.map(" ".join))
def test_what_is_right_has_an_f1_of_one(extracted, gold):
    right, score = HotpotQA("nowhere").correct(extracted, gold), f1(extracted, gold)
    assert score == 1.0 if right else 0.0 <= score <= 1.0


def test_a_phrase_may_hold_a_word_that_ends_in_q():
    task = HotpotQA("nowhere")
    assert task.extract("#### Mensa, with an IQ: 132\nQ: next") == "Mensa, with an IQ: 132"
    assert task.answer_end("Mensa's IQ: 132") is None and task.extract("#### Q: next\n#### no") == INVALID


PHRASES = ["1969 until 1974", "3,677 seated", "#### 2009 Big 12 Bowl", "", "\n", " ", "Q:", "I", "#", "Chief, Jr."]


@given(st.lists(st.sampled_from(["####", *PHRASES])))
def test_generation_ends_where_the_answer_does(pieces):
    """Cutting must not change what is read: a phrase may begin with a number. What has ended stays ended, there."""
    task = HotpotQA("nowhere")
    text = "".join(pieces)
    for length in range(len(text) + 1):
        end = task.answer_end(text[:length])
        if end is not None:
            assert task.answer_end(text) == end and task.extract(text[:end]) == task.extract(text)


def test_a_phrase_that_begins_with_a_number_is_kept_whole():
    class Letters:
        def batch_decode(self, rows, **options):
            return ["".join(map(chr, row)) for row in rows]

    said = [ord(letter) for letter in "#### 1969 until 1974\nand more"]
    answer = cut_generation(Letters(), said, [], Decoding(64, ends=HotpotQA("nowhere").answer_end))
    assert answer.text == "#### 1969 until 1974"
    assert HotpotQA("nowhere").correct(HotpotQA("nowhere").extract(answer.text), "1969 until 1974")


def test_f1_reaches_the_summary_and_the_tables(tiny_pair, folder, monkeypatch):
    config = RunConfig.from_parameters(task="hotpotqa", data=str(folder), max_new_tokens=4, test_questions=4)
    task = load_task(config.task)
    monkeypatch.setattr(choosing, "generate", lambda model, inputs, decoding: [
        Generation("#### Author of it", 4, (), decoding) for _ in inputs.embeds])  # fmt: skip
    monkeypatch.setattr(AnswerCache, "_memory", {})
    monkeypatch.setattr(arms, "check_decoding", lambda *given: None)  # no tokens say this text
    summary = summarise(evaluated(config, tiny_pair, task, task.test(), ("source", "target")))
    assert summary["arms"]["source"]["accuracy"] == 0 and "f1" not in summary["arms"]["oracle"]
    assert summary["arms"]["source"]["f1"] == pytest.approx(2 * 1 / (3 + 2))
    shown = arms_table(summary)
    assert shown.column("F1")[shown.column("arm").index("target")] == "40.0"


def test_splits_are_apart_and_fixed(folder):
    task = HotpotQA(str(folder))
    parts = [task.train(), task.dev(), task.test(), task.exemplars(8)]
    ids = [question.id for part in parts for question in part]
    assert len(ids) == len(set(ids)) == 24 and all(parts)
    assert task.test() == HotpotQA(str(folder)).test()


def test_evidence_goes_where_it_is_sent(folder):
    alone, both = HotpotQA(str(folder), "source").test()[0], HotpotQA(str(folder), "both").test()[0]
    assert alone.id == both.id and "wrote it" not in alone.question and "wrote it" in both.question
    assert "wrote it" in source_text(alone.question, alone.evidence)
    assert paragraphs({"title": ["T"], "sentences": [["a.", " b."]]}, "") == "T: a. b."


def test_bad_rows_are_named(folder):
    (folder / "rows.json").write_text(json.dumps([{"question": "q", "answer": "a", "context": 3}] * 20))
    with pytest.raises(LabError, match="row 1: context must be"):
        HotpotQA(str(folder)).test()
    for text in ("[", "[" * 100_000):
        (folder / "rows.json").write_text(text)
        with pytest.raises(LabError, match="not JSON"):
            HotpotQA(str(folder)).test()
    row = {"question": "half \ud83d?", "answer": "a", "context": []}
    (folder / "rows.json").write_text(json.dumps([row] * 20))
    with pytest.raises(LabError, match="row 1: half a surrogate pair"):
        HotpotQA(str(folder)).test()


def test_a_byte_order_mark_is_no_part_of_the_rows(folder):
    before = HotpotQA(str(folder)).test()
    path = folder / "rows.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert HotpotQA(str(folder)).test() == before


@pytest.mark.skipif(not REAL.is_dir(), reason="the sample of real HotpotQA rows is not here")
@pytest.mark.parametrize("evidence", ["source", "both"])
def test_real_rows_are_all_read(evidence):
    task = load_task(RunConfig.from_parameters(task="hotpotqa", data=str(REAL), evidence=evidence).task)
    assert sum(map(len, (task.train(), task.dev(), task.test(), task.exemplars(8)))) == 53


def test_rows_go_through_every_arm(tiny_pair, folder):
    config = RunConfig.from_parameters(task="hotpotqa", data=str(folder), soft_tokens=3, width=16, depth=1, heads=2,
                                       layout="soft_only", max_new_tokens=4)  # fmt: skip
    task = load_task(config.task)
    translator = build_translator(config.translator, tiny_pair, "all")
    arms = ("source", "target", "cascade", "same_bytes", "token_budget", "latent")
    records = evaluated(config, tiny_pair, task, task.test(), arms, translator=translator)
    assert len(records) == 8 and all(set(record["arms"]) >= {"source", "target", "latent"} for record in records)
    for record in records:
        saw = {arm: "wrote it" in row["saw"] for arm, row in record["arms"].items()}
        assert saw.pop("source") and not any(saw.values())  # else no text arm would know what the soft tokens know
