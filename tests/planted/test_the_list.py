"""The list itself: every defect of it is planted once, and the table made of it is current."""

import ast
from collections import Counter
from functools import cache

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


def written_out() -> list[tuple[str, str, str, str]]:
    """File, test, what is edited as an expression, and the text in it, of every edit whose text stands in a test."""
    found = []
    for path in sorted(FOLDER.glob("test_*.py")):
        for test in ast.parse(path.read_text()).body:
            for call in ast.walk(test):
                edits = isinstance(call, ast.Call) and ast.unparse(call.func) == "plant.edit"
                if (
                    edits
                    and isinstance(call.args[0], ast.Name | ast.Attribute)
                    and isinstance(call.args[1], ast.Constant)
                ):
                    found.append((path.name, test.name, ast.unparse(call.args[0]), call.args[1].value))
    return found


@cache
def imported(file: str) -> dict:
    """What a file of tests imports, by the names that it has there."""
    lines = ast.parse((FOLDER / file).read_text()).body
    names: dict = {}
    imports = [line for line in lines if isinstance(line, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), file, "exec"), names)
    return names


@pytest.mark.parametrize("file, test, function, old", written_out())
def test_the_code_still_holds_what_a_test_edits(file, test, function, old):
    """The same of the defects of run time."""
    planting, names = Planting(), imported(file)
    if function.partition(".")[0] not in names:  # a name of the test's own
        return
    try:
        planting.edit(eval(function, names), old, old)
    finally:
        planting.undo()


def test_the_table_is_current():
    assert TABLE.read_text(encoding="utf-8") == table(), "run `python tests/helpers/defects.py`"
