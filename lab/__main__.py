"""The command line: `python -m lab run papermill_jobs/demo.yaml -p name first`. Everything is imported when needed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from lab import ranks
from lab.errors import LabError
from lab.terminal import Outliving, join, one_line_if_interrupted, printable, split

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.callback()
def commands() -> None:
    """Everything that is not a notebook."""


@app.command()
def run(
    job: Annotated[Path, typer.Argument(help="A job file, such as papermill_jobs/demo.yaml.")],
    p: Annotated[list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="A parameter; repeatable.")] = None,
    runs: Annotated[Path | None, typer.Option(help="The folder for the run, instead of runs/.")] = None,
) -> None:
    """Execute a job's notebook into a new run directory, and print the table of its arms where it has one."""
    from lab.batch import end_with_parent, execute, plan

    with one_line_if_interrupted():
        end_with_parent()
        made = execute(plan(job, [split(pair) for pair in p or []], runs))
    if ranks.started()[0]:
        return
    from lab.pictures import result_tables

    if tables := result_tables(made):
        print(*tables, sep="\n\n")
    print(f"run: {made}")


@app.command()
def doctor(
    p: Annotated[list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="A parameter; repeatable.")] = None,
) -> None:
    """Load a pair of models, such as `-p source X -p target Y`, and say whether they are sound: laws, memory, speed."""
    from lab.config import RunConfig
    from lab.pictures import doctor_table
    from lab.studies import check_sound, examine_pair

    given = {name: _value(text) for name, text in (split(pair) for pair in p or [])}
    with one_line_if_interrupted():
        found = examine_pair(RunConfig.from_parameters(**given))
    print(doctor_table(found))
    check_sound(found)


def _value(text: str) -> object:
    """What a parameter's text says in YAML, as a job has it; a text that is none stays one."""
    import yaml

    from lab.config import load_yaml

    try:
        return load_yaml(text)
    except (yaml.YAMLError, ValueError):  # ValueError: a date that does not exist
        return text


@app.command()
def preflight(
    job: Annotated[Path, typer.Argument(help="A job file, such as papermill_jobs/real/gsm8k.yaml.")],
    p: Annotated[list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="A parameter; repeatable.")] = None,
    gpu: Annotated[str, typer.Option(help="Of this kind alone, such as H100 or A100-40.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Every number, as JSON.")] = False,
) -> None:
    """Say whether a job will fit and how long it will take, on each kind of GPU, from its configs: no weights, no GPU.

    Fails, and says what to change, if it fits on none of them.
    """
    from lab.batch import all_parameters
    from lab.pictures import preflight_text
    from lab.preflight import Work, check_fits, gpus_named, rows

    notebook, parameters = all_parameters(job, [split(pair) for pair in p or []])
    kinds = gpus_named(gpu)
    with one_line_if_interrupted():
        work = Work.of(notebook, parameters)
        found = rows(work, kinds)
    print(json.dumps(found, indent=2) if as_json else preflight_text(found))
    check_fits(notebook, parameters, work, kinds)


@app.command()
def submit(
    files: Annotated[list[Path], typer.Argument(help="Job files.")],
    p: Annotated[list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="For all jobs; repeatable.")] = None,
    runs: Annotated[Path | None, typer.Option(help="The folder for the runs, instead of runs/.")] = None,
    by_time: Annotated[bool, typer.Option(help="A folder of its own in there, called after the time.")] = False,
    seeds: Annotated[str, typer.Option(help="Run each job once per seed, such as 1,2,3.")] = "",
    again: Annotated[bool, typer.Option(help="Also what is finished already, under another name.")] = False,
    parallel: Annotated[int, typer.Option(min=1, help="Here: processes at a time.")] = 1,
    gpus: Annotated[str, typer.Option(help="Here: spread the processes over these GPUs, such as 0,1,2,3.")] = "",
    slurm: Annotated[bool, typer.Option(help="As a job array of SLURM, see papermill_jobs/cluster.yaml.")] = False,
    cluster: Annotated[Path | None, typer.Option(help="Another file in its place.")] = None,
    preserve: Annotated[str, typer.Option(metavar="WHY", help="Preserve each run as it ends, and why.")] = "",
    claim: Annotated[str, typer.Option(help="What may then be claimed of it.")] = "nothing yet",
    weights: Annotated[bool, typer.Option(help="Preserve the best translator's weights, too.")] = False,
) -> None:
    """Execute many jobs, here or on a cluster. Given again, it goes on where it was stopped."""
    from lab.batch import Keeping, named_by_time, plan_all, queue, read_cluster, run_here, write_submission
    from lab.places import ROOT

    try:
        numbers = [int(word) for word in seeds.split(",") if word.strip()]
    except ValueError:
        raise LabError(f"--seeds {seeds} is not a list of whole numbers: write `--seeds 1,2,3`") from None
    if weights and not preserve:
        raise LabError("--weights goes with --preserve: say why the runs are kept")
    settings = (read_cluster(cluster) if cluster else read_cluster()) if slurm else None
    folder = named_by_time(runs or ROOT / "runs") if by_time else runs
    jobs = plan_all(files, numbers, [split(pair) for pair in p or []], folder, again)
    made = write_submission(jobs, Keeping(preserve, claim, weights) if preserve else None)
    if settings:
        print(queue(made, settings))
        print(f"output: {made.folder}; how far they are: python -m lab status {jobs[0].run.parent}")
        return
    with one_line_if_interrupted():
        outcomes = run_here(made, parallel, [word.strip() for word in gpus.split(",") if word.strip()])
    failed = [outcome.name for outcome in outcomes if outcome.status == "failed"]
    if failed:
        raise LabError(f"{len(failed)} of {len(outcomes)} runs failed: {', '.join(failed)}")
    print(f"{len(outcomes)} runs finished: {jobs[0].run.parent / 'summary.log'}")


