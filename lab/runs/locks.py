"""Locks that end with their process, in whatever way it dies: who writes a run, and whether anybody still does.

`flock` on an open file, which the kernel gives back when the process is gone; also across the machines of a cluster
whose file system knows it. Where it does not, nothing is locked, and a run counts as what its manifest says.
"""

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

try:
    import fcntl
except ImportError:  # a laptop with Windows reads runs, without locks
    fcntl = None

RUN_LOCK = ".lock"  # in a run's folder: held by the process that writes the run
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
PATIENCE = 0.5  # seconds: someone who only looks whether a lock is held has it for a moment


class Taken(Exception):
    """Another process has the lock; the text says which."""


class Lock:
    """An exclusive lock on a file, made if there is none, until `release` or the end of the process.

    Raises Taken if another process has it, OSError if the file cannot be opened.
    """

    def __init__(self, path: Path):
        self.path, deadline = path, time.monotonic() + PATIENCE
        while True:
            self._file = open(path, "a+")
            try:
                _flock(self._file, exclusive=True)
            except BlockingIOError:
                holder = _told(self._file)
                self._file.close()
                if time.monotonic() > deadline:
                    raise Taken(holder) from None
                time.sleep(0.05)
                continue
            except OSError as error:
                if error.errno not in WITHOUT_LOCKS:
                    self._file.close()
                    raise
            if self._is_at(path):
                return
            self._file.close()  # deleted by the one who had it: whoever comes next would make another

    def sign(self) -> None:
        """Write into the file who holds it."""
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def release(self, delete: bool = False) -> None:
        if delete and self._is_at(self.path):  # and not moved, with another in its place
            self.path.unlink(missing_ok=True)
        self._file.close()

    @property
    def released(self) -> bool:
        return self._file.closed

    def _is_at(self, path: Path) -> bool:
        try:
            return os.path.samestat(os.stat(path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False


@contextmanager
def patient_lock(path: Path) -> Iterator[None]:
    """Hold the lock on `path` inside, however long others take for what they do under it."""
    while True:
        try:
            lock = Lock(path)
            break
        except Taken:
            continue
    try:
        yield
    finally:
        lock.release(delete=True)


_ours: WeakValueDictionary[Path, Lock] = WeakValueDictionary()


def lock_for_process(path: Path) -> Lock:
    """The lock on `path`, shared by everything in this process that asks for it: a cell may be run again."""
    key = path.resolve()
    held = _ours.get(key)
    if held is None or held.released or not held._is_at(path):
        held = _ours[key] = Lock(path)
    return held


def is_held(path: Path) -> bool:
    """Whether a process has the lock on `path`. Where that cannot be told, it is taken for held."""
    try:
        with open(path, "rb") as file:
            _flock(file, exclusive=False)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def is_written(run: Path) -> bool:
    """Whether a process has the run at `run` open for writing."""
    return is_held(run / RUN_LOCK)


def _flock(file, exclusive: bool) -> None:
    """Lock until the file is closed; BlockingIOError if another has it, OSError of `WITHOUT_LOCKS` where there are none."""
    if fcntl is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)


def _told(file) -> str:
    file.seek(0)
    return file.read(200).strip() or "another process"
