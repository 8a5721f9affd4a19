"""Figures: every arm in every panel with its n, and nothing that needs a network."""

import pytest
from drawn_records import record

from lab.errors import LabError
from lab.evidence.summary import summarise
from lab.pictures.figures import accuracy_figure, running_mean, training_curve, write_figure


@pytest.fixture
def summary():
    return summarise([record(i) for i in range(40)])


def test_the_figure_shows_every_arm_in_every_panel_with_its_n(summary):
    figure = accuracy_figure(summary)
    titles = " ".join(note.text for note in figure.layout.annotations).replace(",<br>", ", ")
    for words in (
        "All questions",
        "Plain",
        "Lore, short",
        "Both skills, seen",
        "Both skills, held out",
        "n = 40",
        "n = 10",
    ):
        assert words in titles
    assert len(figure.data) == 5 * 6
    first = figure.data[0]
    low, high = summary["arms"]["source"]["ci95"]
    assert first.x[0] + first.error_x.array[0] == pytest.approx(100 * high)
    assert first.x[0] - first.error_x.arrayminus[0] == pytest.approx(100 * low)


def test_panels_without_cells_and_the_training_curve(summary):
    for entry in summary["arms"].values():
        entry["cells"] = {}
    assert len(accuracy_figure(summary).data) == 6
    assert len(training_curve([{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}]).data) == 2
    assert len(training_curve([{"step": 1, "loss": 2.0}, {"step": 1, "accuracy": 0.5}]).data) == 3
    with pytest.raises(LabError, match="neither"):
        training_curve([])


def test_pages_stand_alone(summary, tmp_path):
    write_figure(accuracy_figure(summary, "<script>x"), tmp_path / "f.html")
    page = (tmp_path / "f.html").read_text("utf-8")
    assert "<script src=" not in page and 'src="http' not in page and len(page) > 1_000_000
    with pytest.raises(LabError, match="endings"):
        write_figure(accuracy_figure(summary), tmp_path / "f.gif")


def test_the_running_mean_leans_to_neither_side():
    values = [float(place * place) for place in range(200)]
    means = running_mean(values)
    assert len(means) == 200 and (means[0], means[-1]) == (values[0], values[-1])
    assert means[100] == pytest.approx(sum(values[96:105]) / 9)
    assert running_mean(values[::-1]) == pytest.approx(means[::-1]) and running_mean([]) == []
