"""What was measured once stands in the pages as in its data file, each with command, device and date."""

import gzip
import json
import shutil

import measured
import preserved_tables
import pytest
from preserved_runs import GSM8K, NATS, REAL, recipe_of
from synthetic_runs import make_run

from lab.errors import LabError
from lab.places import ROOT
from lab.runs import read_jsonl


@pytest.mark.parametrize("path", measured.PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_tables_are_those_of_the_data(path):
    text = path.read_text("utf-8")
    assert measured.page(text, measured.read()) == text, "run `python benchmarks/measured.py`"
    assert "<!-- measured: " in text


def test_every_table_stands_somewhere():
    pages = "".join(path.read_text("utf-8") for path in measured.PAGES)
    for key in ["findings", *(table["key"] for table in measured.read()["tables"])]:
        assert pages.count(f"<!-- measured: {key} -->") == 1


def test_every_value_says_how_where_and_when():
    found = measured.read()
    for row in found["findings"] + found["tables"]:
        assert row["command"].startswith("python ") and row["device"] in found["devices"] and row["date"]
    for table in found["tables"]:
        assert "records" in table or all(len(row) == len(table["columns"]) for row in table["rows"])


@pytest.mark.parametrize("key", preserved_tables.TABLES)
def test_a_table_of_records_says_what_they_say(key, tmp_path, monkeypatch):
    """A seed less is another table; an answer that was changed after it was written makes none."""
    columns, rows = preserved_tables.TABLES[key]()
    assert all(len(row) == len(columns) for row in rows)
    copied = tmp_path / "preserved"
    shutil.copytree(preserved_tables.PRESERVED, copied)
    monkeypatch.setattr(preserved_tables, "PRESERVED", copied)
    run = copied / {"gsm8k": "gsm8k", "two_hops": "twohop"}[key]
    shutil.rmtree(run / "seed_2")
    assert preserved_tables.TABLES[key]()[1] != rows
    (file,) = (run / "seed_1").glob("eval_samples_*.jsonl.gz")
    records = read_jsonl(file)
    records[0]["arms"]["latent"]["gold_nats"] *= 2
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(record) + "\n" for record in records)
    with pytest.raises(LabError, match="the row was altered after it was written"):
        preserved_tables.TABLES[key]()


def test_a_run_of_another_kind_is_in_no_table(tmp_path, monkeypatch):
    copied = tmp_path / "preserved"
    shutil.copytree(preserved_tables.PRESERVED, copied)
    monkeypatch.setattr(preserved_tables, "PRESERVED", copied)
    before = preserved_tables.gsm8k()
    make_run(copied, "gsm8k_swapped", 1, REAL, nats=NATS, **recipe_of("real/gsm8k_swapped.yaml"))
    assert preserved_tables.gsm8k() == before
    make_run(copied, "gsm8k_unnamed", 1, REAL, nats=NATS, **GSM8K | {"soft_tokens": 4})
    with pytest.raises(LabError, match="gsm8k_unnamed is preserved and has no name"):
        preserved_tables.gsm8k()
