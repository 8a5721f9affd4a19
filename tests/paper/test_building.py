"""From records to macros, tables and sentences: what changes with a record, and what must not."""

import json
import re
import shutil

import pytest
from preserved_runs import MINI, everything, main_runs, paper_folder
from synthetic_runs import edit_records, make_run

from lab.audit.reported import REPORTED
from lab.errors import LabError
from lab.evidence import FAMILIES
from lab.paper.building import PAPER, build_paper, contents
from lab.paper.reading import Preserved, run_folders
from lab.paper.sentences import PIECES, expected_states, joined, read_sentences
from lab.places import ROOT

SENTENCES = PAPER / "sentences.yaml"
MACRO = re.compile(r"\\newcommand\{\\(\w+)\}\{(.*)\}")


def made(folder, benchmarks=ROOT / "benchmarks"):
    return contents(Preserved(folder, benchmarks), SENTENCES)


def macros(found):
    return dict(MACRO.findall(found["macros.tex"]))


def changed_macros(before, after):
    return {name for name in macros(before) if macros(before)[name] != macros(after)[name]}


def changed_lines(before, after, name):
    pairs = zip(before[f"tables/{name}.tex"].splitlines(), after[f"tables/{name}.tex"].splitlines(), strict=True)
    return [new for old, new in pairs if old != new]


def flip(arm, place=0, right=None):
    """Another answer in one record (`place`), or all of them right or wrong."""

    def change(rows):
        for row in rows if right is not None else rows[place : place + 1]:
            answer = row["arms"][arm]
            answer["correct"] = not answer["correct"] if right is None else right
            answer["extracted"] = row["gold"] if answer["correct"] else str(int(row["gold"]) + 1)
            answer["text"] = f"so {answer['extracted']}.\n#### {answer['extracted']}"

    return change


@pytest.fixture(scope="module")
def one_recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preserved")
    main_runs(folder)
    return folder


@pytest.fixture(scope="module")
def before(one_recipe):
    return made(one_recipe)


@pytest.fixture
def copy(one_recipe, tmp_path):
    return shutil.copytree(one_recipe, tmp_path / "runs")


def test_one_record_changes_what_rests_on_it_and_nothing_else(before, copy):
    edit_records(copy / "evidence" / "seed_1", flip("latent_int8"))
    after = made(copy)
    assert {name for name in before if before[name] != after[name]} == {"macros.tex", "tables/main_results.tex"}
    assert all("LatentIntEight" in name or name == "SayWireFormats" for name in changed_macros(before, after))
    assert "LessLatentIntEight" in changed_macros(before, after)
    (line,) = changed_lines(before, after, "main_results")
    assert line.startswith("latent, int8 wire")


def test_a_claim_changes_with_its_arm(before, copy):
    """The shuffled arm is a rival in two claims and an arm in one table; nothing else knows it."""
    for seed in (1, 2, 3):
        edit_records(copy / "evidence" / f"seed_{seed}", flip("latent_shuffled", right=True))
    after = made(copy)
    assert {name for name in before if before[name] != after[name]} == {
        "macros.tex", "tables/main_results.tex", "tables/claims.tex"}  # fmt: skip
    words = read_sentences(SENTENCES)["depends_on_this_input"]
    assert macros(before)["SayDependsOnThisInput"] == words["supported"]
    assert macros(after)["SayDependsOnThisInput"] == words["refuted"]
    assert macros(after)["DocumentsRefuted"] == "2"  # this one, and that knowledge moved


def test_what_did_not_change_is_not_written_again(one_recipe, tmp_path):
    paper = paper_folder(PAPER, tmp_path / "paper")
    assert all(build_paper(one_recipe, paper).values())
    times = {path: path.stat().st_mtime_ns for path in paper.rglob("*.tex")}
    assert not any(build_paper(one_recipe, paper).values())
    assert {path: path.stat().st_mtime_ns for path in paper.rglob("*.tex")} == times


