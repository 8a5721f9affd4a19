"""Reported numbers are recomputed, not believed; without rows nothing is claimed; what a file says is escaped."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from lab.audit import costs
from lab.audit import recomputed as audit
from lab.audit import tables as audit_tables
from lab.audit.archive import Archive
from lab.audit.figures import differences_figure, steps_figure
from lab.audit.reported import CLAIMS, REPORTED, RUNS, Reported
from lab.errors import LabError
from lab.pictures.tables import table
from lab.runs.records import write_jsonl

SHARED = Path(__file__).parents[2].parent / "shared"
LEGACY, DOCUMENTS = SHARED / "data" / "legacy_runs", SHARED / "seeds"
needs_legacy = pytest.mark.skipif(not LEGACY.is_dir(), reason="the archived runs are not here")
needs_documents = pytest.mark.skipif(not DOCUMENTS.is_dir(), reason="the documents are not here")
CONFIG = "==== Config ====\nsoft_tokens: {}\nlog_dir: {}\neval_prompt_mode: soft_only\nlr: 0.1\n\n"


def wide(index, bridged):
    prompt = f"Q: How many are {index}?\nA:"
    row = {"eval_step": "250", "index": index, "question": prompt, "gold_full_text": prompt, "gold_extracted": "1"}
    for prefix, value in (("source", "2"), ("target", "1"), ("bridged", bridged)):
        row |= {f"{prefix}_full": f"Q: again\n#### {value}", f"{prefix}_extracted": value}
    return row


def run_of(folder, soft_tokens=128, right=3, of=4):
    write_jsonl(folder / "eval_samples_step_250.jsonl", [wide(i, "1" if i < right else "7") for i in range(of)])
    (folder / "train.log").write_text(CONFIG.format(soft_tokens, folder))
    return folder


def reported(value, *measure, unit="%"):
    return Reported("REPORT.md", 1, "x", "what", value, unit, measure)


def test_a_number_is_judged_by_rows_then_by_the_log_or_not_at_all(tmp_path):
    (run_of(tmp_path / "a_128tok_push") / "train.log").write_text(
        CONFIG.format(128, "x") + "[Eval] Step 250 | Bridged acc: 0.5\n[Eval] Step 500 | Bridged acc: 0.9\n"
    )
    archive = Archive(tmp_path)
    items = [
        reported(75.0, "accuracy", "128", 250, "latent"),
        reported(50.0, "accuracy", "128", 250, "latent"),
        reported(90.0, "accuracy", "128", 500, "latent"),
        reported(90.0, "accuracy", "128", "peak", "latent"),
        reported(90.0, "accuracy", "hybrid", 500, "latent"),
        reported(-25.0, "gap", "128", 250, unit="points"),
        reported(128, "soft_tokens", "128", unit="tokens"),
        reported(1, "none"),
    ]
    found = [(row["verdict"], row["basis"], row["difference"]) for row in audit.verdicts(archive, reported=items)]
    assert found == [
        ("agrees", "rows", 0.0), ("differs", "rows", 25.0), ("agrees", "log", 0.0), ("agrees", "log", 0.0),
        ("rows not here", None, None), ("agrees", "rows", 0.0), ("agrees", "log", 0),
        ("nothing to check it by", None, None),
    ]  # fmt: skip


def test_without_rows_nothing_is_claimed_of_them(tmp_path):
    archive = Archive(tmp_path / "none")
    rows = audit.verdicts(archive)
    assert len(rows) == len(REPORTED)
    assert {row["basis"] for row in rows if row["verdict"] in (audit.AGREES, audit.DIFFERS)} <= {
        "arithmetic", "config", "tokenizer",
    }  # fmt: skip
    for name in ("settings_table", "saw_table", "training_layout", "paired_table", "scorer_table", "leak_examples"):
        found = getattr(audit_tables, name)(archive)
        assert found == [] and str(table(found)) == "rows not here"
    assert audit_tables.question_bytes(archive) is None
    steps_figure(archive, "128", "t").to_json()
    differences_figure(rows).to_json()
    assert json.loads(audit.write_audit(tmp_path / "out", rows, archive).read_text())["verdicts"] == rows


def test_every_number_has_a_measure_and_a_known_run():
    assert all(item.measure[0] in audit.MEASURES and item.unit in audit.ROUNDING for item in REPORTED)
    runs = {item.measure[1] for item in REPORTED if item.measure[0] in ("accuracy", "invalid", "gap", "config")}
    assert runs <= RUNS.keys()
    assert {claim.verdict for claim in CLAIMS} == {"stands", "not shown", "does not stand"}


@needs_documents
def test_every_quote_stands_in_its_line():
    archive = Archive("")
    assert [row["place"] for row in audit.verdicts(archive, DOCUMENTS) if not row["quote_found"]] == []
    for claim in CLAIMS:
        document, line = claim.place.split(":")
        assert (DOCUMENTS / document).read_text().split("\n")[int(line) - 1].strip()


def test_a_wrong_quote_is_found_out(tmp_path):
    (tmp_path / "REPORT.md").write_text("peak of 71.5\u202f% (step\u00a0250), \u22123 points\n")
    for quote, found in (("71.5 % (step 250)", True), ("-3 points", True), ("71.6", False)):
        item = Reported("REPORT.md", 1, quote, "w", 1, "n", ("none",))
        assert audit.verdicts(Archive(""), tmp_path, [item])[0]["quote_found"] is found
    later = Reported("REPORT.md", 9, "x", "w", 1, "n", ("none",))
    assert audit.verdicts(Archive(""), tmp_path, [later])[0]["quote_found"] is False


def test_runs_with_the_same_settings_are_replicates(tmp_path):
    for name, soft in (("one", 64), ("two", 64), ("three", 32)):
        run_of(tmp_path / name, soft)
    pairs = {(row["run"], row["and"]): row for row in audit_tables.same_settings(Archive(tmp_path))}
    assert pairs["one", "two"]["verdict"] == "the same settings: replicates"
    assert pairs["one", "three"]["differ in"] == "soft_tokens"


def test_what_an_arm_saw_decides_what_may_be_claimed(tmp_path):
    run_of(tmp_path / "r")
    rows = {row["arm"]: row for row in audit_tables.saw_table(Archive(tmp_path))}
    assert rows["latent"]["reads the question as text"] is False and rows["latent"]["characters of text"] == 0
    assert rows["latent"]["compression claimable"] == "if fewer than the question's tokens"
    assert rows["target"]["compression claimable"] == "no soft tokens"


def test_the_two_readings_part_where_the_question_is_repeated(tmp_path):
    run_of(tmp_path / "r")
    row = audit_tables.scorer_table(Archive(tmp_path))[0]
    assert (row["right as recorded"], row["right before the next Q:"], row["text begins with Q:"]) == (3, 0, 4)


def test_the_leak_is_read_from_the_old_log(tmp_path):
    (tmp_path / "focused_sweep").mkdir()
    (tmp_path / "focused_sweep" / "train_x.log").write_text(
        "--- Example 1 ---\nQuestion: You\nare...\nGold answer: 18\nTarget-alone: 18\nBridged: 18\n"
        "Bridged generation start: 18= $18= $18= $18=...\n\n--- Example 2 ---\nQuestion: b\nGold answer: 3\n"
        "Target-alone: 5\nBridged: 3\n====\n\n[Eval] Step 750 | Target-alone acc: 0.730 | Bridged acc: 0.535\n"
    )
    first, second = audit_tables.leak_examples(Archive(tmp_path))
    assert (first["step"], first["accuracy, %"], first["gold"], first["scored as"]) == (750, 53.5, "18", "18")
    assert first["repeats"] and first["holds the gold number"] and not first["marks its answer"]
    assert second["generated"] == "" and second["gold"] == "3"


def test_the_log_tells_whether_training_showed_the_question(tmp_path):
    log = run_of(tmp_path / "r", 128) / "train.log"
    log.write_text(
        log.read_text() + "LABEL ALIGNMENT DIAGNOSTIC (Step 0)\n  Input embeddings shape: torch.Size([2, 261, 4096])\n"
        "  Supervised tokens per sample: [87, 133]\n"
    )
    row = audit_tables.training_layout(Archive(tmp_path))[0]
    assert (row["positions"], row["soft tokens"], row["answer tokens"], row["left for the question"]) == (
        261,
        128,
        133,
        0,
    )


def test_kv_and_compression_arithmetic():
    assert costs.kv_bytes_per_token("Llama-3.1-8B") == 128 * 1024
    assert costs.kv_bytes_per_token("Llama-3.1-8B", 32) == 512 * 1024
    assert costs.kv_table()[0]["8 key-value heads, MiB"] == 10.75
    rows = {row["soft tokens"]: row for row in costs.compression_table()}
    assert rows[64]["mean question / soft tokens"] < 1 and rows[64]["soft tokens on the wire, KiB"] == 512
    assert rows[64]["KV saved without the question, MiB"] < 0 < rows[32]["KV saved without the question, MiB"]


def test_the_best_of_several_looks_is_too_good():
    assert audit_tables.selection_bias(0.7, 200, 1) == pytest.approx(0, abs=1e-9)
    draw = random.Random(0)
    best = [max(sum(draw.random() < 0.7 for _ in range(50)) for _ in range(5)) / 50 for _ in range(1500)]
    assert audit_tables.selection_bias(0.7, 50, 5) == pytest.approx(sum(best) / len(best) - 0.7, abs=0.006)
    with pytest.raises(LabError):
        audit_tables.selection_bias(7, 200, 1)


def test_tokens_are_counted_where_a_tokenizer_is_named(tmp_path):
    assert costs.question_tokens("", {"Llama-3.1-8B": ""}) == costs.QUESTION_TOKENS
    with pytest.raises(LabError, match="no tokenizer.json"):
        costs.count_tokens(["a"], {"Llama-3.1-8B": tmp_path})
    from tokenizers import Tokenizer, models, pre_tokenizers

    coder = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    coder.pre_tokenizer = pre_tokenizers.Whitespace()
    coder.save(str(tmp_path / "tokenizer.json"))
    counted = costs.count_tokens(["a b", "a b c d"], {"Llama-3.1-8B": tmp_path})["Llama-3.1-8B"]
    assert counted == {"mean": 3.0, "median": 3.0, "max": 4, "questions": 2}


def test_a_table_escapes_what_a_file_wrote():
    page = table([{"<b>": "<img src=x onerror=alert(1)>", "n": 1.50, "yes": True, "none": None}])._repr_html_()
    assert "<img" not in page and "&lt;img" in page and "&lt;b&gt;" in page and ">1.5<" in page and ">yes<" in page


@needs_legacy
def test_the_archived_numbers_come_out():
    archive = Archive(LEGACY)
    rows = {(row["place"], row["what"]): row for row in audit.verdicts(archive)}
    final = rows["REPORT.md:17", "128: latent at final"]
    assert (final["recomputed"], final["verdict"], final["basis"]) == (70.0, "differs", "rows")
    assert rows["REPORT.md:17", "128: latent at 1250"]["verdict"] == "agrees"
    assert rows["REPORT.md:50", "sweep: latent at 1000"]["basis"] == "log"
    assert rows["REPORT.md:483", "sweep: translator parameters"]["recomputed"] == 189.0
    paired = {(row["run"], row["step"]): row for row in audit_tables.paired_table(archive)}
    assert paired["128", 1250]["source or target right"] == 161
    assert (paired["128", "final"]["only latent right"], paired["128", "final"]["only target right"]) == (10, 24)
    leak = [row for row in audit_tables.leak_examples(archive) if row["step"] == 1000]
    assert leak[0]["generated"].startswith("$18= $18=") and leak[1]["generated"].startswith("3=3=3")
    assert archive.reports == []


@pytest.mark.slow
@pytest.mark.parametrize("legacy", ["", str(LEGACY)])
def test_the_notebook_runs_with_and_without_rows(tmp_path, legacy):
    words = ["run", "papermill_jobs/audit.yaml", "--runs", str(tmp_path), "-p", "name=t", "-p", f"legacy={legacy}"]
    done = subprocess.run([sys.executable, "-m", "lab", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    written = json.loads((tmp_path / "t" / "audit.json").read_text())
    assert len(written["verdicts"]) == len(REPORTED)
    assert bool(written["paired"]) == bool(legacy and LEGACY.is_dir())
