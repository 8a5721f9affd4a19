"""A run is as it was written, or `verify` says what is not: ten edits that a person makes with an editor."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from evaluations import evaluation_of

from lab.answers import evaluate
from lab.answers.generation import AnswerCache
from lab.config import RunConfig
from lab.errors import LabError
from lab.evidence.likelihood import information
from lab.evidence.read import read_evidence
from lab.evidence.summary import summarise
from lab.evidence.verify import verify_run
from lab.places import ROOT
from lab.runs import preserved
from lab.runs.directory import RunDirectory
from lab.runs.preserved import check_sums, is_copy_of, preserve
from lab.runs.records import read_jsonl, write_jsonl
from lab.runs.seals import pack_tokens, unpack_tokens, write_seal, write_sealed
from lab.tasks.minigsm import MiniGSM
from lab.translators import build_translator

CONFIG = RunConfig.from_parameters(name="run", layout="soft_only", soft_tokens=3, width=16, depth=1, heads=2,
                                   max_new_tokens=12, steps=2, warmup_steps=0)  # fmt: skip


@pytest.fixture(scope="module")
def written(tiny_pair, tmp_path_factory):
    """A run with sealed records of a few questions, as `test_once` leaves it."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AnswerCache, "_memory", {})
        translator = build_translator(CONFIG.translator, tiny_pair, "all").eval()
        evaluation = evaluation_of(CONFIG, tiny_pair, MiniGSM(), MiniGSM().test()[:6], translator)
        records = evaluate(evaluation)
    run = RunDirectory.create(tmp_path_factory.mktemp("runs") / "run", CONFIG)
    write_sealed(run, "final", records, evaluation.seal())
    run.write_summary(summarise(records) | {"config_hash": CONFIG.hash(), "likelihood": information([records])})
    run.finish()
    return run.path


