"""Where a notebook's result goes: into a folder of its own, never over another one's."""

from itertools import count
from pathlib import Path


def new_folder(runs: str | Path, name: str, resume: bool = False) -> Path:
    """`runs/name`; where something lies there already the first free of `name-2`, `name-3`, ..., which is said.

    An executed notebook alone, or a hidden file, is nothing yet. `resume`: the folder as it is, to go on in it.
    """
    folder = Path(runs) / name
    if resume or not _used(folder):
        return folder
    free = next(other for number in count(2) if not _used(other := folder.with_name(f"{name}-{number}")))
    print(f"{folder} is there already and stays as it is; this result goes to {free}")
    return free


def _used(folder: Path) -> bool:
    if not folder.is_dir():
        return folder.exists()
    return any(not file.name.startswith(".") and file.suffix != ".ipynb" for file in folder.iterdir())
