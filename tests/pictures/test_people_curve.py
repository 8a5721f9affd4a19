"""The curve over people says what its runs say, and takes no runs that differ in something else."""

import pytest
from synthetic_runs import make_run

from lab.errors import LabError
from lab.evidence import read_evidence
from lab.pictures.people_curve import LINES, people_figure, people_rows, people_table
from lab.tasks.twohop import NEW_FACT, TwoHop, fact_of


def curve(tmp_path, sizes=(3000, 300, 0)):
    for size in sizes:
        for seed in (1, 2):
            right = {"source": 0.0, "target": 0.05, "latent_shuffled": 0.05,
                     "latent": lambda cell, size=size: 0.95 if "seen" in cell or not size else 0.1}  # fmt: skip
            make_run(tmp_path, f"people{size}-seed{seed}", seed, right, task="twohop", people=size)
    return read_evidence([tmp_path])


def test_a_point_is_all_seeds_of_a_number_of_people(tmp_path):
    rows = people_rows(curve(tmp_path))
    found = {(row["people"], row["arm"], row["group"]): row for row in rows}
    assert [row["people"] for row in rows] == sorted(row["people"] for row in rows)
    assert {people for people, _, _ in found} == {300, 3000, 6000}
    latent = {people: found[people, "latent", "lore/long/held_out"] for people in (300, 3000, 6000)}
    assert latent[300]["accuracy"] < 0.3 < 0.8 < latent[6000]["accuracy"]
    assert all(row["seeds"] == 2 and row["n"] == 80 and row["low"] <= row["accuracy"] <= row["high"]
               for row in latent.values())  # fmt: skip
    assert found[300, "latent", "lore/long/seen"]["accuracy"] > 0.8
    assert latent[300]["runs"] == ["people300-seed1", "people300-seed2"]
    assert people_table(rows).column("people")[0] == "300" and len(people_figure(rows).data) == len(LINES) - 2


def test_where_a_few_facts_have_to_answer_they_are_the_clusters():
    """Three people are asked about each, so 270 answers are no 270 independent ones."""
    asked = [{"word": one.word, "question": one.question} for one in TwoHop().test() if one.cell == NEW_FACT]
    assert len(asked) == 270 and len({row["word"] for row in asked}) == 270 and len(set(map(fact_of, asked))) == 90


def test_a_curve_changes_one_thing(tmp_path):
    curve(tmp_path, (300,))
    make_run(tmp_path, "wider", 1, task="twohop", people=3000, width=64)
    with pytest.raises(LabError, match="differ in more than the number of people"):
        people_rows(read_evidence([tmp_path]))


def test_a_curve_is_of_the_two_hop_task(tmp_path):
    make_run(tmp_path, "mini")
    with pytest.raises(LabError, match="is of task 'minigsm'"):
        people_rows(read_evidence([tmp_path]))
