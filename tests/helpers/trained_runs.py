"""Runs as training leaves them, untrained: what notebooks of finished runs are given."""

import json

import torch

from lab.models.loading import load_pair
from lab.runs.directory import RunDirectory
from lab.translators import build_translator, save_translator


def trained_run(folder, config, seed):
    """Config, checkpoint and one metric in `folder`; the weights are those of initialisation. Returns its path."""
    torch.manual_seed(seed)
    pair = load_pair(config.pair)
    save_translator(build_translator(config.translator, pair, "all"), folder / "checkpoints" / "best")
    config.to_yaml(folder / "config.yaml")
    RunDirectory(folder).metric({"kind": "evaluation", "step": 0, "accuracy": 0.0, "n": 2})
    return str(folder)


def gsm8k_files(folder, train=40, test=8):
    """A folder with train.jsonl and test.jsonl of the form of GSM8K."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, first in (("train", train, 900), ("test", test, 0)):
        rows = [{"question": f"{split}: what is {n} and 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1:,}"}
                for n in range(first, first + count)]  # fmt: skip
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(folder)
