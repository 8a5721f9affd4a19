"""How fast, and in how much memory: the straightforward path beside the fast one, in one process on one device.

    python benchmarks/speed.py mini OUT.json                               # the embedded pair; a CPU will do
    python benchmarks/speed.py small FOLDER OUT.json --data GSM8K          # FOLDER/source and FOLDER/target
    python benchmarks/speed.py full MODELS OUT.json --data GSM8K           # by benchmarks/full_size_pair.py
    python benchmarks/speed.py full MODELS OUT.json --data GSM8K --whole   # 2 000 steps, ten evaluations of 200 as well

Weights are random but for the embedded pair's; tokens are real. Each case trains (seconds of a step: median of those
after the warm-up, and the mean with all that is captured or compiled on the way) and evaluates (seconds a sample of
source, target, latent and latent_shuffled: first, with what is compiled on the way; again, when source and target are
known; anew, when they are forgotten. Random weights hardly ever stop, so nearly every answer has all its tokens).
Arithmetic is counted on real tokens and set against a plain matrix product, and bytes against a plain copy, on the same
device in the same run.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

import torch

import lab.models.cross_entropy
import lab.models.frozen
import lab.models.nll
import lab.models.prefix
import lab.training.reading
from lab.answers import Evaluation, evaluate
from lab.answers.generation import AnswerCache
from lab.clock import Clock
from lab.config import RunConfig
from lab.studies import start
from lab.tasks import Test, surroundings
from lab.training import Batch, train
from lab.training.batches import Batches
from lab.training.objective import training_inputs
from lab.translators import Bridge

ARMS = ("source", "target", "latent", "latent_shuffled")
WARM_UP = 3  # steps that no figure counts: kernels are chosen, the optimiser's state is made
# What a run switches on. What has no switch because it is faster everywhere is taken away by `straightforward`.
FAST = {"mini": {}, "small": {"fused_kernels": True}, "full": {"fused_kernels": True, "source_leaves": True}}
PLAIN_STEPS = 25  # of the straightforward path, where nothing has to be captured first
PLAIN = {"cuda_graphs": False, "fused_kernels": False, "source_leaves": False}
FULL = dict(
    pair="custom", dtype="bfloat16", task="gsm8k", layout="soft_only", soft_tokens=64, width=1024, depth=2, heads=16,
    learning_rate=1e-4, warmup_steps=5, steps=60, dev_questions=36, test_questions=36, max_new_tokens=256,
    eval_batch_size=144,
)  # fmt: skip
SMALL = FULL | dict(soft_tokens=32, width=512, depth=3, heads=8, batch_size=64, source_layers=[12, 18, 24, 30])
CASES = {
    "mini": {"demo": dict(layout="soft_plus_text", width=128, depth=1, steps=12, batch_size=32, warmup_steps=5,
                          learning_rate=2e-3, dev_questions=60, test_questions=60, max_new_tokens=120)},
    "small": {
        "batch 64": SMALL | {"steps": 300},
        "batch 16, all layers": SMALL | {"batch_size": 16, "source_layers": "all", "steps": 300},
    },
    "full": {
        "batch 2": FULL | dict(batch_size=2, steps=200),
        "batch 10": FULL | dict(batch_size=10, steps=100),
        "batch 10, 8 worked examples": FULL | dict(batch_size=10, steps=60, shots=8, layout="soft_in_context"),
        "batch 32": FULL | dict(batch_size=32, steps=150),
        "batch 4, 192 soft tokens": FULL | dict(batch_size=4, soft_tokens=192, width=512, depth=4, heads=8, steps=200),
    },
}  # fmt: skip


@contextmanager
def straightforward():
    """Every text read when its step comes, every row from its beginning and all rows at once, every shape as it is,
    logits whole."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(lab.models.frozen, "STEP", 1))
        stack.enter_context(patch.object(lab.training.reading, "ON_DEVICE", 0))
        stack.enter_context(patch.object(lab.models.cross_entropy, "WHOLE", 2**62))
        stack.enter_context(patch.object(lab.models.prefix, "LEAST", 2**62))
        stack.enter_context(patch.object(lab.models.nll, "AT_ONCE", 2**62))
        stack.enter_context(patch.object(lab.models.nll, "ON_A_CPU", 2**62))
        yield


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(work, times: int = 5) -> float:
    """Median seconds of `work()`, after two that do not count."""
    found = []
    for _ in range(times + 2):
        synchronize()
        began = time.perf_counter()
        work()
        synchronize()
        found.append(time.perf_counter() - began)
    return statistics.median(found[2:])


