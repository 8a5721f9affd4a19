"""Runs whose truth is chosen: config, records and log as a real run leaves them, answers drawn at random."""

import json
import random
from pathlib import Path

from lab.config.run import RunConfig
from lab.runs.records import write_jsonl

CELLS = {"plain/short": 40, "plain/long": 40, "lore/short/seen": 40, "lore/short/held_out": 40, "lore/long/seen": 80,
         "lore/long/held_out": 80}  # fmt: skip
ACCURACY = {"source": 0.15, "target": 0.2, "latent": 0.9, "latent_shuffled": 0.05, "latent_constant": 0.2}


def questions():
    """The same questions for every run: id, text, gold, cell, word."""
    rows = []
    for cell, count in CELLS.items():
        for i in range(count):
            word = f"{cell}-{i % (count // 4)}" if cell.startswith("lore") else ""
            gold = str(len(rows) + 100)
            rows.append({"id": f"{len(rows):016x}", "question": f"How many {cell} {i}?", "gold": gold, "cell": cell,
                         "word": word})  # fmt: skip
    return rows


def record(row, accuracies, rng, context_aware=False, soft_tokens=4, nats=None):
    arms = {}
    words = 20 + (-2, -1, 1, 2)[int(row["id"], 16) % 4]  # of the prompt with the question: 20 on average
    for arm, accuracy in accuracies.items():
        right = rng.random() < (accuracy(row["cell"]) if callable(accuracy) else accuracy)
        answer = row["gold"] if right else str(int(row["gold"]) + rng.randrange(1, 50))
        latent = arm.startswith("latent")
        aware = context_aware if latent else True
        saw = f"<soft×{soft_tokens}>" * latent + (f"Q: {row['question']}" if aware else "") + "\nA:"
        arms[arm] = {
            "text": f"so {answer}.\n#### {answer}", "extracted": answer, "correct": right, "saw": saw,
            "context_aware": aware, "prompt_tokens": words if aware else 3, "soft_tokens": soft_tokens * latent,
            "new_tokens": 9,
        }  # fmt: skip
        if nats and arm in nats:  # the question is as hard in every arm, and each arm has its own luck
            tokens = 10 + int(row["id"], 16) % 7
            hard = random.Random(row["id"]).gauss(0, 0.3)
            arms[arm] |= {"gold_nats": tokens * (nats[arm] + hard + rng.gauss(0, 0.1)), "gold_tokens": tokens}
    return {**row, "arms": arms}


def make_run(runs: Path, name: str, seed: int = 1, accuracies=None, looks=(), nats=None, **settings) -> Path:
    """A finished run. `accuracies`: arm -> a number, or a function of the cell; `looks`: dev accuracies in the log;
    `nats`: arm -> what a token of the gold answers costs there on average."""
    config = RunConfig.from_parameters(
        **{"layout": "soft_only", "name": name, "seed": seed, "soft_tokens": 4, **settings}
    )
    folder, rng = runs / name, random.Random(f"{name} {seed}")
    fixed = random.Random("source and target answer alike in every run")
    rows = []
    for row in questions():
        chosen = ACCURACY if accuracies is None else accuracies
        models = record(row, {arm: chosen[arm] for arm in ("source", "target") if arm in chosen}, fixed, nats=nats)
        others = {arm: value for arm, value in chosen.items() if arm not in ("source", "target")}
        aware = config.layout.layout == "soft_plus_text"
        latent = record(row, others, rng, aware, config.translator.soft_tokens, nats)
        told = {"gold_text": f"so {row['gold']}.\n#### {row['gold']}"} if nats else {}
        rows.append({**row, **told, "arms": models["arms"] | latent["arms"]})
    folder.mkdir(parents=True)
    config.to_yaml(folder / "config.yaml")
    write_jsonl(folder / "eval_samples_step_final.jsonl", rows)
    log = [{"kind": "evaluation", "step": 100 * i, "accuracy": value, "n": 1319} for i, value in enumerate(looks)]
    if log:
        write_jsonl(folder / "metrics.jsonl", log)
    return folder


def edit_records(folder: Path, change) -> None:
    """Write the records again after `change(rows)` has touched them."""
    path = folder / "eval_samples_step_final.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_jsonl(path, change(rows) or rows)


def add_settings(folder: Path, **settings) -> None:
    """Settings that a later version has: lines at the end of the config."""
    with open(folder / "config.yaml", "a", encoding="utf-8") as file:
        file.writelines(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())
