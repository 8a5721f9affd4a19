"""Hidden states of the frozen source, kept on disk by the content of what they were made of.

A frozen model's states of a text never change, and reading them is most of a step's work on the source. An entry is one
safetensors file, written beside and renamed, so no reader sees half of one. What was kept is never believed: a checksum
over the values and over what they are of is compared at every reading, and an entry that is cut off, altered or another
one's is deleted and made again. The checksum is CRC-32, 4.2 GB/s here where SHA-256 does 1.8 and BLAKE2b 1.0: it is to
find rot, not an attacker. The key, which decides what is found at all, is SHA-256 (`lab.models.state_keys`).
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lab.errors import LabError
from lab.progress import tqdm

try:
    import fcntl
except ImportError:  # Windows: entries are safe all the same, but two writers may exceed the limit together
    fcntl = None

__all__ = ["StateCache", "StateKey"]

LEDGER = ".used"  # bytes of all entries; whoever writes or deletes one has it locked
ROOM = 0.9  # of the limit is left when entries have to go, so that not every writing has to look for some
OURS = re.compile(r"[0-9a-f]{64}\.(safetensors|[0-9]+\.tmp)")  # nothing else is ever deleted


@dataclass(frozen=True)
class StateKey:
    """Which states: `digest`, 64 hex digits of all that decides them; their shape (tokens, layers, size) and dtype."""

    digest: str
    shape: tuple[int, int, int]
    dtype: torch.dtype

    def checksum(self, data: memoryview) -> str:
        """8 hex digits of the values and of what they are said to be."""
        about = f"{self.digest} {self.shape} {self.dtype}".encode()
        return f"{zlib.crc32(data, zlib.crc32(about)):08x}"


class StateCache:
    """States in `folder`, at most `limit_bytes` of them: those that were not used for longest make way.

    Any number of processes may share a folder. Raises LabError where it cannot be written or read.
    """

    def __init__(self, folder: str | Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes, self._said = Path(folder), limit_bytes, False
        with self._told("written"), self._alone() as ledger:
            _note(ledger, self._shrunk(limit_bytes))

    def get(self, key: StateKey) -> Tensor | None:
        """States [S, L, d] on the CPU, None where they are not known; an unsound entry is deleted."""
        path = self._path(key)
        with self._told("read"):
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # never there, or just now evicted by another process
                return None
        states = _unpacked(key, data)
        if states is None:
            self._reject(path)
            return None
        with suppress(OSError):  # evicted meanwhile, or not ours to touch
            os.utime(path)  # by which the oldest is found; the file system's own note of it is often switched off
        return states

    def put(self, key: StateKey, states: Tensor) -> None:
        """Keep states [S, L, d]; those that alone exceed the limit are not kept."""
        data, path = _packed(key, states), self._path(key)
        if len(data) > self.limit_bytes:
            return
        beside = path.with_name(f"{key.digest}.{os.getpid()}.tmp")
        with self._told("written"), self._alone() as ledger:
            used = self._used(ledger) - _delete(path)
            if used + len(data) > self.limit_bytes:
                used = self._shrunk(int(self.limit_bytes * ROOM) - len(data))
            _note(ledger, used + len(data))
            path.parent.mkdir(exist_ok=True)
            beside.write_bytes(data)
            os.replace(beside, path)

    def _path(self, key: StateKey) -> Path:
        return self.folder / key.digest[:2] / f"{key.digest}.safetensors"

    def _reject(self, path: Path) -> None:
        with self._told("written"), self._alone() as ledger:
            _delete(path)
            _note(ledger, self._shrunk(self.limit_bytes))  # counted anew: what it had grown or shrunk to is not known
        if not self._said:  # once: a broken disk has thousands
            self._said = True
            tqdm.write(f"state cache: {path} is damaged or of something else; it is made again, and so is any like it")

    def _used(self, ledger: IO[str]) -> int:
        ledger.seek(0)
        said = ledger.read()
        return int(said) if said.isdecimal() else self._shrunk(self.limit_bytes)  # its writer was killed

    def _shrunk(self, limit: int) -> int:
        """Bytes of all entries, counted, after the oldest have made way until they are at most `limit`."""
        entries = []
        for folder in self.folder.glob("[0-9a-f][0-9a-f]"):
            for file in os.scandir(folder):
                if OURS.fullmatch(file.name):  # what a killed process left half-written among them
                    with suppress(FileNotFoundError):
                        entries.append((file.stat().st_mtime_ns, file.stat().st_size, file.path))
        used = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if used <= limit:
                break
            Path(path).unlink(missing_ok=True)
            used -= size
        return used

    @contextmanager
    def _alone(self) -> Iterator[IO[str]]:
        """The ledger; one process, and one thread of it, at a time. It is all that has to be locked: readers need not,
        and where a file system knows no locks two writers may exceed the limit together, nothing else."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / LEDGER, "a+") as ledger:
            if fcntl:
                with suppress(OSError):
                    fcntl.flock(ledger, fcntl.LOCK_EX)
            yield ledger

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LabError(
                f"state cache {self.folder} cannot be {done} ({error.strerror or error}); choose another folder as "
                "state_cache, or none."
            ) from None


def _note(ledger: IO[str], used: int) -> None:
    ledger.truncate(0)
    ledger.write(str(used))
    ledger.flush()


def _delete(path: Path) -> int:
    """How many bytes were freed."""
    try:
        size = path.stat().st_size
        path.unlink()
        return size
    except FileNotFoundError:
        return 0


def _packed(key: StateKey, states: Tensor) -> bytes:
    if (tuple(states.shape), states.dtype) != (key.shape, key.dtype):
        raise LabError(f"state cache: states {list(states.shape)} in {states.dtype} are not those of their key.")
    states = states.detach().cpu().contiguous()
    checksum = key.checksum(memoryview(states.flatten().view(torch.uint8).numpy()))
    return save({"states": states}, {"key": key.digest, "checksum": checksum})


def _unpacked(key: StateKey, data: bytes) -> Tensor | None:
    """The states in a file's bytes, None unless they are sound and those of `key`."""
    begin = 8 + int.from_bytes(data[:8], "little")
    try:
        said = json.loads(data[8:begin])["__metadata__"]
        if said != {"key": key.digest, "checksum": key.checksum(memoryview(data)[begin:])}:
            return None
        states = load(data)["states"]
    except (SafetensorError, ValueError, LookupError, TypeError, RecursionError):  # whatever bytes may say
        return None
    return states if (tuple(states.shape), states.dtype) == (key.shape, key.dtype) else None
