"""In print: fonts embedded, no text below 7 points at the width of a column, no words that overlap or are cut."""

import re
import shutil
import subprocess
import zlib
from itertools import combinations
from math import hypot

import pytest
from figure_suite import figure_suite

from lab.figures import Material, figures_of, write_figures
from lab.pictures import NoPicture, page_inches

pytestmark = pytest.mark.slow
LEAST = 7.0  # points
NUMBER = rb"(-?[\d.]+)"
BOX = 'xMin="([-\\d.]+)" yMin="([-\\d.]+)" xMax="([-\\d.]+)" yMax="([-\\d.]+)">(.*?)<'


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """name -> (plate, its PDF)."""
    suite, out = figure_suite(tmp_path_factory.mktemp("suite")), tmp_path_factory.mktemp("out")
    made = dict(figures_of(Material([suite])))
    try:
        list(write_figures(made, out))
    except NoPicture as reason:
        pytest.skip(str(reason))
    return {name: (plate, (out / f"{name}.pdf").read_bytes()) for name, plate in made.items()}


def page_points(pdf):
    """Width and height of the only page."""
    left, low, right, high = map(float, re.search(rb"/MediaBox ?\[([^\]]*)\]", pdf)[1].split())
    return right - left, high - low


def texts(pdf):
    """(size, x, y) of every text, in points: text size and place, times all that scales the ground it stands on."""
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue
        if b"BT" in content:
            yield from _texts_of(content)


def _texts_of(content):
    ground, stack, size = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0), [], 0.0
    for line in content.split(b"\n"):
        if line == b"q":
            stack.append(ground)
        elif line == b"Q":
            ground = stack.pop()
        elif found := re.fullmatch(b" ".join([NUMBER] * 6) + b" cm", line):
            ground = times(tuple(map(float, found.groups())), ground)
        elif found := re.fullmatch(rb"/F\d+ " + NUMBER + b" Tf", line):
            size = float(found[1])
        elif found := re.fullmatch(b" ".join([NUMBER] * 6) + b" Tm", line):
            _, _, up, over, x, y = times(tuple(map(float, found.groups())), ground)
            yield size * hypot(up, over), x, y


def times(inner, outer):
    """The product of two of PDF's matrices: `inner` applies first."""
    a, b, c, d, e, f = inner
    A, B, C, D, E, F = outer
    return (a * A + b * C, a * B + b * D, c * A + d * C, c * B + d * D, e * A + f * C + E, e * B + f * D + F)


def test_a_page_is_as_wide_as_its_column(printed):
    for name, (plate, pdf) in printed.items():
        assert page_points(pdf)[0] == pytest.approx(72 * page_inches(plate.figure), abs=1), name


def test_no_text_is_below_seven_points(printed):
    for name, (_, pdf) in printed.items():
        found = [size for size, _, _ in texts(pdf)]
        assert len(found) > 5 and min(found) >= LEAST, f"{name}: {min(found):.2f} pt"


def test_fonts_are_embedded(printed):
    for name, (_, pdf) in printed.items():
        described = re.findall(rb"/Type ?/FontDescriptor(.*?)endobj", pdf, re.DOTALL)
        assert described and all(b"/FontFile" in one for one in described), name
        assert b"/Subtype /Type3" not in pdf and b"/Subtype /Type1\n" not in pdf, name


def test_no_words_overlap_nor_leave_the_page(printed, tmp_path):
    """By the boxes of words that poppler finds."""
    if not shutil.which("pdftotext"):
        pytest.skip("no pdftotext to find words with")
    for name, (_, pdf) in printed.items():
        (tmp_path / "one.pdf").write_bytes(pdf)
        words = ["pdftotext", "-bbox", str(tmp_path / "one.pdf"), "-"]
        found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        boxes = [(*map(float, numbers), word) for *numbers, word in re.findall(BOX, found)]
        width, height = page_points(pdf)
        for left, top, right, bottom, word in boxes:
            assert 0 <= left < right <= width and 0 <= top < bottom <= height, f"{name}: {word}"
        for one, other in combinations(boxes, 2):
            across, down = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
            assert across <= 1 or down <= 2.5, f"{name}: {one[4]} on {other[4]}"  # a box has room above its letters
