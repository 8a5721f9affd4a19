"""What a checkpoint of a full-size translator costs: 168 M parameters in float32 with AdamW's two moments.

    python benchmarks/saving.py [--device cuda] [--times 5] [--folder DIR]

`in the training`: seconds for which a step has to wait, as a GPU's training saves (a copy to the host; a thread writes
it). `in all`: until the checkpoint is complete, hashed and flushed. `at once`: the same without a thread. The share is
of what stands in benchmarks/README.md for the training between two checkpoints: 250 steps (`eval_every` of the
documents) at batch 10, evaluation not counted.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]
EVERY, SECONDS_A_STEP = 250, {"": 0.161, ", 8 worked examples": 0.292}


def main(device: str, times: int, home: Path) -> None:
    import torch

    from lab.config import RunConfig
    from lab.runs import RunDirectory
    from lab.training.checkpoints import Progress
    from lab.training.optimizer import build_optimizer
    from lab.training.saving import Saver
    from lab.translators import build_translator

    config = RunConfig.from_parameters(pair="mistral-llama", soft_tokens=64, width=1024, depth=2, heads=16, steps=2000)
    target = SimpleNamespace(embedding_size=4096, embedding_rms=0.01, device=torch.device(device))
    pair = SimpleNamespace(target=target, source=SimpleNamespace(hidden_size=4096, num_layers=32))
    translator = build_translator(config.translator, pair, "all")
    optimizer = build_optimizer(translator, config.training)
    for parameter in translator.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    count = sum(parameter.numel() for parameter in translator.parameters())
    for beside in (True, False):
        run = RunDirectory.create(home / str(beside), config)
        waited, whole = [], []
        with Saver(run, config, translator, optimizer, beside=beside) as saver:
            for step in range(1, times + 2):
                began = time.perf_counter()
                saver.save(Progress(step=step))
                waited.append(time.perf_counter() - began)
                saver.wait()
                whole.append(time.perf_counter() - began)
        run.finish()
        seconds = statistics.median(waited[1:])
        size = sum(file.stat().st_size for file in run.checkpoints.glob(f"step_{times + 1}/*")) / 2**30
        how, in_all = "in a thread" if beside else "at once", statistics.median(whole[1:])
        print(f"{how}: {count / 1e6:.0f} M parameters on {device}, {size:.2f} GiB: in the training {seconds:.2f} s "
              f"(the first {waited[0]:.2f}), in all {in_all:.2f} s", flush=True)  # fmt: skip
        for what, step in SECONDS_A_STEP.items():
            print(f"  of {EVERY} steps at batch 10{what}, {EVERY * step:.0f} s: {seconds / (EVERY * step):.2%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write, on the disk that runs are on")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as home:
        main(given.device, given.times, Path(home))