@app.command(hidden=True)
def task(
    folder: Annotated[Path, typer.Argument(help="Of a submission.")],
    index: Annotated[int, typer.Argument(help="Which of its jobs.")],
) -> None:
    """Execute one job of a submission; what `submit` starts for each, here and on a cluster."""
    from lab.batch import end_with_parent, execute, is_finished, read_submission, write_summary_log

    submission = read_submission(folder)
    with one_line_if_interrupted():
        end_with_parent()
        run, finished, first = submission.runs[index], is_finished(submission.runs[index]), not ranks.started()[0]
        if submission.is_done(index) or finished and not first:
            print(f"{run} is finished")
            return
        if not first:
            execute(submission.job(index))
            return
        try:
            if not finished:  # else it was stopped before it was preserved
                execute(submission.job(index))
            if keeping := submission.keeping:
                print(_preserve(run, keeping.why, keeping.claim, keeping.folder(run), keeping.weights))
        finally:
            write_summary_log(submission)
    print(f"run: {run}")


@app.command()
def status(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATH...", help="Runs, or folders of them.")] = None,
) -> None:
    """List runs: state, step, last accuracy in %, time left of the training that runs."""
    from lab.batch import HEAD, aligned, row, runs_below, status_of
    from lab.places import ROOT

    runs = [run for path in paths or [ROOT / "runs"] for run in runs_below(path)]
    print(aligned([HEAD, *(row(status_of(run)) for run in runs)]), end="")


