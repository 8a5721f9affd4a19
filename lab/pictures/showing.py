"""A figure in a notebook: interactive where the page can, and beside it a picture for every page that cannot.

An executed notebook is sent to people and exported. JupyterLab shows the interactive figure of an output; the HTML of
`jupyter nbconvert`, GitHub and a PDF show the picture of the same output.
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

if TYPE_CHECKING:
    import plotly.graph_objects as go

PLOTLY = "application/vnd.plotly.v1+json"
SHARP = 2  # pixels of the picture for one of the page
PATIENCE = 60  # seconds for Chromium to start or to draw: a busy machine is slow, a broken Chromium is for ever
IDLE = 20  # seconds without a figure after which Chromium ends: trainings that take hours need its memory


class Painter:
    """One Chromium for the figures of this process: a second for the first one, a fraction of it for those that follow.

    Kaleido's own server waits for ever for a Chromium that did not start; here everything ends in time.
    """

    def __init__(self) -> None:
        self.failure = ""  # why no more pictures are tried
        self._chromium, self._end = None, None
        self._loop = asyncio.new_event_loop()  # a notebook's own loop is busy with the cell that asks
        Thread(target=self._loop.run_forever, daemon=True).start()
        atexit.register(self.close)

    def png(self, figure: go.Figure) -> bytes | None:
        """The picture, `SHARP` times as large as the figure's layout says; None where none can be drawn, which is
        printed the first time and not tried again."""
        if self.failure:
            return None
        try:
            return self._wait(self._draw(figure))
        except Exception as error:  # no kaleido, no Chromium, one that does not start: dozens of kinds, one meaning
            said = str(error.args[0] if error.args else "").strip() or type(error).__name__
            self.failure = re.split(r"\n|\. ", said)[0].rstrip(".")
            self.close()
            print(
                f"figures are interactive only, and an export of this notebook will not show them: no picture could "
                f"be drawn ({self.failure}); install Chromium or Chrome for that"
            )
            return None

    async def _draw(self, figure: go.Figure) -> bytes:
        from kaleido import Kaleido

        if self._end:
            self._end.cancel()
        if not self._chromium:
            self._chromium = Kaleido(n=1, mathjax=False, timeout=PATIENCE)  # MathJax would come from the net
            await self._chromium.open()
        size = {"width": figure.layout.width, "height": figure.layout.height}
        drawn = await self._chromium.calc_fig(figure.to_dict(), {"format": "png", "scale": SHARP, **size})
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


def bundle(figure: go.Figure) -> tuple[dict, dict]:
    """(data, metadata) of one output that is the figure twice: interactive, and as a picture where one can be drawn."""
    title = re.sub(r"<[^>]*>", " ", figure.layout.title.text or "figure")
    alt = " ".join(html.unescape(title).split())
    interactive = {**json.loads(figure.to_json()), "config": {"displaylogo": False}}
    data = {PLOTLY: interactive, "text/plain": f"[figure: {alt}]"}
    if drawn := painter().png(figure):
        data["image/png"] = base64.b64encode(drawn).decode("ascii")
    return data, {"image/png": {"width": figure.layout.width, "height": figure.layout.height, "alt": alt}}


def show(figure: go.Figure) -> None:
    """Show a figure as an output of a notebook's cell."""
    from IPython.display import display

    data, about = bundle(figure)
    display(data, metadata=about, raw=True)
