"""Tables, cards and figures: nothing a model wrote reaches a page unescaped, and nothing needs a network."""

import html
from html.parser import HTMLParser

import pytest

from lab.errors import LabError
from lab.evidence.summary import summarise
from lab.pictures.figures import Inline, accuracy_figure, running_mean, training_curve, write_figure
from lab.pictures.tables import arms_table, arms_text, format_p, sample_cards

PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</div></div><iframe src=javascript:alert(1)>",
    "<style>*{display:none}</style>",
    "&lt;b&gt; &amp;",
    "<!--",
]
ARMS = ("source", "target", "latent", "latent_shuffled", "latent_constant")
CELLS = ("plain/short", "lore/short/seen", "lore/long/seen", "lore/long/held_out")


def record(i, payload="#### 1"):
    arms = {
        arm: {
            "text": payload,
            "extracted": "1",
            "correct": (i + j) % 3 == 0,
            "saw": payload,
            "prompt_tokens": 9,
            "soft_tokens": 8,
        }
        for j, arm in enumerate(ARMS)
    }
    return {"id": f"q{i}", "question": payload, "gold": "1", "cell": CELLS[i % 4], "word": "", "arms": arms}


@pytest.fixture
def summary():
    return summarise([record(i) for i in range(40)])


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("payload", PAYLOADS)
def test_cards_escape_every_field(payload):
    row = record(0, payload) | {"id": payload, "gold": payload, "cell": payload, "word": payload}
    row["arms"] = {payload: {field: payload for field in ("text", "extracted", "saw", "prompt_tokens", "soft_tokens")}}
    page = Tags()
    page.feed(sample_cards([row]))
    assert page.tags <= {"style", "p", "div", "b", "span", "br", "details", "summary"} and page.attributes == {"class"}
    assert page.text.count(payload) >= 9  # shown as written


def test_cards_show_the_chosen_questions_and_their_verdicts():
    rows = [record(i) for i in range(6)]
    page = sample_cards(rows, lambda row: row["cell"] == "lore/long/seen")
    assert page.count('class="lab-card"') == 1 and "q2" in page and "q1" not in page
    assert page.count("✓ right") + page.count("✗ wrong") == len(ARMS)
    assert sample_cards(rows, ["q4", "q1"]).index("q4") < sample_cards(rows, ["q4", "q1"]).index("q1")
    assert "2 of 6 chosen" in sample_cards(rows, limit=2)
    with pytest.raises(LabError, match="no question nope"):
        sample_cards(rows, ["nope"])


def test_the_table_holds_the_summary(summary):
    table = arms_table(summary)
    assert list(table.index) == ["source", "target", "oracle", "latent", "latent_shuffled", "latent_constant"]
    assert table.loc["latent", "accuracy"] == summary["arms"]["latent"]["accuracy"]
    assert table.loc["target", "p_vs_latent"] == summary["tests"]["latent_vs_target"]["p"]


def test_the_terminal_table_is_aligned(summary):
    lines = arms_text(summary).split("\n")
    assert lines[0].split()[0] == "arm" and lines[0].endswith("p vs latent") and "95 % (Wilson)" in lines[0]
    assert len(lines) == 6 + 4 and max(map(len, lines)) <= 120
    assert lines[-1].split() == ["n", "40", "10", "10", "10", "10"]
    end = lines[0].index("accuracy") + len("accuracy")
    assert all(line[end - 1].isdigit() for line in lines[2:8])
    summary["arms"]["\x1b[31mred"] = summary["arms"].pop("source")
    assert "\x1b" not in arms_text(summary)


@pytest.mark.parametrize("p, text", [(0.00001, "< .001"), (0.0312, ".031"), (1.0, "1"), (None, "")])
def test_p_values_are_short(p, text):
    assert format_p(p) == text


def test_the_figure_shows_every_arm_in_every_panel_with_its_n(summary):
    figure = accuracy_figure(summary)
    titles = " ".join(note.text for note in figure.layout.annotations).replace(",<br>", ", ")
    for words in (
        "All questions",
        "Plain",
        "Lore, short",
        "Both skills, seen",
        "Both skills, held out",
        "n = 40",
        "n = 10",
    ):
        assert words in titles
    assert len(figure.data) == 5 * 6
    first = figure.data[0]
    low, high = summary["arms"]["source"]["ci95"]
    assert first.x[0] + first.error_x.array[0] == pytest.approx(100 * high)
    assert first.x[0] - first.error_x.arrayminus[0] == pytest.approx(100 * low)


def test_panels_without_cells_and_the_training_curve(summary):
    for entry in summary["arms"].values():
        entry["cells"] = {}
    assert len(accuracy_figure(summary).data) == 6
    assert len(training_curve([{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}]).data) == 2
    assert len(training_curve([{"step": 1, "loss": 2.0}, {"step": 1, "accuracy": 0.5}]).data) == 3
    with pytest.raises(LabError, match="neither"):
        training_curve([])


def test_pages_stand_alone(summary, tmp_path):
    write_figure(accuracy_figure(summary, "<script>x"), tmp_path / "f.html")
    page = (tmp_path / "f.html").read_text("utf-8")
    inline = html.unescape(Inline(accuracy_figure(summary))._repr_html_())
    for text in (page, inline):
        assert "<script src=" not in text and 'src="http' not in text and len(text) > 1_000_000
    with pytest.raises(LabError, match="endings"):
        write_figure(accuracy_figure(summary), tmp_path / "f.gif")


def test_the_running_mean_leans_to_neither_side():
    values = [float(place * place) for place in range(200)]
    means = running_mean(values)
    assert len(means) == 200 and (means[0], means[-1]) == (values[0], values[-1])
    assert means[100] == pytest.approx(sum(values[96:105]) / 9)
    assert running_mean(values[::-1]) == pytest.approx(means[::-1]) and running_mean([]) == []
