"""The figures of a paper: which runs give which, that a number stands where its record says, one look per arm."""

import csv
import hashlib
import json
import shutil
from itertools import combinations

import pytest
from figure_suite import figure_suite
from hypothesis import given
from hypothesis import strategies as st
from synthetic_runs import ACCURACY, edit_records, make_run

from lab.config import RunConfig
from lab.errors import LabError
from lab.figures import FIGURES, Material, Missing, Plate, figures_of, missing_sentence, write_figures
from lab.figures.ablations import with_room
from lab.figures.writing import as_csv, steady
from lab.pictures import LOOKS, TEXT, arm_label, look, on_paper, painter
from lab.pictures.measure import COLUMN, PAGE
from lab.places import ROOT

OKABE_ITO = {"#56B4E9", "#0072B2", "#E69F00", "#CC79A7", "#009E73", "#D55E00"}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return figure_suite(tmp_path_factory.mktemp("suite"))


@pytest.fixture(scope="module")
def made(suite):
    return dict(figures_of(Material([suite])))


@pytest.fixture
def without_pictures(monkeypatch):
    """Nothing is drawn: what is tested are the numbers."""
    monkeypatch.setattr(painter(), "paint", lambda figure, scale=1.0: {"svg": b"<svg/>", "pdf": b"%PDF"})


def numbers(material):
    return {name: as_csv(plate.rows) for name, plate in figures_of(material) if isinstance(plate, Plate)}


def test_a_suite_gives_every_figure(made):
    assert not [name for name, plate in made.items() if isinstance(plate, Missing)]
    assert list(made) == list(FIGURES) and all(plate.name == name for name, plate in made.items())
    named = {"training_curves", "stability_comparison", "compression_tradeoff", "ablation_results"}
    assert named < set(FIGURES)  # as the project's documents call them


def test_a_preserved_run_gives_its_arms():
    found = dict(figures_of(Material([ROOT / "runs" / "preserved" / "evidence_shipped"]), ["arms_and_controls"]))
    rows = {row["arm"]: row for row in found["arms_and_controls"].rows}
    judged = json.loads((ROOT / "runs/preserved/evidence_shipped/evidence.json").read_text())["arms"]
    assert {row["arm"]: row["accuracy"] for row in judged} == {arm: row["accuracy"] for arm, row in rows.items()}


def changed_answer(rows):
    """One wrong answer of the latent arm becomes right, with the text that says so, in the cell of every figure."""
    held_out = (row for row in rows if row["cell"] == "lore/long/held_out")
    row = next(row for row in held_out if not row["arms"]["latent"]["correct"])
    row["arms"]["latent"] |= {"text": f"#### {row['gold']}", "extracted": row["gold"], "correct": True}


@pytest.mark.parametrize(
    ("run", "affected"),
    [
        ("k4-1", {"compression_tradeoff", "ablation_results"}),
        ("people300-1", {"people_curve", "ablation_results"}),
        ("a-main-1", {"compression_tradeoff", "ablation_results", "arms_and_controls", "accuracy_by_group", "flips"}),
    ],
)
def test_one_changed_record_changes_the_figures_that_show_it_and_nothing_else(suite, tmp_path, run, affected):
    other = tmp_path / "suite"
    shutil.copytree(suite, other)
    before = numbers(Material([other]))
    edit_records(other / run, changed_answer)
    after = numbers(Material([other]))
    assert {name for name in before if before[name] != after[name]} == affected


def test_a_changed_look_changes_the_curves_alone(suite, tmp_path):
    other = tmp_path / "suite"
    shutil.copytree(suite, other)
    before, file = numbers(Material([other])), other / "a-main-1" / "metrics.jsonl"
    file.write_text(file.read_text().replace('"accuracy": 0.7', '"accuracy": 0.6'))
    after = numbers(Material([other]))
    assert {name for name in before if before[name] != after[name]} == {"training_curves", "stability_comparison"}


def test_five_files_say_the_numbers_and_where_they_came_from(made, suite, tmp_path, without_pictures):
    for paths in write_figures(made, tmp_path):
        assert [path.suffix for path in paths] == [".html", ".pdf", ".svg", ".csv", ".json"]
        plate, said = made[paths[0].stem], json.loads(paths[4].read_text())
        with open(paths[3], newline="") as file:
            assert len(list(csv.DictReader(file))) == len(plate.rows) > 0
        assert said["caption"] == plate.caption and len(said["rows"]) == len(plate.rows)
        for source in said["runs"]:
            for name, digest in source["files"].items():
                assert hashlib.sha256((suite / name).read_bytes()).hexdigest() == digest
            if source["run"] != "costs":
                assert source["config_hash"] == RunConfig.from_yaml(suite / source["run"] / "config.yaml").hash()
    assert not list(tmp_path.glob("*.tmp")) and not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_the_same_runs_give_the_same_files(suite, tmp_path, without_pictures):
    for folder in ("one", "two"):
        list(write_figures(dict(figures_of(Material([suite]))), tmp_path / folder))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name
    one, two = (f'<g id="defs-{uid}"/><g id="clip{uid}xy"/>'.encode() for uid in ("0a1b2c", "ffff00"))
    assert steady(one, "flips") == steady(two, "flips") != steady(one, "arms")


def test_a_page_stands_alone_and_holds_no_markup_of_a_run(tmp_path, without_pictures):
    evil = "<img src=x onerror=alert(1)>"
    for name, tokens in (("one", 8), ("two", 4)):
        make_run(tmp_path, name, looks=(0.1, 0.2), soft_tokens=tokens, layout="{soft}" + evil).rename(
            tmp_path / f"{name}{evil}"
        )
    made = dict(figures_of(Material([tmp_path])))
    assert len(list(write_figures(made, tmp_path / "out" / "files"))) > 5
    for path in (tmp_path / "out" / "files").glob("*.html"):
        page = path.read_text("utf-8")
        assert "<img src=x" not in page and "<script src" not in page and len(page) > 1_000_000


