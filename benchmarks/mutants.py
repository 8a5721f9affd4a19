"""Mutants of a module: the same source with one small thing changed, by the operators of mutmut.

mutmut itself is not run: it rewrites the package it tests, and the rooms here are imported by subprocesses, kernels and
forks. Its operators (a comparison, a constant, an argument, an `and`, ...) are what is used.

Not mutated is what no test should depend on: docstrings, annotations, imports, decorators, `raise` statements with
their messages, and texts that are prose (with a space in them) and not keys.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, WhitespaceInclusivePositionProvider
from mutmut.mutation.mutators import mutation_operators

SKIPPED = (cst.Annotation, cst.Import, cst.ImportFrom, cst.Decorator, cst.Raise, cst.Assert)


@dataclass(frozen=True)
class Mutant:
    """One change of a file: the text from `start` to `end` becomes `after`. `key` stays the same while the function and
    the change do, wherever the line moves."""

    path: str
    line: int
    function: str
    start: int
    end: int
    before: str
    after: str
    key: str

    def source(self, text: str) -> str:
        """The file's `text` with the change."""
        return text[: self.start] + self.after + text[self.end :]

    def is_another_program(self, text: str) -> bool:
        try:
            compile(self.source(text), self.path, "exec")
            return ast.dump(ast.parse(self.source(text))) != ast.dump(ast.parse(text))
        except SyntaxError:
            return False

    def told(self) -> dict:
        return {"key": self.key, "where": f"{self.path}:{self.line}", "function": self.function,
                "before": " ".join(self.before.split()), "after": " ".join(self.after.split())}  # fmt: skip


class _Places(cst.CSTVisitor):
    """Every (node, mutated node) of a module, with its place and the function it stands in."""

    METADATA_DEPENDENCIES = (WhitespaceInclusivePositionProvider,)

    def __init__(self) -> None:
        self.found: list[tuple[CodeRange, str, cst.CSTNode, cst.CSTNode]] = []
        self.names: list[str] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, SKIPPED) or _is_typing(node) or _is_docstring(node):
            return False
        if isinstance(node, (cst.FunctionDef, cst.ClassDef)):
            self.names.append(node.name.value)
        prose = isinstance(node, cst.SimpleString) and " " in node.value
        for kind, operator in mutation_operators:
            if isinstance(node, kind) and not prose:
                place = self.get_metadata(WhitespaceInclusivePositionProvider, node)
                self.found += [(place, ".".join(self.names), node, new) for new in operator(node)]
        return True

    def on_leave(self, node: cst.CSTNode) -> None:
        if isinstance(node, (cst.FunctionDef, cst.ClassDef)) and self.names:
            self.names.pop()


def _is_typing(node: cst.CSTNode) -> bool:
    """`if TYPE_CHECKING:` and `__all__ = [...]`."""
    if isinstance(node, cst.If):
        return isinstance(node.test, cst.Name) and node.test.value == "TYPE_CHECKING"
    return isinstance(node, cst.Assign) and getattr(node.targets[0].target, "value", "") == "__all__"


def _is_docstring(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Expr) and isinstance(node.value, (cst.SimpleString, cst.ConcatenatedString))


def mutants_of(path: str, text: str) -> Iterator[Mutant]:
    """Every mutant of a file with this text; some few are no program, or the same one."""
    wrapper, places, counted = MetadataWrapper(cst.parse_module(text)), _Places(), Counter()
    wrapper.visit(places)
    lines = [0, *itertools.accumulate(len(line) for line in text.splitlines(keepends=True))]
    for place, function, node, new in places.found:
        start, end = (lines[point.line - 1] + point.column for point in (place.start, place.end))
        before, after = wrapper.module.code_for_node(node), wrapper.module.code_for_node(new)
        assert text[start:end].split() == before.split(), f"{path}:{place.start.line} is not {before!r}"
        counted[function, before, after] += 1
        told = f"{path} {function} {before} {after} {counted[function, before, after]}"
        key = hashlib.sha256(told.encode("utf-8")).hexdigest()[:10]
        yield Mutant(path, place.start.line, function, start, end, before, after, key)
