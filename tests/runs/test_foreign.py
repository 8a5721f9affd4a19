"""Samples of other tools: read row by row, put side by side by question, and refused with the names of what can be."""

import gzip
import json
import sys
from pathlib import Path

import pytest
from foreign_samples import CHOICES, QUESTIONS, TIME, choice_row, harness_row, write_harness, write_inspect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_records import write_runs
from typer.testing import CliRunner

from lab.__main__ import app
from lab.errors import LabError
from lab.pictures.summaries import summaries_text, summarize
from lab.runs import FORMATS, find_runs, read_step
from lab.runs.foreign import HARNESS, INSPECT, origin_of
from lab.runs.records import write_jsonl
from lab.samples import screen
from lab.samples.desk import Desk
from lab.samples.sheets import Library
from lab.tasks import question_id

ANSWERS = {"one": ["7", "x8", "4"], "two": ["7", "9", "[invalid]"]}


def verdicts(rows) -> dict[str, list]:
    """arm -> (extracted, right) by question."""
    found = {}
    for record in rows.records:
        for arm, answer in record["arms"].items():
            found.setdefault(arm, []).append((answer["extracted"], answer["correct"]))
    return found


@pytest.mark.parametrize(
    "name, tool, task",
    [
        (f"samples_gsm8k_cot_{TIME}.jsonl", HARNESS, "gsm8k_cot"),
        (f"samples_mmlu_law_{TIME}.jsonl.gz", HARNESS, "mmlu_law"),
        ("2026-11-25T21-39-24-00-00_gsm8k-cot_37mPjcAb4hmGsDR8utwF5o.eval", INSPECT, "gsm8k-cot"),
        ("2026-11-25T21:39:24+00:00_sums_37mPjcAb4hmGsDR8utwF5o.json", INSPECT, "sums"),
        ("renamed.eval", INSPECT, ""),
    ],
)
def test_whose_file_it_is_stands_in_its_name(name, tool, task):
    assert origin_of(Path(name))[:2] == (tool, task)


@pytest.mark.parametrize("name", ["eval_samples_step_250.jsonl", "samples.jsonl", "samples.json", "manifest.json",
                                  f"results_{TIME}.json"])  # fmt: skip
def test_other_names_are_nobodys(name):
    assert origin_of(Path(name)) is None


# --- lm-evaluation-harness --------------------------------------------------------------------------------------------


def test_a_file_of_the_harness_has_an_arm_for_each_filter(tmp_path):
    [path] = write_harness(tmp_path, {"one": ANSWERS["one"]})
    rows = read_step(path)
    assert rows.problems == rows.warnings == rows.failed == [] and len(rows.records) == 3
    assert verdicts(rows) == {
        "one · strict-match": [("7", True), ("x8", False), ("4", True)],
        "one · flexible-extract": [("7", True), ("8", True), ("4", True)],
    }
    first = rows.records[0]
    assert first["question"] == QUESTIONS[0][0] and first["id"] == question_id(QUESTIONS[0][0])
    assert (first["gold"], first["gold_text"], first["cell"]) == ("7", "so\n#### 7", "sums")
    answer = first["arms"]["one · strict-match"]
    assert answer["text"] == " it is 7.\n#### 7" and answer["saw"].startswith("Question: 1+1?")
    assert answer["context_aware"] is True and answer["soft_tokens"] is None


def test_models_stand_side_by_side_on_the_same_questions(tmp_path):
    write_harness(tmp_path, ANSWERS)
    write_harness(tmp_path / "other", {"one": ["7"]}, task="more")
    runs = find_runs(tmp_path)
    assert [(run.name, run.tools, len(run.steps[0].beside)) for run in runs] == [
        ("more", (HARNESS,), 0), ("sums", (HARNESS,), 1),
    ]  # fmt: skip
    found = verdicts(read_step(runs[1].steps[0]))
    assert list(found) == [f"{model} · {rule}" for model in ANSWERS for rule in ("strict-match", "flexible-extract")]
    assert found["two · strict-match"] == [("7", True), ("9", False), ("[invalid]", False)]


