"""The manners of the command line: how arguments are read, what an interruption says, and a reader that leaves."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from lab.errors import LabError


def join(arguments: list[str]) -> list[str]:
    """`-p name value`, as papermill has it, to `-p name=value`: Typer has no repeatable option with two values."""
    joined, rest = [], list(arguments)
    while rest:
        word = rest.pop(0)
        joined.append(word)
        if word == "-p" and len(rest) > 1 and "=" not in rest[0]:
            joined.append(f"{rest.pop(0)}={rest.pop(0)}")
    return joined


def split(pair: str) -> tuple[str, str]:
    """`name=value` to its two parts."""
    name, found, value = pair.partition("=")
    if not found:
        raise LabError(f"-p {pair} has no value: write `-p {pair} VALUE`")
    return name, value


def printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


@contextmanager
def one_line_if_interrupted() -> Iterator[None]:
    """What an interruption says goes to stderr; the exit code is the shell's for the signal."""
    try:
        yield
    except KeyboardInterrupt as stop:
        print(str(stop) or "interrupted", file=sys.stderr)
        raise typer.Exit(getattr(stop, "exit_code", 130)) from None


class Outliving:
    """A terminal or pipe whose reader may leave (`| head -1`): what is written after that goes nowhere."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._survive(self._stream.write, text) or len(text)

    def flush(self) -> None:
        self._survive(self._stream.flush)

    def _survive(self, act, *given):
        try:
            return act(*given)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
