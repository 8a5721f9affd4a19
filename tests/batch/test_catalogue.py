"""The table of experiments is what the job files say of themselves."""

import pytest

from lab.batch.catalogue import JOBS, entry, with_tables
from lab.errors import LabError


def test_the_tables_are_current():
    text = (JOBS / "README.md").read_text("utf-8")
    assert with_tables(text) == text, "run `python -m lab.batch.catalogue`"


def job(folder, name, comment, base=None):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(f"{comment}\n{f'base: {base}.yaml' if base else 'notebook: 01_train'}\n")


def test_a_job_stands_below_what_it_builds_on_with_its_facts(tmp_path):
    job(tmp_path / "d", "z_ground", "# The ground.")
    job(tmp_path / "d", "b96", "# 96 | wide.\n# More of it.\n# Reported: 1 -> 2", "z_ground")
    job(tmp_path / "d", "b128", "# 128.\n# Known: Noise.", "b96")
    job(tmp_path / "d", "a", "# Alone.")
    job(tmp_path / "e", "x", "# Nothing known.")
    text = with_tables("<!-- jobs in d -->\nold\n<!-- end -->\n<!-- jobs in e -->\n<!-- end -->\nkept\n", tmp_path)
    assert text == (
        "<!-- jobs in d -->\n| Job | What it does | Reported | What is known |\n| --- | --- | --- | --- |\n"
        "| `a` | Alone. | - | - |\n| `z_ground` | The ground. | - | - |\n| `b96` | 96 \\| wide. | 1 -> 2 | - |\n"
        "| `b128` | 128. | - | Noise. |\n<!-- end -->\n"
        "<!-- jobs in e -->\n| Job | What it does |\n| --- | --- |\n| `x` | Nothing known. |\n<!-- end -->\nkept\n"
    )


@pytest.mark.parametrize("comment", ["", "#", "# Reported: 3"])
def test_a_job_that_does_not_say_what_it_is_is_refused(comment, tmp_path):
    job(tmp_path, "x", comment)
    with pytest.raises(LabError, match="x.yaml does not say what it is"):
        entry(tmp_path / "x.yaml")


def test_no_folder_of_jobs_is_forgotten(tmp_path):
    job(tmp_path / "d", "x", "# One.")
    with pytest.raises(LabError, match="the jobs lie in d"):
        with_tables("no table here", tmp_path)
