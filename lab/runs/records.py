"""What a run leaves behind: JSONL records and the run directory.

A record is one question with every arm's answer, one JSON object per line:
``{"id", "question", "gold", "cell", "word", "arms": {arm: {"text", "extracted", "correct", "saw", ...}}}``.
It is the only bridge from the models to the analysis, so reading is strict: a broken line is never skipped.
"""

import hashlib
import gzip
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import time
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from lab.errors import LabError
from lab.places import PACKAGE
from lab.runs.folders import fingerprint, flush

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "huggingface-hub",
    "numpy",
    "scipy",
    "pandas",
    "plotly",
    "datasets",
    "papermill",
)


def write_text(path: str | Path, text: str) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never half of one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(beside, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _line(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> None:
    """Write `rows`, one JSON object per line, atomically. NaN and infinity are refused: they are not JSON."""
    try:
        text = "".join(_line(row) for row in rows)
    except (TypeError, ValueError) as error:
        raise LabError(f"{path}: a row cannot be written as JSON ({error}); use plain finite values.") from error
    write_text(path, text)


def read_jsonl(path: str | Path) -> list[dict]:
    """All rows of a JSONL file. Raises LabError naming file and line at the first line that is not a JSON object."""
    rows = []
    try:
        # bytes split at \n only: texts may hold U+2028, where str.splitlines would cut a row in two
        lines = _content(Path(path)).split(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabError(f"{path}: cannot be read ({reason}); give the path of a JSONL file.") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except ValueError as error:
            raise LabError(f"{path}:{number}: not valid JSON ({error}); remove the line or write it again.") from error
        if not isinstance(row, dict):
            raise LabError(f"{path}:{number}: a {type(row).__name__} where a JSON object belongs; one object per line.")
        rows.append(row)
    return rows


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


def _finite(value):
    """NaN and infinity as null, so that a diverged loss leaves a readable log."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """The commit of this package's repository, with `+changes` if tracked files differ; None outside git."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=PACKAGE, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


class RunDirectory:
    """One run, one folder. `create` starts or resumes it; the constructor alone opens it for reading."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._began = time.monotonic()

    @classmethod
    def create(cls, path: str | Path, config, resume: bool = False) -> "RunDirectory":
        """Start a run at `path`. `config` is a RunConfig.

        An existing run is refused, unless `resume`; then its scientific config (the hash) has to be the same.
        A folder that holds nothing but the executed notebook is not yet a run.
        """
        run = cls(path)
        if run.path.exists() and not run.path.is_dir():
            raise LabError(f"{run.path} is a file, not a folder; choose another run name.")
        files = run.path.iterdir() if run.path.is_dir() else ()
        used = any(not file.name.startswith(".") and file.suffix != ".ipynb" for file in files)
        if used and not resume:
            raise LabError(f"{run.path} already holds a run; choose another name, resume it, or move it away.")
        manifest = run.manifest() if used else {}
        if manifest and manifest.get("config_hash") != config.hash():
            raise LabError(
                f"{run.path} was run with config {manifest.get('config_hash')}, this one is "
                f"{config.hash()}; resume with the same settings, or choose another name."
            )
        run.path.mkdir(parents=True, exist_ok=True)
        run._drop_torn_line()
        config.to_yaml(run.path / "config.yaml")
        again = {"resumed": [*manifest.get("resumed", []), _now()]} if manifest else {"started": _now(), "resumed": []}
        run.note(
            **again,
            ended=None,
            status="running",
            config_hash=config.hash(),
            versions=_versions(),
            git_commit=_git_commit(),
            device=config.pair.device,
            seeds={"training": config.training.seed},
            gpu_hours=manifest.get("gpu_hours", 0.0),
        )
        return run

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def manifest(self) -> dict:
        """The manifest, empty if there is none yet."""
        path = self.path / "manifest.json"
        if not path.exists():
            return {}
        try:
            return json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise LabError(f"{path}: not valid JSON ({error}); move the run away and start it again.") from error

    def note(self, **facts) -> None:
        """Add facts to the manifest, for example ``note(device="NVIDIA H200", gpus=1)`` once it is known."""
        write_text(self.path / "manifest.json", json.dumps(self.manifest() | _finite(facts), indent=2) + "\n")

    def log(self, line: str) -> None:
        """Append one line to train.log."""
        self._append("train.log", line.rstrip("\n") + "\n")

    def metric(self, row: dict) -> None:
        """Append one row to metrics.jsonl; NaN and infinity become null."""
        self._append("metrics.jsonl", _line(_finite(row)))

    def write_metrics(self, rows: Iterable[dict]) -> None:
        """All of metrics.jsonl at once: what another run logged in training the translator that this one evaluates."""
        write_jsonl(self.path / "metrics.jsonl", rows)

    def metrics(self) -> list[dict]:
        path = self.path / "metrics.jsonl"
        return read_jsonl(path) if path.exists() else []

    def metrics_so_far(self) -> dict:
        """Length and hash of metrics.jsonl, flushed to the disk: what a checkpoint rests on."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
        flush(path)
        return fingerprint(path)

    def check_metrics(self, bytes: int, sha256: str) -> None:
        """Raise LabError unless metrics.jsonl begins with what `metrics_so_far` once described."""
        path = self.path / "metrics.jsonl"
        try:
            begin = path.read_bytes()[:bytes] if path.exists() else b""
        except OSError as error:
            raise LabError(f"metrics.jsonl cannot be read: {error.strerror}") from None
        if len(begin) < bytes:
            raise LabError("metrics.jsonl has lost rows")
        if hashlib.sha256(begin).hexdigest() != sha256:
            raise LabError("metrics.jsonl is not what was logged")

    def cut_metrics(self, length: int) -> bool:
        """Keep the first `length` bytes of metrics.jsonl: later steps are done again. Whether anything was dropped."""
        path = self.path / "metrics.jsonl"
        longer = path.exists() and path.stat().st_size > length
        if longer:
            os.truncate(path, length)
        return longer

    def write_records(self, step: int, rows: Iterable[dict]) -> Path:
        path = self.path / f"eval_samples_step_{step}.jsonl"
        write_jsonl(path, rows)
        return path

    def write_summary(self, summary: dict) -> None:
        write_text(self.path / "summary.json", json.dumps(_finite(summary), indent=2, ensure_ascii=False) + "\n")

    def finish(self, status: str = "finished") -> None:
        """Close the manifest. GPU hours are wall time of this session times the noted `gpus` (0 if none was noted)."""
        before = self.manifest()
        hours = (time.monotonic() - self._began) / 3600 * before.get("gpus", 0)
        self._began = time.monotonic()  # a second finish adds only what came after the first
        self.note(ended=_now(), status=status, gpu_hours=before.get("gpu_hours", 0.0) + hours)

    def _append(self, name: str, text: str) -> None:
        with open(self.path / name, "a", encoding="utf-8", newline="\n") as file:
            file.write(text)

    def _drop_torn_line(self) -> None:
        """A killed job may leave half a row; the next one must not be glued to it."""
        path = self.path / "metrics.jsonl"
        if path.exists() and not (data := path.read_bytes()).endswith(b"\n"):
            with open(path, "r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)
