"""In print: fonts embedded, no text below 7 points at the width of a column, nothing outside the page."""

import re
import zlib
from math import hypot

import pytest
from figure_suite import figure_suite

from lab.figures import Material, figures_of, write_figures
from lab.pictures import NoPicture, page_inches

pytestmark = pytest.mark.slow
LEAST = 7.0  # points
NUMBER = rb"(-?[\d.]+)"


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


def test_no_text_begins_outside_the_page(printed):
    for name, (_, pdf) in printed.items():
        width, height = page_points(pdf)
        for size, x, y in texts(pdf):
            assert -1 <= x <= width and -1 <= y <= height, f"{name}: a text of {size:.1f} pt at {x:.0f}, {y:.0f}"
