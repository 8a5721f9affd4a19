"""What the package declares is what it imports; and it can be imported where only the models can be run."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WITHOUT = "import sys; sys.modules.update(dict.fromkeys(['statsmodels', 'pandas'], None)); "  # None: not to be found


def distribution(name: str) -> str:
    """A package's name as indices write it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", name)[0]).lower()


def declared(*extras: str) -> set[str]:
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return {distribution(line) for lines in lists for line in lines}


@cache
def imported() -> frozenset[str]:
    """The distributions whose modules are imported anywhere in the package, at the top of a file or inside."""
    modules = set()
    for path in (ROOT / "lab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module.split(".")[0])
    known = packages_distributions()
    others = modules - set(sys.stdlib_module_names) - {"lab"}
    return frozenset(distribution(known.get(module, [module])[0]) for module in others)


def test_everything_imported_is_declared():
    assert imported() <= declared(*PROJECT["optional-dependencies"])


def test_every_dependency_is_imported():
    opened = {"jupyterlab", "ipywidgets"}  # by people, and by anywidget in their page
    assert declared("notebooks") - imported() == opened


def test_what_is_declared_is_locked():
    lines = [line for path in ROOT.glob("requirements*.lock") for line in path.read_text().split()]
    assert declared(*PROJECT["optional-dependencies"]) <= {distribution(line) for line in lines if "==" in line}


@pytest.mark.parametrize("room", ["evidence", "pictures", "samples", "studies"])
def test_models_run_where_no_statistics_are_installed(room):
    code = f"{WITHOUT}import lab.{room}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("call", ["wilson(1, 2)", "mcnemar([True], [False])", "holm({'a': 0.1})"])
def test_missing_statistics_are_one_sentence(call):
    code = f"{WITHOUT}from lab.evidence.stats import *\ntry: {call}\nexcept ValueError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == (
        "intervals and tests need statsmodels, which is not installed: `pip install statsmodels`.\n"
    ), done.stderr