@pytest.fixture
def run(written, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for path in written.iterdir():
        if path.is_file() and not path.name.startswith("."):
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def decode(tiny_pair):
    def text(side, ids):
        tokenizer = getattr(tiny_pair, side).tokenizer
        return tokenizer.batch_decode([ids], skip_special_tokens=True, clean_up_tokenization_spaces=False)[0]

    return text


def records_of(run):
    return run / "eval_samples_step_final.jsonl"


def edit(run, change):
    rows = read_jsonl(records_of(run))
    change(rows)
    write_jsonl(records_of(run), rows)


def latent(row):
    return row["arms"]["latent"]


def make_right(rows):
    latent(rows[1]).update(text=f"#### {rows[1]['gold']}", extracted=rows[1]["gold"], correct=True)


EDITS = {
    "a wrong row dropped": (lambda rows: rows.pop(2), "1 rows were dropped"),
    "a right row doubled": (lambda rows: rows.append(rows[0]), "stands twice"),
    "a row doubled under another id": (lambda rows: rows.append({**rows[0], "id": "0" * 16}), "repeats question"),
    "an answer made right": (make_right, "was altered"),
    "only the verdict turned": (lambda rows: latent(rows[1]).update(correct=not latent(rows[1])["correct"]),
                                "the text reads"),
    "another gold": (lambda rows: rows[1].update(gold="77"), "was altered"),
    "the question reworded": (lambda rows: rows[1].update(question="How many?"), "was altered"),
    "another cell": (lambda rows: rows[1].update(cell="made/up"), "was altered"),
    "more tokens than the limit": (lambda rows: latent(rows[1]).update(new_tokens=13), "the limit is 12"),
    "an arm renamed": (lambda rows: [row["arms"].update(latent=row["arms"].pop("target")) for row in rows],
                       "was altered"),
    "the rows sorted": (lambda rows: rows.sort(key=lambda row: row["id"]), "another order"),
}  # fmt: skip


def test_a_run_as_it_was_written_is_sound(run, decode):
    assert verify_run(run, decode) == []
    assert unpack_tokens(latent(read_jsonl(records_of(run))[0])["tokens"])


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_named_by_verify_and_by_the_judge(run, name):
    change, said = EDITS[name]
    edit(run, change)
    findings = verify_run(run)
    assert any(said in finding for finding in findings), findings
    with pytest.raises(LabError):
        read_evidence([run])


def test_a_text_that_its_tokens_do_not_say_is_found_in_spite_of_a_new_seal(run, decode):
    """Whoever writes the seal again still has to invent the tokens."""
    rows = read_jsonl(records_of(run))
    make_right(rows)
    seal = json.loads((run / "eval_samples_step_final.seal.json").read_text())
    write_jsonl(records_of(run), rows)
    write_seal(records_of(run), rows, seal["evaluation"])
    assert any("not what its tokens say" in finding for finding in verify_run(run, decode))
    latent(rows[1])["tokens"] = pack_tokens([5, 6, 7])
    write_jsonl(records_of(run), rows)
    write_seal(records_of(run), rows, seal["evaluation"])
    assert any("not what its tokens say" in finding for finding in verify_run(run, decode))


def test_a_seal_taken_away_and_an_edited_summary_are_named(run):
    summary = json.loads((run / "summary.json").read_text())
    summary["arms"]["latent"]["accuracy"] = 0.9
    (run / "summary.json").write_text(json.dumps(summary | {"config_hash": "0" * 12}))
    findings = verify_run(run)
    assert not any("likelihood" in finding for finding in findings)
    summary["likelihood"]["arms"]["latent"]["nats"] *= 0.999
    (run / "summary.json").write_text(json.dumps(summary | {"config_hash": "0" * 12}))
    assert any("says of the gold answers' likelihood" in finding for finding in verify_run(run))
    assert any("summary.json says 0.9 of 6 for arm latent" in finding for finding in findings)
    assert any("summary.json is of config 000000000000" in finding for finding in findings)
    (run / "eval_samples_step_final.seal.json").unlink()
    assert any("seal.json is missing" in finding for finding in verify_run(run))
    (run / "manifest.json").unlink()
    assert any("is not sealed" in finding for finding in verify_run(run))


def test_the_command_names_what_differs_and_fails(run):
    words = [sys.executable, "-m", "lab", "verify", str(run), "--no-tokens"]
    assert subprocess.run(words, capture_output=True, text=True, cwd=ROOT).stdout == f"{run}: sound\n"
    edit(run, make_right)
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and "was altered" in done.stdout and "1 of 1 runs" in done.stderr


def test_a_preserved_run_is_complete_sound_and_the_same_bytes_each_time(run, tmp_path):
    (run / "checkpoints" / "best").mkdir(parents=True)
    (run / "checkpoints" / "best" / "model.safetensors").write_bytes(b"weights")
    write_jsonl(run / "metrics.jsonl", [{"kind": "step", "step": 1, "loss": 2.0}])
    one, two = (preserve(run, "the test rests on it", "nothing at all", tmp_path / name) for name in ("a", "b"))
    names = sorted(path.name for path in one.iterdir())
    assert {"config.yaml", "manifest.json", "summary.json", "eval_samples_step_final.jsonl.xz", "SHA256SUMS",
            "eval_samples_step_final.seal.json.xz"} <= set(names)  # fmt: skip
    assert not any("safetensors" in path.name for path in one.rglob("*"))
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)
    assert verify_run(one) == [] == check_sums(one)
    assert "| `run` | the test rests on it | nothing at all |" in (tmp_path / "a" / "README.md").read_text()
    assert read_evidence([one]).main[0].records == read_evidence([run]).main[0].records
    assert read_evidence([one]).main[0].log == read_evidence([run]).main[0].log != []
    (one / "summary.json").write_text("{}")
    assert check_sums(one) == ["summary.json is not the file that was preserved"]
    with pytest.raises(LabError, match="exists"):
        preserve(run, "again", "nothing", tmp_path / "a")
    with pytest.raises(LabError, match="say why"):
        preserve(run, " ", "nothing", tmp_path / "c")
    with pytest.raises(LabError, match="holds no records"):
        preserve(run / "checkpoints", "no", "no", tmp_path / "c")


class Killed(BaseException):
    """As if the process ended here: nothing catches it."""


