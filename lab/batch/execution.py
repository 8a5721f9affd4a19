"""A job's notebook executed by papermill into one run directory, and what is left where that ends otherwise.

An execution that changed nothing in an existing run (a refused value, another config) leaves it as it was, byte by
byte. One that got going keeps what it made, says so in the manifest, and can be resumed.

Started several times at once, by torchrun or SLURM, each process executes the notebook in a kernel of its own, whose
rank is its process's; the first one's output and notebook are kept. The processes themselves stay strangers: only their
kernels join (see `lab.ranks`).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import ranks
from lab.batch.jobs import Job, notebook_parameters
from lab.batch.signals import Interrupted, killed_by, stoppable
from lab.errors import LabError
from lab.places import ROOT
from lab.runs import Lock, RunDirectory, Taken, is_held, is_written

# Files that only a run which got going has: without one of them a run directory holds nothing worth keeping.
RESULTS = ("metrics.jsonl", "eval_samples_step_*.jsonl", "summary.json", "checkpoints/*/*.safetensors")
EXECUTING = ".{}.executing.ipynb"  # beside the run, as the notebook itself makes the run directory
SOCKETS = "lab-kernel-"
TOGETHER = ("01_train",)  # notebooks that several processes can execute as one run
IN_THE_MAKING = 60  # seconds in which a new folder may not be locked yet


def execute(job: Job, root: Path = ROOT) -> Path:
    """Execute the notebook with its output streamed to the terminal; returns the run directory.

    Raises LabError with the failing cell's last line. A run that got going is kept, marked failed, with its notebook;
    one that did not leaves no directory (after a crash that is no LabError, its notebook as `<name>.failed.ipynb`).
    Raises Interrupted on Ctrl-C and, once a training has saved, on SIGTERM, SIGHUP and SIGUSR1: with one line that says
    what is safe, and when the kernel is gone.
    Papermill changes the whole process's folder meanwhile: one job at a time in a process, several in several.
    """
    first, many = ranks.started()[0] == 0, ranks.started()[1]
    if many > 1 and job.notebook.stem not in TOGETHER:
        raise LabError(
            f"{job.notebook.stem} is for one process, and {many} were started; several can run {TOGETHER[0]}"
        )
    with _working_notebook(job) if first else _notebook_aside() as working, _sockets() as sockets:
        kernel, before = _kernel_manager(sockets), _state(job.run)
        with stoppable(kernel.kill, kernel.ask_to_stop) as stop:
            try:
                _run_papermill(job, working, root, kernel)
                stop.check()
            except BaseException as error:
                stop.ended()
                code = kernel.process.poll() if kernel.process else None
                kernel.kill()
                raise _ended(job, working, before, Interrupted(stop.signum) if stop.signum else error, code) from None
            if not first:
                return job.run
            job.run.mkdir(exist_ok=True)
            os.replace(working, job.run / "notebook.ipynb")
    return job.run


def _run_papermill(job: Job, working: Path, root: Path, kernel: type) -> None:
    import papermill

    # It warns of every name whose annotation it cannot read, though `plan` has read the parameters cell, and tells in
    # its own words of a kernel that died.
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    with open(os.devnull, "w") as nowhere:
        out, err = (sys.stdout, sys.stderr) if ranks.started()[0] == 0 else (nowhere, nowhere)
        papermill.execute_notebook(
            str(job.notebook),
            str(working).replace("{", "{{").replace("}", "}}"),  # papermill fills parameters into paths
            parameters=job.parameters,
            cwd=str(root),
            kernel_name="python3",
            kernel_manager_class=kernel,
            progress_bar=err.isatty(),
            stdout_file=out,
            stderr_file=err,
        )


@contextmanager
def _working_notebook(job: Job) -> Iterator[Path]:
    """The file that papermill writes into, held by this process: two executions of one run exclude each other.

    What killed executions left beside it is deleted first. Afterwards it is moved to where it belongs, or deleted.
    """
    working = job.run.parent / EXECUTING.format(job.run.name)
    try:
        job.run.parent.mkdir(parents=True, exist_ok=True)
        lock = Lock(working)
        for left in job.run.parent.glob(EXECUTING.format("*")):
            if not is_held(left):
                left.unlink(missing_ok=True)
    except Taken:
        raise LabError(f"the run {job.run} is being executed: wait for it, or choose another name") from None
    except OSError as error:
        raise LabError(f"cannot write in the folder {job.run.parent} for runs: {error.strerror}") from None
    try:
        yield working
    finally:
        lock.release(delete=True)


@contextmanager
def _notebook_aside() -> Iterator[Path]:
    """Where the notebook of a rank goes that is not the first: nowhere."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (working := Path(folder) / "notebook.ipynb").touch()
        yield working


