"""Runs of any age open; every line is a record or a named problem; what is written in the old format reads back."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lab.errors import LabError
from lab.evidence.summary import summarise
from lab.pictures.summaries import summaries_text, summarize
from lab.runs.legacy import WIDE_COLUMNS, bare_question, to_wide, write_wide
from lab.runs.logs import parse_log
from lab.runs.packed import MAGIC
from lab.runs.reading import read_step
from lab.runs.records import read_jsonl, write_jsonl
from lab.runs.runfiles import find_runs
from lab.tasks import question_id

LEGACY = Path(__file__).parents[2].parent / "shared" / "data" / "legacy_runs"
needs_legacy = pytest.mark.skipif(not LEGACY.is_dir(), reason="the archived runs are not here")
LONG = "phase1_push_phase1_128tok_push_20251121_003447"
HYBRID = "phase2_hybrid_adapter_phase2_swap_20251120_210533/phase2_swap_all_fix"
SHOTS = "Answer and end with '#### <number>'.\n\nQ: 1+1?\nA: 2\n#### 2\n\n"
LOG = """==== Config ====
source_model: a/b
soft_tokens: -1
eval_prompt_mode: soft_plus_text
train_steps: 1000
dataset: gsm8k

capping to 2048 soft tokens
Step 20/1000 | Loss (avg over last 20): 2.9953
[Eval] Step 250 | Source-alone acc: 0.000 | Target-alone acc: 0.667 | Bridged acc: 0.333
"""


def wide(index=0, gold="18", source="[invalid]", target="18", bridged="7", step="250"):
    prompt = f"{SHOTS}Q: How many ducks has pond {index}?\nA: Let's think step by step.\n\nAnswer:"
    row = {"eval_step": step, "index": index, "question": prompt, "gold_full_text": f"{prompt} so\n#### {gold}"}
    row["gold_extracted"] = gold
    for name, value in (("source", source), ("target", target), ("bridged", bridged)):
        row |= {f"{name}_full": f"é\u2028 text\n#### {value}", f"{name}_extracted": value}
    return row


def new(index=0, gold="18", **extracted):
    question = f"How many ducks has pond {index}?"
    arms = {
        arm: {
            "text": f"#### {value}", "extracted": value, "correct": value == gold, "saw": f"Q: {question}\nA:",
            "context_aware": True, "prompt_tokens": 9, "soft_tokens": 0, "new_tokens": 3,
        }
        for arm, value in ({"source": "1", "target": "18", "latent": "18"} | extracted).items()
    }  # fmt: skip
    return {"id": question_id(question), "question": question, "gold": gold, "cell": "gsm8k", "word": "", "arms": arms}


def test_a_wide_row_becomes_todays_record(tmp_path):
    write_jsonl(tmp_path / "eval_samples_step_250.jsonl", [wide()])
    (tmp_path / "train.log").write_text(LOG)
    rows = read_step(tmp_path / "eval_samples_step_250.jsonl")
    record = rows.records[0]
    assert (rows.problems, rows.warnings, rows.lines) == ([], [], 1)
    assert record["question"] == "How many ducks has pond 0?" and record["id"] == question_id(record["question"])
    assert {arm: answer["correct"] for arm, answer in record["arms"].items()} == {
        "source": False, "target": True, "latent": False,
    }  # fmt: skip
    assert record["arms"]["target"]["saw"] == wide()["question"]
    assert record["arms"]["latent"]["saw"] == "<soft×2048>" + wide()["question"]
    assert record["cell"] == "gsm8k" and record["gold_text"] == " so\n#### 18"
    assert all(answer["prompt_tokens"] is None for answer in record["arms"].values())


def test_invalid_is_never_right(tmp_path):
    write_jsonl(tmp_path / "eval_samples_step_0.jsonl", [wide(gold="[invalid]", source="[invalid]", target="")])
    arms = read_step(tmp_path / "eval_samples_step_0.jsonl").records[0]["arms"]
    assert not any(answer["correct"] for answer in arms.values())


@pytest.mark.parametrize(
    "prompt, question",
    [
        (f"{SHOTS}Q: Why Q: here?\nA:", "Why Q: here?"),
        ("You are a tutor.\n\nProblem:\nA robe takes 2 bolts.", "A robe takes 2 bolts."),
        ("Context: x\n\nQuestion: Who?\nAnswer:", "Who?"),
        ("Only this", "Only this"),
    ],
)
def test_the_bare_question_aligns_runs(prompt, question):
    assert bare_question(prompt) == question


def test_steps_are_in_order_plain_before_gzip_nested_or_not(tmp_path):
    for folder in ("a", "b/c"):
        for step in ("final", "1000", "250", "best", "0"):
            write_jsonl(tmp_path / folder / f"eval_samples_step_{step}.jsonl", [wide(step=step)])
    (tmp_path / "a" / "eval_samples_step_250.jsonl.gz").write_bytes(gzip.compress(b"{}\n"))
    write_jsonl(tmp_path / "a" / ".hidden" / "eval_samples_step_0.jsonl", [wide()])
    runs = find_runs(tmp_path)
    assert [run.name for run in runs] == ["a", "b/c"]
    assert [[file.step for file in run.steps] for run in runs] == [[0, 250, 1000, "best", "final"]] * 2
    assert runs[0].step(250).path.suffix == ".jsonl" and "250.jsonl.gz" in runs[0].ignored[0]
    assert [run.name for run in find_runs(tmp_path / "b" / "c")] == ["c"]
    with pytest.raises(LabError, match="has no step 7"):
        runs[0].step(7)


@pytest.mark.parametrize(
    "log, final, status",
    [
        (LOG, False, "unfinished"),
        (LOG, True, "finished"),
        (LOG + "[Final Eval] Target-alone acc: 0.730 | Bridged acc: 0.360\n", False, "finished"),
        (LOG + "[Early Stop] Stopping early at step 500. Best bridged acc: 0.4\n", True, "early_stopped"),
        (LOG + "[Early Stop] Stopping early at step 1000. Best bridged acc: 0.4\n", True, "finished"),
        ("Step 20/100 | Loss 2.5 | LR 1e-3\nStopped early at step 60: 3 without gain\n", True, "early_stopped"),
    ],
)  # fmt: skip
def test_how_a_run_ended(tmp_path, log, final, status):
    (tmp_path / "train.log").write_text(log)
    write_jsonl(tmp_path / "eval_samples_step_250.jsonl", [wide()])
    if final:
        write_jsonl(tmp_path / "eval_samples_step_final.jsonl", [wide(step="final")])
    assert find_runs(tmp_path)[0].status == status


def test_nothing_to_open_is_one_sentence(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(LabError, match=r"; give a run|holds no run"):
            find_runs(path)


def test_a_log_is_searched_not_trusted():
    facts = parse_log("=====[Eval] Step 5 | Bridged acc: 0.5\x00\n\ufffd[Eval] latent: 3/4 = 0.750\n==== Config ====\n")
    assert facts.evaluations == {5: {"latent": 0.5}} and facts.config == {}
    assert parse_log("[Eval] latent: 3/4 = 0.750\n").evaluations == {"final": {"latent": 0.75}}
    assert parse_log(LOG).soft_tokens == 2048 and parse_log(LOG).steps_planned == 1000


@given(
    pieces=st.lists(
        st.sampled_from([*LOG.split(" "), *LOG.split("\n"), "\n", "9" * 5000, "nan", "[Final Eval] ", "Experiment: "])
        | st.text(max_size=5)
    )
)  # fmt: skip
def test_no_log_is_too_broken_to_read(pieces):
    for glue in ("", " ", "\n"):
        facts = parse_log(glue.join(pieces))
        assert facts.last_step is None or facts.last_step >= 0


def test_a_file_that_cannot_be_opened_does_not_hide_the_others(tmp_path):
    write_jsonl(tmp_path / "r" / "eval_samples_step_250.jsonl", [wide()])
    (tmp_path / "r" / "eval_samples_step_500.jsonl").symlink_to(tmp_path / "gone")
    report = []
    assert [(entry["step"], entry["n"]) for entry in summarize(tmp_path, report)] == [(250, 1), (500, None)]
    assert len(report) == 1 and "step_500" in report[0]


def test_the_command_prints_json_or_tables(tmp_path):
    write_jsonl(tmp_path / "r" / "eval_samples_step_250.jsonl", [wide(0), wide(1)])
    with open(tmp_path / "r" / "eval_samples_step_250.jsonl", "a") as file:
        file.write("torn")
    words = [sys.executable, "-m", "lab", "summarize", str(tmp_path)]
    done = subprocess.run([*words, "--json"], capture_output=True, text=True, check=True)
    keys = "run step n source_acc target_acc bridged_acc bridged_invalid mcnemar_p_vs_target discordant".split()
    assert list(json.loads(done.stdout)[0])[:9] == keys and json.loads(done.stdout)[0]["unread"] == 1
    assert "eval_samples_step_250.jsonl:3: not valid JSON" in done.stderr
    assert "r (unfinished)" in subprocess.run(words, capture_output=True, text=True, check=True).stdout


BAD_LINES = [
    (b"{", "not valid JSON"),
    (b"", "empty"),
    (b"[1]", "a list"),
    (b"[" * 100_000, "not valid JSON"),
    (b'{"question": NaN}', "not valid JSON"),
    (json.dumps({k: v for k, v in wide().items() if k != "question"}).encode(), "no 'question'"),
    (json.dumps(wide() | {"gold_extracted": 18}).encode(), "'gold_extracted' is a int"),
    (json.dumps(wide() | {"index": "0"}).encode(), "'index' is a str"),
    (json.dumps({"question": "a", "gold_extracted": "1"}).encode(), "no answers"),
    (json.dumps(new() | {"arms": []}).encode(), "'arms' is not"),
    (json.dumps(new() | {"arms": {"latent": {"correct": "yes"}}}).encode(), "true or false"),
]


@pytest.mark.parametrize("line, reason", BAD_LINES, ids=[reason for _, reason in BAD_LINES])
def test_a_broken_line_is_named_and_the_rest_opens(tmp_path, line, reason):
    path = tmp_path / "eval_samples_step_250.jsonl"
    good = json.dumps(wide()).encode()
    path.write_bytes(good + b"\n" + line + b"\r\n" + good.replace(b"pond 0", b"pond 1"))
    rows = read_step(path)
    assert len(rows.records) == 2 and len(rows.problems) == 1 and rows.lines == 3
    number, why = rows.problems[0]
    assert number == 2 and reason in why and "ducks" not in why  # a reason quotes nothing of the file
    assert rows.report()[0].startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    "change, warning",
    [
        (lambda row: row.pop("source_full"), "no 'source_full'"),
        (lambda row: [row.pop("source_full"), row.pop("source_extracted")], "no 'source_full' and no"),
        (lambda row: row.pop("gold_extracted"), "read from 'gold_full_text'"),
        (lambda row: row.pop("bridged_extracted"), "read from 'bridged_full'"),
        (lambda row: row.update(eval_step="500"), "eval_step says '500'"),
        (lambda row: row.update(source_full="\ud83d half"), "surrogate"),
    ],
)
def test_what_is_missing_or_odd_is_told_and_the_row_kept(tmp_path, change, warning):
    row = wide()
    change(row)
    path = tmp_path / "eval_samples_step_250.jsonl"
    path.write_text(json.dumps(row) + "\n")
    rows = read_step(path)
    assert len(rows.records) == 1 and any(warning in text for _, text in rows.warnings)
    assert all(line == 1 for line, _ in rows.warnings)
    assert rows.records[0]["arms"]["target"]["correct"] is True
    write_wide(tmp_path / "out.jsonl", rows.records)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings_and_gzip(tmp_path, encoding, packed):
    row = wide() | {"source_full": "café – 5 €"}
    data = (json.dumps(row, ensure_ascii=False).replace("\u2028", " ") + "\n").encode(encoding)
    path = tmp_path / ("eval_samples_step_250.jsonl" + ".gz" * packed)
    path.write_bytes(gzip.compress(data) if packed else data)
    rows = read_step(path)
    assert [record["arms"]["source"]["text"] for record in rows.records] == ["café – 5 €"]
    assert bool(rows.warnings) == (encoding == "cp1252")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_log_that_windows_wrote_says_the_same(tmp_path, encoding):
    write_jsonl(tmp_path / "eval_samples_step_250.jsonl", [wide()])
    (tmp_path / "train.log").write_bytes(LOG.replace("\n", "\r\n").encode(encoding))
    run = find_runs(tmp_path)[0]
    assert run.log == parse_log(LOG)
    assert read_step(run.steps[0].path).records[0]["arms"]["latent"]["soft_tokens"] == 2048


def test_a_torn_log_is_named(tmp_path):
    write_jsonl(tmp_path / "eval_samples_step_250.jsonl", [wide()])
    packed = gzip.compress((LOG + os.urandom(2000).hex()).encode())
    (tmp_path / "train.log.gz").write_bytes(packed[:-200])
    reports = []
    found = summarize(tmp_path, reports)
    assert found[0]["log"]["bridged_acc"] == 0.333
    assert any("train.log.gz: the gzip archive ends too early" in text for text in reports)


def test_a_torn_gzip_gives_what_it_holds(tmp_path):
    lines = [json.dumps(wide(index) | {"target_full": os.urandom(500).hex()}).encode() + b"\n" for index in range(40)]
    path = tmp_path / "eval_samples_step_250.jsonl.gz"
    whole = gzip.compress(b"".join(lines[:20])) + gzip.compress(
        b"".join(lines[20:])
    )  # two members, as `cat` makes them
    path.write_bytes(whole)
    assert len(read_step(path).records) == 40
    path.write_bytes(whole[: len(whole) * 3 // 4])
    rows = read_step(path)
    assert 20 <= len(rows.records) < 40 and len(rows.records) + len(rows.problems) == rows.lines
    assert "gzip" in rows.warnings[-1][1]


def test_repeated_questions_are_named_and_counted_once(tmp_path):
    write_jsonl(tmp_path / "r" / "eval_samples_step_250.jsonl", [wide(0), wide(1), wide(0)])
    rows = read_step(tmp_path / "r" / "eval_samples_step_250.jsonl")
    assert [line for line, text in rows.warnings if "occurs 2 times" in text] == [1, 3]
    found = summarize(tmp_path / "r")[0]
    assert (found["n"], found["repeated"], found["target_acc"]) == (2, 1, 1.0)


def test_rows_against_log_are_both_shown(tmp_path):
    write_jsonl(tmp_path / "r" / "eval_samples_step_250.jsonl", [wide(0), wide(1, bridged="18"), wide(2, bridged="18")])
    (tmp_path / "r" / "train.log").write_text(LOG)
    found = summarize(tmp_path)
    assert found == summarize(tmp_path / "r") and len(found) == 1
    assert found[0]["bridged_acc"] == 2 / 3 and found[0]["log"]["bridged_acc"] == 0.333
    assert found[0]["differs"] == ["target_acc", "bridged_acc"] and found[0]["discordant"] == [0, 1]
    assert "66.7 (log 33.3)" in summaries_text(found)


def test_new_records_survive_the_old_format(tmp_path):
    records = [new(0), new(1, target="18.0", latent="[invalid]"), new(2, source="18")]
    records[1]["arms"]["target"]["correct"] = True  # another spelling of the same number
    write_jsonl(tmp_path / "eval_samples_step_final.jsonl", records)
    read = read_step(tmp_path / "eval_samples_step_final.jsonl")
    assert read.records == records and not read.warnings
    write_wide(tmp_path / "old" / "eval_samples_step_final.jsonl", records)
    assert all(tuple(row) == WIDE_COLUMNS for row in read_jsonl(tmp_path / "old" / "eval_samples_step_final.jsonl"))
    back = read_step(tmp_path / "old" / "eval_samples_step_final.jsonl")
    assert not back.problems and not back.warnings
    for one, other in zip(records, back.records, strict=True):
        assert (one["id"], one["gold"]) == (other["id"], other["gold"])
        for arm in ("source", "target", "latent"):
            assert one["arms"][arm]["correct"] == other["arms"][arm]["correct"]
            assert one["arms"][arm]["text"] == other["arms"][arm]["text"]
    assert summarise(read.records)["tests"]["latent_vs_target"] == summarise(back.records)["tests"]["latent_vs_target"]


# --- mutated files: nothing crashes, nothing vanishes -----------------------------------------------------------------

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=6), st.just([]), st.just({}),
    st.sampled_from(["[invalid]", "", "\ud800", "final", "<img src=x onerror=alert(1)>"]),
)  # fmt: skip
PLACES = st.sampled_from([*WIDE_COLUMNS, "id", "gold", "arms", "cell", "word"])


@st.composite
def mutated_files(draw) -> bytes:
    rows = [draw(st.sampled_from([wide, new]))(index) for index in range(draw(st.integers(1, 5)))]
    for row in rows:
        if draw(st.booleans()):
            key = draw(PLACES)
            if draw(st.booleans()):
                row.pop(key, None)
            else:
                row[key] = draw(VALUES)
        if isinstance(row.get("arms"), dict) and row["arms"] and draw(st.booleans()):
            arm = draw(st.sampled_from(sorted(row["arms"])))
            row["arms"][arm] = draw(st.one_of(VALUES, st.fixed_dictionaries({"correct": VALUES, "text": VALUES})))
    lines = []
    for row in rows:
        line = json.dumps(row, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
        how = draw(st.sampled_from(["same"] * 3 + ["cut", "bytes", "cp1252", "twice", "blank"]))
        if how == "cut":
            line = line[: draw(st.integers(0, len(line)))]
        elif how == "bytes":
            at = draw(st.integers(0, len(line)))
            line = line[:at] + draw(st.binary(max_size=4)) + line[at + draw(st.integers(0, 4)) :]
        elif how == "cp1252":
            line = line.decode("utf-8", "replace").encode("cp1252", "replace")
        lines += {"twice": [line, line], "blank": [line, b""]}.get(how, [line])
    data = draw(st.sampled_from([b"\n", b"\r\n"])).join(lines) + draw(st.sampled_from([b"", b"\n", b"\n\n"]))
    return data[: draw(st.integers(0, len(data)))] if draw(st.integers(0, 9)) == 0 else data


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=mutated_files(), packed=st.booleans())
def test_no_line_of_a_mutated_file_vanishes(tmp_path_factory, data, packed):
    assume(packed or not data.startswith(tuple(MAGIC)))  # what begins as an archive is one
    folder = tmp_path_factory.getbasetemp() / "mutated"
    folder.mkdir(exist_ok=True)
    path = folder / "eval_samples_step_250.jsonl"
    path.write_bytes(gzip.compress(data) if packed else data)
    rows = read_step(path)
    lines = data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    assert len(rows.records) + len(rows.problems) == rows.lines == lines
    assert len({line for line, _ in rows.problems}) == len(rows.problems)
    assert all(1 <= line <= rows.lines for line, _ in rows.problems + rows.warnings)
    report = []
    for found in summarize(path, report):
        assert found["unread"] == len(rows.problems) and found["n"] + found["repeated"] == len(rows.records)
        json.dumps(found, allow_nan=False)
        summaries_text([found])
    assert len(report) >= bool(rows.problems)
    wide_rows = [to_wide(record, 250, 0) for record in rows.records]
    json.dumps([rows.records, wide_rows], ensure_ascii=False).encode("utf-8")
    assert Counter(record["id"] for record in rows.records).total() == len(rows.records)


@pytest.mark.parametrize("first, problems, warnings", [(b"\x1f\x8b", 1, 0), (b"\x1f\x8b\x08", 0, 1)])
def test_lines_that_begin_like_an_archive_are_told(tmp_path, first, problems, warnings):
    """Two stray bytes make no archive, but a line that is none; with a third, which every gzip has, it is a damaged one."""
    path = tmp_path / "eval_samples_step_250.jsonl"
    path.write_bytes(first + b'{"eval_step": 250}\n')
    rows = read_step(path)
    assert (len(rows.problems), len(rows.warnings)) == (problems, warnings)


# --- the archived runs ------------------------------------------------------------------------------------------------


@needs_legacy
def test_the_archived_runs_count_exactly():
    found = {(entry["run"], entry["step"]): entry for entry in summarize(LEGACY)}
    counts = {0: (1, 24), 250: (143, 9), 1250: (150, 6), 2000: (147, 9), "final": (140, 9)}
    for step, (right, invalid) in counts.items():
        entry = found[LONG, step]
        assert (entry["n"], entry["bridged_acc"], entry["bridged_invalid"]) == (200, right / 200, invalid)
        assert (entry["source_acc"], entry["target_acc"], entry["differs"]) == (0.54, 0.77, [])
    assert found[LONG, 1250]["discordant"] == [10, 14]
    assert round(found[LONG, 1250]["mcnemar_p_vs_target"], 2) == 0.54
    assert found[LONG, "final"]["discordant"] == [10, 24]
    assert round(found[LONG, "final"]["mcnemar_p_vs_target"], 3) == 0.024
    for step, (right, invalid) in {0: (67, 70), 1000: (91, 48), "final": (92, 50)}.items():
        assert (found[HYBRID, step]["bridged_acc"], found[HYBRID, step]["bridged_invalid"]) == (right / 200, invalid)
    assert found["focused_sweep_20251106", 1000]["log"]["bridged_acc"] == 0.815
    assert found["focused_sweep_20251106/4_efficient", "final"]["log"]["bridged_acc"] == 0.42


@needs_legacy
def test_the_archived_runs_open_whole_and_as_they_ended():
    runs = {run.name: run for run in find_runs(LEGACY)}
    assert {name: run.status for name, run in runs.items()} == {
        "focused_sweep_20251106": "finished", LONG: "finished", HYBRID: "early_stopped",
    }  # fmt: skip
    assert runs[LONG].log.soft_tokens == 128 and runs[HYBRID].log.config["soft_injection"] == "adapter"
    assert not any(file for run in runs.values() for file in run.steps if read_step(file.path).report())


@needs_legacy
def test_the_old_format_comes_back_as_it_was(tmp_path):
    path = find_runs(LEGACY / LONG)[0].step("final").path
    write_wide(tmp_path / path.name, read_step(path).records)
    assert read_jsonl(tmp_path / path.name) == read_jsonl(path)


@needs_legacy
def test_archived_rows_feed_the_same_statistics():
    summary = summarise(read_step(find_runs(LEGACY / LONG)[0].step(1250).path).records)
    assert round(summary["arms"]["oracle"]["accuracy"] * 200) == 161
    assert summary["tests"]["latent_vs_target"]["only_a"] == 10 and summary["arms"]["latent"]["invalid"] == 6


SCAN = """
import sys, time
from lab.runs import find_runs, read_step
began = time.monotonic()
runs = find_runs(sys.argv[1])
read_step(runs[0].steps[0].path)
first = time.monotonic() - began
files = [file for run in runs for file in run.steps]
lines = sum(len(read_step(file.path).records) for file in files)
with open("/proc/self/status") as status:  # the peak of this program; what `resource` gives is its parent's, if higher
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(len(files), lines, first, peak / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_1400_files_are_scanned_lazily(tmp_path):
    """140 runs of 10 files of 2.3 MB (one file under 1 400 names): first rows at once, memory stays small."""
    prompt = SHOTS * 70
    rows = [wide(index) | {"question": prompt + wide(index)["question"]} for index in range(200)]
    rows = [row | {"gold_full_text": row["question"] + " #### 18", "bridged_full": "x" * 2000} for row in rows]
    write_jsonl(tmp_path / "one.jsonl", rows)
    assert (tmp_path / "one.jsonl").stat().st_size > 2.2e6
    for run in range(140):
        (tmp_path / "runs" / f"run_{run:03}").mkdir(parents=True)
        for step in range(10):
            os.link(
                tmp_path / "one.jsonl", tmp_path / "runs" / f"run_{run:03}" / f"eval_samples_step_{step * 250}.jsonl"
            )
    done = subprocess.run([sys.executable, "-c", SCAN, tmp_path / "runs"], capture_output=True, text=True, check=True)
    files, lines, first, memory = map(float, done.stdout.split())
    assert (files, lines) == (1400, 280_000) and first < 2 and memory < 1000, done.stdout
