"""The table of a suite: which recipes are better than the main one follows the truth that they were made with."""

import json
import subprocess
import sys

import pytest
from synthetic_runs import ACCURACY, edit_records, make_run

from lab.evidence import NotRun, curve, families, measured_compression, neighbours, read_evidence, recipe_rows
from lab.pictures import ablations_figure, ablations_table, curve_figure, recovered_figure

NATS = {"latent": 1.1, "latent_shuffled": 1.38, "latent_constant": 1.4, "text_tuned": 0.9}
TUNED = ACCURACY | {"text_tuned": 0.3}


def suite(tmp_path, count=3):
    """Three seeds each of the main recipe, one with more soft tokens that is better, a wider one that is not, and one
    that changes two things."""

    def runs(name, latent, nats, **settings):
        for seed in range(1, count + 1):
            make_run(
                tmp_path, f"{name}{seed}", seed, TUNED | {"latent": latent}, nats=NATS | {"latent": nats}, **settings
            )

    runs("main", 0.6, 1.1)
    runs("more", 0.8, 1.0, soft_tokens=16)
    runs("wider", 0.6, 1.1, width=256)
    runs("both", 0.6, 1.1, width=256, soft_tokens=2)
    return read_evidence([tmp_path / f"main{seed}" for seed in range(1, count + 1)] + [tmp_path])


def test_what_is_better_comes_out_better(tmp_path):
    main, more, wider, both = sorted(recipe_rows(suite(tmp_path)), key=lambda row: "main more wider both".split().index(
        row["runs"][0][:-1]))  # fmt: skip
    assert main["differs"] == {} and main["effect"] is main["told"] is None and main["seeds"] == [1, 2, 3]
    assert more["differs"] == {"soft_tokens": [4, 16]} and both["differs"] == {
        "soft_tokens": [4, 2],
        "width": [128, 256],
    }
    assert more["effect"]["effect"] == pytest.approx(0.2, abs=0.05) and more["effect"]["p_holm"] < 0.01
    assert more["told"]["effect"] == pytest.approx(0.1, abs=0.02) and more["told"]["p_holm"] < 0.01
    assert wider["effect"]["low"] < 0 < wider["effect"]["high"] and wider["effect"]["p_holm"] > 0.05
    assert more["information"]["recovered"]["latent"]["value"] == pytest.approx(0.8, abs=0.04)
    for row in (more, wider, both):
        for kind in ("effect", "told"):
            assert row[kind]["p_holm"] >= row[kind]["p"] and row[kind]["seeds"] == 3


def test_a_curve_is_over_one_setting_alone(tmp_path):
    rows = recipe_rows(suite(tmp_path))
    assert [label for label, _ in curve(rows, "soft_tokens")] == ["4", "16"]  # not that which changes the width as well
    assert [label for label, _ in curve(rows, "width")] == ["128", "256"]
    assert [label for label, _ in curve(rows, "steps")] == ["1000"]


def test_what_cannot_be_paired_is_not_compared(tmp_path):
    evidence = suite(tmp_path, 1)
    make_run(tmp_path, "elsewhere", 9, TUNED, nats=NATS, width=64)
    make_run(tmp_path, "silent", 1, TUNED, width=32)
    make_run(tmp_path, "swapped", 1, TUNED, nats=NATS, pair="llama-mistral")
    edit_records(make_run(tmp_path, "fewer", 1, TUNED, nats=NATS, width=16), lambda rows: rows[:-1])
    others = ("elsewhere", "silent", "swapped", "fewer")
    paths = [tmp_path / "main1", *(tmp_path / name for name in others)]
    rows = {row["runs"][0]: row for row in recipe_rows(read_evidence(paths))}
    assert len(evidence.runs) == 4 and set(rows) == {"main1", *others}
    assert rows["elsewhere"]["effect"] is None  # no seed in common
    assert rows["silent"]["effect"] and rows["silent"]["told"] is None and rows["silent"]["information"] == {}
    assert rows["swapped"]["effect"] and rows["swapped"]["told"] is None  # another tokenizer counts other tokens
    assert rows["fewer"]["effect"] is rows["fewer"]["told"] is None  # other questions


