"""The embedded pair's model card: what each model was fed, and what it knows, measured cell by cell."""

import json
from dataclasses import asdict
from pathlib import Path

from lab.answers import generate_from_text
from lab.config import PairConfig
from lab.minipair.pretraining import Recipe
from lab.models import FrozenModel, load_pair
from lab.runs import write_text
from lab.tasks import Question, Task, groups_of
from lab.tasks.minigsm import MiniGSM, constant_guesses, model_cells

BATCH = 256


def accuracy_by_cell(model: FrozenModel, task: Task, questions: list[Question], hints: bool) -> dict[str, float]:
    """Accuracy per cell of a model alone, reading each question alone or with the task's hint as a line before it."""
    right: dict[str, list[bool]] = {cell: [] for cell in model_cells(questions)}
    order = sorted(questions, key=lambda question: len(question.question))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        texts = [(task.hint(question) if hints else "") + f"Q: {question.question}\nA:" for question in batch]
        for question, answer in zip(batch, generate_from_text(model, texts, task.max_new_tokens), strict=True):
            correct = task.correct(task.extract(answer.text), question.gold)
            for cell in set(groups_of(question.cell)) & right.keys():
                right[cell].append(correct)
    return {cell: sum(rows) / len(rows) for cell, rows in right.items()}


def measure(folder: Path, test_questions: int = 0) -> dict[str, dict[str, float]]:
    """Accuracy per cell of the test split for source, target and hinted target, beside the best constant guess."""
    pair = load_pair(PairConfig(pair="custom", source=str(folder / "source"), target=str(folder / "target")))
    task = MiniGSM()
    questions = task.test()[: test_questions or None]
    return {
        "source": accuracy_by_cell(pair.source, task, questions, hints=False),
        "target": accuracy_by_cell(pair.target, task, questions, hints=False),
        "target with the gold gloss": accuracy_by_cell(pair.target, task, questions, hints=True),
        "best constant guess": constant_guesses(questions),
    }


def write_card(
    folder: Path, recipes: list[Recipe], trained: dict[str, dict], measured: dict[str, dict[str, float]]
) -> None:
    """`README.md` for people and `card.json` for programs."""
    cells = list(measured["best constant guess"])
    rows = [
        f"| {name} | " + " | ".join(f"{100 * accuracy[cell]:.1f}" for cell in cells) + " |"
        for name, accuracy in measured.items()
    ]
    recipe_rows = [
        f"| {r.role} | {trained[r.role]['parameters']:,} | {r.hidden} x {r.layers} | {r.documents:,} | "
        f"{trained[r.role]['tokens_seen']:,} | {trained[r.role]['steps']:,} | {r.seed} |"
        for r in recipes
    ]
    text = "\n".join(
        [
            "# The embedded pair",
            "",
            "Two tiny models trained from scratch on generated text by `notebooks/90_build_mini_pair.ipynb`.",
            "",
            "| role | parameters | width x layers | documents | tokens seen | steps | seed |",
            "|---|---|---|---|---|---|---|",
            *recipe_rows,
            "",
            "Accuracy on the test split in per cent, greedy, no worked examples:",
            "",
            "| | " + " | ".join(cells) + " |",
            "|---" * (len(cells) + 1) + "|",
            *rows,
            "",
            "The best constant guess is the better of always the same answer and always the same capacity.",
            "",
        ]
    )
    write_text(folder / "README.md", text)
    write_text(
        folder / "card.json",
        json.dumps({"recipes": [asdict(r) for r in recipes], "trained": trained, "measured": measured}, indent=2)
        + "\n",
    )
