"""The sample browser of JupyterLab: `browse` opens a folder, `Browser` shows a desk.

All choosing and counting happens in Python; the page gets what is on the screen and the questions beside it, as text
that it shows with textContent. So a click costs the same however large the folder is, and no text can become markup.
"""

from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from lab.errors import LabError
from lab.samples import screen
from lab.samples.answers import clean
from lab.samples.chosen import EXPORTED, export
from lab.samples.desk import Desk
from lab.samples.sheets import Library, Place
from lab.samples.tags import Tags

SENT = 16  # questions that one message may ask for
MOVES = ("move", "go", "near", "prefix")  # they change nothing but which question is looked at
TAGS = ("tag", "note", "export")  # they change one question, and no other's place


class Browser(anywidget.AnyWidget):
    """The desk in a notebook: the page sends one small message per click or key, Python answers with what changed.

    The *shell* (menus, header, flip matrix, filters, list, tables) goes out when it changes. A move leaves it as it
    is: then only questions go out, those the page says it lacks. It keeps the ones around the question on the screen,
    so that a move is painted without waiting for the kernel.
    """

    _esm = Path(__file__).with_name("browser.js")
    _css = Path(__file__).with_name("browser.css")

    choices = traitlets.Dict().tag(sync=True)
    header = traitlets.Dict().tag(sync=True)
    controls = traitlets.Dict().tag(sync=True)
    listing = traitlets.Dict().tag(sync=True)
    across = traitlets.Dict().tag(sync=True)
    # {"order", "version", "at": {place: question}}: in another order these are places of other questions; in another
    # version they are the same ones, but something about them is new
    questions = traitlets.Dict().tag(sync=True)
    place = traitlets.Int().tag(sync=True)  # of the question on the screen, in the selection
    prefix = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode().tag(sync=True)
    done = traitlets.Int().tag(sync=True)  # the number of the last message that was answered

    def __init__(self, desk: Desk, exports: str | Path | None = None, samples: int = EXPORTED):
        super().__init__()
        self.desk, self._exports, self._samples = desk, exports, samples
        self._order = self._version = 0
        self._show_shell()
        self._show_questions([desk.selection.place])
        self.on_msg(self._heard)

    @property
    def sample(self) -> dict:
        """The question on the screen, as the page has it."""
        return self.questions["at"].get(str(self.place)) or screen.sample(self.desk)

    def _show_shell(self) -> None:
        """Everything but the questions; what is as before is not sent again."""
        desk = self.desk
        self.choices, self.header, self.controls = screen.choices(desk), screen.header(desk), screen.controls(desk)
        self.listing, self.across, self.place = screen.listing(desk), screen.across(desk), desk.selection.place

    def _show_questions(self, places: list[int]) -> None:
        found = {str(place): screen.sample(self.desk, place) for place in places[:SENT]}
        self.questions = {"order": self._order, "version": self._version, "at": found}

    def _heard(self, _, message: dict, __=None) -> None:
        """One message of the page: ``{"do": action, "with": {...}, "number": n, "lacks": places, "on": question id}``.
        `lacks`: the places whose questions it does not have (absent: the one on the screen). Unknown actions change
        nothing."""
        name = message.get("do")
        self.desk.status = ""
        with self.hold_sync():
            try:
                if (action := self._actions().get(name)) is not None:
                    self._check_seen(message)
                    action(**message.get("with", {}))
                    self._answer(name, message.get("lacks"))
                self.status = self.desk.status
            except LabError as error:
                self.status = clean(str(error))
            except OSError as error:
                self.status = f"that cannot be written: {clean(error.strerror)} ({clean(error.filename)})"
            except (TypeError, ValueError, KeyError, IndexError) as error:
                self.status = f"that did not work: {type(error).__name__}"
            finally:
                self.done = int(message.get("number", 0))  # or the page would wait for ever

    def _check_seen(self, message: dict) -> None:
        """The page may be ahead of Python; a tag must not fall on a question that its reader did not see."""
        if message.get("on", self.desk.key) != self.desk.key:
            raise LabError("the question on the screen has changed; nothing was written, say it again.")

    def _answer(self, name: str, lacks: list[int] | None) -> None:
        """What changed by an action: after a move the list at most, after a tag the question, else all."""
        if name in MOVES:
            self.listing, self.place = screen.listing(self.desk), self.desk.selection.place
        else:
            self._version += name not in TAGS
            self._order += name not in (*TAGS, "more")
            self._show_shell()
            lacks = None
        lacks = [self.place] if lacks is None else [int(place) for place in lacks]
        if lacks:
            self._show_questions(lacks)

    def _actions(self) -> dict[str, Callable]:
        desk, selection = self.desk, self.desk.selection
        return {
            "move": selection.move, "go": selection.go, "find": selection.find, "near": lambda: None,
            "filter": selection.toggle_filter, "choose": selection.choose, "sort": selection.sort,
            "clear": selection.clear, "blind": selection.toggle_blind, "side": desk.side, "flip": desk.click_flip,
            "table": desk.across.tabulate, "more": lambda: desk.across.read_more(desk.a), "tag": desk.toggle_tag,
            "note": desk.note, "prefix": self._unfold, "export": self._export,
        }  # fmt: skip

    def _unfold(self, answer: int) -> None:
        self.prefix = screen.prefix(self.desk, answer)

    def export(self) -> list[Path]:
        """Write the chosen samples (`lab.samples.chosen`) into the folder for exports; the paths."""
        return export(self.desk, self._exports, self._samples)

    def _export(self) -> None:
        paths = self.export()
        self.desk.status = "written: " + ", ".join(clean(str(path)) for path in paths)


def browse(
    place: Place, tags: str | Path | None = None, exports: str | Path | None = None, samples: int = EXPORTED
) -> Browser:
    """Open every run at `place`: a folder, a file, or a list of them, of this workbench or of other tools. `tags`: the
    side file of tags and notes (None: they are not kept). `exports`: the folder into which at most `samples` questions
    are exported. Raises LabError where there is nothing to open."""
    return Browser(Desk(Library(place), Tags(tags)), exports, samples)
