"""How to read one answer: where the extracted number stands, where two solutions part, whether a text loops or copies.

Everything returns plain data: pieces ``(text, kind)`` whose texts, joined, are the text itself. Nothing here is HTML.
"""

import re
from collections import Counter
from decimal import Decimal, InvalidOperation

from lab.tasks import INVALID, cut_at_stop, final_answer, find_answer, new_question, same_answer

SHOWN = 20_000  # characters of one text that are shown; a broken generation can be a megabyte
LOOP_WORDS, LOOP_TIMES = 8, 4
COPY_WORDS, COPY_SHARE = 8, 0.5

_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")
_WORD = re.compile(r"\w+|[^\w\s]")
_NUMBER = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?|-?\.\d+")
# A calculation's result: the number after the last "=" of a step; GSM8K's <<3*4=12>> repeats it and is left out.
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_RESULT = re.compile(r"=\s*+(-?\s*+\$?\s*+\d[\d,]*(?:\.\d+)?)")
_STEP_END = re.compile(r"\n+|(?<=[.!?])\s+(?=[A-Z0-9])")


def clean(text: object) -> str:
    """`text` as text that every writer can encode and every reader sees as it stands.

    Lone surrogates, which JSON can smuggle in, become U+FFFD. Control characters and those that reorder a line (a
    name with U+202E would turn its neighbours around) become visible marks. Line ends and tabs stay.
    """
    text = text if isinstance(text, str) else "" if text is None else str(text)
    if text.isascii() and text.isprintable():
        return text
    text = _UNSEEN.sub(lambda found: f"[U+{ord(found.group()):04X}]", text)
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _windows(text: str, length: int) -> list[tuple[str, ...]]:
    words = _WORD.findall(text[:SHOWN].lower())
    return list(zip(*(words[start:] for start in range(length)), strict=False))


def repeats_itself(text: str) -> bool:
    """Whether some eight successive words or signs occur at least four times (``3=3=3=3=3=3=3=3=`` does)."""
    counts = Counter(_windows(text, LOOP_WORDS))
    return bool(counts) and max(counts.values()) >= LOOP_TIMES


def copies_question(text: str, question: str) -> bool:
    """Whether at least half of the question's runs of eight words occur in the text, in any order."""
    asked = set(_windows(question, COPY_WORDS))
    return bool(asked) and len(asked & set(_windows(text, COPY_WORDS))) >= COPY_SHARE * len(asked)


def last_number(text: str) -> str:
    """The flexible scorer: the last number before the next question, or ``[invalid]``."""
    found = _NUMBER.findall(cut_at_stop(text))
    return found[-1].replace(",", "").replace("$", "") if found else INVALID


def verdicts(text: str, gold: str, recorded: bool | None) -> dict[str, bool | None]:
    """Right or wrong by three scorers: the record's own, ``#### number``, and the last number (both before the next
    question)."""
    return {
        "record": recorded,
        "strict": same_answer(final_answer(text), gold),
        "last number": same_answer(last_number(text), gold),
    }


def scorers_disagree(text: str, gold: str, recorded: bool | None) -> bool:
    """Whether the three scorers differ on a right answer. Golds that are no number have one scorer only: False."""
    try:
        Decimal(gold.replace(",", ""))
    except (InvalidOperation, AttributeError):
        return False
    return len({verdict for verdict in verdicts(text, gold, recorded).values() if verdict is not None}) > 1


def run_on(text: str) -> int:
    """Where the text runs on into a new question. One at its very beginning is a repeated question, no run-on."""
    place = new_question(text, len(text) - len(text.lstrip()) + 1)
    return len(text) if place is None else place


def steps(text: str) -> list[tuple[int, int]]:
    """The spans of a solution's steps: its lines, and the sentences within them, before it runs on."""
    text, spans, start = text[: run_on(text[:SHOWN])][:SHOWN], [], 0
    for end in [*_STEP_END.finditer(text), None]:
        stop = end.start() if end else len(text)
        if text[start:stop].strip():
            spans.append((start, stop))
        start = end.end() if end else stop
    return spans


def _result(step: str) -> str | None:
    if answer := find_answer(step):
        return "#" + answer.number
    found = _RESULT.findall(_CALCULATOR.sub("", step))
    return re.sub(r"[^\d.-]", "", found[-1]) if found else None


def divergence(text: str, reference: str) -> tuple[int, int] | None:
    """The span of the first step of `text` whose result the reference never reaches; None if there is none.

    Wording always differs, so results are compared: what a step has after its last ``=``, and the number after
    ``####`` (which is compared with the reference's final number only). Without any result in one of the two, the
    first step that differs as text, spaces and case aside.
    """
    mine, theirs = steps(text), steps(reference)
    other = [reference[start:stop] for start, stop in theirs]
    reached = {result for step in other if (result := _result(step))}
    results = [_result(text[start:stop]) for start, stop in mine]
    if any(results) and reached:
        for span, result in zip(mine, results, strict=True):
            if result is not None and result not in reached:
                return span
        return None
    plain = [" ".join(step.lower().split()) for step in other]
    for place, (start, stop) in enumerate(mine):
        if place >= len(plain) or " ".join(text[start:stop].lower().split()) != plain[place]:
            return start, stop
    return None


def _answer_span(text: str, extracted: str) -> tuple[int, int] | None:
    credited = cut_at_stop(text)
    if (found := find_answer(credited)) and same_answer(found.number, extracted):
        return found.start, found.end
    if not extracted or extracted == INVALID:
        return None
    # another rule found it: the last number of the text that equals it
    spans = [match.span() for match in _NUMBER.finditer(text) if _plain(match.group()) == _plain(extracted)]
    return spans[-1] if spans else None


def _plain(number: str) -> str:
    return re.sub(r"[$,\s]", "", number).rstrip(".")


def pieces(text: str, extracted: str, reference: str | None = None) -> list[tuple[str, str]]:
    """The text in pieces of kind ``""``, ``answer`` (what was extracted), ``diverges`` (first step that parts from
    the reference) and ``after`` (where the text runs on into a new question); of two kinds where they overlap."""
    text, left_out = text[:SHOWN], max(0, len(text) - SHOWN)
    kinds = [(run_on(text), len(text), "after")] if run_on(text) < len(text) else []
    if reference is not None and (span := divergence(text, reference)):
        kinds.append((*span, "diverges"))
    if span := _answer_span(text, extracted):
        kinds.append((*span, "answer"))
    cuts = sorted({0, len(text), *(place for start, stop, _ in kinds for place in (start, stop))})
    found = []
    for start, stop in zip(cuts, cuts[1:], strict=False):
        kind = " ".join(kind for low, high, kind in kinds if low <= start and stop <= high)
        found.append((text[start:stop], kind))
    if left_out:
        found.append((f" […] {left_out} more characters", "note"))
    return found


def fold_saw(saw: str, question: str) -> tuple[str, str]:
    """What an arm saw as (few-shot prefix, rest): the rest begins at the line that holds the question's last mention.

    Where the question does not occur (soft-only), the rest begins after the last blank line.
    """
    place = saw.rfind(question.strip()) if question.strip() else -1
    start = saw.rfind("\n", 0, place) + 1 if place >= 0 else saw.rstrip().rfind("\n\n") + 2
    return (saw[:start], saw[start:]) if start > 1 else ("", saw)