def limits(device: torch.device, dtype: torch.dtype) -> dict:
    """What the device gives to a plain matrix product (FLOP/s) and to a plain copy (bytes/s, read and written)."""
    size, count = (8192, 2**30) if device.type == "cuda" else (1024, 2**24)
    one = torch.randn(size, size, device=device, dtype=dtype)
    data = torch.empty(count, dtype=torch.uint8, device=device)
    other = torch.empty_like(data)
    return {
        "matmul_flops": 2 * size**3 / seconds_of(lambda: one @ one),
        "copy_bytes": 2 * count / seconds_of(lambda: other.copy_(data)),
    }


def arithmetic(experiment, translator, steps: range) -> float:
    """Mean FLOP of a step on real tokens: products with weights alone, forward and back through the target and forward
    through the source, whose head is not run. No padding, no attention, nothing of the translator."""
    config, pair, task = experiment.config, experiment.pair, experiment.task
    size = config.training.batch_size
    questions = task.train(config.training.steps * size, config.training.seed)
    batches = Batches([len(q.question) + len(q.answer) for q in questions], size, config.training.seed)
    shared, total = surroundings(task, config.task.shots), 0.0
    for step in steps:
        chosen = [questions[index] for index in batches.indices(step)]
        output = Bridge(pair.source, translator).write(chosen)
        inputs = training_inputs(pair.target, config.layout.at(), output, Batch(chosen, shared))
        target = inputs.attention_mask.sum().item() - len(inputs.shared) * len(chosen)
        scored = (inputs.labels >= 0).sum().item()
        read = pair.source.encode([question.question for question in chosen])[1].sum().item()
        head = pair.target.model.get_output_embeddings().weight.numel()
        total += 4 * (body(pair.target) * target + head * scored) + 2 * body(pair.source) * read
    return total / len(steps)


def body(model) -> int:
    """Weights that every token is multiplied with."""
    table = model.model.get_input_embeddings().weight.numel()
    return sum(parameter.numel() for parameter in model.base.parameters()) - table


def peak() -> float | None:
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


def reserved() -> float | None:
    """All that PyTorch holds of the device, in use or not."""
    return torch.cuda.memory_reserved() / 2**30 if torch.cuda.is_available() else None


def clocked_peak(*clocks: Clock) -> float | None:
    """The same where clocks ran, which begin PyTorch's count anew with every part."""
    peaks = [spent["peak_bytes"] for clock in clocks for spent in clock.record()["parts"].values()]
    return max(peaks) / 2**30 if torch.cuda.is_available() else None


def forget_peak() -> None:
    gc.collect()  # models and their hooks refer to each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def measure(settings: dict, most: dict) -> dict:
    """One case: training steps, then the test questions through the four arms, twice."""
    forget_peak()
    found = {}
    with tempfile.TemporaryDirectory() as runs, patch.object(AnswerCache, "_memory", {}):  # nothing is known yet
        began = time.monotonic()
        experiment = start(RunConfig.from_parameters(name="bench", **settings), runs)
        found["load_s"] = time.monotonic() - began
        config, pair = experiment.config, experiment.pair
        forget_peak()
        translator = train(config, pair, experiment.task, experiment.run).translator
        rows = [row for row in experiment.run.metrics() if row["kind"] == "step"][WARM_UP:]
        found |= spread([row["seconds"] for row in rows]) | {"training_peak_gib": peak(), "reserved_gib": reserved()}
        found["graphs"] = len(pair.target.captured.known)
        flops = arithmetic(experiment, translator, range(WARM_UP, config.training.steps))
        found["loss"] = rows[-1]["loss"]
        found["flops"] = flops / found["step_s"]
        found["share_of_matmul"] = found["flops"] / most["matmul_flops"]
        forget_peak()
        questions = Test.of(experiment.task)
        bridges = {"latent": Bridge(pair.source, translator)}
        clocks = {name: Clock(pair.target.device) for name in ("first", "again", "anew")}
        for name, clock in clocks.items():
            if name == "anew":  # all are asked once more, by what was compiled meanwhile
                AnswerCache._memory.clear()
            began = time.monotonic()
            with clock.running():
                asked = Evaluation(config, pair, experiment.task, questions, bridges)
                records = evaluate(asked, ARMS, likelihoods=False)  # as before they were measured
            synchronize()
            found[f"evaluation_{name}_s"] = time.monotonic() - began
            found[f"s_per_sample_{name}"] = found[f"evaluation_{name}_s"] / len(records)
            parts = clock.record()["parts"]
            found[f"evaluation_{name}_parts_s"] = {part: spent["seconds"] for part, spent in parts.items()}
        tokens = [row["arms"]["latent"]["new_tokens"] for row in records]
        found |= {"questions": len(records), "new_tokens": statistics.mean(tokens)}
        found["evaluation_peak_gib"] = clocked_peak(*clocks.values())
        # Every token reads all weights of the target once, whatever the batch.
        weights = body(pair.target) + pair.target.model.get_output_embeddings().weight.numel()
        read = max(tokens) * weights * pair.target.dtype.itemsize
        found["share_of_copy_again"] = read / found["evaluation_again_s"] / most["copy_bytes"]
    return found


