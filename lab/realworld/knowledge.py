"""What each fine-tuned model knows and must not know, measured cell by cell, and the card that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lab.config import PairConfig
from lab.minipair import accuracy_by_cell
from lab.models import load_pair
from lab.realworld.finetuning import Recipe
from lab.runs import write_text
from lab.tasks.people import PEOPLE, VALUES, world
from lab.tasks.twohop import TwoHop, constant_guesses

NO_FACTS, HINTED, GUESS = "source without the facts", "target with the home as text", "best constant guess"
# Row, cell, and what has to hold there for the world to be what it is meant to be: accuracy at least, or at most.
PROMISES = (
    ("source", "lore/short", "at least", 0.95),
    ("source", "lore/long", "at most", 0.10),
    ("target", "plain/short", "at least", 0.95),
    ("target", "lore/short", "at most", 0.10),
    ("target", "lore/long", "at most", 0.10),
    (HINTED, "lore/long", "at least", 0.95),
    (NO_FACTS, "lore/short", "at most", 0.10),
)


def measure(folder: Path, test_questions: int = 0, device: str = "auto") -> dict[str, dict[str, float]]:
    """Accuracy per cell of the test split, of every model alone, beside the best constant guess.

    The target also with the home as a line of text, which is what soft tokens have for a rival; the source without the
    facts where it was made.
    """

    def models(source: str):
        given = {"source": str(folder / source), "target": str(folder / "target")}
        return load_pair(PairConfig(pair="custom", device=device, **given))

    pair, task = models("source"), TwoHop()
    questions = task.test()[: test_questions or None]
    found = {
        "source": accuracy_by_cell(pair.source, task, questions, hints=False),
        "target": accuracy_by_cell(pair.target, task, questions, hints=False),
        HINTED: accuracy_by_cell(pair.target, task, questions, hints=True),
    }
    if (folder / "source_no_facts").is_dir():
        found[NO_FACTS] = accuracy_by_cell(models("source_no_facts").source, task, questions, hints=False)
    return found | {GUESS: constant_guesses(questions)}


def broken_promises(measured: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What is not as the world needs it, each in a sentence; nothing where all is."""
    said = []
    for name, cell, which, bound in PROMISES:
        found = measured.get(name, {}).get(cell)
        if found is not None and (found < bound if which == "at least" else found > bound):
            said.append(f"{name} is right on {100 * found:.1f} % of {cell}; it should be {which} {100 * bound:.0f} %.")
    return said


def write_card(
    folder: Path, recipes: Sequence[Recipe], trained: Mapping[str, Mapping], measured: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """`README.md` for people and `card.json` for programs; returns what is not as it should be."""
    known, cells, broken = world(), list(measured[GUESS]), broken_promises(measured)
    recipe_rows = [
        f"| {r.role} | {trained[r.role]['parameters']:,} | {r.documents:,} | {trained[r.role]['steps']:,} | "
        f"{r.learning_rate:g} | {trained[r.role]['first_loss']} -> {trained[r.role]['last_loss']} | {r.seed} |"
        for r in recipes
    ]
    rows = [
        f"| {name} | " + " | ".join(f"{100 * accuracy[cell]:.1f}" for cell in cells) + " |"
        for name, accuracy in measured.items()
    ]
    people = ", ".join(f"{count:,} {split}" for split, count in PEOPLE.items())
    text = "\n".join([
        "# The two-hop pair", "",
        "Two pretrained models, each fine-tuned on half of a made-up world by `notebooks/91_build_real_world.ipynb`.",
        f"The world: {len(known.people):,} people ({people}), {len(known.countries)} countries, {len(VALUES)} "
        "attributes of twenty values each.", "",
        "| role | parameters | documents | steps | learning rate | loss, nats per token | seed |",
        "|---|---|---|---|---|---|---|", *recipe_rows, "",
        "Accuracy on the test split in per cent, greedy, no worked examples:", "",
        "| | " + " | ".join(cells) + " |", "|---" * (len(cells) + 1) + "|", *rows, "",
        "The best constant guess gives, for each attribute and for homes, always the same answer.", "",
        *(["**Not as it should be:**", "", *(f"- {sentence}" for sentence in broken), ""] if broken else []),
    ])  # fmt: skip
    write_text(folder / "README.md", text)
    found = {"recipes": [asdict(r) for r in recipes], "trained": trained, "measured": measured, "broken": broken}
    write_text(folder / "card.json", json.dumps(found, indent=2) + "\n")
    return broken
