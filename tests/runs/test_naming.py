"""A result never goes over another one."""

import pytest

from lab.runs.naming import new_folder


def test_a_name_is_taken_once(tmp_path, capsys):
    assert new_folder(tmp_path, "demo") == tmp_path / "demo" and capsys.readouterr().out == ""
    for number in (2, 3):
        made = new_folder(tmp_path, "demo") if number > 2 else tmp_path / "demo"
        made.mkdir()
        (made / "summary.json").write_text("{}")
        assert new_folder(tmp_path, "demo") == tmp_path / f"demo-{number}"
        assert f"demo is there already and stays as it is; this result goes to {tmp_path}" in capsys.readouterr().out
    assert new_folder(tmp_path, "demo", resume=True) == tmp_path / "demo"


@pytest.mark.parametrize("inside", [[], ["notebook.ipynb"], [".hidden"]])
def test_an_executed_notebook_alone_is_no_result(inside, tmp_path):
    for name in inside:
        (tmp_path / "demo").mkdir()
        (tmp_path / "demo" / name).touch()
    assert new_folder(tmp_path, "demo") == tmp_path / "demo"


def test_a_file_of_that_name_is_not_written_into(tmp_path):
    (tmp_path / "demo").touch()
    assert new_folder(tmp_path, "demo") == tmp_path / "demo-2"
