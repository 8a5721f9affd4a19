"""Folders that are there whole or not at all, and that can say later whether they are still what was saved.

A folder is written beside its place, its files are hashed in a manifest that comes last, all of it is flushed to the
disk, and one rename puts it there. So whatever kills a job, a folder with its name is complete; and what changes in it
afterwards (a flipped bit, a file that was edited, shortened or lost) no longer fits the manifest.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError

FOLDER_MANIFEST = "manifest.json"


@contextmanager
def whole_folder(folder: Path, **facts) -> Iterator[Path]:
    """The place to write the files of `folder` into; on leaving, `folder` is there with them, and with `facts`.

    `folder` must not exist yet. A kill leaves a hidden folder beside it, which the next one of this name replaces.
    """
    beside = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        yield beside
        files = {file.name: fingerprint(file) for file in sorted(beside.iterdir())}
        (beside / FOLDER_MANIFEST).write_text(json.dumps({**facts, "files": files}, indent=2) + "\n", encoding="utf-8")
        for file in beside.iterdir():
            flush(file)
        flush(beside)
        beside.rename(folder)
    except Exception:
        shutil.rmtree(beside, ignore_errors=True)  # a full disk needs the room
        raise
    flush(folder.parent)


def check_folder(folder: Path) -> dict:
    """The manifest of a folder that `whole_folder` wrote. Raises LabError with what is not as it was saved."""
    try:
        manifest = json.loads((folder / FOLDER_MANIFEST).read_text(encoding="utf-8"))
        files = dict(manifest["files"])
    except FileNotFoundError:
        raise LabError(f"{folder.name} has no {FOLDER_MANIFEST}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise LabError(f"the {FOLDER_MANIFEST} of {folder.name} cannot be read") from None
    for name, expected in files.items():
        try:
            found = fingerprint(folder / name)
        except OSError as error:
            raise LabError(f"{name} of {folder.name} cannot be read: {error.strerror}") from None
        if found != expected:
            raise LabError(f"{name} of {folder.name} is not what was saved")
    return manifest


def remove_folder(folder: Path) -> None:
    """Delete a folder so that a kill midway leaves no half of it under its name."""
    gone = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def flush(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk: what is renamed afterwards cannot outlive what it stands for.

    A file system that cannot flush folders (some network shares) does it in its own time.
    """
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
    except OSError:
        if not path.is_dir():
            raise


def fingerprint(path: Path) -> dict:
    """Length and hash of a file."""
    with open(path, "rb") as file:
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
