"""One root: a relative path means the same in a kernel, in a job and on the command line."""

import json
import subprocess
import sys

import pytest

from lab.places import ROOT, below_root

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CODE = "from lab.places import work_from_root; work_from_root(); import os; print(os.getcwd())"


def test_a_kernel_works_from_the_root_wherever_it_starts():
    for start, said in ((ROOT / "notebooks", f"relative paths start at {ROOT}\n"), (ROOT, "")):
        done = subprocess.run([sys.executable, "-c", CODE], cwd=start, capture_output=True, text=True,
                              env={"PYTHONPATH": str(ROOT)})  # fmt: skip
        assert done.stdout == f"{said}{ROOT}\n", done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_works_from_the_root(path):
    code = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert code[0].endswith("\n\nwork_from_root()")
    assert 'runs = "runs"' in code[1]


def test_a_path_reads_alike_on_every_machine(tmp_path):
    assert below_root(ROOT / "runs" / "demo") == "runs/demo" and below_root(tmp_path) == str(tmp_path)
