"""Both ways of a pair, with a truth that was chosen: who is stronger, what is gained, which way more is gained.

How often such intervals hold the truth is measured with those of the claims, in `lab.evidence.calibration`."""

import pytest
from synthetic_runs import edit_records, make_run

from lab.config.model_names import PAIRS
from lab.evidence import both_ways, read_evidence
from lab.evidence.hypotheses import Direction
from lab.pictures import direction_gains_table, directions_table

WEAK, STRONG = "mini/source", "mini/target"
SWAPPED = {"pair": "custom", "source": PAIRS["mini"][1], "target": PAIRS["mini"][0]}
FORWARD = {"source": 0.1, "target": 0.5, "latent": 0.9, "latent_constant": 0.1}
BACK = {"source": 0.5, "target": 0.1, "latent": 0.7, "latent_constant": 0.1}
NATS = {"source": 1.8, "target": 1.2, "latent": 1.0, "latent_constant": 1.5}
BACK_NATS = {"source": 1.2, "target": 1.8, "latent": 1.2, "latent_constant": 1.5}


def pair(folder, forward=FORWARD, back=BACK, seeds=(1, 2, 3), nats=(None, None), first="forward"):
    for seed in seeds:
        make_run(folder, f"forward{seed}", seed, forward, nats=nats[0])
        make_run(folder, f"back{seed}", seed, back, nats=nats[1], **SWAPPED)
    names = [f"{name}{seed}" for name in ("forward", "back") for seed in seeds]
    return read_evidence([folder / name for name in sorted(names, key=lambda name: not name.startswith(first))])


def over(rows, arm):
    return next(row for row in rows if row["over"] == arm)


def test_gains_are_those_of_the_truth(tmp_path):
    (found,) = both_ways(pair(tmp_path))
    assert found["known"] and [way["target"] for way in found["ways"]] == [STRONG, WEAK]
    assert [way["stronger"]["model"] for way in found["ways"]] == [STRONG, STRONG]
    assert [way["stronger"]["arm"] for way in found["ways"]] == ["target", "source"]
    there, back = (way["gains"] for way in found["ways"])
    assert over(there, "target")["right"]["effect"] == pytest.approx(0.4, abs=0.06)
    assert over(there, "source")["right"]["effect"] == pytest.approx(0.8, abs=0.06)
    assert over(back, "target")["right"]["effect"] == pytest.approx(0.6, abs=0.06)


def test_headroom_is_no_direction(tmp_path):
    """To the weak model more is gained over the target, and less over the stronger model, who is the same both ways."""
    (found,) = both_ways(pair(tmp_path))
    target, strong = (over(found["differences"], arm) for arm in ("target", "stronger model"))
    assert target["right"]["effect"] < 0 < strong["right"]["effect"]
    assert target["more"]["right"] == "strong to weak" and strong["more"]["right"] == "weak to strong"


def test_a_difference_is_that_of_the_gains(tmp_path):
    evidence = pair(tmp_path, nats=(NATS, BACK_NATS))
    (found,) = both_ways(evidence)
    there, back = (way["gains"] for way in found["ways"])
    for arm in ("target", "latent_constant"):
        for name in ("right", "told"):
            one = over(found["differences"], arm)[name]
            gap = over(there, arm)[name]["effect"] - over(back, arm)[name]["effect"]
            assert one["effect"] == pytest.approx(gap) and one["low"] < one["effect"] < one["high"]
            assert one["p_holm"] >= one["p"]
    (claimed,) = Direction().compare(evidence)
    assert over(found["differences"], "target")["right"]["effect"] == pytest.approx(claimed.effect)


def test_the_order_in_which_runs_are_given_does_not_matter(tmp_path):
    evidence = pair(tmp_path)
    other = read_evidence(sorted((run.path for run in evidence.runs), key=lambda path: path.name))  # back, forward
    assert other.main[0].name == "back1" and both_ways(other) == both_ways(evidence)


