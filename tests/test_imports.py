"""Imports go downward only, and analysis never needs torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lab"
# Floor by first name below `lab`. A module may import its own floor and those beneath.
FLOORS = {
    "errors": 0, "config": 0, "sections": 0, "model_names": 0, "tasks": 0, "layout": 0, "records": 0, "checks": 0,
    "models": 1, "translators": 1, "wire": 1,
    "inputs": 2, "alignment": 2, "losses": 2, "objective": 2,
    "training": 3, "generation": 3, "arms": 3, "benchmark": 3, "minipair": 3,
    "experiment": 4, "harness": 4, "diagnostics": 4, "probe": 4, "counterfactual": 4, "controls": 4,
    "inference": 5, "trial": 5, "suite": 5, "jobs": 5, "__main__": 5, "__init__": 0,
}  # fmt: skip
ANALYSIS = {
    "arm_tables", "audit", "bridge_figures", "browser", "claims", "comparisons", "cost_figures", "evidence",
    "evidence_figures", "extraction", "figures", "hypotheses", "legacy", "logs", "runfiles", "samples", "stats",
    "summarize", "summary", "tables", "verdicts",
}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Dotted names of everything imported anywhere in a file, except what only a type checker reads."""
    tree, names = ast.parse(path.read_text()), set()
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ("lab", *path.relative_to(PACKAGE).parts[:-1])
            prefix = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (prefix, node.module) if part)
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def inside(path: Path) -> set[str]:
    """First names below `lab` that a file imports."""
    parts = [name.split(".") for name in imported(path)]
    known = FLOORS.keys() | ANALYSIS
    return {part[1] for part in parts if part[0] == "lab" and len(part) > 1 and part[1] in known}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward(path):
    name, floors = name_of(path), FLOORS
    assert name in floors or name in ANALYSIS, f"give lab/{name} a floor in tests/test_imports.py"
    for other in inside(path):
        if name in ANALYSIS:
            assert other in ANALYSIS or floors[other] == 0, f"analysis lab/{name} imports lab/{other}"
        elif other in ANALYSIS:
            assert floors[name] >= 3, f"lab/{name} imports analysis lab/{other}"
        else:
            assert floors[other] <= floors[name], f"lab/{name} imports upward: lab/{other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_floor_and_analysis_modules_never_import_torch(path):
    if name_of(path) in ANALYSIS or FLOORS.get(name_of(path)) == 0:
        assert not {name.split(".")[0] for name in imported(path)} & {"torch", "transformers", "accelerate"}


def test_training_gets_evaluation_as_a_callback():
    assert not inside(PACKAGE / "training.py") & {"generation", "arms"}


def test_analysis_runs_without_torch():
    modules = "stats, summary, claims, verdicts, extraction, figures, tables, records"
    code = f"import sys; from lab import {modules}; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