def test_files_that_are_named_are_compared_whatever_their_task(tmp_path):
    one = write_harness(tmp_path, {"one": ANSWERS["one"]}, task="sums_cot")
    two = write_harness(tmp_path, {"two": ANSWERS["two"]})
    [run] = find_runs([*one, *two])
    assert run.name == "sums_cot, sums" and len(verdicts(read_step(run.steps[0]))) == 4


def test_a_model_that_answered_twice_is_two_arms(tmp_path):
    [first] = write_harness(tmp_path, {"one": ["7"]})
    later = first.with_name(first.name.replace("T21", "T22"))
    later.write_bytes(first.read_bytes())
    arms = verdicts(read_step(find_runs(tmp_path)[0].steps[0]))
    assert list(arms)[::2] == ["one @2026-11-25T21-43-36 · strict-match", "one @2026-11-25T22-43-36 · strict-match"]


def test_the_results_beside_name_the_model(tmp_path):
    [path] = write_harness(tmp_path, {"org__one": ["7"]})
    results = {"model_name": "org/one", "config": {"model": "hf"}}
    beside = path.with_name(f"results_{TIME}.json")
    beside.write_text(json.dumps(results))
    assert list(verdicts(read_step(path))) == ["org/one · strict-match", "org/one · flexible-extract"]
    results = {"model_name": "", "config": {"model": "lab", "model_args": {"run": "runs/first", "arm": "latent"}}}
    beside.write_text(json.dumps(results))
    assert list(verdicts(read_step(path)))[0] == "lab run=runs/first, arm=latent · strict-match"


def test_choices_are_shown_with_their_likelihoods(tmp_path):
    path = tmp_path / "one" / f"samples_fruit_{TIME}.jsonl"
    write_jsonl(path, [choice_row([-12.0, -8.0, -10.0], 1.0, 0.0)])
    [record] = read_step(path).records
    assert record["gold"] == "fig" and record["question"] == "Which is a fruit?"
    assert {arm: (answer["extracted"], answer["correct"]) for arm, answer in record["arms"].items()} == {
        "one · acc": ("fig", True), "one · acc_norm": ("penknife", False),  # -10/8 is more than -8/3
    }  # fmt: skip
    assert [line.split() for line in record["arms"]["one · acc"]["text"].split("\n")] == [
        [f"{chance:.3f}", choice] for chance, choice in zip((-12, -8, -10), CHOICES, strict=True)
    ]  # fmt: skip


def test_an_older_version_and_a_renamed_file_are_read(tmp_path):
    row = harness_row(0, "7")
    old = {name: row[name] for name in ("doc_id", "doc", "target", "resps", "filtered_resps", "exact_match")}
    old["arguments"] = [[f"Q: {QUESTIONS[0][0]}\nA:", {"until": ["\n"]}]]
    old["doc"] = {"text": "no field with a known name"}  # then the question is sought in the prompt
    path = tmp_path / "llama_gsm8k.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(old) + "\n").encode()))
    [record] = read_step(path).records
    assert record["id"] == question_id(QUESTIONS[0][0])
    [found] = summarize(path)
    assert found["tools"] == [HARNESS] and found["arms"][tmp_path.name]["accuracy"] == 1
    assert record["arms"][tmp_path.name]["correct"] is True and record["arms"][tmp_path.name]["saw"].startswith("Q: Ana")


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"exact_match": 0.5}, "no score that is right or wrong; it has exact_match"),
        ({"exact_match": None}, None),
        ({"doc": {}, "arguments": {}}, "no question"),
        ({"resps": []}, "'resps'"),
        ({"filter": "strict-match", "doc_id": 0}, "the same document and filter"),
    ],
)
def test_what_is_no_verdict_is_named(tmp_path, change, reason):
    path = tmp_path / "one" / f"samples_sums_{TIME}.jsonl"
    rows = [harness_row(0, "7"), harness_row(0 if change.get("doc_id") == 0 else 1, "8") | change]
    write_jsonl(path, rows)
    read = read_step(path)
    if reason is None:  # answered, not scored: kept, and counted as such
        assert [answer["correct"] for record in read.records for answer in record["arms"].values()] == [True, None]
        assert summarize(path)[0]["arms"]["one · strict-match"]["unscored"] == 1
    else:
        assert len(read.records) <= 1 and reason in read.problems[-1][1]


