"""A run through lm-evaluation-harness answers as it does through lab."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from evaluations import evaluated

pytest.importorskip("lm_eval", reason="lm_eval is not installed: `pip install --no-deps -r requirements-harness.lock`")

from lm_eval import simple_evaluate  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

from lab.config.run import RunConfig  # noqa: E402
from lab.errors import LabError  # noqa: E402
from lab.harness import LabModel  # noqa: E402
from lab.models.loading import load_pair  # noqa: E402
from lab.tasks import load_task, shots_text, split_prompt  # noqa: E402
from lab.tasks.minigsm import MiniGSM  # noqa: E402
from lab.translators import load_translator  # noqa: E402

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "lab" / "pairs" / "mini" / "translator"


pytestmark = pytest.mark.slow  # `make test-slow` installs the harness


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder as training leaves it, around the shipped translator."""
    torch.set_num_threads(1)  # models this small only wait for each other's threads
    folder = tmp_path_factory.mktemp("runs") / "shipped"
    shutil.copytree(SHIPPED, folder / "checkpoints" / "best")
    config = RunConfig.from_parameters(
        name="shipped", layout="soft_only", soft_tokens=16, width=256, heads=8, eval_batch_size=100, device="cpu"
    )
    config.to_yaml(folder / "config.yaml")
    return folder


def local_task(folder: Path, questions) -> TaskManager:
    """The local task in `folder`, with these questions as its test split."""
    rows = [{"question": question.question, "answer": question.answer} for question in questions]
    data = folder / "minigsm_local.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = (ROOT / "tests" / "harness_tasks" / "minigsm_local.yaml").read_text()
    (folder / "minigsm_local.yaml").write_text(task.replace("minigsm_local.jsonl", str(data)))
    return TaskManager(include_path=str(folder), include_defaults=False)


def through_harness(run: Path, arm: str, questions, folder: Path) -> tuple[list[str], float]:
    found = simple_evaluate(
        model="lab", model_args=f"run={run},arm={arm}", tasks=["minigsm_local"], bootstrap_iters=0, log_samples=True,
        task_manager=local_task(folder, questions), device="cpu", verbosity="ERROR",
    )  # fmt: skip
    samples = sorted(found["samples"]["minigsm_local"], key=lambda sample: sample["doc_id"])
    return [sample["resps"][0][0] for sample in samples], found["results"]["minigsm_local"]["exact_match,strict-match"]


def test_two_hundred_questions_give_the_same_texts(run, tmp_path, monkeypatch, count=200):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = RunConfig.from_yaml(run / "config.yaml")
    questions = MiniGSM().test()[:count]
    translator = load_translator(run / "checkpoints" / "best")
    pair, task = load_pair(config.pair), load_task(config.task)
    records = evaluated(config, pair, task, questions, ("target", "latent"), translator=translator)
    for arm in ("target", "latent"):
        texts, accuracy = through_harness(run, arm, questions, tmp_path)
        assert texts == [row["arms"][arm]["text"] for row in records]
        assert accuracy == pytest.approx(sum(row["arms"][arm]["correct"] for row in records) / count)


def test_a_prompt_falls_into_the_parts_of_a_layout():
    shots = shots_text(MiniGSM().exemplars(2))
    assert split_prompt(f"{shots}Q: How many?\nA:") == {"instruction": "", "shots": shots, "question": "How many?"}
    parts = split_prompt(f"Answer these.\n\n{shots}Q: How many?\nAnd then?\nA:", "Answer these.\n\n")
    assert parts == {"instruction": "Answer these.\n\n", "shots": shots, "question": "How many?\nAnd then?"}
    assert split_prompt("Q: One?\nA:")["shots"] == ""
    for other in ("Question: One?\nAnswer", "Q: One?", "Q: One?\nA: 3 and then"):
        with pytest.raises(LabError, match="does not end in"):
            split_prompt(other)
    with pytest.raises(LabError, match="no question before its answer"):
        split_prompt("Q: \nA:")


def test_other_labels_and_none_are_understood_and_no_text_is_lost():
    shown = "Question: One?\nAnswer: 1\n\n"
    parts = split_prompt(f"{shown}Question: Two?\n\nAnd why?\nAnswer:")
    assert parts == {"instruction": "", "shots": "Q: One?\nA: 1\n\n", "question": "Two?\n\nAnd why?"}
    head, asked = "The following are questions.\n\n", "One of?\nA. x\n\nB. y"
    parts = split_prompt(f"{head}Why?\nA. p\nB. q\nAnswer: B\n\n{asked}\nAnswer:")
    assert parts["question"] == asked and parts["shots"] == f"{head}Why?\nA. p\nB. q\nA: B\n\n"
    assert split_prompt(f"{head}{asked}\nAnswer:")["question"] == head + asked
    assert split_prompt("Q: How? Answer: no.\nA: 1\n\nQ: Two?\nA:")["question"] == "Two?"
    with pytest.raises(LabError, match="no blank line ends the exemplar"):
        split_prompt("Why?\nAnswer: B\nWhere?\nAnswer:")


def test_what_it_cannot_do_it_says(run):
    with pytest.raises(LabError, match="arm 'oracle' is not known"):
        LabModel(run=str(run), arm="oracle")
    with pytest.raises(LabError, match="no run was given"):
        LabModel()
    model = LabModel(run=str(run), arm="target", device="cpu")
    with pytest.raises(LabError, match="no likelihood of whole texts"):
        model.loglikelihood_rolling([])
    with pytest.raises(LabError, match="has no chat template"):
        model.apply_chat_template([{"role": "user", "content": "Q: One?\nA:"}])


def test_the_prompt_of_gsm8k_cot_is_understood():
    """Built as the harness builds it, out of its own file: eight exemplars, then the question."""
    import lm_eval
    import yaml

    text = (Path(lm_eval.__file__).parent / "tasks" / "gsm8k" / "gsm8k-cot.yaml").read_text()
    task = yaml.safe_load(text)
    form = task["doc_to_text"]
    samples = task["fewshot_config"]["samples"]
    shots = [form.replace("{{question}}", sample["question"]) + " " + sample["target"] + "\n\n" for sample in samples]
    question = "Ana has 3 figs. How many figs?"
    parts = split_prompt("".join(shots) + form.replace("{{question}}", question))
    assert parts == {"instruction": "", "shots": "".join(shots), "question": question}
    assert len(shots) == task["num_fewshot"] == 8
