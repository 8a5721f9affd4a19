import pytest
from notebook_project import NotebookProject

from lab.places import ROOT


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the kernel's folder is not the repository here
    return NotebookProject(tmp_path)
