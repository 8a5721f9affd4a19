"""Is a kept state read faster than it is made? GSM8K test questions through a pair's source, in batches.

    python benchmarks/state_cache.py GSM8K_FOLDER [pair] [layers] [questions] [cache folder]

`pair`: a name, or the folder of benchmarks/full_size_pair.py: full size, random weights, bfloat16. Three passes over
the same questions: without a cache, with an empty one (reading and keeping), with a full one; then what of it the
checksum and the key take. Seconds; of the pass with a full one the least of three. The last line is JSON.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import torch

from lab.config import PairConfig, TaskConfig
from lab.models import Pair, StateCache, layer_indices, load_pair
from lab.models.fingerprints import every_weight
from lab.models.state_keys import state_keys
from lab.tasks import load_task, source_text

BATCH, AGAIN = 10, 3


def seconds(work) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def of_full_size(folder: str) -> PairConfig:
    source, target = (f"random:{folder}/{name}" for name in ("mistral-7b", "llama-3.1-8b"))
    return PairConfig(pair="custom", source=source, target=target, dtype="bfloat16")


def measured(pair: Pair, texts: list[str], layers: str, folder: Path) -> dict[str, float]:
    """Seconds of each way to the states of `texts`."""
    source, batches = pair.source, [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]

    def read():
        for batch in batches:
            source.source_states(batch, layers)

    source.source_states(batches[0], layers)  # warm, and every text's tokens remembered
    source.tokens(texts)
    found = {"computed": seconds(read)}
    found["weights hashed, once"] = seconds(lambda: every_weight(source.model))
    source.known_states = StateCache(folder, 10**12)
    found["computed and kept"] = seconds(read)
    found["found"] = min(seconds(read) for _ in range(AGAIN))
    rows, picked = source.rows(texts), layer_indices(layers, source.num_layers)
    per_batch = range(0, len(texts), BATCH)
    keys = [state_keys(source, texts[i : i + BATCH], rows[i : i + BATCH], picked) for i in per_batch]
    found["  of it keys"] = seconds(
        lambda: [state_keys(source, texts[i : i + BATCH], rows[i : i + BATCH], picked) for i in per_batch]
    )
    found["  of it files and checksums"] = seconds(
        lambda: [source.known_states.get(key) for each in keys for key in each]
    )
    return found


if __name__ == "__main__":
    data, name, layers, count, where, *_ = [*sys.argv[1:], *["mini", "all", "500", ""][len(sys.argv) - 2 :]]
    pair = load_pair(of_full_size(name) if Path(name).is_dir() else PairConfig(pair=name))
    questions = load_task(TaskConfig(task="gsm8k", data=data)).test()[: int(count)]
    folder = Path(tempfile.mkdtemp(dir=where or None))
    try:
        texts = [source_text(question.question, question.evidence) for question in questions]
        found = measured(pair, texts, layers, folder)
        size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    finally:
        shutil.rmtree(folder)
    print(f"{name} source, {pair.source.dtype} on {pair.source.device}, {torch.get_num_threads()} threads; ", end="")
    print(f"{len(texts)} questions, layers {layers}, batches of {BATCH}; {size / 1e6:,.0f} MB kept")
    for what, spent in found.items():
        print(f"{what:30} {spent:8.2f} s  {1000 * spent / len(texts):7.2f} ms a question")
    known = {"pair": Path(name).name, "dtype": str(pair.source.dtype).removeprefix("torch."), "layers": layers}
    print(json.dumps(known | {"questions": len(texts), "megabytes": round(size / 1e6), "seconds": found}))
