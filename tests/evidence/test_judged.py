"""The whole of a judgement on records whose truth was chosen, as it was read by a person once and written down.

`python -m tests.evidence.test_judged` writes it again: read the difference before it is kept.
"""

import json
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "helpers"))
from synthetic_runs import ACCURACY, make_run

from lab.config.model_names import PAIRS
from lab.evidence.verdicts import claims_json, judge_runs

WRITTEN = Path(__file__).with_name("judged.json")
SEEDS = (1, 2, 3)
ARMS = ACCURACY | {"cascade": 0.5, "token_budget": 0.1, "text_hint": 0.97, "latent_random_source": 0.25,
                   "latent_no_lore_source": 0.3, "latent_target_source": 0.28}  # fmt: skip
RECIPES = {  # name -> (latent, looks on dev, settings): the main one, and what differs from it in one thing
    "main": (0.9, (0.5, 0.92, 0.9), {}),
    "without-kl": (0.88, (0.5, 0.9, 0.89), {"kl_weight": 0.0}),
    "wider": (0.93, (0.5, 0.9, 0.93), {"soft_tokens": 8}),
    "beside": (0.8, (0.5, 0.81, 0.8), {"layout": "soft_plus_text"}),
    "adapter": (0.7, (0.5, 0.71, 0.7), {"layout": "soft_plus_text", "injection": "adapter"}),
    "swapped": (0.35, (0.2, 0.3, 0.34), {"pair": "custom", "target": PAIRS["mini"][0], "source": PAIRS["mini"][1]}),
}


def judged(folder: Path) -> dict:
    """The judgement of three seeds of each recipe; how it is computed to the last bit is left open."""
    runs = []
    for name, (latent, looks, settings) in RECIPES.items():
        for seed in SEEDS:
            arms = ARMS | {"latent": latent + 0.01 * (seed - 2)}
            settings = {"kl_weight": 1.0} | settings
            runs.append(make_run(folder, f"{name}-{seed}", seed, arms, looks, **settings))
    found = json.loads(claims_json(judge_runs(runs)).replace(f"{folder}/", ""))
    return {name: value for name, value in found.items() if name != "runs"}  # config hashes, which a new field changes


def leaves(value, place: str = "") -> dict:
    """place -> number or text, of everything below `value`."""
    if not isinstance(value, dict | list):
        return {place: value}
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return {key: leaf for name, below in inner for key, leaf in leaves(below, f"{place}/{name}").items()}


def test_the_judgement_is_what_was_read(tmp_path):
    found, written = leaves(judged(tmp_path)), leaves(json.loads(WRITTEN.read_text(encoding="utf-8")))
    assert found.keys() == written.keys()
    for place, value in written.items():
        assert found[place] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), place


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        WRITTEN.write_text(json.dumps(judged(Path(folder)), indent=1) + "\n", encoding="utf-8")
