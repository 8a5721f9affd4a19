"""The widget without a page: messages in, dicts out; and the page's source, which may not make markup of text."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from payloads import PAYLOADS
from sample_records import write_runs

import lab
from lab.batch import execute, plan
from lab.places import ROOT
from lab.samples.browser import browse

SOURCE = (Path(lab.__file__).parent / "samples" / "browser.js").read_text("utf-8")


@pytest.fixture
def browser(tmp_path):
    return browse(write_runs(tmp_path / "runs"), tmp_path / "tags.json", tmp_path / "out")


def say(browser, action, number=1, **given):
    browser._heard(browser, {"do": action, "with": given, "number": number}, [])


def test_messages_change_what_is_shown(browser, tmp_path):
    first = browser.sample["id"]
    say(browser, "move", by=1, number=5)
    assert browser.sample["id"] != first and browser.done == 5
    say(browser, "filter", name="broken")
    assert browser.header["n"] == 2 and browser.header["exploratory"]
    say(browser, "export")
    assert "samples.html" in browser.status and (tmp_path / "out" / "samples.html").exists()


def sent(browser, action, **besides):
    """The names of what a message changed."""
    names = []
    browser.observe(lambda change: names.append(change["name"]))
    browser._heard(browser, {"do": action, "number": browser.done + 1, **besides}, [])
    browser.unobserve_all()
    return set(names)


def test_a_move_sends_the_question_and_nothing_else(browser):
    assert sent(browser, "move", **{"with": {"by": 1}}) == {"place", "questions", "done"}
    assert list(browser.questions["at"]) == ["1"]
    # a page that has it asks for the one further on
    assert sent(browser, "move", **{"with": {"by": 1}}, lacks=[5]) == {"place", "questions", "done"}
    assert list(browser.questions["at"]) == ["5"] and browser.place == 2
    assert sent(browser, "move", **{"with": {"by": -1}}, lacks=[]) == {"place", "done"}


def test_what_a_page_may_keep_is_told(browser):
    first = browser.questions
    say(browser, "more")
    assert browser.questions["order"] == first["order"] and browser.questions["version"] > first["version"]
    say(browser, "tag", tag="odd")
    assert browser.questions["order"] == first["order"] and browser.sample["tags"] == ["odd"]
    say(browser, "filter", name="broken")
    assert browser.questions["order"] > first["order"]


def test_a_page_cannot_ask_for_everything_or_nonsense(browser):
    say(browser, "filter", name="broken")  # two questions are left
    browser._heard(browser, {"do": "near", "lacks": [*range(-5, 500)], "number": 2}, [])
    assert len(browser.questions["at"]) <= 16
    assert all(question["id"] is None for place, question in browser.questions["at"].items() if place not in "01")
    browser._heard(browser, {"do": "near", "lacks": ["<b>"], "number": 3}, [])
    assert browser.done == 3 and "ValueError" in browser.status


def test_a_tag_never_falls_on_a_question_that_was_not_seen(browser):
    seen = browser.sample["id"]
    say(browser, "move", by=1)
    browser._heard(browser, {"do": "tag", "with": {"tag": "odd"}, "on": seen, "number": 2}, [])
    assert browser.desk.tags.tagged() == {} and "has changed" in browser.status
    browser._heard(browser, {"do": "tag", "with": {"tag": "odd"}, "on": browser.sample["id"], "number": 3}, [])
    assert browser.desk.tags.tagged() == {browser.sample["id"]: ["odd"]}


def test_the_prefix_comes_when_it_is_unfolded(browser):
    assert "shot?" not in json.dumps(browser.questions)
    say(browser, "prefix", answer=1)
    assert browser.prefix == {"id": browser.sample["id"], "answer": 1, "text": "Q: shot?\nA: 1\n\n"}
    say(browser, "blind")
    say(browser, "prefix", answer=1)
    assert browser.prefix == {}


@pytest.mark.parametrize("message", [
    {}, {"do": "nothing"}, {"do": "go", "with": {"place": "x"}}, {"do": "filter", "with": {"name": "no"}},
    {"do": "side", "with": {"which": "a", "arm": 3}}, {"do": "tag", "with": {"tag": "good", "answer": 99}},
    {"do": "go", "with": {"place": 10**9}}, {"do": "flip", "with": {"row": 99, "column": 0}}, {"do": "__init__"},
    {"do": "side", "with": {"which": "a", "run": 99}}, {"do": "choose", "with": {"flip": "<b>"}},
])  # fmt: skip
def test_no_message_breaks_the_browser(browser, message):
    browser._heard(browser, message, [])
    say(browser, "clear", number=9)
    assert browser.done == 9 and browser.header["n"] == 20


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    browser = browse(write_runs(tmp_path / "runs"), exports=tmp_path / "file" / "inside")
    say(browser, "export", number=4)
    assert "cannot be written" in browser.status and browser.done == 4


def test_half_a_surrogate_pair_can_be_sent(tmp_path):
    folder = write_runs(tmp_path, ("one",)) / "one"
    path = folder / "eval_samples_step_final.jsonl"
    path.write_text(path.read_text().replace("pens", "\\ud800pens"))
    json.dumps(browse(tmp_path).get_state(), default=str, ensure_ascii=False).encode("utf-8")


def test_the_page_makes_no_markup_of_text():
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "srcdoc", "eval(",
                 "createContextualFragment", "setHTML", "href", ".src", "new Function", "cssText"):  # fmt: skip
        assert word not in SOURCE, word
    # attributes are set in one place only, under names that the source spells out
    assert re.findall(r"setAttribute\(([^,]*),", SOURCE) == ['"aria-" + key']


@pytest.mark.parametrize("script", ["benchmarks/browse.py", "figures/browser.py"])
def test_scripts_that_show_the_browser_find_their_helpers(script):
    done = subprocess.run([sys.executable, script, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "usage" in done.stdout, done.stderr


def test_there_are_fifty_different_payloads():
    assert len(set(PAYLOADS)) == 50


def test_the_job_leaves_an_export_and_pictures_without_a_browser(tmp_path):
    """Executed by papermill, nobody clicks: the choice is automatic, and the notebook shows more than a widget."""
    records = write_runs(tmp_path / "records")
    words = [("records", str(records)), ("samples", "6")]
    made = execute(plan(ROOT / "papermill_jobs" / "browse.yaml", words, tmp_path / "runs"))
    assert {"samples.md", "samples.tex", "samples.html", "notebook.ipynb"} <= {path.name for path in made.iterdir()}
    assert (made / "samples.html").read_text("utf-8").count("<article>") == 6
    outputs = (made / "notebook.ipynb").read_text("utf-8")
    assert "lab-card" in outputs and "application/vnd.plotly" in outputs
