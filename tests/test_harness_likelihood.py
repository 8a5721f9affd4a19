"""Tasks of the harness that score given continuations: on arm target equal to its own class for models, on latent
those of the soft tokens; its own files of ARC, MMLU and GSM8K, with rows from a local file."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from chat_templates import with_chat

pytest.importorskip("lm_eval", reason="lm_eval is not installed: `pip install --no-deps -r requirements-harness.lock`")

import lm_eval  # noqa: E402
import yaml  # noqa: E402
from lm_eval import simple_evaluate  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

from lab.config.run import RunConfig  # noqa: E402
from lab.errors import LabError  # noqa: E402
from lab.harness import LabModel  # noqa: E402
from lab.models import Pair  # noqa: E402
from lab.places import MINI  # noqa: E402
from lab.tasks.minigsm import MiniGSM  # noqa: E402

TASKS = Path(lm_eval.__file__).parent / "tasks"
FILES = {"arc": TASKS / "arc" / "arc_easy.yaml", "gsm": TASKS / "gsm8k" / "gsm8k.yaml",
         "mmlu": TASKS / "mmlu" / "default" / "_default_template_yaml"}  # fmt: skip
CLOSE = 1e-4  # nats

pytestmark = pytest.mark.slow  # `make test-slow` installs the harness


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs") / "shipped"
    shutil.copytree(MINI / "translator", folder / "checkpoints" / "best")
    RunConfig.from_parameters(
        name="shipped", layout="soft_only", soft_tokens=16, width=256, heads=8, eval_batch_size=7, device="cpu",
        max_new_tokens=24,
    ).to_yaml(folder / "config.yaml")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def harness_class():
    return HFLM(pretrained=str(MINI / "target"), device="cpu", dtype="float32", batch_size=5)


def rows(kind: str, count: int, start: int = 0) -> list[dict]:
    asked = MiniGSM().test()[start : start + count]
    texts = [[question.gold, str(int(question.gold) + 1), "a fig", f"{question.gold} or more"] for question in asked]
    if kind == "gsm":
        return [{"question": question.question, "answer": question.answer} for question in asked]
    if kind == "mmlu":
        return [{"question": question.question, "choices": four, "answer": n % 4, "subject": "sums"}
                for n, (question, four) in enumerate(zip(asked, texts, strict=True))]  # fmt: skip
    return [{"question": question.question, "choices": {"text": four, "label": list("ABCD")}, "answerKey": "A"}
            for question, four in zip(asked, texts, strict=True)]  # fmt: skip


def scored(kind: str, folder: Path, model, count=6, shots=None, **given) -> dict:
    """One of the harness's own task files on local rows: its results and samples."""
    task = yaml.safe_load(FILES[kind].read_text())
    files = {}
    for place, split in enumerate(dict.fromkeys(["train", "dev", "validation", "test"])):
        files[split] = str(folder / f"{split}.jsonl")
        lines = rows(kind, count, start=100 * place)
        Path(files[split]).write_text("".join(json.dumps(row) + "\n" for row in lines))
    task |= {"task": f"local_{kind}", "dataset_path": "json", "dataset_kwargs": {"data_files": files}}
    task.pop("dataset_name", None)
    (folder / f"local_{kind}.yaml").write_text(yaml.safe_dump(task))
    return simple_evaluate(
        model=model, tasks=[f"local_{kind}"], bootstrap_iters=0, log_samples=True, verbosity="ERROR", num_fewshot=shots,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False), **given,
    )  # fmt: skip


def answers(found: dict) -> list:
    (samples,) = found["samples"].values()
    return [answer for sample in sorted(samples, key=lambda sample: sample["doc_id"]) for answer in sample["resps"]]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize(("kind", "shots"), [("arc", 0), ("arc", 2), ("mmlu", 0), ("mmlu", 3)])
def test_the_targets_likelihoods_are_those_of_the_harness(run, harness_class, tmp_path, kind, shots):
    ours = scored(kind, tmp_path, LabModel(run=str(run), arm="target", device="cpu"), shots=shots)
    theirs = scored(kind, tmp_path, harness_class, shots=shots)
    assert len(answers(ours)) == 24
    for (one,), (other,) in zip(answers(ours), answers(theirs), strict=True):
        assert abs(one[0] - other[0]) < CLOSE and one[1] == other[1]
    assert ours["results"] == {name: {**result, "alias": f"local_{kind}"} for name, result in theirs["results"].items()}


def test_empty_contexts_spaces_and_greedy_flags_are_those_of_the_harness(run, harness_class):
    model = LabModel(run=str(run), arm="target", device="cpu")
    prompt = "Q: Tom has 3 apples and buys 2 more. How many apples does Tom have now?\nA:"
    (said,) = model.generate_until([Instance("generate_until", {}, (prompt, {"max_gen_toks": 6}), 0)])
    pairs = [("", "Q: Tom"), ("", "<s>Tom has"), (prompt + "  ", "5"), (prompt, " 5"), ("<s>" + prompt, " 5"),
             (prompt, said), (prompt, said[:2]), (prompt, said + " and so on"), ("Ann", " has")]  # fmt: skip
    requests = [Instance("loglikelihood", {}, pair, place) for place, pair in enumerate(pairs)]
    ours, theirs = model.loglikelihood(requests), harness_class.loglikelihood(requests)
    assert {flag for _, flag in ours} == {True, False} and ours[5][1]
    for pair, one, other in zip(pairs, ours, theirs, strict=True):
        assert abs(one[0] - other[0]) < CLOSE and one[1] == other[1], pair


