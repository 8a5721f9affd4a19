"""When two problems of the generator are one: the same story in other words.

A sentence is looked up among the templates without its names, items and numbers; what it says is then its kind and its
numbers, whichever paraphrase says it. A problem is what its sentences say, the people and the item they are about, and
whom it asks. A sentence that leads astray is one of them: without it the problem is another one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

from lab.tasks.lore import lore_by_word
from lab.tasks.normalised import normalised_text
from lab.tasks.problems import ITEMS, PEOPLE, TEMPLATES

# Of these kinds every paraphrase names the same people and items; another may name a friend, or nobody.
_ASKING = ("ask", "ask_together", "ask_money")
_TELLING = {"start", "bags", "lore", "more_lore", "more_than", "fewer_than", "times", *_ASKING}
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
_PEOPLE = "|".join(PEOPLE).casefold()
_NAME = re.compile(rf"\b(?:(?P<n>\d+)|(?P<p>{_PEOPLE})|(?P<i>{'|'.join(ITEMS)})|(?P<c>[a-z]{{5}})s)\b")
_SLOT = re.compile("@(.)")
_ENDS = (".", "?", "!")
_SLOTS = dict.fromkeys("pqr", "@p") | dict.fromkeys("ankx", "@n") | {"item": "@i", "other": "@i", "c": "@c"}


@cache
def _kinds() -> dict[str, str]:
    """Normalised sentence, a letter in place of each slot -> kind.

    Of a template of two sentences the second says nothing: its kind is empty.
    """
    kinds: dict[str, str] = {}
    for kind, templates in TEMPLATES.items():
        for template in templates:
            first, *more = _SENTENCE_END.split(template.format(**_SLOTS).casefold())
            kinds.setdefault(first, kind)
            kinds |= dict.fromkeys(more, "")
    return {normalised_text(sentence): kind for sentence, kind in reversed(kinds.items())}


@lru_cache(maxsize=1 << 14)
def _marked(word: str) -> tuple[str, tuple[str, ...]]:
    """A word with @ and a letter for each slot, and a line break where it ends a sentence; and what stood in the slots.

    No slot goes over white space. The words of the templates are few, so what is said of each is kept.
    """
    filled: list[str] = []

    def slot(found: re.Match[str]) -> str:
        letter = found.lastgroup
        if letter == "c" and found[letter] not in lore_by_word():
            return found[0]
        filled.append(found[letter])
        return f"@{letter}"

    shape = _NAME.sub(slot, word)
    return (f"{shape}\n" if shape.endswith(_ENDS) else shape), tuple(filled)


@lru_cache(maxsize=1 << 14)
def _kind(sentence: str) -> tuple[str | None, str, int]:
    """The kind of a sentence of marked words, "" for one that says nothing and None for one that is no template; what
    it says, `{}` for what stands in its slots; and how many slots it has."""
    plain, slots = normalised_text(sentence), _SLOT.findall(sentence)
    kind = _kinds().get(plain)
    if kind is None:
        return None, " ".join([plain, *("{}" for _ in slots)]), len(slots)
    numbers = (f"{{{place}}}" for place, letter in enumerate(slots) if letter == "n")
    return kind, " ".join([kind, *numbers]), len(slots)


@lru_cache(maxsize=1 << 19)  # what is drawn for training is checked, and drawn again for the controls
def problem_content(text: str) -> str:
    """What a problem says, equal for all its paraphrases; a sentence that is no template stands for itself."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("@", " ")
    shapes, words = [], []
    for shape, filled in map(_marked, folded.split() or [""]):
        shapes.append(shape)
        words += filled
    told, names, place = [], set(), 0
    for sentence in " ".join(shapes).removesuffix("\n").split("\n "):
        kind, says, slots = _kind(sentence)
        own = words[place : place + slots]
        if kind == "start" and place:
            kind, says = "distract", says.replace("start", "distract")
        if kind != "":
            told.append(says.format(*own))
        if kind in _TELLING:
            names.update(own)
        if kind in _ASKING:
            told += sorted(own)
        place += slots
    return " ".join([*told, *sorted(filter(str.isalpha, names))])
