"""A prompt that another tool wrote, as the parts of a layout: which text is the question, and what stands before it.

Q: question / A:                    exemplars and question, each behind its label
Question: question / Answer:        the same by the other labels: gsm8k, ARC
question / A. .. / B. .. / Answer:  no label before the question, as in MMLU: it follows the last exemplar
"""

from __future__ import annotations

import re

from lab.errors import LabError

_CUE = re.compile(r"\n(?P<cue>A|Answer):\s*\Z")  # where a prompt ends and its answer begins
_LABELS = {"A": re.compile(r"(?:^|(?<=\n))Q:[ \t]*"), "Answer": re.compile(r"(?:^|(?<=\n))Question:[ \t]*")}
_OTHER_LABEL = re.compile(r"(^|\n)(Q|A)(?:uestion|nswer):")


def split_prompt(prompt: str, instruction: str = "") -> dict[str, str]:
    """A prompt that ends in `A:` or `Answer:` as the parts of a layout: instruction, shots and question.

    `shots` is all that stands before the question, under the labels of lab's layouts (`Q:`, `A:`). Without a label
    the question begins after the blank line behind the last exemplar's answer; where no exemplar is, all is question:
    no text is lost to the source. Raises LabError for a prompt of another form.
    """
    end = _CUE.search(prompt)
    if end is None:
        raise LabError(
            f"harness: the prompt {prompt[-60:]!r} does not end in `A:` or `Answer:` after a question, so the source "
            "has no question to read; use a task of that form, such as gsm8k or arc_easy, or set its doc_to_text."
        )
    start, begins = _question_at(prompt[: end.start()], end["cue"])
    shots, question = _OTHER_LABEL.sub(r"\1\2:", prompt[:start]), prompt[begins : end.start()].rstrip()
    head = instruction if instruction and shots.startswith(instruction) else ""
    if not question.strip():
        raise LabError(f"harness: the prompt {prompt[-60:]!r} has no question before its answer.")
    return {"instruction": head, "shots": shots[len(head) :], "question": question}


def _question_at(body: str, cue: str) -> tuple[int, int]:
    """Where the last question's block begins in the text before its cue, and where its own words do."""
    answered = body.rfind(f"\n{cue}:")
    labels = [label for label in _LABELS[cue].finditer(body) if label.start() > answered]
    if labels:
        return labels[-1].start(), labels[-1].end()
    if answered < 0:
        return 0, 0
    blank = body.find("\n\n", answered)
    if blank < 0:
        raise LabError(f"harness: no blank line ends the exemplar before {body[-60:]!r}; give the task one.")
    return blank + 2, blank + 2