def test_golds_that_differ_are_told(tmp_path):
    write_harness(tmp_path, ANSWERS)
    path = tmp_path / "two" / f"samples_sums_{TIME}.jsonl"
    path.write_text(path.read_text().replace("#### 8", "#### 9").replace("#### 7", "#### 7.0"))
    reports = []
    summarize(tmp_path, reports)
    assert [line for line in reports if "another gold" in line] == [f"{path}:2: another gold than in the files before, "
                                                                    "whose gold is shown"]  # fmt: skip


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({}),
                   st.just([[]]), st.just([["-1.0", "False"]]), st.just({"gen_args_0": []}))  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes=st.lists(st.tuples(st.sampled_from([*harness_row(0, "7")]), VALUES), max_size=4),
       broken=st.binary(max_size=12))  # fmt: skip
def test_no_file_is_too_broken_to_read(tmp_path_factory, changes, broken):
    folder = tmp_path_factory.getbasetemp() / "broken"
    folder.mkdir(exist_ok=True)
    path = folder / f"samples_sums_{TIME}.jsonl"
    lines = [json.dumps(harness_row(0, "7") | dict(changes)).encode(), broken.replace(b"\n", b""),
             json.dumps(choice_row([-1, -2, -3], 0, 1) | dict(changes)).encode()]  # fmt: skip
    path.write_bytes(b"\n".join(lines) + b"\n")
    reports = []
    [found] = summarize(path, reports)
    json.dumps(found, allow_nan=False)
    assert found["unread"] + found["n"] >= 1 and "sums" in summaries_text([found])
    assert len(reports) >= bool(found["unread"])


# --- Inspect ----------------------------------------------------------------------------------------------------------


def test_without_the_package_one_sentence_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "inspect_ai.log", None)
    (tmp_path / "a.eval").write_bytes(b"PK")
    with pytest.raises(LabError, match=r"pip install inspect-ai"):
        read_step(tmp_path / "a.eval")
    write_harness(tmp_path, ANSWERS)  # and it hides no other file
    done = CliRunner().invoke(app, ["summarize", str(tmp_path)])
    assert "one · strict-match" in done.output and "inspect-ai" in done.output
    assert isinstance(done.exception, LabError) and str(tmp_path / "a.eval") in str(done.exception)


@pytest.fixture
def inspect_ai():
    return pytest.importorskip("inspect_ai", reason="inspect_ai is not installed: `pip install --no-deps -r requirements-inspect.lock`")


@pytest.mark.slow  # `make test-slow` installs the package
@pytest.mark.parametrize("form", ["eval", "json"])
def test_a_log_of_inspect_has_an_arm_for_each_scorer(tmp_path, inspect_ai, form):
    path = write_inspect(tmp_path, ["ANSWER: 7", "so it is 9", "I can't say"], form=form)
    rows = read_step(path)
    assert rows.problems == rows.warnings == [] and rows.lines == 3
    assert verdicts(rows) == {
        "mockllm/model · match": [("7", True), ("9", False), (None, False)],
        "mockllm/model · includes": [("answer: 7", True), ("so it is 9", False), ("i can't say", False)],
    }
    first = rows.records[0]
    assert first["id"] == question_id(QUESTIONS[0][0]) and first["gold"] == "7" and first["cell"] == "sums"
    answer = first["arms"]["mockllm/model · match"]
    assert answer["text"] == "ANSWER: 7" and answer["saw"] == f"[system]\nBe brief.\n\n[user]\n{QUESTIONS[0][0]}"
    assert (answer["prompt_tokens"], answer["new_tokens"]) == (12, 3)


