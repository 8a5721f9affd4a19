"""The sample browser of JupyterLab: `browse` opens a folder, `Browser` shows a desk.

All choosing and counting happens in Python; the page gets only what is on the screen, as text that it shows with
textContent. So a click costs the same however large the folder is, and no text can become markup.
"""

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from lab.errors import LabError
from lab.samples import screen
from lab.samples.answers import clean
from lab.samples.desk import EXPORTED, Desk
from lab.samples.sheets import Library
from lab.samples.tags import Tags


class Browser(anywidget.AnyWidget):
    """The desk in a notebook. Python sends a few dicts, the page sends one small message per click or key."""

    _esm = Path(__file__).with_name("browser.js")
    _css = Path(__file__).with_name("browser.css")

    choices = traitlets.Dict().tag(sync=True)
    header = traitlets.Dict().tag(sync=True)
    controls = traitlets.Dict().tag(sync=True)
    listing = traitlets.Dict().tag(sync=True)
    sample = traitlets.Dict().tag(sync=True)
    across = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    done = traitlets.Int().tag(sync=True)  # the number of the last message that was answered

    def __init__(self, desk: Desk):
        super().__init__()
        self.desk = desk
        self._show()
        self.on_msg(self._heard)

    def _show(self, selection: bool = True) -> None:
        """Send what changed. `selection` False: only the question did, so the paired result stays."""
        desk = self.desk
        with self.hold_sync():
            if selection:
                self.choices, self.header, self.controls = (
                    screen.choices(desk), screen.header(desk), screen.controls(desk)
                )  # fmt: skip
            self.listing, self.sample, self.across = screen.listing(desk), screen.sample(desk), screen.across(desk)
            self.status = desk.status

    def _heard(self, _, message: dict, __=None) -> None:
        """One message of the page: ``{"do": action, "with": {...}, "number": n}``. Unknown ones change nothing."""
        name = message.get("do")
        action = self._actions().get(name)
        self.desk.status = ""
        with self.hold_sync():
            try:
                if action is not None:
                    action(**message.get("with", {}))
                    self._show(selection=name not in ("move", "go", "more"))
            except LabError as error:
                self.status = clean(str(error))
            except OSError as error:
                self.status = f"that cannot be written: {clean(error.strerror)} ({clean(error.filename)})"
            except (TypeError, ValueError, KeyError, IndexError) as error:
                self.status = f"that did not work: {type(error).__name__}"
            finally:
                self.done = int(message.get("number", 0))  # or the page would wait for ever

    def _actions(self) -> dict[str, Callable]:
        desk = self.desk
        return {
            "move": desk.move, "go": desk.go, "side": desk.side, "filter": desk.toggle_filter, "choose": desk.choose,
            "clear": desk.clear, "blind": desk.toggle_blind, "tag": desk.toggle_tag, "note": desk.note,
            "flip": desk.click_flip, "table": desk.tabulate, "more": desk.read_more, "export": self._export,
        }  # fmt: skip

    def _export(self) -> None:
        paths = self.desk.export()
        self.desk.status = "written: " + ", ".join(clean(str(path)) for path in paths)


def browse(
    folder: str | Path, tags: str | Path | None = None, exports: str | Path | None = None, samples: int = EXPORTED
) -> Browser:
    """Open every run below `folder`. `tags`: the side file of tags and notes (None: they are not kept). `exports`: the
    folder into which at most `samples` questions are exported. Raises LabError where there is nothing to open."""
    return Browser(Desk(Library(folder), Tags(tags), exports, samples))