def test_interval_counts_what_the_targets_share(tmp_path):
    """Targets that are right on complementary questions make the difference of the gains surer or less sure, not as if
    the directions had been asked two samples: the interval is that of the differences, question by question."""
    evidence = pair(tmp_path, seeds=(1,))

    def target_as_source(rows):
        for row in rows:
            row["arms"]["target"] = dict(row["arms"]["source"])

    alike = edit_and_read(evidence, target_as_source)
    width = {name: one["high"] - one["low"] for name, one in
             (("apart", over(both_ways(evidence)[0]["differences"], "target")["right"]),
              ("alike", over(both_ways(alike)[0]["differences"], "target")["right"]))}  # fmt: skip
    assert width["alike"] < width["apart"]


def edit_and_read(evidence, change):
    """Where the other direction's target answers what this one's does, its luck cancels."""
    edit_records(evidence.runs[0].path, change)
    source = {row["id"]: row["arms"]["target"] for row in read_evidence([evidence.runs[0].path]).runs[0].records}
    edit_records(evidence.runs[1].path, lambda rows: [row["arms"].update(target=source[row["id"]]) for row in rows]
                 and rows)  # fmt: skip
    return read_evidence([run.path for run in evidence.runs])


def test_where_accuracy_says_nothing_bits_do(tmp_path):
    silent = {"source": 0.0, "target": 0.0, "latent": 0.0, "latent_constant": 0.0}
    (found,) = both_ways(pair(tmp_path, silent, silent, nats=(NATS, BACK_NATS)))
    assert {way["stronger"]["by"] for way in found["ways"]} == {"bits per character"} and found["known"]
    assert found["ways"][0]["target"] == STRONG
    prompt = over(found["differences"], "latent_constant")
    assert prompt["right"] is None and prompt["more"] == {"right": "not known", "told": "weak to strong"}


def test_bits_do_not_depend_on_the_tokenizer(tmp_path):
    evidence = pair(tmp_path, nats=(NATS, BACK_NATS), seeds=(1, 2))
    before = both_ways(evidence)

    def finer(rows):
        for row in rows:
            for answer in row["arms"].values():
                answer["gold_tokens"] *= 3

    for run in evidence.runs:
        if run.name.startswith("back"):
            edit_records(run.path, finer)
    assert both_ways(read_evidence([run.path for run in evidence.runs])) == before


def test_where_nobody_is_stronger_no_way_is_named_after_it(tmp_path):
    even = {"source": 0.4, "target": 0.4, "latent": 0.9}
    (found,) = both_ways(pair(tmp_path, even, even | {"latent": 0.5}))
    assert not found["known"] and [row["over"] for row in found["differences"]] == ["target"]
    assert over(found["differences"], "target")["more"]["right"] == f"to {found['ways'][0]['target']}"
    assert "not known" in directions_table([found]).column("stronger alone")


def test_one_seed_decides_nothing(tmp_path):
    (found,) = both_ways(pair(tmp_path, seeds=(1,)))
    row = over(found["differences"], "target")
    assert row["right"]["p_holm"] < 0.05 and row["more"]["right"] == "undecided"


def test_a_recipe_has_one_other_way(tmp_path):
    """Source layers are the source's own; of two recipes that differ by them the first given has the other way."""
    evidence = pair(tmp_path, seeds=(1,))
    other = make_run(tmp_path, "layers1", 1, FORWARD, source_layers="last")
    found = both_ways(read_evidence([*(run.path for run in evidence.runs), other]))
    assert [[way["runs"] for way in one["ways"]] for one in found] == [[["forward1"], ["back1"]]]


def test_without_the_other_direction_the_table_says_so(tmp_path):
    evidence = read_evidence([make_run(tmp_path, "one"), make_run(tmp_path, "wide", width=256)])
    assert both_ways(evidence) == []
    for table in (directions_table([]), direction_gains_table([])):
        assert "No run of the other direction" in str(table) and "effect_swapped.yaml" in table._repr_html_()


def test_tables_show_what_was_found(tmp_path):
    found = both_ways(pair(tmp_path, nats=(NATS, BACK_NATS)))
    table, gains = directions_table(found), direction_gains_table(found)
    assert len(table) == sum(len(way["gains"]) for way in found[0]["ways"])
    assert [name for name in table.column("runs") if name] == ["forward1 +2", "back1 +2"]
    assert gains.column("gain over") == ["target", "latent_constant", "stronger model"]
    assert "weak to strong" in str(gains)
