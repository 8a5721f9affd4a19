"""What was measured once stands in the pages as in its data file, each with command, device and date."""

import json
import shutil
from dataclasses import replace

import measured
import preserved_tables
import pytest
import recorded
import timing_rows
import timings
from digests import digests
from preserved_runs import GSM8K, NATS, REAL, recipe_of
from synthetic_runs import make_run

from lab.errors import LabError
from lab.evidence import read_evidence
from lab.evidence.verify import verify_run
from lab.paper.reading import Preserved, weights_in
from lab.runs import read_jsonl
from lab.runs.packed import pack, unpack


def test_the_tables_of_timings_are_those_of_their_files():
    """The same of those that read no runs."""
    text, data = "".join(path.read_text("utf-8") for path in measured.PAGES), measured.read()
    tables = [entry["key"] for entry in data["tables"] if entry.get("records") in timings.TABLES]
    rows = [
        timing_rows.FINDINGS[row["records"]]() for row in data["findings"] if row.get("records") in timing_rows.FINDINGS
    ]
    assert len(tables) == len(timings.TABLES) and len(rows) == len(timing_rows.FINDINGS)
    assert not [key for key in tables if measured.table(data, key) not in text]
    assert not [row for row in rows if f"| {row['what']} | {row['found']} |" not in text]


def test_every_table_stands_somewhere():
    pages = "".join(path.read_text("utf-8") for path in measured.PAGES)
    for key in [*measured.FINDINGS_PLACES, *(table["key"] for table in measured.read()["tables"])]:
        assert pages.count(f"<!-- measured: {key} -->") == 1


