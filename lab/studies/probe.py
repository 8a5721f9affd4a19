"""The source probe: what a linear read-out finds in the source's states, before any translator.

If a linear map of the states already gives the capacity, or even the answer, a translator need not have learned to
reason: it had only to carry over what lay there (Alain and Bengio 2016; with the control that Hewitt and Liang 2019,
section 2, ask for: the same read-out of shuffled labels, and words that were never trained on).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lab.errors import LabError
from lab.models import FrozenModel, layer_indices
from lab.tasks import Question, source_text

__all__ = ["POSITIONS", "QUANTITIES", "READ_OF", "linear_readout", "probe", "quantity", "read_states"]

QUANTITIES = ("capacity", "first operand", "second operand", "answer")
READ_OF = {"minigsm": QUANTITIES, "twohop": ("home", "answer")}  # task -> what there is to be read
POSITIONS = ("word", "last", "mean")  # the last token of the made-up word or name, of the text, the mean of all
FIRST_STEP = re.compile(r"<<(\d+)[-+*/](\d+)=")
PENALTY = 1e-3


def quantity(question: Question, name: str) -> int | str | None:
    """The value of a quantity in a question, from its gold solution and the world's facts; None if it has none."""
    if name == "capacity":
        from lab.tasks.lore import lore_by_word

        return lore_by_word()[question.word].capacity if question.word else None
    if name == "home":
        from lab.tasks.people import world

        return world().by_name[question.word].home.name if question.word else None
    if name == "answer":
        return int(question.gold) if question.gold.isdigit() else question.gold
    step = FIRST_STEP.search(question.answer)
    return int(step.group(1 if name == "first operand" else 2)) if step else None


@torch.no_grad()
def read_states(
    source: FrozenModel, questions: Sequence[Question], layers: str | Sequence[int] = "all", batch_size: int = 128
) -> Tensor:
    """States [N, len(POSITIONS), L, d] of each question at `POSITIONS`; "word" is "last" where there is no word."""
    found = []
    for start in range(0, len(questions), batch_size):
        batch = questions[start : start + batch_size]
        states = source.source_states([source_text(question.question) for question in batch], layers)
        width = states.ids.shape[1]
        for row, question in enumerate(batch):
            length = int(states.mask[row].sum())
            own = states.states[row, width - length :]  # [S, L, d], without padding
            place = _word_place(source, question, length)
            found.append(torch.stack([own[place], own[-1], own.mean(dim=0)]).float().cpu())
    return torch.stack(found)


def _word_place(source: FrozenModel, question: Question, length: int) -> int:
    """The index, among the real tokens, of the one that ends the question's word."""
    if not question.word:
        return length - 1
    text = source_text(question.question)
    spans = source.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    end = text.index(question.word) + len(question.word)
    inside = next(i for i, (first, last) in enumerate(spans) if first < end <= last)
    return length - len(spans) + inside  # special tokens come before the text


def linear_readout(
    features: Tensor, labels: Sequence[int | str], train: Sequence[bool], steps: int = 60
) -> tuple[list[bool], list[int | str]]:
    """Softmax regression with a small ridge, fitted on `train` rows: (right or wrong, predicted label) of every row.

    features [N, d], standardised by the training rows. A label that no training row has cannot be predicted.
    """
    classes = sorted({label for label, used in zip(labels, train, strict=True) if used})
    if len(classes) < 2:
        raise LabError("a read-out needs two different labels to train on; give more questions.")
    use = torch.tensor(list(train))
    x = features.float()
    x = (x - x[use].mean(dim=0)) / (x[use].std(dim=0) + 1e-3)
    index = {label: i for i, label in enumerate(classes)}
    wanted = torch.tensor([index.get(label, -1) for label in labels])
    weight = torch.zeros(x.shape[1], len(classes), requires_grad=True)
    bias = torch.zeros(len(classes), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(x[use] @ weight + bias, wanted[use])
        loss = loss + PENALTY * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        predicted = (x @ weight + bias).argmax(dim=1).tolist()
    said = [classes[i] for i in predicted]
    return [one == label for one, label in zip(said, labels, strict=True)], said


def probe(
    source: FrozenModel, train: Sequence[Question], test: Sequence[Question], layers: str | Sequence[int] = "all",
    seed: int = 0, quantities: Sequence[str] = QUANTITIES,
) -> list[dict]:  # fmt: skip
    """One row per quantity, position and layer: accuracy on test questions by cell, the best constant, a shuffled fit.

    {"quantity", "position", "layer", "n", "accuracy", "constant", "shuffled", "cells": {cell: accuracy}}. `shuffled` is
    the same read-out fitted to permuted labels: what the fit itself can do.
    """
    questions = [*train, *test]
    states = read_states(source, questions, layers)
    rng, rows = np.random.default_rng(seed), []
    for name in quantities:
        values = [quantity(question, name) for question in questions]
        kept = [i for i, value in enumerate(values) if value is not None]
        labels, used = [values[i] for i in kept], [i < len(train) for i in kept]
        learned = [label for label, use in zip(labels, used, strict=True) if use]
        mixed = iter(rng.permutation(learned).tolist())
        permuted = [next(mixed) if use else label for label, use in zip(labels, used, strict=True)]
        held = [place for place, use in enumerate(used) if not use]
        common = Counter(learned).most_common(1)[0][0]
        for p, position in enumerate(POSITIONS):
            for number, layer in enumerate(layer_indices(layers, source.num_layers)):
                features = states[kept, p, number]
                right, _ = linear_readout(features, labels, used)
                wrong, _ = linear_readout(features, permuted, used, steps=15)
                cells: dict[str, list[bool]] = {}
                for place in held:
                    cells.setdefault(questions[kept[place]].cell, []).append(right[place])
                rows.append(
                    {
                        "quantity": name,
                        "position": position,
                        "layer": layer,
                        "n": len(held),
                        "accuracy": float(np.mean([right[place] for place in held])),
                        "constant": float(np.mean([labels[place] == common for place in held])),
                        "shuffled": float(np.mean([wrong[place] for place in held])),
                        "cells": {cell: float(np.mean(found)) for cell, found in sorted(cells.items())},
                    }
                )
    return rows