def test_without_runs_everything_says_so(tmp_path):
    found = macros(made(tmp_path, tmp_path))
    words = read_sentences(SENTENCES)
    assert found["RightLatent"] == found["EffectEnrichment"] == found["SpeedStepTwo"] == r"\notrun{}"
    assert found["SayScenario"] == words["scenario"]["not run"] and found["DocumentsSupported"] == "0"
    assert found["DocumentsNotRun"] == str(len(FAMILIES["documents"]))
    assert found["LeftOut"] == joined([words[key]["not run"] for key in PIECES])


@pytest.mark.slow
def test_everything_at_once(tmp_path):
    found = made(everything(tmp_path))
    given = macros(found)
    for name in ("RightLatentConstant", "ToldRecovered", "HopHeldOut", "LookWithin", "CostFirstLatent", "EditFollow"):
        assert given[name] != r"\notrun{}", name
    words = read_sentences(SENTENCES)["told_beyond_a_prompt"]
    assert given["SayToldBeyondAPrompt"] == words["supported"] and given["EmbSeeds"] == "3 training seeds"
    assert found["tables/ablations.tex"].count("the recipe that the others change") == 2
    assert r"\end{document}" not in "".join(found.values())


@pytest.mark.slow
def test_what_is_missed_without_a_soft_token(tmp_path):
    everything(tmp_path)
    given = macros(made(tmp_path))
    assert (given["WithoutMatter"], given["WithoutRightMatter"], given["WithoutPlaces"]) == ("2", "1", "3")
    assert (given["WithoutMost"], given["WithoutMostPlace"], given["WithoutMostPoints"]) == ("0.300", "1", "50.0")
    assert given["WithoutSum"] == "0.400" and given["WithoutAll"] == "0.900"

    def rewritten(change):
        path = tmp_path / "look" / "diagnostics.json"
        found = json.loads(path.read_text())
        change(found)
        path.write_text(json.dumps(found))
        return macros(made(tmp_path))

    after = rewritten(lambda found: found["left_out"].update(all_right=None))  # no answers were generated
    assert {name for name in given if given[name] != after[name]} == {"WithoutRightMatter"}
    earlier = rewritten(lambda found: found.pop("left_out"))  # written before anything was left out
    changed = {name for name in given if given[name] != earlier[name]}
    assert changed == {name for name in given if name.startswith("Without")}
    assert {earlier[name] for name in changed} == {r"\notrun{}"}


def test_seeds_and_arms_make_the_main_recipe_not_its_name(tmp_path):
    main_runs(tmp_path)
    (tmp_path / "evidence").rename(tmp_path / "zz_last")
    make_run(tmp_path, "aa_first", accuracies={"source": 0.1, "target": 0.1, "latent": 0.1}, **MINI | {"steps": 300})
    assert len(Preserved(tmp_path).worlds["embedded"].main) == 3


def test_the_training_of_a_control_is_no_run_of_its_own(one_recipe, copy):
    shutil.copytree(copy / "evidence" / "seed_1", copy / "evidence" / "seed_1" / "control_constant")
    assert len(list(run_folders(copy))) == 3


def test_every_state_has_a_wording(tmp_path):
    assert {key: set(of) for key, of in read_sentences(SENTENCES).items()} == {
        key: set(states) for key, states in expected_states().items()
    }
    path = tmp_path / "sentences.yaml"
    path.write_text(SENTENCES.read_text().replace("  refuted:", "  refused:", 1))
    with pytest.raises(LabError, match="wording for each"):
        read_sentences(path)


def test_the_audit_is_of_the_numbers_reported():
    """The file is written once, from rows that are not here; what was reported is code, and may move on."""
    rows = json.loads((ROOT / "benchmarks" / "audit.json").read_text("utf-8"))["verdicts"]
    assert [(row["place"], row["what"], row["reported"]) for row in rows] == [
        (one.place, one.what, one.value) for one in REPORTED
    ]


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(LabError, match="no folder"):
        build_paper(tmp_path / "nowhere", PAPER)
