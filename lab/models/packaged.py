"""A model's file inside an installed Python package: found by the package's own list of files, whole or in pieces.

An index limits the size of a package, so a large file may come in pieces (`model.gguf.part00`, `.part01`, ...), each in
a package of its own that the first one requires.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from lab.errors import LabError

__all__ = ["Piece", "WeightsFile", "packaged"]

PIECE = re.compile(r"(?P<file>.+\.gguf)(?:\.(?:part)?(?P<number>\d+))?", re.IGNORECASE)
SUMS = re.compile(r"sha256sums?(\.txt)?", re.IGNORECASE)  # a file of lines `<sha256>  <file>`
BLOCK = 1 << 22


@dataclass(frozen=True)
class Piece:
    """One file, and the sha256 that its package states for it; empty where it states none."""

    path: Path
    stated: str = ""


@dataclass(frozen=True)
class WeightsFile:
    """A file in one piece or in several that follow one another; `stated`: the sha256 that the whole should have."""

    name: str
    pieces: tuple[Piece, ...]
    stated: str = ""

    def sha256(self) -> str:
        """64 hex digits of the whole. Raises LabError where it, or a piece, is not what the package states."""
        return _sha256(
            self, tuple((os.stat(piece.path).st_size, os.stat(piece.path).st_mtime_ns) for piece in self.pieces)
        )

    def blocks(self) -> Iterator[tuple[Piece, bytes]]:
        """The content in order, each block with the piece that it is of."""
        for piece in self.pieces:
            with open(piece.path, "rb") as file:
                while block := file.read(BLOCK):
                    yield piece, block


@lru_cache(maxsize=16)
def _sha256(file: WeightsFile, _changed: tuple) -> str:
    """Read once in a process, while sizes and times stay the same."""
    whole, parts = hashlib.sha256(), {piece: hashlib.sha256() for piece in file.pieces}
    for piece, block in file.blocks():
        whole.update(block)
        parts[piece].update(block)
    for piece, part in parts.items():
        if piece.stated and part.hexdigest() != piece.stated:
            raise LabError(
                f"{piece.path} is damaged (its sha256 is not the one that its package states); install it anew."
            )
    if file.stated and whole.hexdigest() != file.stated:
        raise LabError(f"{file.name} is damaged (its sha256 is not the one that its package states); install it anew.")
    return whole.hexdigest()


def packaged(name: str) -> WeightsFile:
    """The GGUF file of an installed package, by the package's name, or by `<package>/<file>` where it has several.

    Raises LabError with the command that installs what is missing. Nothing of the package is imported or run.
    """
    package, _, wanted = name.partition("/")
    main = _installed(package)
    parts = [_installed(line) for line in _parts_of(main)]
    pieces: dict[str, dict[int, Piece]] = {}
    for path in (path for one in (main, *parts) for path in one.files or ()):
        if match := PIECE.fullmatch(path.name):
            number = int(match["number"]) if match["number"] else -1
            pieces.setdefault(match["file"], {})[number] = Piece(Path(path.locate()), _stated(path))
    files = [wanted] if wanted in pieces else sorted(pieces) if not wanted else []
    if len(files) != 1:
        found = f"has {', '.join(sorted(pieces))}" if pieces else "has no GGUF file"
        raise LabError(f"the package {package} {found}; name one that it has: package:{package}/<file>.")
    return WeightsFile(files[0], _in_order(files[0], pieces[files[0]]), _sums(main).get(files[0], ""))


def _in_order(name: str, pieces: dict[int, Piece]) -> tuple[Piece, ...]:
    """The whole file where there is one, else its pieces by number. Raises LabError where one is missing between."""
    if -1 in pieces:
        return (pieces[-1],)
    first, last = min(pieces), max(pieces)
    missing = [number for number in range(min(first, 1), last) if number not in pieces]
    if missing:
        raise LabError(f"{name} lacks its piece {missing[0]} of {last}; install the package anew, with all its parts.")
    return tuple(pieces[number] for number in sorted(pieces))


def _installed(requirement: str) -> Distribution:
    """The distribution that a line like `name==1.0` asks for."""
    try:
        return distribution(_plain(requirement))
    except (PackageNotFoundError, ValueError):
        raise LabError(
            f"the package {requirement} is not installed; `pip install --no-deps {requirement}`, or all of the pair "
            "small with `pip install --no-deps -r requirements-real.lock`."
        ) from None


def _parts_of(main: Distribution) -> list[str]:
    """The required packages that are pieces of this one, `<its name>-<something>`, as `name==version`."""
    lines = [re.sub(r"[\s()]", "", line) for line in main.requires or () if ";" not in line]
    return [line for line in lines if _plain(line).startswith(f"{_plain(main.name)}-")]


def _plain(requirement: str) -> str:
    """A package's name as indices write it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]*", requirement)[0]).lower()


def _stated(path) -> str:
    """The sha256 that the package's list of files states, as hex digits."""
    if path.hash is None or path.hash.mode != "sha256":
        return ""
    return base64.urlsafe_b64decode(path.hash.value + "=" * (-len(path.hash.value) % 4)).hex()


def _sums(main: Distribution) -> dict[str, str]:
    """File name -> sha256, from the SHA256SUMS that a package carries."""
    found = {}
    for path in main.files or ():
        if SUMS.fullmatch(path.name):
            for line in path.read_text(encoding="utf-8").splitlines():
                digest, _, file = line.partition(" ")
                found[file.strip().removeprefix("*").rpartition("/")[2]] = digest.lower()
    return found
