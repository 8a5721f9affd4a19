"""Preserving a run: what README and paper rest on, copied into the repository, with checksums; weights only if asked.

Records, seals, logs and metrics are packed, always to the same bytes; config, manifest and summaries stay readable.
Records and seals are packed against those of the folder's first run, which answers the same questions.
`runs/preserved/README.md` has a line for each run: why it is kept, and what may be claimed of it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.places import ROOT
from lab.runs.directory import RunDirectory
from lab.runs.locks import patient_lock
from lab.runs.packed import AGAINST, MOST, SUFFIX, is_near, pack, pack_against
from lab.runs.records import write_text

PRESERVED = ROOT / "runs" / "preserved"
READABLE = ("config.yaml", "manifest.json", "summary.json", "evidence.json", "claims.json",
            "diagnostics.json", "inference_aggregate.json")  # fmt: skip
TO_PACK = ("eval_samples_step_*.jsonl", "*.seal.json", "metrics.jsonl", "train.log", "inference_per_sample.jsonl")
ALIKE = ("eval_samples_step_*.jsonl", "*.seal.json")  # from run to run: the same questions, much the same answers
RECORDS = ("eval_samples_step_", "inference_per_sample.")  # one of which there has to be
WEIGHTS = "checkpoints/best"  # the translator that was chosen, with what loads it; no optimiser
NOT_WEIGHTS = ("optimizer.safetensors", "state.json", "manifest.json")
SUMS, INDEX = "SHA256SUMS", "README.md"
HEAD = """# Preserved runs

Records, configs, seals and summaries behind the numbers in this repository, without weights. `sha256sum -c SHA256SUMS`
in a run's folder checks the files, `python -m lab verify runs/preserved/NAME` the records. A file that ends in
`.zst` is packed against another below the same NAME, which its first bytes tell: copy what a line names whole.

| Run | Why it is kept | What may be claimed of it |
|---|---|---|
"""


def preserve(
    run: str | Path, why: str, claim: str, into: str | Path = PRESERVED, name: str = "", weights: bool = False
) -> Path:
    """Copy the run in `run` (and the runs within it) to `into`/`name`, with a line in the index; the new folder.

    `weights`: with the best translator, as `checkpoints/best`.

    Raises LabError where there is nothing to preserve, where the name is taken, or without a reason.
    """
    run, into = Path(run), Path(into)
    if not why.strip() or not claim.strip():
        raise LabError("preserve: say why the run is kept and what may be claimed of it; both stand in the index.")
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and _kind(path) and _is_kept(run, path)]
    if not any(path.name.startswith(RECORDS) for path in files):
        raise LabError(f"{run} holds no records; give the folder of a finished run.")
    folder = into / (name or run.name)
    if folder.exists():
        raise LabError(f"{folder} exists; choose another name, or remove it first.")
    beside = into / f".{folder.name}.tmp"
    shutil.rmtree(beside, ignore_errors=True)
    whole: list[Path] = []  # records and seals that others may be packed against
    for path in files:
        whole += _copy(path, beside / path.relative_to(run), _kind(path) == "packed", whole)
    for path in (file for folder in run.rglob(WEIGHTS) for file in folder.iterdir()) if weights else ():
        if path.name not in NOT_WEIGHTS:
            _copy(path, beside / path.relative_to(run))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(beside)}"
            for path in sorted(beside.rglob("*")) if path.is_file()]  # fmt: skip
    write_text(beside / SUMS, "\n".join(sums) + "\n")
    with patient_lock(into / ".lock"):  # runs of a submission end at once, and each has a line
        _index(into, folder.name, why, claim)
    beside.rename(folder)  # last: where there is a folder, everything is there
    return folder


def is_copy_of(folder: str | Path, run: str | Path) -> bool:
    """Whether `folder` is what `preserve` made of this very run, whatever was done with the run since."""
    copy, own = (RunDirectory(place).manifest() for place in (folder, run))
    return "started" in own and all(copy.get(name) == own.get(name) for name in ("started", "config_hash"))


def check_sums(folder: str | Path) -> list[str]:
    """What is not as it was preserved in a folder with checksums, one sentence each; none in a folder without."""
    path, found = Path(folder) / SUMS, []
    if not path.is_file():
        return []
    for line in path.read_text("utf-8").splitlines():
        digest, _, name = line.partition("  ")
        file = path.parent / name
        if not file.is_file():
            found.append(f"{name} is missing")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            found.append(f"{name} is not the file that was preserved")
    return found


def _is_kept(run: Path, path: Path) -> bool:
    """Not what lies in hidden folders or among checkpoints."""
    return not any(part.startswith(".") or part == "checkpoints" for part in path.relative_to(run).parts)


def _kind(path: Path) -> str:
    if any(path.match(pattern) for pattern in READABLE):
        return "readable"
    return "packed" if any(path.match(pattern) for pattern in TO_PACK) else ""


def _copy(path: Path, to: Path, packed: bool = False, whole: Sequence[Path] = ()) -> list[Path]:
    """Copy a file, packed against the first of its name in `whole` if that is smaller. The copy, if others may be
    packed against it."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if not packed:
        shutil.copyfile(path, to)
        return []
    data, kept = path.read_bytes(), to.with_name(to.name + SUFFIX)
    content = pack(data)
    near = next((file for file in whole if file.name == kept.name and is_near(file, to.parent)), None)
    if near and len(data) <= MOST:
        try:
            against = pack_against(data, near, to.parent)
        except OSError as error:
            raise LabError(f"{path} cannot be packed against {near.name} of another run: {error}.") from None
        if len(against) < len(content):
            to.with_name(to.name + AGAINST).write_bytes(against)
            return []
    kept.write_bytes(content)
    return [kept] if any(path.match(pattern) for pattern in ALIKE) else []


def _index(into: Path, name: str, why: str, claim: str) -> None:
    path = into / INDEX
    lines = path.read_text("utf-8").splitlines() if path.exists() else HEAD.splitlines()
    cells = (name, *(" ".join(text.split()).replace("|", "\\|") for text in (why, claim)))
    lines = [line for line in lines if not line.startswith(f"| `{name}` |")]
    write_text(path, "\n".join([*lines, f"| `{cells[0]}` | {cells[1]} | {cells[2]} |"]) + "\n")
