"""Planting: a defect as a change of the code that runs, wherever it is called from, taken out again afterwards.

What is changed is the code object of the function itself, so a plant reaches every module that imported it, every
table that holds it and every wrapper around it.
"""

import __future__

import ast
import inspect
import itertools
import textwrap
from functools import cached_property, partial
from importlib import import_module
from types import CodeType, FunctionType

HOOKS: dict = {}  # what stands around a function, by number: its code looks here
REACHED: set[int] = set()  # the plants that were run
_numbers = itertools.count()


def called(number: int, *given, **named):
    REACHED.add(number)
    return HOOKS[number](*given, **named)


def named(path: str):
    """What `lab.room.module:Class.function` names."""
    module, _, names = path.partition(":")
    found = import_module(module)
    for name in names.split("."):
        found = inspect.getattr_static(found, name)
    return found


def plain(function) -> FunctionType:
    """The function under decorators, properties and methods."""
    if isinstance(function, property):
        function = function.fget
    elif isinstance(function, cached_property):
        function = function.func
    function = inspect.unwrap(getattr(function, "__func__", function))
    assert isinstance(function, FunctionType), f"{function} is no function that a defect can be planted in"
    return function


class Planting:
    """Plants defects; `undo` takes all of them out."""

    def __init__(self) -> None:
        self._kept: list[tuple] = []
        self._numbers: dict[int, str] = {}

    def unreached(self) -> list[str]:
        """The functions in which a defect was planted that never ran: it can be stopped by nobody."""
        return [name for number, name in self._numbers.items() if number not in REACHED]

    def edit(self, function, old: str, new: str) -> None:
        """Change the text `old`, which the function holds exactly once, into `new`."""
        function = plain(function)
        source = textwrap.dedent(inspect.getsource(function))
        found = source.count(old)
        assert found == 1, f"{function.__qualname__} holds {old!r} {found} times: plant this defect anew"
        number, tree = self._number(function), ast.parse(source.replace(old, new))
        definition = tree.body[0]
        definition.decorator_list = []  # they stand around the function as before
        definition.body.insert(0, ast.parse(f"__import__('planting').REACHED.add({number})").body[0])
        ast.fix_missing_locations(tree)
        flags = __future__.annotations.compiler_flag
        module = compile(tree, inspect.getfile(function), "exec", flags=flags, dont_inherit=True)
        self._swap(function, next(part for part in module.co_consts if isinstance(part, CodeType)))

    def around(self, function, hook) -> None:
        """Call `hook(kept, *given)` in the function's place; `kept` is the function as it was."""
        function = plain(function)
        number = self._number(function)
        kept = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__,
                            function.__closure__)  # fmt: skip
        kept.__kwdefaults__ = function.__kwdefaults__
        HOOKS[number] = partial(hook, kept)
        places = {}
        exec(f"def f(*a, **k):\n import planting\n return planting.called({number}, *a, **k)", places)
        self._swap(function, places["f"].__code__)
        function.__defaults__ = function.__kwdefaults__ = None

    def _number(self, function: FunctionType) -> int:
        number = next(_numbers)
        self._numbers[number] = function.__qualname__
        return number

    def _swap(self, function: FunctionType, code: CodeType) -> None:
        assert code.co_freevars == function.__code__.co_freevars, f"{function.__qualname__} is a closure"
        self._kept.append((function, function.__code__, function.__defaults__, function.__kwdefaults__))
        function.__code__ = code

    def undo(self) -> None:
        while self._kept:
            function, function.__code__, function.__defaults__, function.__kwdefaults__ = self._kept.pop()