def test_table_and_pictures_show_it(tmp_path):
    rows = recipe_rows(suite(tmp_path))
    table = ablations_table(rows)
    assert table.column("changes (main)")[0] == "main" and "soft_tokens 16 (4)" in table.column("changes (main)")
    assert list(ablations_figure(rows).data[0].x) == [100 * row["effect"]["effect"] for row in rows[1:]]
    assert "nats" in ablations_figure(rows, "told").layout.xaxis.title.text
    points = curve(rows, "soft_tokens")
    assert list(curve_figure(points, "soft_tokens").data[0].x) == ["4", "16"]
    assert recovered_figure([(label, row["information"]) for label, row in points], "soft_tokens").data
    assert "No other recipe can be compared" in ablations_figure(rows[:1]).layout.title.text


def test_one_seed_in_common_decides_nothing(tmp_path):
    """Whatever its p: two seeds of one recipe differ as well."""
    evidence = suite(tmp_path, 1)
    rows = recipe_rows(evidence)
    more = next(row for row in rows if row["runs"] == ["more1"])
    assert more["told"]["p_holm"] < 0.05 and more["told"]["seeds"] == 1
    assert "one seed" in ablations_table(rows).column("p (Holm)")
    assert set(ablations_figure(rows, "told").data[0].marker.symbol) == {"circle-open"}


def test_recipes_that_answer_alike_are_no_crash(tmp_path):
    """They differ in how they decode, and the likelihood of a gold answer does not."""
    (one,) = (make_run(tmp_path, "one", 1, TUNED, nats=NATS),)
    other = make_run(tmp_path, "other", 1, TUNED | {"latent": 0.3}, nats=NATS, no_repeat_ngram=3)
    costs = {row["id"]: row["arms"]["latent"]["gold_nats"] for row in read_evidence([one]).runs[0].records}
    edit_records(
        other, lambda rows: [row["arms"]["latent"].update(gold_nats=costs[row["id"]]) for row in rows] and rows
    )
    rows = recipe_rows(read_evidence([one, other]))
    assert rows[1]["told"] is None and rows[1]["effect"]


@pytest.mark.slow
def test_the_notebook_leaves_the_table(tmp_path):
    suite(tmp_path, 2)
    names = [f"{name}{seed}" for name in ("main", "more", "wider") for seed in (1, 2)]
    words = [
        "run",
        "papermill_jobs/ablations.yaml",
        "--runs",
        str(tmp_path),
        "-p",
        "ablation_runs",
        f"[{', '.join(names)}]",
    ]
    done = subprocess.run([sys.executable, "-m", "lab", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((tmp_path / "ablations" / "ablations.json").read_text())
    rows = found["recipes"]
    assert found["directions"] == [] and {row["verdict"] for row in found["hybrid"]} == {"not run"}
    assert [row["runs"][0] for row in rows] == ["main1", "more1", "wider1"] and rows[1]["effect"]["effect"] > 0.1


def test_a_neighbour_differs_in_one_section_alone(tmp_path):
    evidence = suite(tmp_path, 2)
    make_run(tmp_path, "z-far1", 1, TUNED, nats=NATS, width=256, layout="soft_plus_text")
    rows = {row["runs"][0].name: row for row in neighbours(read_evidence([*evidence.given, tmp_path / "z-far1"]))}
    assert set(rows) == {"more1", "wider1", "both1", "z-far1"} and {row["section"] for row in rows.values()} == {
        "translator",
        "layout",
    }
    assert rows["more1"]["differs"] == {"soft_tokens": [rows["more1"]["differs"]["soft_tokens"][0], 16]}
    assert [run.name for run in rows["z-far1"]["against"]] == ["wider1", "wider2"] and list(
        rows["z-far1"]["differs"]
    ) == ["layout"]
    assert all(row["effect"]["p_holm"] >= row["effect"]["p"] for row in rows.values())


def test_a_family_differs_in_one_setting_alone_from_small_to_large(tmp_path):
    evidence = suite(tmp_path, 2)
    found = [[(runs[0].settings["soft_tokens"], len(runs)) for runs in family] for family in families(
        evidence, "soft_tokens")]  # fmt: skip
    assert sorted(found) == [[(2, 2), (4, 2)], [(4, 2), (16, 2)]]
    assert families(evidence, "source_layers") == []


def test_compression_is_counted_in_the_records(tmp_path):
    """20 tokens of a prompt on average, of which the soft tokens leave 3."""
    (run,) = read_evidence([make_run(tmp_path, "one", soft_tokens=4)]).runs
    assert measured_compression(run) == pytest.approx((20 - 3) / 4)
    (aware,) = read_evidence([make_run(tmp_path, "two", layout="soft_plus_text")]).runs
    with pytest.raises(NotRun, match="nothing is compressed"):
        measured_compression(aware)
