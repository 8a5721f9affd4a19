"""Whether what a model is to read fits into its context, asked before anything runs; see `context_length`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.config import SOFT, Layout
from lab.errors import LabError
from lab.models.frozen import FrozenModel

SPARE = 16  # tokens that no byte of the text stands for: BOS, and the marks of where text starts


def count_tokens(model: FrozenModel, layout: Layout, context: Mapping[str, str]) -> int:
    """Text tokens that the layout takes for a context, with the beginning-of-text token; counted from the text."""
    tokens = _bos(model)
    for position, part in enumerate(layout.segments(**context)):
        if part is not SOFT:
            tokens += len(model.tokens([part], continued=position > 0)[0])
    return tokens


def check_prompt(
    where: str, model: FrozenModel, layout: Layout, context: Mapping[str, str], more: int, answer: str = ""
) -> None:
    """Raise LabError, which begins with `where`, unless `model` can read `layout` filled with `context` (instruction,
    shots, question), `more` tokens (soft tokens, and those that are generated) and a training `answer`."""

    def count() -> int:
        ending = len(model.tokens([f" {answer}"], continued=True)[0]) + 1 if answer else 0  # with its end token
        return count_tokens(model, layout, context) + ending

    _check(where, model, layout.visible_text(**context) + answer, count, more)


def check_source_text(where: str, model: FrozenModel, text: str) -> None:
    """Raise LabError, which begins with `where`, unless `model` can read `text` for its states."""
    whole = text.join(model.frame)
    _check(where, model, whole, lambda: _bos(model) + len(model.tokens([whole])[0]))


def _bos(model: FrozenModel) -> int:
    """How many beginning-of-text tokens there are: one or none."""
    return int(model.tokenizer.bos_token_id is not None)


def _check(where: str, model: FrozenModel, text: str, count: Callable[[], int], more: int = 0) -> None:
    limit = model.context_length
    # A token stands for a byte at least, so most texts need no counting.
    if limit is None or len(text.encode("utf-8")) + SPARE + more <= limit:
        return
    if (read := count()) + more > limit:
        with_it = f" and what comes with it {more}" if more else ""
        raise LabError(
            f"{where}: its text takes {read} tokens{with_it}, but {model.name} reads at most {limit}; leave it out, "
            "lower shots or max_new_tokens, or choose a model that reads more."
        )
