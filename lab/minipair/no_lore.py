"""The control source: the embedded source's recipe on documents that teach nothing about any word.

`python -m lab.minipair.no_lore [FOLDER]` builds it beside the embedded pair's models (two minutes on a GPU).
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from lab.minipair.pretraining import Recipe, build_and_save
from lab.places import MINI


def no_lore_recipe(documents: int = 0) -> Recipe:
    """The recipe of the embedded source, read from its card, with the other corpus; `documents` 0: as many."""
    card = json.loads((MINI / "card.json").read_text(encoding="utf-8"))
    own = Recipe(**next(recipe for recipe in card["recipes"] if recipe["role"] == "source"))
    return replace(own, role="source_no_lore", documents=documents or own.documents)


if __name__ == "__main__":
    print(build_and_save(no_lore_recipe(), Path(sys.argv[1]) if len(sys.argv) > 1 else MINI / "no_lore_source"))
