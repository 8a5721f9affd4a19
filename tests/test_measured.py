"""What was measured once stands in the pages as in its data file, each with command, device and date."""

import importlib.util

import pytest

from lab.places import ROOT

SPEC = importlib.util.spec_from_file_location("measured", ROOT / "benchmarks" / "measured.py")
measured = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(measured)


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
        assert all(len(row) == len(table["columns"]) for row in table["rows"])