@pytest.mark.parametrize(("kind", "shots"), [("arc", 0), ("mmlu", 2)])
def test_a_bridged_pair_is_scored_alone_as_in_a_batch(run, tmp_path, kind, shots):
    model = LabModel(run=str(run), device="cpu")
    together = answers(scored(kind, tmp_path, model, shots=shots))
    model.size = 1
    alone = answers(scored(kind, tmp_path, model, shots=shots))
    other = answers(scored(kind, tmp_path, LabModel(run=str(run), arm="source", device="cpu"), shots=shots))
    values = [[float(one[0]) for (one,) in some] for some in (together, alone, other)]
    assert values[0] == pytest.approx(values[1], abs=CLOSE) and values[0] != pytest.approx(values[2], abs=0.1)


def test_the_soft_tokens_decide_what_the_latent_arm_finds_likely(run):
    """Right sums are far likelier than wrong ones, of questions that the target never reads."""
    model, asked = LabModel(run=str(run), device="cpu"), MiniGSM().test()[:20]
    pairs = [(f"Q: {question.question}\nA:", f" {question.answer}") for question in asked]
    wrong = [(prompt, ending) for (prompt, _), (_, ending) in zip(pairs, pairs[1:] + pairs[:1], strict=True)]
    found = model.loglikelihood([Instance("loglikelihood", {}, pair, 0) for pair in pairs + wrong], disable_tqdm=True)
    better = [right[0] > other[0] for right, other in zip(found[:20], found[20:], strict=True)]
    assert sum(better) >= 18


@pytest.mark.parametrize("arm", ["target", "latent"])
def test_the_prompt_of_gsm8k_is_answered(run, tmp_path, arm):
    found = scored("gsm", tmp_path, LabModel(run=str(run), arm=arm, device="cpu"), count=6)
    assert len(answers(found)) == 2 * 6 and all(text for (text,) in answers(found))  # two filters read each


@pytest.mark.parametrize("limit", ["max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"])
def test_generation_arguments_have_all_the_names_of_the_harness(run, limit):
    model = LabModel(run=str(run), arm="target", device="cpu")

    def said(**given):
        return model.generate_until([Instance("generate_until", {}, ("Q: What is a dax?\nA:", given), 0)])[0]

    assert said().startswith(said(**{limit: 3})) and len(said(**{limit: 3})) < len(said(**{limit: 9})) < len(said())
    assert said(**{limit: 3}, temperature=0.7, do_sample=False, top_p=0.9) == said(**{limit: 3})
    assert said(until=said()[4:6]) == said().split(said()[4:6])[0] == said(until=[said()[4:6], ""])
    with pytest.raises(LabError, match="answers greedily"):
        said(temperature=0.7)
    with pytest.raises(LabError, match="argument 'num_beams'"):
        said(num_beams=4)


def test_chat_templates_are_applied_once_or_refused(run, tmp_path):
    model = LabModel(run=str(run), arm="target", device="cpu")
    theirs = HFLM(pretrained=model.model.model, tokenizer=with_chat(model.model).tokenizer, device="cpu", batch_size=5)
    chat = [{"role": "user", "content": "Q: One?\nA:"}]
    framed = with_chat(model.model)
    for chosen in (replace(framed, chat=False), framed):  # a run that knows no template, and one trained inside it
        model.model, model.tokenizer = chosen, chosen.tokenizer
        prompt = model.apply_chat_template(chat)
        assert prompt.count("[user") == prompt.count("[assistant]") == 1
        assert model._framed(prompt) == prompt
        pair = Instance("loglikelihood", {}, (prompt, " 5 figs"), 0)
        assert abs(model.loglikelihood([pair])[0][0] - theirs.loglikelihood([pair])[0][0]) < CLOSE
    assert model._encode_pair("Q: One?\nA:", " 5") == model._encode_pair(prompt, " 5")
    ours = scored("arc", tmp_path, model, apply_chat_template=True, shots=1, fewshot_as_multiturn=False)
    assert all("[user 26 Jul 2024]" in sample["arguments"][0][0] for sample in ours["samples"]["local_arc"])
    with pytest.raises(LabError, match="around one message"):
        model.apply_chat_template([{"role": "system", "content": "Be brief."}, *chat])
    latent = LabModel(run=str(run), device="cpu")
    with pytest.raises(LabError, match="only where the run was trained so"):
        latent.apply_chat_template(chat)
    latent.pair = Pair(latent.pair.source, framed)
    latent.model, latent.tokenizer = framed, framed.tokenizer
    latent.layout = framed.reads(latent.config.layout.at())
    assert latent._parts(latent.apply_chat_template(chat)) == latent._parts("Q: One?\nA:")
    assert latent._parts("Q: One?\nA:")["question"] == "One?"
