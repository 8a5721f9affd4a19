"""A claim's page says all that its verdict rests on, and nothing that a file wrote gets into it unescaped."""

import re
import shlex
import subprocess
import sys

import pytest
from synthetic_runs import ACCURACY, make_run

from lab.errors import LabError
from lab.evidence import CLAIMS, judge_runs
from lab.pictures import claims_page, only

EVIL = "<img src=x onerror=alert(1)>"
SAID = ("the documents say", "effect [95 %]", "p", "could have shown", "data", "n", "test", "command", "why")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    looks = (0.3, 0.7, 0.71)
    made = [make_run(folder, f"main-{seed}", seed, looks=looks) for seed in (1, 2)]
    weaker = ACCURACY | {"latent": 0.5}
    return made + [make_run(folder, f"small-{seed}", seed, weaker, soft_tokens=2, looks=looks) for seed in (1, 2)]


@pytest.fixture(scope="module")
def judged(runs):
    return judge_runs(runs)


def facts(chapter):
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", chapter))


def test_every_claim_has_a_chapter_and_a_tested_one_says_what_it_rests_on(judged):
    chapters = dict(claims_page(judged).chapters)
    assert len(chapters) == len(CLAIMS) + 1
    for row in judged["claims"]:
        said = facts(chapters[f"{row['verdict']}: {row['sentence']}"])
        assert said["command"].endswith(f"--claim {row['key']}") and said["needs"] and said["why"]
        if row["verdict"] != "not run":
            assert set(SAID) <= said.keys()
            assert f"{row['n']} questions, {row['clusters']} clusters" in said["n"] and "2 seeds" in said["n"]
            assert "after Holm over the 20 claims declared" in said["p"]


def test_data_and_test_are_those_of_the_comparison(judged):
    chapters = {row["key"]: facts(chapter) for row, (_, chapter) in
                zip(judged["claims"], claims_page(judged).chapters[1:], strict=True)}  # fmt: skip
    assert chapters["bottleneck_size"]["data"] == "records of the test split of main-1, main-2, small-1, small-2"
    assert chapters["fusion_beats_both"]["data"] == "records of the test split of main-1, main-2"
    assert chapters["degradation_below_10"]["data"] == "log of training, dev split of main-1, main-2"
    assert (
        "word by word" in chapters["fusion_beats_both"]["test"]
        and "Agresti" in chapters["degradation_below_10"]["test"]
    )
    assert "80 % power for " in chapters["fusion_beats_both"]["could have shown"]
    assert "p of at most 0.0025" in chapters["fusion_beats_both"]["could have shown"]


def test_what_a_file_wrote_is_escaped(judged):
    row = judged["claims"][0]
    compared = [comparison | {"label": EVIL, "runs": (EVIL,)} for comparison in row["comparisons"]]
    evil = judged | {
        "main": [EVIL], "layout": EVIL, "command": EVIL, "unfinished": [EVIL],
        "claims": [row | {"reason": EVIL, "comparisons": compared}],
        "runs": [dict.fromkeys(("run", "task", "models", "config_hash"), EVIL)],
        "arms": [judged["arms"][0] | {"arm": EVIL}],
    }  # fmt: skip
    page = claims_page(evil)
    assert "<img" not in page.document() and "<img" not in page._repr_html_()
    assert page.document().count("&lt;img src=x") >= 8


def test_the_command_on_the_page_gives_the_verdict_again(judged, runs):
    words = shlex.split(facts(claims_page(judged).chapters[1][1])["command"])
    assert words[:4] == ["python", "-m", "lab", "claims"] and words[4:8] == [str(run) for run in runs]
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("SUPPORTED") == 1 and "p after Holm" in done.stdout
    assert " --alpha 0.01" in judge_runs(runs, 0.01)["command"]


def test_an_unknown_claim_is_one_sentence(judged):
    with pytest.raises(LabError, match="claim 'kv' is not declared; choose one of fusion_beats_both, "):
        only(judged, "kv")


def test_the_command_writes_the_page(runs, tmp_path):
    def claims(*words):
        return subprocess.run([sys.executable, "-m", "lab", "claims", *map(str, words)], capture_output=True, text=True)

    done = claims(*runs[:2], "--page", tmp_path / "site" / "claims.html")
    page = (tmp_path / "site" / "claims.html").read_text()
    assert done.returncode == 0 and page.startswith("<!doctype html>") and page.count("<h2>") == len(CLAIMS) + 1
    refused = claims(runs[0], "--page", tmp_path / "claims.pdf")
    assert refused.returncode == 1 and "ends in .html" in refused.stderr and not (tmp_path / "claims.pdf").exists()
