"""The worlds of the paper: what is declared is read, and a run of anything else changes no macro, table or figure."""

import re
import shutil
from pathlib import Path

import pytest
from preserved_runs import FEW, GSM8K, NATS, REAL, everything, recipe_of, write
from synthetic_runs import make_run

from lab.figures import FIGURES as DRAWN
from lab.figures import Plate
from lab.paper.building import PAPER, contents
from lab.paper.reading import Preserved
from lab.paper.world_figures import FIGURES, draw, plates
from lab.paper.worlds import WORLDS

# Job below papermill_jobs -> of which world a careless reader would take its runs.
STRANGERS = {
    "real/gsm8k_swapped.yaml": "gsm8k", "real/hotpotqa.yaml": "gsm8k", "real/word_problems.yaml": "embedded",
    "controls/control_target_source.yaml": "embedded",
}  # fmt: skip


def told(folder):
    """Everything that the paper says and shows: files, then the numbers of every figure with its sources."""
    preserved = Preserved(folder)
    shown = {f"{world}/{name}": (plate.caption, plate.rows, [source.run for source in plate.sources])
             for world in FIGURES if world in preserved.worlds
             for name, plate in plates(preserved, world).items() if isinstance(plate, Plate)}  # fmt: skip
    return contents(preserved, PAPER / "sentences.yaml") | shown


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return everything(tmp_path_factory.mktemp("preserved"))


@pytest.mark.slow
def test_a_run_of_another_kind_changes_nothing(whole):
    """With more seeds and more arms than the main recipe of the world, and before it in the order of names."""
    before = told(whole)
    assert "gsm8k/information_over_tokens" in before and "twohop/training_curves" in before
    arms = REAL | {f"latent_{kind}": 0.9 for kind in ("mean", "zero", "noise", "int8")} | {"latent": 0.9}
    for number, job in enumerate(STRANGERS):
        for seed in (1, 2, 3, 4):
            make_run(whole / f"aa_{number}", f"seed_{seed}", seed, arms, (0.1, 0.9), NATS | {"latent": 0.2},
                     **recipe_of(job))  # fmt: skip
    write(whole / "aa_0" / "inference_aggregate.json", {"models": {"source": "x/y", "target": "y/z"}})
    assert told(whole) == before


@pytest.mark.slow
def test_another_recipe_of_the_world_is_never_its_main_one(whole):
    """Not a constant prompt in the translator's place, nor another loss, whatever number of seeds and arms it has."""
    before = contents(Preserved(whole), PAPER / "sentences.yaml")["macros.tex"]
    arms = REAL | {"latent_mean": 0.9, "latent": 0.9}
    for seed in (1, 2, 3):
        for name, changed in {"aa_constant": {"translator": "constant"}, "aa_kl": {"kl_weight": 0.5}}.items():
            make_run(whole, f"{name}-seed{seed}", seed, arms, nats=NATS | {"latent": 0.2}, **GSM8K | changed)
    after = contents(Preserved(whole), PAPER / "sentences.yaml")["macros.tex"]
    pieces = [line for line in after.splitlines() if line not in before.splitlines()]
    assert not [line for line in pieces if re.match(r"\\newcommand\{\\(Told|Hop|Emb|Right|Less)", line)], pieces


def test_a_world_without_its_main_recipe_says_that_nothing_was_run(tmp_path):
    make_run(tmp_path, "k16", 1, REAL, nats=NATS, **GSM8K | {"soft_tokens": 16})
    make_run(tmp_path, "swapped", 1, REAL, **recipe_of("effects/effect_swapped.yaml"))
    preserved = Preserved(tmp_path)
    assert not preserved.worlds
    assert r"\newcommand{\ToldRecovered}{\notrun{}}" in contents(preserved, PAPER / "sentences.yaml")["macros.tex"]


@pytest.mark.parametrize("name", WORLDS)
def test_every_declared_recipe_is_a_job(name):
    world = WORLDS[name]
    recipes = world._recipes.values()
    assert all(recipe["soft_tokens"] > 0 for recipe in recipes)
    assert not (world.free & {"task", "layout", "translator"}) and len(recipes) == 1 + len(world.controls)


