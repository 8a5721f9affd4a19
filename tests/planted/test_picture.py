"""Pictures: numbers that are right, drawn otherwise."""

import pytest

from lab.errors import LabError
from lab.pictures.evidence_figures import arms_figure

pytestmark = pytest.mark.slow


def test_interval_drawn_the_wrong_way_round(plant):
    rows = [{"arm": "latent", "accuracy": 0.9, "low": 0.6, "high": 0.92, "per_seed": [0.9]}]
    arms_figure(rows)
    plant.edit(arms_figure, '[row["low"]], [row["high"]]', '[row["high"]], [row["low"]]')
    with pytest.raises(LabError, match="ends before it begins"):
        arms_figure(rows)