@pytest.mark.slow
def test_epochs_are_arms(tmp_path, inspect_ai):
    arms = verdicts(read_step(write_inspect(tmp_path, ["7", "8"], epochs=2)))
    assert list(arms)[:2] == ["mockllm/model · match", "mockllm/model · includes"] and len(arms) == 4
    assert "mockllm/model · match epoch 2" in arms


@pytest.mark.slow
def test_both_tools_stand_side_by_side(tmp_path, inspect_ai):
    write_harness(tmp_path, ANSWERS)
    write_inspect(tmp_path / "logs", ["7", "9", "4"])
    [found] = summarize(tmp_path)
    assert set(found["tools"]) == {HARNESS, INSPECT} and found["n"] == 3
    test = found["arms"]["two · strict-match"]["against"]
    assert (test["only_a"], test["only_b"]) == (0, 1)  # against mockllm/model, which stands first
    assert found["arms"]["one · flexible-extract"]["accuracy"] == 1.0


@pytest.mark.slow
def test_what_inspect_cannot_read_is_one_sentence(tmp_path, inspect_ai):
    for name in ("a.eval", "a.json"):
        (tmp_path / name).write_text("{}")
        with pytest.raises(LabError, match="no log that Inspect can read") as refused:
            read_step(tmp_path / name)
        assert "\n" not in str(refused.value)


# --- the two doors ----------------------------------------------------------------------------------------------------


def test_the_command_shows_every_arm_against_the_first(tmp_path):
    write_harness(tmp_path, ANSWERS)
    done = CliRunner().invoke(app, ["summarize", str(tmp_path)])
    assert done.exit_code == 0, done.output
    lines = done.output.split("\n")
    assert lines[0] == "sums (lm-evaluation-harness), 3 questions" and "95 % (Wilson)" in lines[1]
    two = next(line.split() for line in lines if "two · strict-match" in line)
    assert two[3:6] == ["3", "33.3", "6.1"] and two[-4:] == ["0", "/", "2", ".500"]
    found = json.loads(CliRunner().invoke(app, ["summarize", str(tmp_path), "--json"]).output)
    assert found[0]["arms"]["two · strict-match"]["invalid"] == 1 and found[0]["failed"] == []


@pytest.mark.parametrize("name, content", [("table.csv", "a,b\n1,2\n"), ("rows.jsonl", '{"a": 1}\n'), ("empty.jsonl", ""),
                                           (f"samples_sums_{TIME}.jsonl", '{"doc": 1}\n')])  # fmt: skip
