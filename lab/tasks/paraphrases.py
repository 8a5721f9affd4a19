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
_SLOTS = dict.fromkeys("pqr", "@p") | dict.fromkeys("ankx", "@n") | {"item": "@i", "other": "@i", "c": "@c"}


@cache
def _kinds() -> dict[str, str]:
    """Sentence with @ and a letter for each slot -> kind, as it stands (which is quick) and normalised.

    Of a template of two sentences the second says nothing: its kind is empty.
    """
    kinds: dict[str, str] = {}
    for kind, templates in TEMPLATES.items():
        for template in templates:
            first, *more = _SENTENCE_END.split(template.format(**_SLOTS).casefold())
            kinds.setdefault(first, kind)
            kinds |= dict.fromkeys(more, "")
    return kinds | {normalised_text(sentence): kind for sentence, kind in reversed(kinds.items())}


@lru_cache(maxsize=1 << 19)  # what is drawn for training is checked, and drawn again for the controls
def problem_content(text: str) -> str:
    """What a problem says, equal for all its paraphrases; a sentence that is no template stands for itself."""
    words: list[str] = []
    lore, kinds = lore_by_word(), _kinds()

    def slot(found: re.Match[str]) -> str:
        letter = found.lastgroup
        word = found[letter]
        if letter == "c" and word not in lore:
            return found[0]
        words.append(word)
        return f"@{letter}"

    told, names, place = [], set(), 0
    folded = unicodedata.normalize("NFKC", text).casefold().replace("@", " ").strip()
    for sentence in _SENTENCE_END.split(_NAME.sub(slot, folded)):
        own = words[place : place + sentence.count("@")]
        kind = kinds.get(sentence)
        if kind is None and (kind := kinds.get(plain := normalised_text(sentence))) is None:
            told += [plain, *own]
        elif kind:
            kind = "distract" if kind == "start" and place else kind
            told += [kind, *(word for word in own if word.isdigit())]
            if kind in _TELLING:
                names.update(own)
            if kind in _ASKING:
                told += sorted(own)
        place += len(own)
    return " ".join([*told, *sorted(name for name in names if not name.isdigit())])
