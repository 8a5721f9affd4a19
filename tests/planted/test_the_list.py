"""The list itself: every defect of it is planted once, and the table made of it is current."""

import ast
from collections import Counter

import pytest
from defects import DEFECTS, FOLDER, RUN_TIME, TABLE, TEST, table
from planting import Planting, named


def test_every_defect_is_planted():
    """Those of run time by a test of their name in the file of their family; the others by the list itself."""
    planted = {
        (path.stem.removeprefix("test_"), node.name.removeprefix("test_"))
        for path in FOLDER.glob("test_*.py") if path.stem not in ("test_by_tests", "test_the_list")
        for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_"
    }  # fmt: skip
    listed = {(d.family.replace(" ", "_"), d.key) for d in DEFECTS if d.stopped == RUN_TIME}
    assert planted == listed


def test_the_list_says_all_that_it_has_to():
    assert max(Counter(defect.key for defect in DEFECTS).values()) == 1
    for defect in DEFECTS:
        assert defect.stopped in (RUN_TIME, TEST) and defect.yet in ("", "nobody")
        known = (bool(defect.why), bool(defect.function), defect.by.startswith("tests/"))
        assert set(known) == {defect.stopped == TEST}, defect.key


@pytest.mark.parametrize("defect", [d for d in DEFECTS if d.stopped == TEST], ids=lambda defect: defect.key)
def test_the_code_still_holds_what_a_defect_changes(defect):
    """Said at once, and by name: the tests that plant them are slow."""
    planting = Planting()
    try:
        planting.edit(named(defect.function), defect.old, defect.new)
    finally:
        planting.undo()


def test_the_table_is_current():
    assert TABLE.read_text(encoding="utf-8") == table(), "run `python tests/helpers/defects.py`"
