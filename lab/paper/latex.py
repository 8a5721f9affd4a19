"""Numbers, names and tables as LaTeX writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.samples import latex_text

PLUS = r"\ensuremath{+}"
NOT_RUN_CELL = r"\notrun{}"
BREAKABLE = re.compile(r"\\_|/|[*,]")  # after these a line of code may end
DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def decimal(value: float, digits: int = 1) -> str:
    """`1\\,319.5`: thousands apart, a minus that is one, no minus before nought."""
    shown = f"{value:,.{digits}f}"
    if not re.search("[1-9]", shown):
        shown = shown.lstrip("-")
    return shown.replace("-", r"\ensuremath{-}").replace(",", r"\,")


def whole(value: float) -> str:
    return decimal(value, 0)


def percent(fraction: float, digits: int = 1) -> str:
    return decimal(100 * fraction, digits)


def signed(value: float, digits: int = 1) -> str:
    shown = decimal(value, digits)
    return shown if value <= 0 or not re.search("[1-9]", shown) else PLUS + shown


def ends(low: float, high: float, digits: int = 1, factor: float = 1) -> str:
    """An interval that no line break parts."""
    return rf"\mbox{{[{decimal(factor * low, digits)}, {decimal(factor * high, digits)}]}}"


def p_text(p: float) -> str:
    """`= .017`, or `< .001`: with its sign, so that it stands after a p."""
    if p < 0.001:
        return r"\ensuremath{<}\,.001"
    return r"\ensuremath{=}\,1" if p >= 0.9995 else rf"\ensuremath{{=}}\,{f'{p:.3f}'.lstrip('0')}"


def p_cell(p: float | None) -> str:
    return "" if p is None else p_text(p).replace(r"\ensuremath{=}\,", "")


def camel(name: str) -> str:
    """`latent_int8` as a macro's name can say it: `LatentIntEight`."""
    words = "".join(word[:1].upper() + word[1:] for word in re.split(r"[^0-9A-Za-z]+", name))
    return re.sub(r"\d", lambda found: DIGITS[int(found.group())], words)


def code(text: str) -> str:
    """A command or a file's name in typewriter, which may break after an underscore, a slash or a star."""
    breakable = BREAKABLE.sub(lambda found: found[0] + r"\allowbreak{}", latex_text(text))
    return rf"\texttt{{{breakable}}}"


@dataclass
class Tabular:
    """A booktabs table. `align`: LaTeX's column letters; `rows`: cells that are LaTeX already, None: a thin rule."""

    align: str
    head: Sequence[str]
    rows: list[Sequence[str] | None] = field(default_factory=list)
    over: str = ""  # a line above the head that groups its columns

    def text(self) -> str:
        begin = r"\begin{tabular}{@{}" + self.align + r"@{}}"
        lines = [begin, r"\toprule", *([self.over] if self.over else []), " & ".join(self.head) + r" \\", r"\midrule"]
        for row in self.rows:
            lines.append(r"\midrule" if row is None else " & ".join(row) + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"

    def spanning(self, text: str) -> list[str]:
        """One cell over all columns."""
        return [rf"\multicolumn{{{len(self.head)}}}{{@{{}}l@{{}}}}{{{text}}}"]
