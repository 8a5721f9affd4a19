"""The browser as people use it: a real JupyterLab, a real Chromium, keys and clicks; and nothing a model wrote runs.

`LAB_SCREENSHOTS=FOLDER make test-slow` leaves the screenshots in FOLDER.
"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from foreign_samples import write_harness
from payloads import PAYLOADS
from sample_records import step_records, write_runs

from lab.runs.records import write_jsonl
from lab.samples.answers import clean

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from jupyter_page import (  # noqa: E402
    NOTEBOOK,
    ROOT,
    chromium,
    copy_browser_notebook,
    jupyter,
    open_browser,
    page,
    settle,
)

LEGACY = ROOT.parent / "shared" / "data" / "legacy_runs"
ACTIVE = "script, style, img, iframe, object, embed, video, audio, svg, math, a, form"
pytestmark = pytest.mark.slow


@pytest.fixture
def site(tmp_path):
    """A folder with the notebook, as a user has it: `records` beside it is what it opens."""
    if chromium() is None:
        pytest.skip("no Chromium: `apt-get install chromium`, or `python -m playwright install chromium`")
    copy_browser_notebook(tmp_path / "site", "records")
    return tmp_path / "site"


def picture(tab, tmp_path, name, whole=False):
    folder = Path(os.environ.get("LAB_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    (tab if whole else tab.locator(".lab-browser")).screenshot(path=folder / f"{name}.png")


def press(tab, *keys):
    for key in keys:
        tab.keyboard.press(key)
        settle(tab)


def click(tab, selector):
    tab.locator(selector).first.click()
    settle(tab)


def head(tab) -> str:
    return " ".join(tab.locator(".lb-head").inner_text().split())


# The kernel sleeps, as it does while another cell runs.
BUSY = "(code) => { window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code}) }"
UNANSWERED = "() => { const at = document.querySelector('.lab-browser').dataset; return at.asked !== at.done }"


def seen(tab) -> str:
    return tab.locator(".lab-browser").get_attribute("data-sample")


def check_moves_wait_for_nobody(tab, tags):
    """While the kernel is busy the next question is shown at once, and a tag falls on the one that was seen."""
    before = seen(tab)
    tab.evaluate(BUSY, "import time; time.sleep(4)")
    for _ in range(3):
        now = seen(tab)
        tab.keyboard.press("j")
        tab.wait_for_function("(was) => document.querySelector('.lab-browser').dataset.sample !== was", arg=now,
                              timeout=1000)  # fmt: skip
    tab.keyboard.press("s")
    assert tab.evaluate(UNANSWERED)
    third = seen(tab)
    settle(tab)
    assert seen(tab) == third and json.loads(tags.read_text())[third]["tags"] == ["success"]
    press(tab, "s", "k", "k", "k")
    assert seen(tab) == before


def check_what_an_arm_saw(tab):
    """The prefix comes when it is unfolded, and stays unfolded when a tag is given; the control leads to its donor."""
    folded = tab.locator(".lb-answer details:has-text('few-shot prefix')").first
    assert "shot?" not in folded.inner_text()
    folded.locator("summary").click()
    folded.locator("text=shot?").wait_for()
    click(tab, ".lb-answer .marks button:has-text('odd')")
    assert "shot?" in folded.inner_text()
    click(tab, ".lb-answer .marks button:has-text('odd')")
    donor = tab.locator(".lb-answer.control .donor").inner_text()
    click(tab, ".lb-answer.control .donor")
    assert tab.locator(".lb-question").inner_text() == donor
    press(tab, "k")


BOTH_AT_ANOTHER = """(was) => {
  const [one, other] = [...document.querySelectorAll('.lab-browser')].map((view) => view.dataset.sample);
  return one === other && one !== was;
}"""


def check_two_views(tab):
    """A second view of the same output shows the same question, whichever of the two is used."""
    tab.evaluate("""() => {
      const notebook = window.jupyterapp.shell.currentWidget.content;
      notebook.activeCellIndex = notebook.widgets.findIndex((cell) => cell.node.querySelector('.lab-browser'));
      return window.jupyterapp.commands.execute('notebook:create-output-view');
    }""")
    views = tab.locator(".lab-browser")
    tab.wait_for_function("() => document.querySelectorAll('.lab-browser[data-sample]').length === 2")
    for number in (0, 1, 0):
        was = views.nth(number).get_attribute("data-sample")
        views.nth(number).locator(".lb-about").click()
        tab.keyboard.press("j")
        tab.wait_for_function(BOTH_AT_ANOTHER, arg=was)


def test_the_notebook_in_jupyterlab(site, tmp_path):
    records = write_runs(site / "records")
    before = {path: path.read_bytes() for path in records.rglob("*.jsonl")}
    tags = site / "runs" / "browse" / "tags.json"
    with jupyter(site) as address, page() as tab:
        failures = []
        tab.on("pageerror", lambda error: failures.append(str(error)))
        open_browser(tab, address)
        assert "20 of 20" in head(tab) and "5 / 2" in head(tab) and "exploratory" not in head(tab)
        assert "p = .453" in head(tab)  # exact McNemar of 5 against 2
        picture(tab, tmp_path, "browser")
        tab.locator(".lb-question").click()  # keys belong to the browser from here
        check_moves_wait_for_nobody(tab, tags)
        check_what_an_arm_saw(tab)

        click(tab, ".filter-broken")
        assert "2 of 20" in head(tab) and "exploratory" in head(tab)
        assert tab.locator(".lb-item").count() == 2
        first = seen(tab)
        press(tab, "j")  # the filter's button had the focus before; keys go on working
        second = seen(tab)
        assert first != second
        press(tab, "j", "k")
        assert seen(tab) == first
        assert tab.locator(".lb-text .diverges").count() >= 1 and tab.locator(".lb-text .answer").count() == 4
        press(tab, "Escape")
        assert "20 of 20" in head(tab)

        click(tab, ".lb-matrix .fixed button")
        assert "5 of 20" in head(tab)
        assert tab.locator(".lb-item.here").inner_text().startswith("✗")
        click(tab, ".lb-matrix .fixed button")

        click(tab, ".lb-flips button:has-text('steps')")
        click(tab, ".lb-grid.flips tbody tr:nth-child(3) td:nth-of-type(2) button")
        assert "latent @final" in head(tab) and "latent @100" in head(tab)
        picture(tab, tmp_path, "steps")
        press(tab, "Escape")
        tab.select_option(".b-arm", "target")
        tab.select_option(".b-step", "final")
        settle(tab)

        press(tab, "/")
        tab.keyboard.type("box 3?")
        tab.wait_for_function("() => document.querySelectorAll('.lb-item').length === 1")
        settle(tab)  # the list shrinks before the sample beside it changes
        found = seen(tab)
        press(tab, "ArrowDown", "ArrowRight", "j")  # letters and arrows are the field's while one types
        assert seen(tab) == found and tab.locator(".search").input_value() == "box 3?j"
        press(tab, "Backspace", "Escape")  # one is enough: out of the field, and the search is gone
        assert tab.locator(".search").input_value() == "" and "20 of 20" in head(tab)
        key = seen(tab)
        assert key == found
        press(tab, "ArrowDown", "ArrowRight", "ArrowUp", "ArrowLeft")
        assert seen(tab) == key
        press(tab, "f", "n")
        tab.keyboard.type("forgets to double")
        press(tab, "Enter", "t")
        tab.keyboard.type("arithmetic")
        press(tab, "Enter")
        assert json.loads(tags.read_text())[key] == {"tags": ["failure", "arithmetic"], "note": "forgets to double"}

        press(tab, "b")
        blind = tab.locator(".lab-browser").inner_text()
        assert not re.search("latent|target|shuffled|right|wrong", blind.replace("an order that tells", ""))
        picture(tab, tmp_path, "blind")
        click(tab, ".lb-answer .marks button:has-text('good')")
        press(tab, "b")
        assert list(json.loads(tags.read_text())[key]["answers"].values()) == [{"tags": ["good"], "blind": True}]

        press(tab, "x")
        assert "samples.html" in tab.locator(".lb-foot .status").inner_text()
        for name in ("samples.md", "samples.tex", "samples.html"):
            assert "forgets to double" in (site / "runs" / "browse" / name).read_text("utf-8")
        # j and k were the browser's, not JupyterLab's: the notebook has its cells, the same one is selected
        assert tab.locator(".jp-Notebook .jp-Cell").count() == len(json.loads((site / NOTEBOOK).read_text())["cells"])
        check_two_views(tab)
        assert failures == []
    assert {path: path.read_bytes() for path in records.rglob("*.jsonl")} == before


HERE_IN_VIEW = """() => {
  const box = (name) => document.querySelector(name).getBoundingClientRect();
  const here = box('.lb-item.here'), list = box('.lb-list');
  return list.top <= here.top && here.bottom <= list.bottom;
}"""


def hostile_record(number: int) -> dict:
    """Record `number` with a payload in every place where a file can have a text."""
    row = step_records("final")[number % 20]
    payload = PAYLOADS[number % len(PAYLOADS)]
    arms = {
        arm: answer | {"text": f"{payload}\n#### {number}", "extracted": payload, "saw": f"shots\n\nQ: {payload}"}
        for arm, answer in row["arms"].items()
    }
    arms[payload] = arms["source"]
    return {"id": f"{number}{payload}", "question": f"{payload} {number}", "gold": payload, "cell": f"c/{payload}",
            "word": payload, "arms": arms}  # fmt: skip


def test_nothing_that_a_model_or_a_file_wrote_is_executed(site, tmp_path):
    rows = [hostile_record(number) for number in range(len(PAYLOADS))]
    names = [re.sub(r"[/\x00\n]", "", payload)[:80] for payload in (PAYLOADS[5], PAYLOADS[11], PAYLOADS[25])]
    for name in names:
        for step in ("0", "final", names[0]):
            write_jsonl(site / "records" / name / f"eval_samples_step_{step}.jsonl", rows)
        with open(site / "records" / name / "eval_samples_step_0.jsonl", "a") as file:
            file.write("".join(f"{payload}\n" for payload in PAYLOADS))  # broken lines, named in the notices
    tags = {rows[0]["id"]: {"tags": [PAYLOADS[0], PAYLOADS[5]], "note": PAYLOADS[6]}}
    (site / "runs" / "browse").mkdir(parents=True)
    (site / "runs" / "browse" / "tags.json").write_text(json.dumps(tags))
    with jupyter(site) as address, page() as tab:
        dialogs = []
        tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        open_browser(tab, address)
        shown = set()

        def look():
            shown.add(seen(tab))
            assert tab.evaluate(HERE_IN_VIEW)  # the list follows

        look()
        tab.locator(".lb-question").click()  # keys belong to the browser from here
        for _ in range(len(rows) - 1):
            press(tab, "j")
            look()
        assert shown == {clean(row["id"]) for row in rows}  # every payload was on the screen
        for details in tab.locator(".lb-answer details").all():
            details.locator("summary").click()
        tab.select_option(".a-step", "0")
        settle(tab)
        tab.locator(".notices summary").click()
        for name in ("arms", "steps", "runs"):
            click(tab, f".lb-flips h4 button:has-text('{name}')")
        tab.wait_for_timeout(1000)
        picture(tab, tmp_path, "hostile")
        press(tab, "b", "j", "b", "x")
        tab.wait_for_timeout(1000)
        assert tab.locator(f".lab-browser :is({ACTIVE}), .lab-card :is({ACTIVE})").count() == 0
        assert tab.locator(".lab-card").count() == 3
        assert tab.evaluate("window.hit") is None and dialogs == []
        # the exported page, and JupyterLab's own preview of the exported Markdown
        tab.evaluate("() => window.jupyterapp.commands.execute('docmanager:open', "
                     "{path: 'runs/browse/samples.md', factory: 'Markdown Preview'})")  # fmt: skip
        tab.wait_for_selector(".jp-MarkdownViewer h2")
        tab.wait_for_timeout(1000)
        assert tab.evaluate("window.hit") is None and dialogs == []
        requests, exported = [], tab.context.new_page()
        exported.on("request", lambda request: requests.append(request.url))
        exported.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page_file = site / "runs" / "browse" / "samples.html"
        exported.goto(page_file.as_uri())
        exported.wait_for_timeout(1000)
        picture(exported, tmp_path, "export", whole=True)
        assert exported.evaluate("window.hit") is None and dialogs == []
        assert requests == [page_file.as_uri()]  # self-contained: nothing else was asked for
        assert exported.locator("article").count() >= 1 and exported.locator(f"article :is({ACTIVE})").count() == 0


def many_steps(folder: Path) -> None:
    """Runs whose tables are larger than any box: 27 steps, nine arms."""
    for step in [*range(0, 2600, 100), "final"]:
        rows = step_records("final")
        for row in rows:
            row["arms"] |= {f"arm_{number}": row["arms"]["latent"] for number in range(5)}
        write_jsonl(folder / "long" / f"eval_samples_step_{step}.jsonl", rows)


LAYOUT = """() => {
  const box = (name) => document.querySelector(name).getBoundingClientRect();
  const root = box('.lab-browser'), all = [...document.querySelectorAll('.lab-browser *')];
  return {
    root: root.width, answer: box('.lb-answer').width, lower: box('.lb-lower'), sample: box('.lb-sample'),
    wide: all.filter((part) => part.getBoundingClientRect().right > root.right + 1 && !part.closest('.lb-box'))
      .map((part) => part.className),
  };
}"""
# After a box was scrolled to its end: how far its heads are from its edges.
SCROLLED = """(name) => {
  const scrolling = document.querySelector(name), edge = () => scrolling.getBoundingClientRect();
  scrolling.scrollTo(10000, 10000);
  const head = scrolling.querySelector('thead th:last-child').getBoundingClientRect();
  const side = scrolling.querySelector('tbody tr:last-child th').getBoundingClientRect();
  return {moved: scrolling.scrollTop + scrolling.scrollLeft, top: head.top - edge().top, left: side.left - edge().left};
}"""


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_a_narrow_page_and_a_dark_one_can_be_read(site, tmp_path, theme):
    many_steps(site / "records")
    with jupyter(site, theme=f"JupyterLab {theme}") as address, page(1500) as tab:
        open_browser(tab, address)
        tab.wait_for_function("() => !document.querySelector('.lb-foot .status').textContent")
        for width in (1500, 900, 620, 520):  # the last one: 900 beside JupyterLab's file browser
            tab.set_viewport_size({"width": width, "height": 1700})
            tab.wait_for_timeout(500)
            now = tab.evaluate(LAYOUT)
            assert now["answer"] >= 225, (width, now)
            assert now["wide"] == [], (width, now)  # nothing reaches over the edge
            assert now["sample"]["height"] >= 350 and now["lower"]["top"] >= now["sample"]["bottom"] - 1, (width, now)
            for table in (".lb-steps .lb-box", ".lb-flips .lb-box"):
                after = tab.evaluate(SCROLLED, table)
                assert after["moved"] > 0 and abs(after["top"]) <= 1 and abs(after["left"]) <= 1, (width, table, after)
            assert tab.evaluate(LAYOUT)["lower"] == now["lower"]  # the tables scrolled, the page did not
            picture(tab, tmp_path, f"{theme.lower()}_{width}")
        check_grounds(tab, theme == "Dark")
        picture(tab, tmp_path, f"{theme.lower()}_notebook", whole=True)


GROUNDS = """() => Object.fromEntries(
  [['browser', '.lab-browser'], ['card', '.lab-card'], ['figure', '.js-plotly-plot .main-svg']].map(([name, where]) => {
    const style = getComputedStyle(document.querySelector(where));
    return [name, [style.backgroundColor, style.color]];
  }))"""


def brightness(colour: str) -> float:
    red, green, blue, *rest = map(float, re.findall(r"[\d.]+", colour))
    return (red + green + blue) / 765


def check_grounds(tab, dark: bool):
    """Browser and cards have the theme's ground with the other's text on it; a figure has none of its own."""
    grounds = tab.evaluate(GROUNDS)
    for name in ("browser", "card"):
        ground, text = map(brightness, grounds[name])
        assert (ground < 0.3 and text > 0.7) if dark else (ground > 0.9 and text < 0.3), (name, grounds)
    assert grounds["figure"][0] == "rgba(0, 0, 0, 0)"


def test_samples_of_another_tool_stand_side_by_side(site, tmp_path):
    write_harness(site / "records", {"one": ["7", "x8", "4"], "two": ["7", "9", "[invalid]"]})
    with jupyter(site) as address, page() as tab:
        open_browser(tab, address)
        assert "3 of 3" in head(tab) and "sums: one · flexible-extract 3/3" in head(tab)
        names = tab.locator(".lb-answer .name").all_inner_texts()
        assert set(names) == {f"{model} · {rule}" for model in ("one", "two")
                              for rule in ("strict-match", "flexible-extract")}  # fmt: skip
        assert "soft" not in tab.locator(".lb-answers").inner_text()  # other tools know nothing of soft tokens
        picture(tab, tmp_path, "other_tool")


@pytest.mark.skipif(not LEGACY.is_dir(), reason="the archived runs are not here")
def test_archived_runs_open_in_the_browser(site, tmp_path):
    shutil.copytree(LEGACY, site / "records")
    with jupyter(site) as address, page() as tab:
        open_browser(tab, address)
        assert "140/200" in head(tab) and "10 / 24" in head(tab) and "p = .024" in head(tab)
        tab.select_option(".a-step", "250")
        settle(tab)
        assert "143/200" in head(tab)
        assert tab.locator(".filter-invalid span").last.inner_text() == "9"
        picture(tab, tmp_path, "archived")
