"""A figure in a notebook: interactive where the page can, and beside it a picture for every page that cannot.

An executed notebook is sent to people and exported. JupyterLab shows the interactive figure of an output; the HTML of
`jupyter nbconvert` and GitHub show its SVG, LaTeX its PDF. There is no PNG: JupyterLab would show that one, and the
interactive figure only under the mouse.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import html
import json
import re
from collections.abc import Coroutine
from contextlib import suppress
from functools import cache
from threading import Thread
from typing import TYPE_CHECKING, Any

from lab.errors import LabError
from lab.pictures.theme import on_paper

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTLY = "application/vnd.plotly.v1+json"
PICTURES = ("svg", "pdf")  # what an output holds beside the interactive figure
PATIENCE = 60  # seconds for Chromium to start or to draw: a busy machine is slow, a broken Chromium is for ever
IDLE = 20  # seconds without a figure after which Chromium ends: trainings that take hours need its memory


class NoPicture(LabError):
    """Nothing here can draw: no Chromium, or one that does not start."""


class Painter:
    """One Chromium for the figures of this process: a second for the first one, a fraction of it for those that follow.

    Kaleido's own server waits for ever for a Chromium that did not start; here everything ends in time.
    """

    def __init__(self) -> None:
        self.failure = ""  # why no more pictures are tried
        self._chromium, self._end = None, None
        self._loop = asyncio.new_event_loop()  # a notebook's own loop is busy with the cell that asks
        Thread(target=self._loop.run_forever, daemon=True).start()

    def draw(self, figure: go.Figure) -> dict[str, str]:
        """The figure in every format of `PICTURES`; nothing where it cannot be drawn, which is printed the first time
        and not tried again."""
        if self.failure:
            return {}
        try:
            drawn = self.paint(figure)
        except NoPicture:
            print(
                f"figures are interactive only, and an export of this notebook will not show them: no picture could "
                f"be drawn ({self.failure}); install Chromium or Chrome for that"
            )
            return {}
        return {
            "image/svg+xml": drawn["svg"].decode("utf-8"),
            "application/pdf": base64.b64encode(drawn["pdf"]).decode("ascii"),
        }

    def paint(self, figure: go.Figure, scale: float = 1.0) -> dict[str, bytes]:
        """The figure as {"svg", "pdf"}, the pdf's page `scale` times the figure's pixels (of 1/96 inch).

        Raises NoPicture where it cannot be drawn; that is then not tried again.
        """
        if not self.failure:
            try:
                return self._wait(self._draw(figure, scale))
            except Exception as error:  # no kaleido, no Chromium, one that does not start: dozens of kinds, one meaning
                said = str(error.args[0] if error.args else "").strip() or type(error).__name__
                self.failure = re.split(r"\n|\. ", said)[0].rstrip(".")
                self.close()
        raise NoPicture(f"no picture could be drawn ({self.failure}): install Chromium or Chrome for that")

    async def _draw(self, figure: go.Figure, scale: float) -> dict[str, bytes]:
        from kaleido import Kaleido

        if self._end:
            self._end.cancel()
        if not self._chromium:
            self._chromium = Kaleido(n=1, mathjax=False, timeout=PATIENCE)  # MathJax would come from the net
            await self._chromium.open()
            # After Chromium's folder was made, so that it ends before that is swept.
            atexit.unregister(self.close)
            atexit.register(self.close)
        size, whole = {"width": figure.layout.width, "height": figure.layout.height}, figure.to_dict()
        drawn = {
            name: await self._chromium.calc_fig(whole, {"format": name, "scale": scale if name == "pdf" else 1, **size})
            for name in PICTURES
        }
        self._end = self._loop.call_later(IDLE, lambda: self._loop.create_task(self._close()))
        return drawn

    def close(self) -> None:
        with suppress(Exception):  # a Chromium that is gone cannot be ended
            self._wait(self._close())

    async def _close(self) -> None:
        ended, self._chromium = self._chromium, None
        if ended:
            await ended.close()

    def _wait(self, work: Coroutine) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


@cache
def painter() -> Painter:
    """The painter of this process."""
    return Painter()


def bundle(figure: go.Figure, name: str = "") -> dict[str, object]:
    """One output that is the figure in several ways, by mime type: a page takes the first one that it can show.

    `name`: what a page without figures says instead; its title, if none is given."""
    title = re.sub(r"<[^>]*>", " ", html.escape(name) or figure.layout.title.text or "figure")
    plain = " ".join(html.unescape(title).split())
    interactive = json.loads(figure.to_json()) | {"config": {"displaylogo": False, "responsive": True}}
    interactive["layout"] |= {"width": None, "autosize": True}  # as wide as the notebook, and never wider
    return {PLOTLY: interactive, **painter().draw(on_paper(figure)), "text/plain": f"[figure: {plain}]"}


def show(figure: go.Figure, name: str = "") -> None:
    """Show a figure as an output of a notebook's cell."""
    from IPython.display import display

    display(bundle(figure, name), raw=True)