@pytest.mark.parametrize("name", [name for name in FIGURES if name != "reported_and_recomputed"])
def test_a_figure_without_its_runs_is_refused_by_one_sentence(tmp_path, name):
    (tmp_path / "nothing").mkdir()
    ((_, missing),) = figures_of(Material([tmp_path / "nothing"]), [name])
    sentence = missing_sentence({name: missing})
    assert isinstance(missing, Missing) and "\n" not in sentence and sentence.startswith(f"not made: {name} (needs ")


def test_what_bends_a_comparison_is_refused_and_not_left_out(tmp_path):
    run = make_run(tmp_path, "one")
    edit_records(run, lambda rows: rows + rows[:1])
    with pytest.raises(LabError, match="occurs twice") as refused:
        dict(figures_of(Material([run]), ["flips"]))
    assert not isinstance(refused.value, Missing)


def test_seeds_of_several_folders_are_not_taken_for_each_other(tmp_path):
    """Where a folder holds a run per seed, all of them are called alike."""
    for name, tokens in (("small", 4), ("large", 8), ("largest", 16)):
        for seed in (1, 2):
            make_run(tmp_path / name, f"seed_{seed}", seed, {**ACCURACY, "latent": 0.05 * tokens}, soft_tokens=tokens)
    folders = [tmp_path / name for name in ("small", "large", "largest")]
    plate = dict(figures_of(Material(folders), ["ablation_results"]))["ablation_results"]
    rows = {row["runs"]: row["effect"] for row in plate.rows}
    assert rows["large/seed_1 large/seed_2"] < rows["largest/seed_1 largest/seed_2"] and len(rows) == 2
    assert {source.run for source in plate.sources} == {
        f"{path.name}/seed_{seed}" for path in folders for seed in (1, 2)
    }


def test_a_caption_says_n_and_what_the_bars_are(made):
    for plate in made.values():
        assert "n = " in plate.caption and "interval" in plate.caption, plate.name


def test_an_arm_has_one_look_in_every_figure(made):
    known = {arm_label(arm): look(arm) for arm in LOOKS}
    seen = set()
    for plate in made.values():
        for trace in plate.figure.data:
            if trace.name in known and trace.type == "scatter" and "markers" in trace.mode:
                assert (trace.marker.color, trace.marker.symbol) == (known[trace.name].colour, known[trace.name].symbol)
                seen.add(trace.name)
    assert {"Latent", "Source alone", "Target alone"} <= seen
    assert look("another tool's model") == look("another tool's model")


def test_arms_are_told_apart_without_colour_and_colours_without_hue():
    assert all(one.symbol != other.symbol for one, other in combinations(LOOKS.values(), 2))
    assert {one.colour for one in LOOKS.values()} - {look("oracle").colour, look("latent_zero").colour} <= OKABE_ITO


def sizes(part):
    """Every font size in a figure."""
    if isinstance(part, dict):
        for name, inner in part.items():
            if name.endswith("font") and isinstance(inner, dict) and "size" in inner and name != "hoverlabel":
                yield inner["size"]
            elif name != "hoverlabel":
                yield from sizes(inner)
    elif isinstance(part, list | tuple):
        for inner in part:
            yield from sizes(inner)


def test_all_text_has_the_size_of_a_column(made):
    for plate in made.values():
        layout = plate.figure.to_plotly_json()
        layout["layout"].pop("template", None)
        found = list(sizes(layout))
        assert found and min(found) >= TEXT, plate.name
        assert plate.figure.layout.width == (PAGE if plate.name == "accuracy_by_group" else COLUMN)


def test_numbers_have_their_units(made):
    for plate in made.values():
        if plate.name in ("flips", "accuracy_by_group"):  # counts; its axes share one line below them
            continue
        for axis in plate.figure.select_xaxes():
            assert axis.title.text, plate.name


def test_on_paper_there_is_a_white_ground(made):
    for plate in made.values():
        assert on_paper(plate.figure).layout.paper_bgcolor == "white"


def test_lines_and_fills_are_told_apart_in_grey(made):
    """By dash or marker, and bars by their pattern: by no colour alone."""
    for plate in made.values():
        named = [trace for trace in plate.figure.data
                 if trace.type in ("scatter", "bar") and trace.name and trace.showlegend is not False]  # fmt: skip
        looks = [
            (trace.line.dash, trace.marker.symbol) if trace.type == "scatter" else trace.marker.pattern.shape
            for trace in named
        ]
        shown = {trace.name: one for trace, one in zip(named, looks, strict=True)}
        assert len(set(shown.values())) == len(shown), f"{plate.name}: {shown}"


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=9), st.floats(0.1, 0.42), st.floats(0, 0.5), st.floats(0, 0.5)
)  # fmt: skip
def test_a_number_beside_a_mark_stays_within_its_panel(values, width, below, above):
    """Of however many recipes, and off the line at zero."""
    ends, sides = with_room(values, [width] * len(values), min([0, *values]) - below, max([0, *values]) + above)
    wide = width * (ends[1] - ends[0])
    for value, side in zip(values, sides, strict=True):
        left = value - wide * {"center": 0.5, "left": 1, "right": 0}[side]
        assert ends[0] <= left + 1e-9 and left + wide <= ends[1] + 1e-9
        assert side == "center" or abs(value) <= wide / 2