@pytest.mark.slow
def test_a_control_that_is_a_run_of_its_own_stands_in_the_paper(whole, tmp_path):
    """In the arm's name, by its own answers, of its own seeds; one of another length is none."""
    folder = tmp_path / "preserved"
    shutil.copytree(whole, folder)
    job = dict(WORLDS["twohop"].controls)["latent_constant"]

    def macro(name):
        text = contents(Preserved(folder), PAPER / "sentences.yaml")["macros.tex"]
        return re.search(rf"newcommand{{\\{name}}}{{(.*)}}", text)[1]

    make_run(folder / "longer", "seed_1", 1, FEW | {"latent": 0.9}, **recipe_of(job) | {"steps": 9000})
    assert Preserved(folder).worlds["twohop"].controls == {}
    for seed in (1, 2, 3):
        make_run(folder / "constant", f"seed_{seed}", seed, FEW | {"latent": 0.25}, **recipe_of(job))
    (runs,) = Preserved(folder).worlds["twohop"].controls.values()
    assert [run.seed for run in runs] == [1, 2, 3]
    assert 15 < float(macro("HopConstant")) < 35 and float(macro("HopHeldOut")) > 70  # of one cell, of 25 and 80 in all
    assert macro("HopConstantSeeds").startswith("3 ") and macro("HopSeeds") != macro("HopConstantSeeds")
    shown = plates(Preserved(folder), "twohop")["arms_and_controls"]
    (row,) = (row for row in shown.rows if row["arm"] == "latent_constant")
    assert row["seeds"] == 2 and row["accuracy"] < 0.4 and row["latent_minus_effect"] > 0.3
    assert "constant/seed_1" in {source.run for source in shown.sources} and "trained anew" in shown.caption
    shutil.rmtree(folder / "constant" / "seed_1")  # not of every seed any more: no arm among those of all seeds
    assert "latent_constant" not in {
        row["arm"] for row in plates(Preserved(folder), "twohop")["arms_and_controls"].rows
    }


def test_another_source_on_gsm8k_changes_what_is_said_of_it_alone(whole, tmp_path):
    """It has answers of its own, and is no other run's control."""
    folder = tmp_path / "preserved"
    shutil.copytree(whole, folder)
    before = contents(Preserved(folder), PAPER / "sentences.yaml")["macros.tex"].splitlines()
    job = dict(WORLDS["gsm8k"].controls)["latent_target_source"]
    make_run(folder, "gsm8k_target_source", 1, REAL, nats=NATS | {"latent": 0.2}, **recipe_of(job))
    after = contents(Preserved(folder), PAPER / "sentences.yaml")["macros.tex"].splitlines()
    changed = {re.search(r"newcommand\{\\(\w+)\}", line)[1] for line in {*after} - {*before}}
    assert changed == {"ToldTargetSource", "ToldSourcesSeeds", "SayToldSources"}


def test_the_paper_shows_the_figures_of_named_worlds():
    shown = set(re.findall(r"\\labfigure\{(\w+/\w+)\}", (PAPER / "paper.tex").read_text("utf-8")))
    assert shown == {f"{world}/{name}" for world, names in FIGURES.items() for name in names}
    assert set(FIGURES) == {*WORLDS, "audit"} and {name for names in FIGURES.values() for name in names} <= set(DRAWN)


def test_a_figure_that_cannot_be_made_any_more_is_taken_away(tmp_path):
    old = tmp_path / "figures" / "twohop" / "people_curve.pdf"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of other runs")
    (tmp_path / "runs").mkdir()
    found = {files.relative_to(tmp_path / "figures"): missing for files, missing in
             draw(Preserved(tmp_path / "runs"), tmp_path / "figures")}  # fmt: skip
    assert not old.exists() and "main recipe" in str(found[Path("twohop/people_curve")])
