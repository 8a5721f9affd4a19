"""Records as cards to read: a question, and what arms said. Whatever a model or a file wrote is escaped."""

import html
from collections.abc import Callable, Mapping, Sequence

from lab.errors import LabError
from lab.evidence import LATENT, ordered_arms
from lab.pictures.tables import PICTURES_FIT
from lab.pictures.theme import CARD_STYLE

# What a question shows of the latent arm. The first kind is a failure. Where there is none, the third comes nearest to
# it: what a control says as well, the latent arm does not owe to this question's source states.
KINDS: dict[str, Callable[[Mapping], bool]] = {
    "latent is wrong": lambda arms: not arms[LATENT]["correct"],
    "only latent is right": lambda arms: not any(arms[arm]["correct"] for arm in arms if arm != LATENT),
    "a control is right as well": lambda arms: any(arms[arm]["correct"] for arm in _controls(arms)),
    "source or target is right as well": lambda arms: True,
}


def _controls(arms: Mapping) -> list[str]:
    return [arm for arm in ordered_arms(arms) if arm.startswith(f"{LATENT}_")]


def kind_of(row: Mapping) -> str:
    """The first of `KINDS` that fits."""
    return next(kind for kind, fits in KINDS.items() if fits(row["arms"]))


def three_of(records: Sequence[Mapping]) -> list[Mapping]:
    """The first question of each kind, a failure first; where there are fewer kinds than three, the next of them."""
    by_kind = {kind: [row for row in records if kind_of(row) == kind] for kind in KINDS}
    turns = [(turn, place, row) for place, rows in enumerate(by_kind.values()) for turn, row in enumerate(rows)]
    first = sorted(turns, key=lambda entry: entry[:2])[:3]
    return [row for _, _, row in sorted(first, key=lambda entry: (entry[1], entry[0]))]


def three_cards(records: Sequence[Mapping]) -> str:
    """Escaped HTML: `three_of` the records, with the latent arm and its controls, and how often each kind occurs."""
    if not all(LATENT in row["arms"] for row in records):
        raise LabError("three_cards: a record has no latent arm; give records of a run that was tested.")
    counts = {kind: sum(kind_of(row) == kind for row in records) for kind in KINDS}
    note = ", ".join(f"{kind}: {count}" for kind, count in counts.items())
    cards = [_card(row, [LATENT, *_controls(row["arms"])], kind_of(row)) for row in three_of(records)]
    return _page(f"The first of each kind among {len(records)} questions. {note}.", cards)


def sample_cards(records: Sequence[Mapping], limit: int = 20) -> str:
    """Escaped HTML: the first `limit` records with every arm's answer, marked right or wrong."""
    cards = [_card(row, ordered_arms(row["arms"])) for row in records[:limit]]
    return _page(f"{len(cards)} of {len(records)} questions." if len(cards) < len(records) else "", cards)


def _page(note: str, cards: Sequence[str]) -> str:
    note = f'<p class="lab-note">{html.escape(note)}</p>' if note else ""
    return f"{PICTURES_FIT}{CARD_STYLE}{note}" + "\n".join(cards)


def _card(row: Mapping, arms: Sequence[str], kind: str = "") -> str:
    about = " · ".join(html.escape(str(text)) for text in (kind, *map(row.get, ("cell", "word", "id"))) if text)
    others = [f"{arm}: {_mark(row['arms'][arm])}" for arm in ("source", "target") if arm in row["arms"]]
    beside = f'<div class="about">{" · ".join(others)}</div>' if others and "source" not in arms else ""
    return (
        f'<div class="lab-card"><div class="about">{about}</div><div class="question">'
        f"{html.escape(str(row['question']))}</div>"
        f"<div>Gold answer: <b>{html.escape(str(row['gold']))}</b></div>{beside}"
        + "".join(_arm_html(arm, row["arms"][arm]) for arm in arms)
        + "</div>"
    )


def _mark(answer: Mapping) -> str:
    # a word beside the mark: the verdict must not hang on colour alone
    return '<span class="right">✓ right</span>' if answer.get("correct") else '<span class="wrong">✗ wrong</span>'


def _arm_html(arm: str, answer: Mapping) -> str:
    def shown(field: str) -> str:
        return html.escape(str(answer.get(field, "")))

    kind = LATENT if arm == LATENT else "control" if arm.startswith(f"{LATENT}_") else ""
    saw = ""
    if answer.get("saw"):
        tokens = f"{shown('prompt_tokens') or '?'} tokens, {shown('soft_tokens') or '0'} soft"
        saw = f'<details><summary>what it saw ({tokens})</summary><div class="text">{shown("saw")}</div></details>'
    return (
        f'<div class="arm {kind}"><div class="name">{html.escape(arm)}</div>'
        f"<div>{_mark(answer)}<br>{shown('extracted')}</div>"
        f'<div class="text">{shown("text").strip()}</div>{saw}</div>'
    )