def test_every_value_says_how_where_and_when():
    found = measured.read()
    for row in found["findings"] + found["tables"]:
        assert row["command"].startswith("python ") and row["device"] in found["devices"] and row["date"]
    assert {row["place"] for row in found["findings"] if "place" in row} == {*measured.FINDINGS_PLACES[1:]}
    for table in (table for table in found["tables"] if table.get("rows")):  # those typed below what is computed
        columns = measured.TABLES[table["records"]]()[0] if "records" in table else table["columns"]
        assert all(len(row) == len(columns) for row in table["rows"])


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The JSON files in a folder of their own, which the rows are then computed from."""
    for file in recorded.HERE.glob("*.json"):
        shutil.copy(file, tmp_path)
    shutil.copytree(recorded.HERE / "full_size_costs", tmp_path / "full_size_costs")
    for module in (recorded, timings):
        monkeypatch.setattr(module, "HERE", tmp_path)
    return tmp_path


def test_what_a_record_holds_is_not_typed():
    found = measured.read()
    assert {row.get("records") for row in found["findings"]} - {None} == set(measured.FINDINGS)
    assert {table.get("records") for table in found["tables"]} - {None} == set(measured.TABLES)
    assert not [row for row in found["findings"] if "records" in row and {"what", "found"} & set(row)]
    above = {table["records"]: table["about"] for table in found["tables"] if "{" in table["about"]}
    assert set(above) == set(measured.NUMBERS)  # what stands between braces is filled in
    assert "{" not in "".join(line for path in measured.PAGES for line in path.read_text("utf-8").splitlines()
                              if line.startswith("**") and "Records: " in line)  # fmt: skip


def test_a_new_measurement_of_several_gpus_changes_the_row(copied):
    """The last session that is whole counts; the words hold for other numbers of GPUs as well."""

    def add(processes, batch_size, mean, median):
        row = timings.lines_of("scaling_h100.json")[0] | {"processes": processes, "batch_size": batch_size}
        with open(copied / "scaling_h100.json", "a", encoding="utf-8") as out:
            out.write(json.dumps(row | {"step_mean_s": mean, "step_s": median}) + "\n")

    before = timing_rows.scaling()
    for measured_so in ((1, 10, 0.2, 0.15), (2, 10, 0.16, 0.1)):
        add(*measured_so)
    assert timing_rows.scaling() == before
    add(2, 20, 0.25, 0.16)
    found = timing_rows.scaling()["found"]
    assert "one GPU at batch 10 0.200 (0.150), two at batch 20 0.250 (0.160), two at batch 10 0.160 (0.100)" in found
    assert "efficiency is 80 % by the mean, 94 % by the median (the goal is 95 %; sessions before: " in found
    told = before["found"].split("the efficiency is ")[1].split(" (the goal")[0]
    earlier = told.replace(" by the mean, ", " and ").removesuffix(" by the median")
    assert f"; {earlier}); the same total work goes 1.25 (1.50) times" in found
    assert "an efficiency of 62 % (75 %)" in found and "In this session" in before["found"]
    assert "In this session" not in found
    add(4, 10, 0.1, 0.05)
    assert "on two GPUs" in timing_rows.scaling()["what"]  # of four there is no measurement with as much work for each
    add(4, 40, 0.3, 0.2)
    assert (
        "on four GPUs" in timing_rows.scaling()["what"] and "four at batch 40 0.300" in timing_rows.scaling()["found"]
    )


def test_a_new_rate_changes_its_row(copied):
    with open(copied / "prompt_rates.json", "a", encoding="utf-8") as out:
        for prompt in recorded.PROMPTS:
            look = {"prompt": prompt, "learning_rate": 1.0, "nats_per_token": [[0, 6.5], [300, 2.0]]}
            out.write(json.dumps(look) + "\n")
    found = recorded.prompt_rates()["found"]
    assert "2.000, best at 0.3; beside the text at 0.01" in found and "still higher" not in found


def written(file, data):
    """Pack `data` anew, by itself, in the place of a packed file."""
    file.unlink()
    file.with_suffix(".xz").write_bytes(pack(data))


def alter_an_answer(run):
    (file,) = run.rglob("eval_samples_*.jsonl.*")
    records = read_jsonl(file)
    records[0]["arms"]["latent"]["correct"] ^= True
    written(file, "".join(json.dumps(record) + "\n" for record in records).encode())


def test_an_altered_answer_of_the_shipped_translator_makes_no_row(tmp_path, monkeypatch):
    copied = tmp_path / "preserved"
    shutil.copytree(recorded.PRESERVED / "evidence_shipped", copied / "evidence_shipped")
    monkeypatch.setattr(recorded, "PRESERVED", copied)
    alter_an_answer(copied / "evidence_shipped")
    with pytest.raises(LabError, match="the row was altered after it was written"):
        recorded.shipped()


def test_a_new_speed_changes_its_table(copied):
    speed = json.loads((copied / "speed_h100.json").read_text("utf-8"))
    speed["full"]["cases"]["batch 2"]["plain"]["step_s"] = 9.0
    (copied / "speed_h100.json").write_text(json.dumps(speed), "utf-8")
    assert timings.full_size()[1][1][1].startswith("9.000 (")


def test_the_row_of_make_real_is_that_of_its_summary(copied):
    file = copied / "word_problems.json"
    summary, row = json.loads(file.read_text("utf-8")), recorded.word_problems()
    told = summary["likelihood"]["arms"]
    assert row["n"] == str(summary["n"]) and f"latent {told['latent']['nats']:.3f};" in row["found"]
    assert "Latent tells more than the prompt" in row["found"]
    assert f"{summary['wall_s'] / 60:.0f} minutes" in row["found"]
    told["latent_shuffled"]["versus"] |= {"difference": 0.02, "low": -0.01, "high": 0.05}
    file.write_text(json.dumps(summary | {"wall_s": 7200.0, "n": 7}), "utf-8")
    changed = recorded.word_problems()
    assert "another question's soft tokens +0.020 [-0.010, 0.050]" in changed["found"] and changed["n"] == "7"
    assert "is not seen to tell more" in changed["found"] and "120 minutes" in changed["found"]


def test_verdicts_of_times_follow_them(copied):
    """A goal that is reached and a change for the better are called so."""
    assert "a second: missed" in timing_rows.small()["found"] and "% longer now" in timing_rows.effects()["found"]
    for name, change in (("since_h100.json", ('_mean_s": 0.118', '_mean_s": 0.018')),
                         ("since_h100.json", ('"step_s": 0.088', '"step_s": 0.018')),
                         ("effects_h100.json", ('"wall_s": 318.6', '"wall_s": 618.6'))):  # fmt: skip
        text = (copied / name).read_text("utf-8")
        assert text.count(change[0]) == 1
        (copied / name).write_text(text.replace(*change), "utf-8")
    assert "a second: reached" in timing_rows.small()["found"] and "% shorter now" in timing_rows.effects()["found"]


def test_passes_that_are_no_whole_number_are_refused(copied):
    text = (copied / "gpu_time_h100.json").read_text("utf-8")
    (copied / "gpu_time_h100.json").write_text(text.replace("     90\n", "     91\n"), "utf-8")
    with pytest.raises(ValueError, match="no whole passes"):
        timing_rows.small()


@pytest.mark.parametrize("name, found, change", [
    ("since_h100.json", "since", lambda text: text.replace('"step_s": 0.144', '"step_s": 7.144')),
    ("gpu_time_h100.json", "gpu_time", lambda text: text.replace('"wall_s": 1.355', '"wall_s": 9.355')),
    ("gpu_time_h100.json", "gpu_time_numbers", lambda text: text.replace("0.271", "0.471")),
    ("full_size_costs/soft_tokens_32/inference_aggregate.json", "costs",
     lambda text: text.replace("13565952.0", "99565952.0")),
    ("effects_h100.json", "effects", lambda text: text.replace('"wall_s": 227.1', '"wall_s": 60.0')),
    ("gpu_time_h100.json", "effects", lambda text: text.replace('"steps": 4', '"steps": 8')),
    ("effects_h100.json", "effects", lambda text: text.replace('"wall_s": 318.6', '"wall_s": 60.0')),
    ("speed_h100.json", "small", lambda text: text.replace('"step_s": 0.1415', '"step_s": 0.2415')),
    ("since_h100.json", "small", lambda text: text.replace('"step_s": 0.22', '"step_s": 0.32')),
    ("gpu_time_h100.json", "small", lambda text: text.replace("0.0631,", "0.0931,")),
    ("since_h100.json", "since_numbers", lambda text: text.replace('"reserved_gib": 33.5', '"reserved_gib": 55.5')),
    ("since_h100.json", "since_numbers", lambda text: text.replace('"seconds": 259.5', '"seconds": 215.5')),
    ("since_h200.json", "since", lambda text: text.replace('"step_s": 0.179', '"step_s": 7.179')),
    ("gsm8k_longer.json", "longer", lambda text: text.replace("1.0602", "1.0002")),
    ("gsm8k_recipes.json", "recipes", lambda text: text.replace("1.0297", "1.0007")),
    ("gsm8k_recipes_h100.json", "recipes", lambda text: text.replace("1.0504", "1.0007")),
    ("twohop_again.json", "again", lambda text: text.replace("234222c9", "00000000")),
    ("scaling_h200.json", "scaling", lambda text: text.replace('"step_s": 0.1533', '"step_s": 0.1433')),
    ("since_h200.json", "since_numbers", lambda text: text.replace('"seconds": 257', '"seconds": 357')),
    ("since_h100.json", "since_numbers", lambda text: text.replace('_sample_anew": 0.19', '_sample_anew": 0.29')),
    ("state_cache_h100.json", "kept_states", lambda text: text.replace('"found": 0.4', '"found": 0.6')),
    ("decoding_h100.json", "decoding", lambda text: text.replace('"72": 9.31', '"72": 3.31')),
])  # fmt: skip
def test_another_measurement_is_another_row(copied, name, found, change):
    module = next(each for each in (recorded, timings, timing_rows) if hasattr(each, found))
    before, file = getattr(module, found)(), copied / name
    text = file.read_text("utf-8")
    assert change(text) != text
    file.write_text(change(text), "utf-8")
    assert getattr(module, found)() != before


TOLD_BY = {  # table -> folders that it can be computed from, a run that is taken away, one that is altered
    "gsm8k": (("gsm8k", "gsm8k_k16", "gsm8k_half"), "gsm8k/seed_2", "gsm8k/seed_1"),
    "two_hops": (("twohop", "twohop_control*"), "twohop/twohop-seed2", "twohop/twohop-seed1"),
    "evidence": (("evidence_three_seeds",), "evidence_three_seeds/seed_2", "evidence_three_seeds/seed_1"),
    "translators": (("evidence*", "translators"), "translators/layers_last-seed2", "translators/layers_last-seed1"),
}


def copy_preserved(folders, place, monkeypatch):
    """Of what is preserved only these folders, by pattern, and in the table of GSM8K only their rows."""
    for folder in (found for pattern in folders for found in preserved_tables.PRESERVED.glob(pattern)):
        shutil.copytree(folder, place / folder.name)
    lines = {name: said for name, said in preserved_tables.NAMES.items() if (place / name).is_dir()}
    monkeypatch.setattr(preserved_tables, "NAMES", lines)
    monkeypatch.setattr(preserved_tables, "PRESERVED", place)


@pytest.mark.slow  # whole suites are read three times
@pytest.mark.parametrize("key", TOLD_BY)
def test_a_table_of_records_says_what_they_say(key, tmp_path, monkeypatch):
    """A seed less is another table; an answer that was changed after it was written makes none."""
    folders, gone, altered = TOLD_BY[key]
    copy_preserved(folders, tmp_path, monkeypatch)
    for base in recorded.PRESERVED.glob("effects/effect_base-*") if key == "translators" else ():
        shutil.copytree(base, tmp_path / "effects" / base.name)
        for file in base.glob("*.zst"):  # what it is packed against stays behind
            written(tmp_path / "effects" / base.name / file.name, unpack(file))
    columns, rows = measured.TABLES[key]()
    assert all(len(row) == len(columns) for row in rows)
    shutil.rmtree(tmp_path / gone)
    assert measured.TABLES[key]()[1] != rows
    alter_an_answer(tmp_path / altered)
    with pytest.raises(LabError, match="the row was altered after it was written"):
        measured.TABLES[key]()


@pytest.mark.slow
def test_a_run_of_another_kind_is_in_no_table(tmp_path, monkeypatch):
    copied = tmp_path / "preserved"
    copy_preserved(["gsm8k", "gsm8k_k16"], copied, monkeypatch)
    before = preserved_tables.gsm8k()
    make_run(copied, "gsm8k_other_way", 1, REAL, nats=NATS, **recipe_of("real/gsm8k_swapped.yaml"))
    assert preserved_tables.gsm8k() == before
    make_run(copied, "gsm8k_unnamed", 1, REAL, nats=NATS, **GSM8K | {"soft_tokens": 4})
    with pytest.raises(LabError, match="gsm8k_unnamed is preserved and has no name"):
        preserved_tables.gsm8k()


@pytest.fixture
def rebuilt(tmp_path, monkeypatch):
    """Gives a run of the copied two-hop world the seal of one between other weights; the names are the same."""
    for folder in preserved_tables.PRESERVED.glob("twohop*"):
        if folder.name.startswith("twohop_people"):  # of the main recipe but for one thing: no control is theirs
            continue
        shutil.copytree(folder, tmp_path / folder.name)
    monkeypatch.setattr(preserved_tables, "PRESERVED", tmp_path)

    def rebuild(run, weights):
        (file,) = (tmp_path / run).glob("*.seal.json.*")
        seal = json.loads(unpack(file))
        seal["evaluation"]["target"]["weights"] = weights
        written(file, json.dumps(seal).encode())

    return rebuild


CONSTANT = "twohop_control_constant/twohop-control-constant-seed"


def test_a_control_of_other_models_is_refused(rebuilt):
    """Another build of the two-hop world has the same names and the same questions."""
    rebuilt(f"{CONSTANT}2", "0" * 16)
    with pytest.raises(LabError, match="constant-seed2 is no control of twohop-seed1: not the same target"):
        preserved_tables.two_hops()


@pytest.mark.slow  # a whole world is read
def test_controls_of_another_build_that_is_preserved_stay_with_it(rebuilt, tmp_path):
    """All its seeds beside those of the main build: paired with nothing of that, and no reason to tell nothing."""
    (_, target), name = weights_in(preserved_tables.PRESERVED / "twohop_evidence/seed_1"), "again"
    shutil.copytree(tmp_path / "twohop_control_constant", tmp_path / name)
    for seed in (3, 2, 1):  # the others are packed against the first
        rebuilt(f"{name}/twohop-control-constant-seed{seed}", target)
    controls = preserved_tables.two_hop_world().controls
    assert {arm: [run.seed for run in runs] for arm, runs in controls.items()} == dict.fromkeys(controls, [1, 2, 3])
    assert name not in {run.path.parent.name for run in controls["latent_constant"]}


def test_a_run_is_put_between_the_prompts_of_its_own_budget():
    runs = read_evidence([preserved_tables.PRESERVED / f"{name}/seed_1" for name in ("gsm8k", "gsm8k_fixes")]).runs
    ends, run = runs
    assert not {*preserved_tables.ENDS} & run.arms
    beside = preserved_tables._with_ends(run, runs)
    assert beside.arms == run.arms | {*preserved_tables.ENDS}
    assert [row["arms"]["latent"] for row in beside.records] == [row["arms"]["latent"] for row in run.records]
    theirs = {row["id"]: row["arms"]["text_tuned"] for row in ends.records}
    assert all(row["arms"]["text_tuned"] == theirs[row["id"]] for row in beside.records)
    for changed in ({"seed": 2}, {"soft_tokens": 16}, {"steps": 2000}, {"pair": "small-swapped"}):
        other = replace(run, settings=run.settings | changed)
        assert preserved_tables._with_ends(other, runs) is other


@pytest.mark.slow  # a whole world is read
def test_a_curve_over_people_has_no_control_in_it(tmp_path):
    """A constant prompt between the same models differs in more; where most numbers of people are of the main build,
    that one is drawn."""
    for folder in preserved_tables.PRESERVED.glob("twohop*"):  # without the other worlds, which take longer to read
        shutil.copytree(folder, tmp_path / folder.name)
    world = Preserved(tmp_path).worlds["twohop"]
    assert len({run.recipe() for run in world.evidence.runs}) > len(
        {run.recipe() for run in world.over("people")[0].runs}
    )
    assert all(len({run.recipe(("people",)) for run in build.runs}) <= 1 for build in world.over("people"))
    alone = replace(world, rebuilt=())
    assert len({run.settings["people"] for run in alone.widest("people").runs}) == 4


def test_digests_are_of_what_a_run_says_and_not_of_what_it_took(tmp_path):
    run = preserved_tables.PRESERVED / "twohop" / "twohop-seed1"
    for file in run.iterdir():
        copy = tmp_path / file.name
        shutil.copy(file, tmp_path) if file.suffix != ".zst" else copy.with_suffix("").write_bytes(unpack(file))
    whole = digests(run)
    assert digests(tmp_path) == whole
    (metrics,) = tmp_path.glob("metrics.jsonl*")
    rows = read_jsonl(metrics)
    metrics.unlink()
    for change, same in {"seconds": True, "loss": False}.items():
        changed = [row | {change: 9.0} if change in row else row for row in rows]
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed), "utf-8")
        assert (digests(tmp_path) == whole) is same
    (records,) = tmp_path.glob("eval_samples_step_final.jsonl*")
    written(records, unpack(records).replace(b'"correct": true', b'"correct": false', 1))
    assert digests(tmp_path)["records"] != whole["records"]


def test_costs_that_were_altered_make_no_row(tmp_path, monkeypatch):
    shutil.copytree(recorded.PRESERVED / "inference_metrics", tmp_path / "inference_metrics")
    monkeypatch.setattr(recorded, "PRESERVED", tmp_path)
    assert recorded.cached()["n"] == "1 319"
    file = tmp_path / "inference_metrics" / "inference_aggregate.json"
    file.write_text(file.read_text("utf-8").replace('"n": 1319', '"n": 1318', 1), "utf-8")
    with pytest.raises(LabError, match="inference_aggregate.json is not the file that was preserved"):
        recorded.cached()
    assert verify_run(tmp_path / "inference_metrics") == ["inference_aggregate.json is not the file that was preserved"]
