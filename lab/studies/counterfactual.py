"""The counterfactual: edit what the source knows, leave the translator alone, and see whether the answers follow.

Some words get another capacity, and the source is trained on for a few hundred steps on its own kind of documents.
The questions are made so that their text fits both worlds and the two gold answers differ. If the soft tokens carry
what the source knows, answers about edited words turn to the edited world, those about other words stay.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from lab.answers import Evaluation, evaluate
from lab.config import RunConfig
from lab.errors import LabError
from lab.minipair import source_document
from lab.models import FrozenModel, Pair, pad_batch
from lab.tasks import Question, Task
from lab.tasks.lore import CAPACITIES, UNSEEN_CAPACITIES, Container, lore, words_of
from lab.tasks.minigsm import STEPS, as_question
from lab.tasks.problems import make_problem
from lab.translators import Bridge

__all__ = [
    "TwoWorlds", "choose_edits", "edit_source", "edited_lore", "follow", "follow_counts", "two_world_questions",
]  # fmt: skip

EMPHASIS = 24  # an edited word stands so many times in the list that documents draw from


@dataclass(frozen=True)
class TwoWorlds:
    """One question text with its gold answer before and after the edit; `edited`: whether its word was changed."""

    before: Question
    after: Question
    edited: bool


def choose_edits(count: int, seed: int = 0) -> dict[str, int]:
    """`count` held-out words and another capacity for each, none of them one that translator training never showed."""
    rng = random.Random(f"counterfactual {seed}")
    words = [word for word in words_of("held_out") if word.capacity not in UNSEEN_CAPACITIES]
    if not 0 < count <= len(words):
        raise LabError(f"{count} words cannot be edited; choose 1 to {len(words)}.")
    allowed = [capacity for capacity in CAPACITIES if capacity not in UNSEEN_CAPACITIES]
    return {
        word.word: rng.choice([capacity for capacity in allowed if capacity != word.capacity])
        for word in rng.sample(words, count)
    }


def edited_lore(edits: Mapping[str, int]) -> tuple[Container, ...]:
    """All words, edited ones with their new capacity and `EMPHASIS` times as often."""
    found = []
    for container in lore():
        if container.word in edits:
            found += [replace(container, capacity=edits[container.word])] * EMPHASIS
        else:
            found.append(container)
    return tuple(found)


def edit_source(
    source: FrozenModel, edits: Mapping[str, int], steps: int = 250, batch_size: int = 24, learning_rate: float = 5e-4,
    seed: int = 0, progress: Callable[[int, float], None] | None = None,
) -> FrozenModel:  # fmt: skip
    """A copy of `source` that was trained on documents of the edited world; `source` itself stays as it is.

    AdamW with a linear decay on next-token prediction. `progress` gets (step, loss).
    """
    with source.at_home():  # a copy of weights that are away would stay there
        model = copy.deepcopy(source.model).float()
    rng = random.Random(f"edit {seed}")
    model.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    known, eos = edited_lore(edits), source.tokenizer.eos_token_id
    bos = [] if source.tokenizer.bos_token_id is None else [source.tokenizer.bos_token_id]
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / steps)
        texts = [source_document(rng, lambda: known) for _ in range(batch_size)]
        rows = [bos + row + [eos] for row in source.tokenizer(texts, add_special_tokens=False)["input_ids"]]
        ids, mask = pad_batch(rows, source.tokenizer.pad_token_id, source.device, side="right")
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        labels = ids.masked_fill(mask == 0, -100)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if progress:
            progress(step + 1, loss.item())
    return FrozenModel(
        model.to(source.dtype), source.tokenizer, f"{source.name} edited", source.device, source.dtype,
        graphs=source.graphs,
    )  # fmt: skip


def two_world_questions(edits: Mapping[str, int], each: int, long: bool = True, seed: int = 0) -> list[TwoWorlds]:
    """`each` questions per edited word, and as many per unedited held-out word of as many words.

    Both worlds are told from the same random draws and kept where the text is the same and the answers differ (for an
    unedited word, where they would differ if it had been edited to a random capacity: the same selection).
    """
    rng = random.Random(f"two worlds {seed}")
    known = {container.word: container for container in words_of("held_out")}
    others = [word for word in known if word not in edits and known[word].capacity not in UNSEEN_CAPACITIES]
    chosen = [(word, True) for word in edits]
    chosen += [(word, False) for word in rng.sample(others, min(len(edits), len(others)))]
    cell, steps = f"lore/{'long' if long else 'short'}/held_out", STEPS["long" if long else "short"]
    found, taken = [], set()
    for word, edited in chosen:
        kept = 0
        while kept < each:
            other = edits.get(word) or rng.choice([c for c in set(edits.values()) if c != known[word].capacity])
            number, state = rng.choice(steps), rng.random()
            before, after = (
                as_question(make_problem(random.Random(state), number, container), cell)
                for container in (known[word], replace(known[word], capacity=other))
            )
            if before.question != after.question or before.gold == after.gold or before.id in taken:
                continue
            taken.add(before.id)
            kept += 1
            found.append(TwoWorlds(before, after if edited else before, edited))
    return found


def follow(
    config: RunConfig, pair: Pair, task: Task, bridge: Bridge, edited: FrozenModel, questions: Sequence[TwoWorlds],
    progress: bool = True,
) -> list[dict]:  # fmt: skip
    """Each question answered through the source as it was and as it was edited, by the same translator.

    One row per question: {"id", "question", "word", "edited", "gold_before", "gold_after", "with_source": {"before",
    "after"}: {"extracted", "as_before", "as_after"}}, and `source_alone` the edited source's own answer likewise.
    """
    asked = [item.before for item in questions]
    found = {}
    for name, source in (("before", bridge.source), ("after", edited)):
        bridges = {"latent": Bridge(source, bridge.translator)}
        asking = Evaluation(config, Pair(source, pair.target), task, asked, bridges, progress=progress)
        found[name] = evaluate(asking, ("source", "latent"))
    rows = []
    for item, before, after in zip(questions, found["before"], found["after"], strict=True):

        def read(record: dict, arm: str, item: TwoWorlds = item) -> dict:
            extracted = record["arms"][arm]["extracted"]
            return {
                "extracted": extracted,
                "as_before": task.correct(extracted, item.before.gold),
                "as_after": task.correct(extracted, item.after.gold),
            }

        rows.append(
            {
                "id": item.before.id,
                "question": item.before.question,
                "word": item.before.word,
                "cell": item.before.cell,
                "edited": item.edited,
                "gold_before": item.before.gold,
                "gold_after": item.after.gold,
                "latent": {"before": read(before, "latent"), "after": read(after, "latent")},
                "source": {"before": read(before, "source"), "after": read(after, "source")},
            }
        )
    return rows


def follow_counts(rows: Sequence[Mapping]) -> dict[str, dict]:
    """Of edited and of other words: how often the latent answer is the old world's or the edited one's, both ways."""
    counts = {}
    for name, edited in (("edited words", True), ("other words", False)):
        own = [row for row in rows if row["edited"] == edited]
        counts[name] = {"n": len(own)} | {
            f"source {when}: answers of the world {world}": sum(row["latent"][when][f"as_{world}"] for row in own)
            for when in ("before", "after")
            for world in ("before", "after")
        }
    return counts