def spread(seconds: list[float]) -> dict:
    return {"step_s": statistics.median(seconds), "step_least_s": min(seconds), "step_mean_s": statistics.mean(seconds)}


def compared(name: str, settings: dict, fast: dict, most: dict, alone: bool) -> dict:
    """A case, plain and fast, and their ratios; a plain one that does not fit is said to. `alone`: fast only."""
    found = {"fast": measure(settings | fast, most)}
    print(json.dumps({name: found}), flush=True)
    if alone:
        return found
    try:
        with straightforward():
            steps = min(settings["steps"], PLAIN_STEPS)
            found["plain"] = measure(settings | PLAIN | {"steps": steps}, most)
    except torch.cuda.OutOfMemoryError as error:
        found["plain"] = {"does_not_fit": str(error).splitlines()[0]}
        torch.cuda.empty_cache()
        return found
    names = ("step_s", "step_mean_s", "s_per_sample_first", "s_per_sample_again", "training_peak_gib")
    found["plain_over_fast"] = {key: found["plain"][key] / found["fast"][key] for key in names if found["fast"][key]}
    print(json.dumps({name: found}), flush=True)
    return found


def whole(settings: dict) -> dict:
    """Wall seconds of a training with its evaluations, from nothing: loading, capturing and saving in them."""
    forget_peak()
    from lab.studies import train_translator

    settings = settings | dict(steps=2000, eval_every=200, dev_questions=200, eval_batch_size=400, batch_size=2)
    with tempfile.TemporaryDirectory() as runs:
        began = time.monotonic()
        experiment = start(RunConfig.from_parameters(name="whole", **settings), runs)
        loaded = time.monotonic() - began
        result = train_translator(experiment)
        rows = [row for row in experiment.run.metrics() if row["kind"] == "step"]
        return {"seconds": time.monotonic() - began, "load_s": loaded, "evaluations": len(result.history),
                "steps": len(rows), "in_steps_s": sum(row["seconds"] for row in rows),
                **spread([row["seconds"] for row in rows]), "peak_gib": clocked_peak(experiment.clock)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pair", choices=CASES)
    parser.add_argument("paths", nargs="+", type=Path, metavar="[FOLDER] OUT")
    parser.add_argument("--data", default="")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--fast", action="store_true", help="the fast path alone")
    parser.add_argument("--whole", action="store_true")
    given = parser.parse_args()
    *folder, out = given.paths
    models = {"data": given.data} if given.data else {}
    if given.pair != "mini":
        if len(folder) != 1:
            parser.error("give the folder of the models, then the file for the results")
        names = ("source", "target") if given.pair == "small" else ("mistral-7b", "llama-3.1-8b")
        sides = zip(("source", "target"), names, strict=True)
        models |= {side: f"random:{folder[0] / name}" for side, name in sides}
    cases = {name: case | models for name, case in CASES[given.pair].items() if given.only in name}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if given.pair != "mini" else torch.float32
    results = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads",
        "torch": torch.__version__, "limits": limits(device, dtype), "cases": {},
    }  # fmt: skip
    print(json.dumps(results), flush=True)
    for name, settings in cases.items():
        results["cases"][name] = compared(name, settings, FAST[given.pair], results["limits"], given.fast)
        out.write_text(json.dumps(results, indent=2) + "\n")
    if given.whole:
        results["whole"] = whole(next(iter(cases.values())) | FAST[given.pair])
        print(json.dumps(results["whole"]), flush=True)
        out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
