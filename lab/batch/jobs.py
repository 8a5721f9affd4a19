"""Jobs: a YAML file names a notebook and the parameters that differ from its own.

Papermill only warns about a parameter that the notebook does not have, and takes a value of any type. Here both are
refused before anything runs, because a misspelt parameter is an experiment that silently was another one.
"""

from __future__ import annotations

import ast
import difflib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.config import load_yaml
from lab.errors import LabError
from lab.places import ROOT

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LONGEST_NAME = 200  # file systems take 255 bytes, and files are named after the run
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "None": type(None)}


@dataclass(frozen=True)
class Parameter:
    """One name of a notebook's parameters cell: its default, and the types a value may have."""

    name: str
    default: Any
    types: tuple[type, ...]


@dataclass(frozen=True)
class Job:
    """A notebook and checked parameters, `name` and `runs` among them; `run` is the directory to be made."""

    notebook: Path
    parameters: dict[str, Any]
    run: Path


def notebook_parameters(path: Path) -> dict[str, Parameter]:
    """The assignments of the cell tagged `parameters`, which are literals by rule. `x: "str | list[int]" = "all"`
    allows both types; without an annotation the default's type is the one allowed (any, where that is None)."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LabError(f"{path} is not a notebook (JSON with cells): save it again from JupyterLab") from error
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise LabError(f"{path} has {len(tagged)} cells tagged `parameters`, it needs exactly one")
    found = {}
    try:
        for node in ast.parse("".join(tagged[0]["source"])).body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                name, annotation = node.targets[0].id, None
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                name, annotation = node.target.id, node.annotation
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            else:
                raise ValueError(ast.unparse(node))
            default = ast.literal_eval(node.value)
            found[name] = Parameter(name, default, _types(annotation, default))
    except (SyntaxError, ValueError) as error:
        raise LabError(f"the parameters cell of {path} may hold only `name = literal` lines ({error})") from error
    return found


def _types(annotation: ast.expr | None, default: Any) -> tuple[type, ...]:
    if annotation is not None:
        text = annotation.value if isinstance(annotation, ast.Constant) else ast.unparse(annotation)
        words = [word.strip() for word in re.sub(r"\[.*?\]", "", str(text)).split("|")]
        if all(word in TYPES for word in words):
            return tuple(TYPES[word] for word in words)
    return () if default is None else (type(default),)


def fit(parameter: Parameter, value: Any, raw: str | None = None) -> Any:
    """The value as the parameter's type. `raw` is the text of the command line: where a string is wanted, `8` is "8".
    YAML reads `1e-3` as text, so a float is tried from text; an int is taken as a float, a bool never as a number."""
    types = parameter.types
    if not types or type(value) in types:
        return value
    if raw is not None and str in types:
        return raw
    if float in types and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    if type(value) is tuple and list in types:
        return list(value)
    wanted = " or ".join(kind.__name__ for kind in types)
    raise LabError(
        f"parameter {parameter.name} is {value!r} ({type(value).__name__}), it has to be {wanted}"
        f" such as {parameter.default!r}"
    )


def read_job(path: Path, _seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """{"notebook": ..., "parameters": {...}} of a job file, with its `base` file (relative to it) underneath."""
    path = Path(path)
    if path.resolve() in _seen:
        raise LabError(f"{path} is its own base: remove one of the `base` keys")
    try:
        job = load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        near = sorted(file.name for file in path.parent.glob("[!.]*.yaml"))
        raise LabError(f"no job {path}" + (f": {path.parent} has {', '.join(near)}" if near else "")) from error
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"cannot read the job {path}: give a YAML file ({type(error).__name__})") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        raise LabError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(job, dict):
        raise LabError(f"{path} has to hold `notebook:` and `parameters:`")
    for key in job:
        if key not in ("base", "notebook", "parameters"):
            raise LabError(f"{path} has the unknown key {key!r}: base, notebook and parameters are allowed")
    parameters = job.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise LabError(f"`parameters` of {path} has to be a mapping of names to values")
    base = read_job(path.parent / str(job["base"]), (*_seen, path.resolve())) if "base" in job else {}
    return {
        "notebook": job.get("notebook", base.get("notebook")),
        "parameters": {**base.get("parameters", {}), **parameters},
    }


def notebook_of(path: Path, root: Path = ROOT) -> Path:
    """The notebook that a job names."""
    return _notebook(path, read_job(path), root)


def _notebook(path: Path, job: dict[str, Any], root: Path) -> Path:
    if not isinstance(job["notebook"], str):
        raise LabError(f"{path} names no notebook: add for example `notebook: 00_start_here`")
    notebook = root / "notebooks" / f"{job['notebook'].removesuffix('.ipynb')}.ipynb"
    if not notebook.is_file():
        have = ", ".join(sorted(file.stem for file in notebook.parent.glob("*.ipynb"))) or "none"
        raise LabError(f"{path} names the notebook {job['notebook']!r}, the notebooks are: {have}")
    return notebook


def _check_encodable(name: str, value: Any) -> None:
    """A notebook is UTF-8: bytes of a path or a command line that are no text cannot be written into it."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    except UnicodeEncodeError:
        raise LabError(f"{name} is {value!r}, which is not UTF-8: choose another text or path") from None


