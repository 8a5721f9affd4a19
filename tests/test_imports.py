"""The rooms of the package: which may import which, downward only; and where torch may never be."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lab"
GROUND = {"clock", "errors", "places", "progress", "ranks", "terminal"}  # modules that every room may import
# Room -> the rooms it may import. No room imports a room above it, so the table is also the order to read them in.
ROOMS = {
    "tasks": set(),
    "runs": {"tasks"},
    "config": {"tasks"},
    "batch": {"config", "runs"},
    "models": {"config"},
    "evidence": {"config", "tasks", "runs"},
    "translators": {"config", "tasks", "models"},
    "pictures": {"tasks", "runs", "evidence"},
    "training": {"config", "tasks", "models", "translators", "runs"},
    "answers": {"config", "tasks", "models", "translators", "runs"},
    "samples": {"tasks", "runs", "evidence", "pictures"},
    "audit": {"tasks", "runs", "evidence", "pictures"},
    "figures": {"runs", "evidence", "pictures", "audit"},
    "paper": {"config", "runs", "batch", "evidence", "tasks", "samples", "audit", "figures"},
    "minipair": {"config", "tasks", "models", "answers", "runs"},
    "realworld": {"config", "tasks", "models", "minipair", "runs"},
    "costs": {"config", "tasks", "models", "answers", "runs", "evidence"},
    "preflight": {"config", "tasks", "models", "training"},
    "studies": {
        "config",
        "tasks",
        "models",
        "translators",
        "training",
        "answers",
        "minipair",
        "realworld",
        "runs",
        "evidence",
    },  # fmt: skip
}
TOP = {"__main__", "harness"}  # the doors: they may import any room, when they need it
WITHOUT_TORCH = {"tasks", "config", "runs", "batch", "evidence", "pictures", "samples", "audit", "figures",
                 "paper"}  # fmt: skip
MOST_FLOORS = 8
# Parts of a room that are rooms of their own: what they know is no other room's business but these.
OPEN = {"lab.tasks.lore", "lab.tasks.minigsm", "lab.tasks.problems", "lab.tasks.gsm8k", "lab.tasks.twohop",
        "lab.tasks.people", "lab.tasks.sayings"}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
def imported(path: Path, typing: bool = True) -> frozenset[tuple[str, str]]:
    """(module, name) of everything imported anywhere in a file; `typing`: what only a type checker reads as well."""
    tree, found = ast.parse(path.read_text()), set()
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in skipped and not typing:
            continue
        if isinstance(node, ast.Import):
            found |= {(alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: import by the full path, so that a reader sees the room"
            found |= {(node.module, alias.name) for alias in node.names}
    return frozenset(found)


def rooms_imported(path: Path) -> set[str]:
    parts = [module.split(".") + [name] for module, name in imported(path)]
    return {part[1] for part in parts if part[0] == "lab" and part[1]} - GROUND


def floor(room: str, above: tuple[str, ...] = ()) -> int:
    """How many rooms lie beneath, one on the other. Raises for a circle."""
    assert room not in above, f"the rooms go round in a circle: {' -> '.join((*above, room))}"
    return 1 + max((floor(other, (*above, room)) for other in ROOMS[room]), default=0)


def test_every_room_is_in_the_table():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(ROOMS)
    assert {path.stem for path in PACKAGE.glob("*.py")} == GROUND | TOP | {"__init__"}


def test_the_table_has_no_circle_and_few_floors():
    assert max(map(floor, ROOMS)) <= MOST_FLOORS


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_the_table_says(room):
    """And no less: a table that allows more than is used says nothing of the house."""
    found = set().union(*(rooms_imported(path) for path in MODULES if room_of(path) == room)) - {room}
    assert found <= ROOMS[room], f"lab/{room} imports upward, or past the table: {sorted(found - ROOMS[room])}"
    assert found == ROOMS[room], f"lab/{room} never imports {sorted(ROOMS[room] - found)}: take it off the table"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_is_entered_by_its_door(path):
    """From outside a name comes from the room itself, and is not private."""
    for module, name in imported(path):
        parts = module.split(".")
        if parts[0] == "lab" and parts[1:] and parts[1] != room_of(path):
            assert not name.startswith("_"), f"{path.name} reaches for {module}.{name}"
            if module not in OPEN:
                assert parts[1] in GROUND or len(parts) == 2, f"{path.name}: import {name} from lab.{parts[1]}"


@pytest.mark.parametrize("room", ROOMS)
def test_modules_of_a_room_form_no_circle(room):
    """Inside a room, too, imports lead one way."""
    beneath = {
        path.stem: {module.split(".")[2] for module, _ in imported(path, typing=False)
                    if module.startswith(f"lab.{room}.")}
        for path in (PACKAGE / room).glob("*.py") if path.name != "__init__.py"
    }  # fmt: skip
    TopologicalSorter(beneath).prepare()  # raises CycleError, which names the circle


def test_no_name_hides_a_module():
    """`lab.room.thing` is the module; a function of that name handed out by the room would take its place."""
    for room in ROOMS:
        modules = {path.stem for path in (PACKAGE / room).glob("*.py")}
        door = imported(PACKAGE / room / "__init__.py")
        handed = {name for module, name in door if module.startswith(f"lab.{room}.")}
        assert not modules & handed, f"lab/{room} hands out {modules & handed}"


def test_training_gets_evaluation_as_a_callback():
    assert "answers" not in ROOMS["training"]


@pytest.mark.parametrize("room", sorted(WITHOUT_TORCH))
def test_analysis_runs_without_torch(room):
    code = f"import sys, lab.{room}; sys.exit(bool(sys.modules.keys() & {{'torch', 'transformers'}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
    for path in MODULES:
        if room_of(path) == room:
            heavy = {module.split(".")[0] for module, _ in imported(path, typing=False)}
            assert not heavy & {"torch", "transformers"}, f"{path} imports torch"
