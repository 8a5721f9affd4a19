"""Layouts: what the target reads, written as a text template in which `{soft}` stands for the soft tokens.

One template serves training and evaluation, so the two can never differ. There is deliberately no placeholder for an
answer: gold text cannot enter what the target reads before it answers. Whether `{question}` occurs decides whether an
arm is context-aware, and so whether compression may be claimed for it.
"""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from functools import cached_property

from lab.errors import LabError

__all__ = ["LAYOUTS", "SOFT", "TEXT", "Layout", "Soft", "get_layout"]

PLACEHOLDERS = ("instruction", "shots", "question", "soft")


class Soft:
    """The type of `SOFT`, the mark of where the soft tokens go; no text can be mistaken for it."""

    def __repr__(self) -> str:
        return "SOFT"


SOFT = Soft()


@dataclass(frozen=True)
class Layout:
    """A template over `{instruction}`, `{shots}`, `{question}` and at most one `{soft}`; all else is literal text.

    With an `adapter_scale` the soft tokens take no place of their own: they are added, so scaled, to the embeddings of
    the prompt's last tokens. Raises LabError for a template that cannot be read, an unknown placeholder, or a second
    `{soft}`.
    """

    name: str
    template: str
    adapter_scale: float | None = None

    def __post_init__(self) -> None:
        names = [name for _, name in self._parts if name is not None]
        for name in names:
            if name not in PLACEHOLDERS:
                known = ", ".join(f"{{{placeholder}}}" for placeholder in PLACEHOLDERS)
                raise LabError(f"layout {self.template!r} has the unknown placeholder {{{name}}}; known are {known}.")
        if names.count("soft") > 1:
            raise LabError(f"layout {self.template!r} has {names.count('soft')} times {{soft}}; it takes exactly one.")

    @cached_property
    def _parts(self) -> tuple[tuple[str, str | None], ...]:
        """(literal text, placeholder after it or None) from left to right."""
        try:
            parts = list(string.Formatter().parse(self.template))
        except (TypeError, ValueError) as error:
            raise LabError(f"layout {self.template!r} is no template: {error}; a brace is {{{{ or }}}}.") from None
        for _, name, spec, conversion in parts:
            if spec or conversion:
                raise LabError(f"layout {self.template!r} formats {{{name}}}; a placeholder is a bare name in braces.")
        return tuple((literal, name) for literal, name, _, _ in parts)

    @property
    def has_soft(self) -> bool:
        """Whether soft tokens occur at all."""
        return any(name == "soft" for _, name in self._parts)

    @property
    def adapter(self) -> bool:
        """Whether soft tokens are added to text embeddings instead of standing among them."""
        return self.adapter_scale is not None

    @property
    def context_aware(self) -> bool:
        """Whether the target also reads the question as text. If so, its soft tokens compress nothing."""
        return any(name == "question" for _, name in self._parts)

    def framed(self, before: str, after: str) -> Layout:
        """The same between two literal texts, such as those of a chat template."""
        literal = [text.replace("{", "{{").replace("}", "}}") for text in (before, after)]
        return replace(self, template=self.template.join(literal)) if before or after else self

    def segments(self, instruction: str, shots: str, question: str) -> list[str | Soft]:
        """What the target reads, in order: texts and `SOFT`.

        Adjacent text is one segment, so that it is tokenised as the same text in a plain prompt; no segment is empty.
        Braces in the values are plain characters.
        """
        values = {"instruction": instruction, "shots": shots, "question": question}
        segments: list[str | Soft] = [""]
        for literal, name in self._parts:
            text = literal + values.get(name, "")
            if isinstance(segments[-1], Soft):
                segments.append(text)
            else:
                segments[-1] += text
            if name == "soft" and not self.adapter:
                segments.append(SOFT)
        return [segment for segment in segments if segment != ""]

    def visible_text(self, instruction: str, shots: str, question: str, soft_tokens: int = 0) -> str:
        """The same as one readable text, the soft tokens shown as `<soft×K>`: what a record says that an arm saw."""
        segments = self.segments(instruction, shots, question)
        text = "".join([f"<soft×{soft_tokens}>" if isinstance(segment, Soft) else segment for segment in segments])
        return text + f"<+soft×{soft_tokens}>" if self.adapter and soft_tokens else text


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("soft_only", "{instruction}{soft}\nA:"),
        Layout("soft_in_context", "{instruction}{shots}Q:{soft}\nA:"),
        Layout("soft_plus_text", "{instruction}{soft}{shots}Q: {question}\nA:"),
    )
}
TEXT = Layout("text", "{instruction}{shots}Q: {question}\nA:")
"""The plain prompt, without soft tokens, that the source and target arms read."""


def get_layout(name_or_template: str, adapter_scale: float | None = None) -> Layout:
    """A layout of `LAYOUTS` by name, or one made from a template with exactly one `{soft}`.

    `adapter_scale` makes it an adapter. Raises LabError, also for an adapter that has no question to be added to.
    """
    layout = _named(name_or_template)
    if adapter_scale is None:
        return layout
    if not layout.context_aware:
        raise LabError(
            f"injection='adapter' adds soft tokens to the question's text, but layout={name_or_template!r} has no "
            "{question}; choose soft_plus_text."
        )
    return replace(layout, adapter_scale=adapter_scale)


def _named(name_or_template: str) -> Layout:
    if not isinstance(name_or_template, str):
        raise LabError(f"layout={name_or_template!r} is not a text; give a name or a template with {{soft}}.")
    if name_or_template in LAYOUTS:
        return LAYOUTS[name_or_template]
    if "{" not in name_or_template:
        raise LabError(
            f"layout={name_or_template!r} is not known; choose one of {', '.join(LAYOUTS)} or a template with {{soft}}."
        )
    layout = Layout(name_or_template, name_or_template)
    if not layout.has_soft:
        raise LabError(f"layout {name_or_template!r} has no {{soft}}; it takes exactly one.")
    return layout
