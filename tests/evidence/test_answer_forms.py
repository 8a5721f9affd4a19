"""The table of forms is what the code does, ours reads none as another number, and the page shows the table."""

from pathlib import Path

import pytest
import yaml

from lab.evidence import answer_forms
from lab.evidence.answer_forms import COLUMNS, DATA, PAGE, counted, forms, main, page
from lab.evidence.extraction import extractor
from lab.tasks import INVALID, cut_at_stop, same_answer

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.parametrize("form", forms(), ids=lambda form: ascii(form.text[:40]))
def test_each_form_is_read_as_the_table_says(form):
    found = {column: extractor(rule).extract(cut_at_stop(form.text)) for column, rule in COLUMNS.items()}
    assert found == form.reads
    assert not form.another("lab"), f"read as {form.reads['lab']}, it states {form.states or 'no number'}"


def test_the_table_is_large_and_says_where_the_rules_part():
    assert len(forms()) == len({form.text for form in forms()}) >= 100
    assert all(any(form.another(column) for form in forms()) for column in COLUMNS if column != "lab")
    read = {form.text: form.reads["lab"] for form in forms()}
    assert read["#### 18"] == "18" and read["#### 18 or 20"] == INVALID
    # what a form states is itself a number by the same rule
    assert all(same_answer(form.states, form.states) for form in forms() if form.states)


def test_the_page_is_current():
    assert PAGE.read_text("utf-8") == page(), "run `python -m lab.evidence.answer_forms`"


def test_the_command_writes_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(answer_forms, "PAGE", tmp_path / "ANSWERS.md")
    main([])
    assert (tmp_path / "ANSWERS.md").read_text("utf-8") == page() and "forms" in capsys.readouterr().out


@pytest.mark.skipif(not (SHARED / "legacy_runs").is_dir(), reason="the archived runs are not here")
def test_the_counts_are_those_of_the_archive():
    occurs = yaml.safe_load(DATA.read_text("utf-8"))["occurs"]
    assert counted(SHARED / "legacy_runs", SHARED / "gsm8k") == occurs
    assert sum(occurs["generations"].values()) == 4800
