"""The run directory: a manifest, a log, metrics, records and a summary, written by one process at a time."""

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from lab.errors import LabError
from lab.places import PACKAGE
from lab.runs.folders import fingerprint, flush
from lab.runs.locks import RUN_LOCK, Lock, Taken, is_written, lock_for_process
from lab.runs.packed import lying
from lab.runs.records import json_line, read_jsonl, write_jsonl, write_text

TIME_AND_MEMORY = "time_and_memory"  # in a summary and a manifest: what a run spent, as `lab.clock` counts it
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


def _read_object(path: Path) -> dict:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise LabError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise LabError(f"{path}: not valid JSON ({error}); put back what was there, or choose another name.") from None
    if not isinstance(found, dict):
        raise LabError(f"{path}: a {type(found).__name__} where a JSON object belongs; put back what was there.")
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
    """One run, one folder. `create` starts or resumes it, for one process at a time; the constructor alone opens it for
    reading."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._began = time.monotonic()
        self._lock: Lock | None = None

    @classmethod
    def create(
        cls, path: str | Path, config, resume: bool = False, check: Callable[["RunDirectory"], object] = lambda run: None
    ) -> "RunDirectory":
        """Start a run at `path`, and hold it for this process until `finish`. `config` is a RunConfig.

        An existing run is refused, unless `resume`; then its scientific config (the hash) has to be the same, `check`
        may refuse it (by a LabError), and nobody else may be writing it. What is refused is left as it was. A folder
        that holds nothing but the executed notebook is not yet a run.
        """
        run = cls(path)
        run._refuse(config, resume)
        locked_before = (run.path / RUN_LOCK).exists()
        lock = run._take()
        try:
            manifest = run._refuse(config, resume)  # again: now nobody else can change it
            check(run)
        except LabError:
            if not locked_before:
                lock.release(delete=True)
            del lock  # the error outlives this call, and would hold what stands in it
            raise
        lock.sign()
        run._lock = lock
        try:
            run._sweep()
            run._drop_torn_line()
        except OSError as error:
            raise LabError(f"{run.path} cannot be written ({error.strerror}); choose another folder.") from None
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
        try:
            config.to_yaml(run.path / "config.yaml")  # after the manifest: without that it would be a run of anything
        except OSError as error:
            raise LabError(f"{run.path / 'config.yaml'} cannot be written ({error.strerror}).") from None
        run.note(config_sha256=hashlib.sha256((run.path / "config.yaml").read_bytes()).hexdigest())
        return run

    def check_config(self) -> None:
        """Raise LabError if config.yaml is not the file that the run wrote. Of older runs nothing is said."""
        said = self.manifest().get("config_sha256")
        if said and said != hashlib.sha256((self.path / "config.yaml").read_bytes()).hexdigest():
            raise LabError(f"{self.path / 'config.yaml'} was changed after the run wrote it; its config is not this one.")

    def _refuse(self, config, resume: bool) -> dict:
        """The manifest of a run that may be gone on with, {} where there is none yet. Reads only."""
        try:
            if self.path.exists() and not self.path.is_dir():
                raise LabError(f"{self.path} is a file, not a folder; choose another run name.")
            files = list(self.path.iterdir()) if self.path.is_dir() else []
        except OSError as error:
            raise LabError(f"{self.path} cannot be read ({error.strerror}); choose another name or folder.") from None
        used = {file.name for file in files if not file.name.startswith(".") and file.suffix != ".ipynb"}
        if not used:
            return {}
        if not resume:
            raise LabError(f"{self.path} already holds a run; choose another name, resume it, or move it away.")
        manifest = self.manifest()
        if not manifest and used - {"config.yaml"}:
            raise LabError(
                f"{self.path} has no manifest.json, which would say with what it was run; put it back, or choose "
                "another name."
            )
        if manifest and manifest.get("config_hash") != config.hash():
            raise LabError(
                f"{self.path} was run with config {manifest.get('config_hash')}, this one is "
                f"{config.hash()}; resume with the same settings, or choose another name."
            )
        return manifest

    def _take(self) -> Lock:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return lock_for_process(self.path / RUN_LOCK)
        except Taken as holder:
            raise LabError(
                f"{self.path} is being written by {holder}; wait until it has ended, or choose another name."
            ) from None
        except OSError as error:
            raise LabError(f"{self.path} cannot be written ({error.strerror}); choose another folder.") from None

    @property
    def status(self) -> str:
        """What the manifest says; "dead" for a run that it says is running, but that no process writes any more."""
        said = self.manifest().get("status", "")
        return "dead" if said == "running" and not is_written(self.path) else said

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def manifest(self) -> dict:
        """The manifest, empty if there is none yet."""
        return _read_object(self.path / "manifest.json")

    def summary(self) -> dict:
        """The summary, empty if there is none yet."""
        return _read_object(self.path / "summary.json")

    def time_and_memory(self) -> dict:
        """Where the run's time and memory went (see `lab.clock.Clock.record`): what its summary says, else what its
        training noted; empty for a run that was made before there was a clock."""
        return self.summary().get(TIME_AND_MEMORY) or self.manifest().get(TIME_AND_MEMORY) or {}

    def note(self, **facts) -> None:
        """Add facts to the manifest, for example ``note(device="NVIDIA H200", gpus=1)`` once it is known."""
        write_text(self.path / "manifest.json", json.dumps(self.manifest() | _finite(facts), indent=2) + "\n")

    def log(self, line: str) -> None:
        """Append one line to train.log."""
        self._append("train.log", line.rstrip("\n") + "\n")

    def metric(self, row: dict) -> None:
        """Append one row to metrics.jsonl; NaN and infinity become null."""
        self._append("metrics.jsonl", json_line(_finite(row)))

    def write_metrics(self, rows: Iterable[dict]) -> None:
        """All of metrics.jsonl at once: what another run logged in training the translator that this one evaluates."""
        write_jsonl(self.path / "metrics.jsonl", rows)

    def metrics(self) -> list[dict]:
        """The rows that training logged; [] where nothing was kept."""
        path = self.metrics_file()
        return read_jsonl(path) if path else []

    def metrics_file(self) -> Path | None:
        """Where they lie: as they are written, or packed as a preserved run has them."""
        return lying(self.path / "metrics.jsonl")

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
        """Close the manifest and give the run free. GPU hours are wall time of this session times the noted `gpus` (0 if none was noted)."""
        before = self.manifest()
        hours = (time.monotonic() - self._began) / 3600 * before.get("gpus", 0)
        self._began = time.monotonic()  # a second finish adds only what came after the first
        self.note(ended=_now(), status=status, gpu_hours=before.get("gpu_hours", 0.0) + hours)
        if self._lock:
            self._lock.release()

    def _append(self, name: str, text: str) -> None:
        try:
            # half a surrogate pair, which is no UTF-8, becomes its escape
            with open(self.path / name, "a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.write(text)
        except OSError as error:
            raise LabError(
                f"{self.path / name} cannot be written ({error.strerror}); mend that, then resume the run."
            ) from None

    def _sweep(self) -> None:
        """Delete what a killed job left beside the files that it was about to replace."""
        for leftover in self.path.glob("*.tmp"):
            leftover.unlink(missing_ok=True)

    def _drop_torn_line(self) -> None:
        """A killed job may leave half a row; the next one must not be glued to it."""
        path = self.path / "metrics.jsonl"
        if path.exists() and not (data := path.read_bytes()).endswith(b"\n"):
            with open(path, "r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)
