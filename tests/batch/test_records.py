"""The list of records is what is preserved: every folder, every job, every parameter; and nothing is begun in vain."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from lab.batch.catalogue import JOBS
from lab.batch.jobs import all_parameters, plan
from lab.batch.members import plan_all
from lab.batch.records import DATA, Entry, listed, needed, read_records, runs_in
from lab.config import RunConfig
from lab.errors import LabError
from lab.places import ROOT
from lab.runs import PRESERVED
from lab.runs.preserved import SUMS, check_sums

ENTRIES = {entry.name: entry for entry in read_records()}
FOLDERS = sorted(path.name for path in PRESERVED.iterdir() if path.is_dir())
INDEX = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", (PRESERVED / "README.md").read_text("utf-8"), re.MULTILINE))
MOST = 40 * 10**6  # bytes of all that is preserved


def test_every_preserved_folder_is_made_by_one_entry():
    assert set(FOLDERS) <= set(ENTRIES)
    assert {name for name, entry in ENTRIES.items() if not entry.planned} <= set(FOLDERS)


@pytest.mark.parametrize("name", FOLDERS)
def test_the_commands_make_what_is_preserved(name):
    """By the hash of its config, without the place where the data lay."""
    entry, runs = ENTRIES[name], runs_in(PRESERVED / name)
    if not runs:  # costs are measured on a run that lies elsewhere
        about = json.loads((PRESERVED / name / "inference_aggregate.json").read_text("utf-8"))
        assert about["trained_config_hash"] in entry.hashes("").values()
        return
    configs = [RunConfig.from_yaml(run / "config.yaml") for run in runs]
    made = set()
    for run, config in zip(runs, configs, strict=True):
        expected = entry.hashes(config.task.data)
        found = [key for key, digest in expected.items() if digest == config.hash()]
        assert len(found) == 1, f"{run} is made by {found or 'no job'} of the entry {name}"
        made |= set(found)
    assert len(made) == len(runs), "one run is preserved twice"
    missing = set(entry.hashes(configs[0].task.data)) - made
    assert not missing or entry.planned, f"{sorted(missing)} of {name} is neither preserved nor said to be missing"


@pytest.mark.parametrize("name", ENTRIES)
def test_every_job_of_the_list_can_be_asked_for(name, tmp_path):
    entry = ENTRIES[name]
    given = [(key, str(value).lower() if isinstance(value, bool) else str(value)) for key, value in
             entry.parameters.items()]  # fmt: skip
    if entry.jobs:
        planned = plan_all([JOBS / job for job in entry.jobs], entry.seeds, given, tmp_path)
        assert len(planned) == len(entry.jobs) * max(1, len(entry.seeds))
    for command in entry.commands():
        for file in re.findall(r"papermill_jobs/\S+\.yaml", command):
            assert (ROOT / file).is_file()
    if entry.then:
        plan(JOBS / entry.then, runs=tmp_path)


def test_evidence_is_of_the_runs_that_the_list_trains():
    """The folders that the job names are those that the submission before it makes."""
    entry = ENTRIES["evidence_three_seeds"]
    _, asked = all_parameters(JOBS / entry.then)
    named = {path for kind in ("translators", "constant", "random_source", "no_lore_source", "target_source")
             for path in asked[kind]}  # fmt: skip
    names = [all_parameters(JOBS / job)[1]["name"] for job in entry.jobs]
    assert named == {f"runs/{name}-seed{seed}" for name in names for seed in entry.seeds}


@pytest.mark.parametrize("name", FOLDERS)
def test_what_is_preserved_is_whole_and_says_why(name):
    why, _, claim = INDEX[name].partition(" | ")
    assert why.strip() and claim.strip()
    folder = PRESERVED / name
    assert (folder / SUMS).is_file() and not check_sums(folder)
    listed_files = {line.partition("  ")[2] for line in (folder / SUMS).read_text("utf-8").splitlines()}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == listed_files | {SUMS}


def test_the_index_has_no_other_line_and_all_of_it_is_small():
    assert set(INDEX) == set(FOLDERS)
    assert sum(path.stat().st_size for path in PRESERVED.rglob("*") if path.is_file()) <= MOST


def test_the_list_says_what_each_takes():
    text = listed(list(ENTRIES.values()))
    heads = [line for line in text.splitlines() if line.startswith("#")]
    assert len(heads) == len(ENTRIES) and not any("not measured" in line for line in heads)
    said = [entry for entry in ENTRIES.values() if entry.gpu_minutes is not None]
    assert all(entry.planned or entry.then for entry in said)  # else the manifests of what is preserved say it


def test_without_a_gpu_one_sentence_and_nothing_begun(tmp_path):
    before = sorted(os.listdir(ROOT / "runs"))
    done = subprocess.run(
        [sys.executable, "-m", "lab.batch.records", "--make", "--data", str(tmp_path)], capture_output=True, text=True,
        cwd=ROOT, env={**os.environ, "PATH": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "needs an NVIDIA GPU" in done.stderr and "a GPU is not here" in done.stderr
    assert sorted(os.listdir(ROOT / "runs")) == before


def test_make_records_asks_for_the_list():
    if make := shutil.which("make"):
        told = subprocess.run([make, "-n", "records", f"DATA={DATA}"], cwd=ROOT, capture_output=True, text=True)
        assert "lab.batch.records --make" in told.stdout


def test_a_folder_that_two_entries_make_is_refused(tmp_path):
    path = tmp_path / "records.yaml"
    path.write_text("- name: a\n- name: a\n")
    with pytest.raises(LabError, match="a twice"):
        read_records(path)
    path.write_text("- name: a\n  sedes: [1]\n")
    with pytest.raises(LabError, match="sedes"):
        read_records(path)
    assert "about 7 minutes" in needed([Entry("x", gpu_minutes=7)])