@app.command()
def claims(
    runs: Annotated[list[Path], typer.Argument(help="Run directories or folders of them; the first is the main one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    page: Annotated[Path | None, typer.Option(help="An .html file to write, a chapter for each claim.")] = None,
    claim: Annotated[str, typer.Option(help="Show this claim alone; it is judged among all of them.")] = "",
    alpha: Annotated[float, typer.Option(min=0, max=1, help="The family-wise error that is allowed.")] = 0.05,
    family: Annotated[str, typer.Option(help="Which claims: documents, or likelihood.")] = "documents",
) -> None:
    """Judge every claim of the paper on the records of these runs: verdict, effect, interval, corrected p."""
    from lab.evidence import claims_json, judge_runs
    from lab.pictures import claims_page, claims_text, only

    if page and page.suffix.lower() not in (".html", ".htm"):
        raise LabError(f"--page {page} is no page: name a file that ends in .html")
    judged = judge_runs(runs, alpha, family)
    judged = only(judged, claim) if claim else judged
    if page:
        from lab.runs import write_text

        write_text(page, claims_page(judged).document())
        print(page)
    else:
        print(claims_json(judged) if as_json else claims_text(judged))


@app.command()
def verify(
    runs: Annotated[list[Path], typer.Argument(help="Run directories or folders of them, as left or preserved.")],
    tokens: Annotated[bool, typer.Option(help="Derive every text from its tokens, where the tokenizers are.")] = True,
) -> None:
    """Hold records to their seal, their tokens, the task's rule and the summary; name everything that differs."""
    from lab.evidence import verify_run
    from lab.runs import check_sums

    found = {}
    for place in runs:
        folders = _with_records(place) or [place]
        found |= {run: verify_run(run, _tokenizers(run) if tokens and _records_in(run) else None) for run in folders}
        if place not in folders:  # checksums may lie in the folder of all seeds
            found[folders[0]] += check_sums(place)
    for run, findings in found.items():
        print("\n".join(f"{run}: {printable(finding)}" for finding in findings) or f"{run}: sound")
    if broken := sum(map(bool, found.values())):
        raise LabError(f"{broken} of {len(found)} runs are not as they were written")


@app.command()
def preserve(
    run: Annotated[Path, typer.Argument(help="A finished run, or a folder with one run per seed.")],
    why: Annotated[str, typer.Option(help="Why it is kept.")],
    claim: Annotated[str, typer.Option(help="What may be claimed of it.")],
    name: Annotated[str, typer.Option(help="Its name among the preserved, instead of the run's own.")] = "",
    weights: Annotated[bool, typer.Option(help="With the best translator's weights.")] = False,
) -> None:
    """Copy what README and paper rest on into runs/preserved, with checksums and a line of why."""
    from lab.runs import PRESERVED

    print(_preserve(run, why, claim, PRESERVED / (name or run.name), weights))


def _preserve(run: Path, why: str, claim: str, folder: Path, weights: bool) -> Path:
    """Preserve a run whose records are as they were written, as `folder`."""
    from lab.evidence import verify_run
    from lab.runs import preserve as keep

    if findings := [finding for folder in _with_records(run) for finding in verify_run(folder)]:
        raise LabError(f"{run} is not preserved: {findings[0]} (`python -m lab verify {run}` names everything)")
    return keep(run, why, claim, folder.parent, folder.name, weights)


def _with_records(folder: Path) -> list[Path]:
    """The runs in a folder, itself or one per seed, that hold records."""
    return [path.parent for path in sorted(folder.rglob("config.yaml")) if _records_in(path.parent)]


def _records_in(run: Path) -> bool:
    """Whether there are records; a folder of costs has none, and nothing that tokenizers are needed for."""
    return any(run.glob("eval_samples_*"))


def _tokenizers(run: Path):
    """How the models of a run read tokens back; (side, ids) -> text, None where a tokenizer is not at hand."""
    from lab.config import RunConfig
    from lab.models import load_tokenizers

    return load_tokenizers(RunConfig.from_yaml(run / "config.yaml").pair)


@app.command()
def figures(
    runs: Annotated[list[Path], typer.Argument(help="Run directories or folders of them; the first is the main one.")],
    out: Annotated[Path, typer.Option(help="The folder to write them into.")] = Path("figures"),
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this figure; repeatable.")] = None,
    archive: Annotated[str, typer.Option(help="A folder of what earlier scripts left, for the audit's figure.")] = "",
) -> None:
    """Draw every figure that these runs can give: HTML, PDF and SVG, with its numbers (CSV) and sources (JSON)."""
    from lab.figures import FIGURES, Material, Missing, figures_of, missing_sentence, write_figures

    with one_line_if_interrupted():
        made = dict(figures_of(Material(runs, archive), only or FIGURES))
        missing = {name: plate for name, plate in made.items() if isinstance(plate, Missing)}
        if len(missing) == len(made):
            raise LabError(missing_sentence(missing))
        try:
            for paths in write_figures(made, out):
                print(paths[0].with_suffix(""), *(path.suffix for path in paths))
        finally:
            if missing:
                print(missing_sentence(missing))


@app.command()
def paper(
    runs: Annotated[Path | None, typer.Argument(help="Preserved runs, instead of runs/preserved.")] = None,
    out: Annotated[Path | None, typer.Option(help="The paper's folder with its sentences, instead of paper/.")] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Draw the figures, those of README too, into this folder.")
    ] = None,
    archive: Annotated[str, typer.Option(help="A folder of what earlier scripts left, for the audit's figure.")] = "",
) -> None:
    """Write the paper's macros and tables from preserved records; `make paper` makes the PDF. No GPU."""
    from lab.paper import PAPER, Preserved, build_paper, draw
    from lab.runs import PRESERVED

    if figures:
        for files, missing in draw(Preserved(runs or PRESERVED), figures, archive):
            print(f"{files}: not made: needs {missing}" if missing else files)
        return
    written = build_paper(runs or PRESERVED, out or PAPER)
    for path, changed in written.items():
        print(f"{path}: {'written' if changed else 'as it was'}")


@app.command()
def summarize(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Runs, folders of them or single files, old or new, or of other tools."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="A JSON list instead of tables.")] = False,
) -> None:
    """Accuracies and the paired test of every step, from the rows and from the log. What cannot be read is named.

    Samples of lm-evaluation-harness and logs of Inspect are put side by side, an arm for each model and scoring rule:
    those of one task below a folder, or the files named here.
    """
    from lab.pictures import summaries_text, summarize
    from lab.runs import FORMATS

    reports: list[str] = []
    objects = summarize(paths[0] if len(paths) == 1 else paths, reports)
    print(json.dumps(objects, indent=2) if as_json else summaries_text(objects))
    for report in reports:
        print(printable(report), file=sys.stderr)
    if failed := [file for entry in objects for file in entry["failed"]]:
        count = "1 file" if len(failed) == 1 else f"{len(failed)} files, the first of them"
        raise LabError(f"could not read {count}: {failed[0].rstrip('.')}. What can be read: {FORMATS}.")


def main() -> None:
    """Run a command; what the user can mend is one line on stderr and exit code 1."""
    sys.stdout, sys.stderr = Outliving(sys.stdout), Outliving(sys.stderr)
    try:
        app(args=join(sys.argv[1:]))
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except RecursionError:
        print("error: a file is nested too deeply to be read", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