def checked(path: Path, overrides: list[tuple[str, str]] | None = None, root: Path = ROOT) -> tuple[Path, dict, dict]:
    """(notebook, the parameters that the job sets, those of the notebook) once names and types are right.

    `overrides` are (name, YAML text) pairs.
    """
    job = read_job(path)
    notebook = _notebook(path, job, root)
    known = notebook_parameters(notebook)
    for needed in ("name", "runs"):
        if needed not in known:
            raise LabError(f"{notebook} has no parameter `{needed}`: add it to the parameters cell")

    def look_up(name: str) -> Parameter:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
            raise LabError(f"notebook {notebook.stem} has no parameter {str(name)!r}: {hint}")
        return known[name]

    parameters = {"name": Path(path).stem}
    parameters |= {name: fit(look_up(name), value) for name, value in job["parameters"].items()}
    for name, text in overrides or []:
        try:
            value = load_yaml(text)
        except (yaml.YAMLError, ValueError):  # ValueError: a date that does not exist
            value = text
        parameters[name] = fit(look_up(name), value, raw=text)
    return notebook, parameters, known


def all_parameters(path: Path, overrides: list[tuple[str, str]] | None = None) -> tuple[str, dict[str, Any]]:
    """(the notebook's name, every parameter as the job would have it, defaults among them), for who only looks."""
    notebook, parameters, known = checked(path, overrides)
    return notebook.stem, {name: one.default for name, one in known.items()} | parameters


def plan(
    path: Path, overrides: list[tuple[str, str]] | None = None, runs: Path | None = None, root: Path = ROOT
) -> Job:
    """Check a job completely, touching nothing: notebook, parameter names and types, run name, run not there yet.

    `overrides` are (name, YAML text) pairs; `runs` is relative to the caller, a `runs` parameter to the repository.
    """
    notebook, parameters, known = checked(path, overrides, root)
    if runs is not None:
        parameters["runs"] = str(Path(runs).resolve())
    folder = root / parameters.setdefault("runs", known["runs"].default)
    name = str(parameters["name"])
    if not RUN_NAME.fullmatch(name):
        raise LabError(f"the run name {name!r} may hold only letters, digits, dot, dash and underscore")
    if len(name) > LONGEST_NAME:
        raise LabError(f"the run name {name[:20]}... has {len(name)} characters: choose at most {LONGEST_NAME}")
    for told, text in {**parameters, "the folder of the repository": str(root)}.items():
        _check_encodable(told, text)
    run = folder / name
    if os.path.lexists(run) and parameters.get("resume") is not True:
        raise LabError(f"the run {run} exists: remove it, or choose another name with `-p name OTHER`")
    return Job(notebook, parameters, run)