@contextmanager
def _sockets() -> Iterator[str]:
    """A folder for the sockets of one kernel. Those that killed executions left are deleted first."""
    for left in Path(tempfile.gettempdir()).glob(f"{SOCKETS}*/lock"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > IN_THE_MAKING and not is_held(left):
                shutil.rmtree(left.parent, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=SOCKETS, ignore_cleanup_errors=True) as folder:
        lock = Lock(Path(folder) / "lock")
        try:
            yield folder
        finally:
            lock.release()


def _kernel_manager(sockets: str) -> type:
    """For one kernel that talks through files in `sockets`, not through ports, and that can be killed at any time.

    Of a dozen kernels started at once two may pick the same port, or the same file in the folder they share; one dies.
    """
    from jupyter_client.manager import AsyncKernelManager

    class FileKernel(AsyncKernelManager):
        process = None

        def __init__(self, **settings) -> None:
            files = {"ip": f"{sockets}/kernel", "connection_file": f"{sockets}/kernel.json"}
            super().__init__(**{**settings, "transport": "ipc", **files})

        async def _async_launch_kernel(self, kernel_cmd: list[str], **settings) -> None:
            await super()._async_launch_kernel(kernel_cmd, **settings)
            FileKernel.process = self.provisioner.process

        @classmethod
        def ask_to_stop(cls) -> bool:
            """Let a training save and stop; a kernel that does something else ends at once. Whether there is one."""
            running = cls.process is not None and cls.process.poll() is None
            if running:
                cls.process.terminate()
            return running

        @classmethod
        def kill(cls) -> None:
            """End the kernel, and what it started, at once. Checkpoints and records appear whole, so nothing breaks."""
            if cls.process is not None and cls.process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(cls.process.pid, signal.SIGKILL)

    return FileKernel


def _state(run: Path) -> dict[Path, tuple[int, int]] | None:
    """Sizes and times of a run's files, by which any change shows; None where there is no run."""
    if not run.exists():
        return None
    files = {path: path.lstat() for path in run.rglob("*") if path.is_symlink() or not path.is_dir()}
    return {path: (found.st_size, found.st_mtime_ns) for path, found in files.items()}


def _ended(job: Job, working: Path, before: dict | None, error: BaseException, code: int | None) -> BaseException:
    """Tidy after an execution that ended by `error`, and put that into one sentence (what is unexpected, unchanged).

    `code`: the exit code of the kernel, if it had ended by itself.
    """
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import PapermillExecutionError

    if isinstance(error, Interrupted):
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # what was waited for is gone: nothing to tell
        _, begun = _keep(job, working, before, "interrupted")
        return Interrupted(error.signum, f"interrupted: {_how_to_go_on(job, begun)}")
    refused = isinstance(error, PapermillExecutionError) and error.ename == "LabError"
    kept, begun = _keep(job, working, before, "failed", crashed=not refused)
    where = f" (notebook: {kept})" if kept else ""
    if isinstance(error, PapermillExecutionError):
        last = " ".join(str(error.evalue).split()) or "no message"
        return LabError((last if refused else f"{job.notebook.stem} failed with {error.ename}: {last}") + where)
    if isinstance(error, (DeadKernelError, CellTimeoutError)):
        how = f"was {killed_by(-code)}" if code and code < 0 else "died, most often for lack of memory"
        return LabError(f"the kernel of {job.notebook.stem} {how}; {_how_to_go_on(job, begun)}{where}")
    if isinstance(error, OSError):
        return LabError(f"{job.run} cannot be written ({error.strerror or error}); mend that, then resume it{where}")
    return error


def _keep(job: Job, working: Path, before: dict | None, status: str, crashed: bool = False) -> tuple[Path | None, bool]:
    """Tidy after a failure: (where the executed notebook is kept, if it is; whether the run got going)."""
    if ranks.started()[0]:  # the first one's to tidy
        return None, job.run.is_dir()
    if is_written(job.run):  # the kernel is gone: another process has the run, and refused this one
        return None, False
    if before is None:
        begun = any(file.stat().st_size for pattern in RESULTS for file in job.run.glob(pattern))
    else:
        begun = _state(job.run) != before
    if begun:
        _mark(job.run, status)
    elif before is None and job.run.is_dir():
        shutil.rmtree(job.run)
    if not (begun or crashed) or not working.stat().st_size:
        return None, begun
    kept = job.run / "notebook.ipynb" if begun else job.run.parent / f"{job.run.name}.failed.ipynb"
    os.replace(working, kept)
    return kept, begun


def _mark(run: Path, status: str) -> None:
    """Say in the manifest how the run ended. One that cannot be read is left: what it still says is worth more."""
    try:
        RunDirectory(run).note(status=status)
    except LabError:
        return


def _how_to_go_on(job: Job, begun: bool) -> str:
    if not begun:
        return f"nothing of {job.run} was begun or changed"
    if "resume" not in notebook_parameters(job.notebook):
        return f"{job.run} cannot be gone on with; remove it and start again"
    saved = sorted(int(path.name[5:]) for path in job.run.glob("checkpoints/step_*") if path.name[5:].isdigit())
    safe = f"is safe up to step {saved[-1]}" if saved else "is safe"
    return f"{job.run} {safe}; the same command with `-p resume True` goes on"
