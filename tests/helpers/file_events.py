"""A job's k-th file event, each time Python is about to open, rename, link or delete something: it dies there, or the
disk is full or read-only from there on."""

import errno
import os
import sys
from contextlib import contextmanager
from pathlib import Path

EVENTS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.truncate", "shutil.rmtree")
_watch: list = []  # an audit hook cannot be taken off again: it asks whether anybody listens


class Killed(BaseException):
    """As SIGKILL: nothing may catch it."""


def _hook(event: str, args: tuple) -> None:
    if _watch and event in EVENTS:
        _watch[-1](event, args)


sys.addaudithook(_hook)


def killed_at_event(folder: Path, which: int | None):
    """Inside, the file event number `which` (from 0; None: none) in `folder` is not done, nor any after it.

    Yields the list of events so far, as (event, path).
    """

    def kill(event: str) -> None:
        raise Killed

    return at_event(folder, which, kill)


def failing_from_event(folder: Path, which: int, code: int):
    """As `killed_at_event`, but what cannot be done raises OSError with this errno: ENOSPC lets delete and rename."""

    def fail(event: str) -> None:
        if code != errno.ENOSPC or event in ("open", "os.mkdir", "os.symlink"):
            raise OSError(code, os.strerror(code))

    return at_event(folder, which, fail)


@contextmanager
def at_event(folder: Path, which: int | None, act):
    seen: list[tuple[str, str]] = []

    def watch(event: str, args: tuple) -> None:
        if event == "open" and not (args[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return  # reading changes nothing
        paths = [str(arg) for arg in args[:2] if isinstance(arg, (str, Path))]
        inside_a_deletion = event in ("os.remove", "os.rmdir") and args[1] != -1  # names relative to an open folder
        if not inside_a_deletion and not any(path.startswith(str(folder)) for path in paths):
            return
        if which is not None and len(seen) >= which:
            act(event)
        seen.append((event, paths[0].removeprefix(str(folder)).lstrip("/")))

    _watch.append(watch)
    try:
        yield seen
    finally:
        _watch.pop()


def full_disk(*given, **named):
    """In the place of a call that writes."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