def test_preserving_that_was_killed_anywhere_is_done_again_whole(run, tmp_path, monkeypatch):
    """Before every write and rename of it. A folder that is there is whole and has its line, the only one."""
    whole = preserve(run, "why", "what", tmp_path / "whole")
    line = (tmp_path / "whole" / "README.md").read_text()
    steps, last = [], []

    def dying(own):
        def call(*given, **named):
            steps.append(own)
            if len(steps) == last[0]:
                raise Killed
            return own(*given, **named)

        return call

    monkeypatch.setattr(preserved, "_copy", dying(preserved._copy))
    monkeypatch.setattr(preserved, "write_text", dying(preserved.write_text))
    monkeypatch.setattr(Path, "rename", dying(Path.rename))
    for step in range(1, 100):
        steps[:], last[:], into = [], [step], tmp_path / f"at_{step}"
        try:
            preserve(run, "why", "what", into)
            break
        except Killed:
            assert not is_copy_of(into / run.name, run) and not (into / run.name).exists()
        last[:] = [0]
        kept = preserve(run, "why", "what", into)
        assert is_copy_of(kept, run) and not list(into.glob(".*.tmp"))
        assert {path.name: path.read_bytes() for path in kept.iterdir()} == {
            path.name: path.read_bytes() for path in whole.iterdir()
        }
        assert (into / "README.md").read_text() == line
    assert step > 8 and is_copy_of(into / run.name, run)


def test_a_copy_is_of_one_run_whatever_is_noted_in_it_later(run, tmp_path):
    kept = preserve(run, "why", "what", tmp_path / "kept")
    RunDirectory(run).note(test_looks=[1, 2])
    assert is_copy_of(kept, run)
    RunDirectory(run).note(started="at another time")
    assert not is_copy_of(kept, run) and not is_copy_of(tmp_path, run) and not is_copy_of(tmp_path, tmp_path)


def test_a_folder_of_seeds_is_verified_seed_by_seed(run, tmp_path):
    """With the checksums that lie beside them, if they were preserved together."""
    seeds = tmp_path / "seeds"
    shutil.copytree(run, seeds / "seed_1")
    shutil.copytree(run, seeds / "seed_2")
    (seeds / "evidence.json").write_text("{}")
    kept = preserve(seeds, "the test rests on it", "nothing", tmp_path / "kept")
    words = [sys.executable, "-m", "lab", "verify", str(kept), "--no-tokens"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == f"{kept / 'seed_1'}: sound\n{kept / 'seed_2'}: sound\n", done.stderr
    (kept / "evidence.json").write_text('{"other": 1}')
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    assert "evidence.json is not the file that was preserved" in done.stdout and "1 of 2 runs" in done.stderr


def test_weights_are_preserved_only_if_asked(run, tmp_path):
    best = run / "checkpoints" / "best"
    best.mkdir(parents=True, exist_ok=True)
    for name in ("model.safetensors", "config.json", "optimizer.safetensors", "state.json"):
        (best / name).write_text(name)
    bare, whole = (preserve(run, "why", "what", tmp_path / str(kept), weights=kept) for kept in (False, True))
    assert not (bare / "checkpoints").exists()
    assert sorted(file.name for file in (whole / "checkpoints" / "best").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert check_sums(whole) == [] and "model.safetensors" in (whole / "SHA256SUMS").read_text()


@pytest.mark.slow
def test_what_the_repository_preserves_is_sound():
    kept = sorted({path.parent for path in (ROOT / "runs" / "preserved").rglob("eval_samples_*.jsonl*")})
    assert kept and [finding for folder in kept for finding in verify_run(folder)] == []
    sums = sorted(path.parent for path in (ROOT / "runs" / "preserved").rglob("SHA256SUMS"))
    assert sums and [finding for folder in sums for finding in check_sums(folder)] == []


def test_a_folder_of_costs_needs_no_tokenizer():
    folder = ROOT / "runs" / "preserved" / "inference_metrics"
    told = subprocess.run([sys.executable, "-m", "lab", "verify", str(folder)], capture_output=True, text=True)
    assert told.returncode == 0 and told.stdout.strip() == f"{folder}: sound", told.stderr