def test_a_file_of_another_kind_ends_with_the_formats_that_can_be_read(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    done = CliRunner().invoke(app, ["summarize", str(tmp_path / name)])
    assert done.exit_code == 1 and isinstance(done.exception, LabError)
    assert name in str(done.exception) and FORMATS in str(done.exception)
    with pytest.raises(LabError) as refused:
        Desk(Library(tmp_path / name))
    assert FORMATS in str(refused.value)


def test_a_folder_with_one_unreadable_file_shows_the_rest_and_fails(tmp_path):
    write_runs(tmp_path, ("one",))
    (tmp_path / "one" / "eval_samples_step_7.jsonl").write_text("torn")
    done = CliRunner().invoke(app, ["summarize", str(tmp_path)])
    assert "one (finished)" in done.output and "eval_samples_step_7" in str(done.exception)


def test_the_browser_compares_them_with_a_run_of_this_workbench(tmp_path):
    write_harness(tmp_path / "others", ANSWERS)
    own = {arm: {"text": f"#### {said}", "extracted": said, "correct": said == "8"} for arm, said in
           (("latent", "8"), ("target", "9"))}  # fmt: skip
    row = {"id": question_id(QUESTIONS[1][0]), "question": QUESTIONS[1][0], "gold": "8", "arms": own}
    write_jsonl(tmp_path / "mine" / "eval_samples_step_final.jsonl", [row])
    desk = Desk(Library([tmp_path / "mine", tmp_path / "others"]))
    assert [run.name for run in desk.library.runs] == ["mine", "sums"]
    desk.side("b", run=1, step="final", arm="two · strict-match")
    assert screen.header(desk)["only_a"] == 1  # matched by the question's text
    shown = screen.sample(desk)["answers"]
    assert [answer["name"] for answer in shown[:2]] == ["two · strict-match @final of sums", "latent @final of mine"]


@pytest.mark.slow
def test_a_file_that_the_harness_wrote_is_read_as_it_counts(tmp_path, monkeypatch):
    """A real evaluation with `--log_samples`: its two filters, a task of choices, and its own accuracies."""
    lm_eval = pytest.importorskip("lm_eval", reason="lm_eval is not installed")
    from lm_eval.api.model import LM
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    class Scripted(LM):
        def generate_until(self, requests, disable_tqdm=False):
            return [f"{place}+3.\n#### {place + 7}." if place < 2 else "It is 4." for place in range(len(requests))]

        def loglikelihood(self, requests, disable_tqdm=False):
            return [(-float(len(request.args[1])), False) for request in requests]

        loglikelihood_rolling = loglikelihood

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_tasks(tmp_path / "tasks")
    tracker = EvaluationTracker(output_path=str(tmp_path / "out"))
    found = lm_eval.simple_evaluate(
        model=Scripted(), tasks=["sums", "fruit"], bootstrap_iters=0, log_samples=True, verbosity="ERROR",
        task_manager=TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False),
        evaluation_tracker=tracker,
    )  # fmt: skip
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task_name=task, samples=rows)
    summaries = {entry["run"]: entry for entry in summarize(tmp_path / "out")}
    assert all(not entry["failed"] and not entry["unread"] for entry in summaries.values())
    for task, rules in (("sums", {"strict-match": "exact_match", "flexible-extract": "exact_match"}),
                        ("fruit", {"acc": "acc", "acc_norm": "acc_norm"})):  # fmt: skip
        arms = {name.split(" · ")[1]: arm for name, arm in summaries[task]["arms"].items()}
        for rule, metric in rules.items():
            key = f"{metric},{rule if task == 'sums' else 'none'}"
            assert arms[rule]["accuracy"] == pytest.approx(found["results"][task][key]), (task, rule)


def write_tasks(folder: Path) -> None:
    folder.mkdir()
    rows = {"sums": [{"question": question, "answer": f"#### {gold}"} for question, gold in QUESTIONS],
            "fruit": [{"question": "Which is a fruit?", "choices": CHOICES, "gold": 1}]}  # fmt: skip
    for task, content in rows.items():
        (folder / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
        about = {"task": task, "dataset_path": "json", "dataset_kwargs": {"data_files": {
            "test": str(folder / f"{task}.jsonl")}}, "test_split": "test", "num_fewshot": 0}  # fmt: skip
        (folder / f"{task}.yaml").write_text(json.dumps(about | KINDS[task]))


IGNORED = [",", "\\$", "(?s).*#### ", "\\.$"]
KINDS = {
    "sums": {
        "output_type": "generate_until", "doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": ["Question:"], "do_sample": False},
        "metric_list": [{"metric": "exact_match", "regexes_to_ignore": IGNORED}],
        "filter_list": [
            {"name": name, "filter": [{"function": "regex", **rule}, {"function": "take_first"}]}
            for name, rule in (("strict-match", {"regex_pattern": "#### (\\-?[0-9\\.\\,]+)"}),
                               ("flexible-extract", {"regex_pattern": "(-?[$0-9.,]{2,})|(-?[0-9]+)",
                                                     "group_select": -1}))
        ],
    },
    "fruit": {"output_type": "multiple_choice", "doc_to_text": "{{question}}\nAnswer:", "doc_to_choice": "{{choices}}",
              "doc_to_target": "gold", "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}]},
}  # fmt: skip
