"""Answer extraction: the rules that others score by, applied to texts that are already there.

A rule reads the answer out of a text and says when it equals the gold. Accuracy depends on it: so records are
re-scored under every rule, nothing is generated again, and a table says where the rules differ. All arms of a
comparison are always read by the same one. Every text is cut where a new question begins first, by `lab.tasks`.
`lab/tasks/ANSWERS.md` shows a hundred forms as these rules read them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.evidence.crossed import paired_difference
from lab.evidence.stats import wilson
from lab.evidence.summary import LATENT, check_records, ordered_arms
from lab.tasks import INVALID, cut_at_stop, final_answer, same_answer

if TYPE_CHECKING:
    import pandas

_OFFICIAL = re.compile(r"#### (\-?[0-9\.\,]+)")
_COT_STRICT = re.compile(r"The answer is (\-?[0-9\.\,]+).")
_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_LAST = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Extractor:
    """`extract`: text -> answer or ``[invalid]``; `same`: (answer, gold) -> whether it is right."""

    name: str
    extract: Callable[[str], str]
    same: Callable[[str, str], bool]
    source: str

    def score(self, text: str, gold: str) -> tuple[str, bool]:
        """(answer, right) of a text; ``[invalid]`` is never right."""
        answer = self.extract(cut_at_stop(text))
        return answer, answer != INVALID and self.same(answer, gold)


def official(text: str) -> str:
    """GSM8K's `extract_answer`: the first `#### number`, commas gone. A trailing period stays: `18.` is not `18`."""
    match = _OFFICIAL.search(text)
    return match.group(1).strip().replace(",", "") if match else INVALID


def harness_strict(text: str) -> str:
    """The strict filter of the harness's task gsm8k: the first `#### number`, as written."""
    match = _OFFICIAL.search(text)
    return match.group(1).strip() if match else INVALID


def harness_cot_strict(text: str) -> str:
    """The strict filter of gsm8k_cot. Its last dot is any character: a text ending `The answer is 18` gives 1."""
    match = _COT_STRICT.search(text)
    return match.group(1).strip() if match else INVALID


def harness_flexible(text: str) -> str:
    """The flexible filter: the last thing that looks like a number, punctuation and all."""
    found = _FLEXIBLE.findall(text)
    return next((part for part in found[-1] if part), INVALID).strip() if found else INVALID


def last_number(text: str) -> str:
    """The last number in the text, as plain digits."""
    found = _LAST.findall(text)
    return found[-1].replace(",", "").replace("$", "") if found else INVALID


def equal_strings(answer: str, gold: str) -> bool:
    """As in GSM8K's `is_correct`: the same characters."""
    return answer == gold.replace(",", "")


def harness_match(answer: str, gold: str) -> bool:
    """The harness's exact_match with GSM8K's ignored patterns: commas, `$`, all up to `#### `, one trailing period."""

    def kept(text: str) -> str:
        # its `(?s).*#### ` as a search from the end: tried from every position, that pattern takes quadratic time
        return re.sub(r"\.$", "", text.replace(",", "").replace("$", "").rpartition("#### ")[2]).lower()

    return kept(answer) == kept(gold)


EXTRACTORS = {
    rule.name: rule
    for rule in (
        Extractor("official", official, equal_strings, "github.com/openai/grade-school-math, dataset.py"),
        Extractor("period_safe", final_answer, same_answer, "lab.tasks.scoring, the rule of every record"),
        Extractor("harness_strict", harness_strict, harness_match, "lm-evaluation-harness, gsm8k.yaml, strict-match"),
        Extractor("harness_cot_strict", harness_cot_strict, harness_match,
                  "lm-evaluation-harness, gsm8k-cot.yaml, strict-match"),
        Extractor("harness_flexible", harness_flexible, harness_match,
                  "lm-evaluation-harness, gsm8k.yaml, flexible-extract"),
        Extractor("last_number", last_number, same_answer, "the last number of the text"),
    )
}  # fmt: skip
RECORD_RULE = "period_safe"


def extractor(name: str) -> Extractor:
    """The rule of that name. Raises LabError for an unknown one."""
    if name not in EXTRACTORS:
        raise LabError(f"extractor {name!r} is not known; choose one of {', '.join(EXTRACTORS)}.")
    return EXTRACTORS[name]


def rescore(records: Sequence[Mapping], name: str) -> list[dict]:
    """The records with every arm's `extracted` and `correct` by the rule `name`; texts stay, nothing is generated."""
    rule, rows = extractor(name), []
    for row in records:
        arms = {}
        for arm, answer in row["arms"].items():
            if "text" not in answer:
                raise LabError(f"arm '{arm}' of question {row['id']} has no text, so it cannot be scored again.")
            extracted, right = rule.score(answer["text"], row["gold"])
            arms[arm] = {**answer, "extracted": extracted, "correct": right}
        rows.append({**row, "arms": arms})
    return rows


def extraction_table(records: Sequence[Mapping], arms: Sequence[str] | None = None) -> pandas.DataFrame:
    """Per arm and rule: accuracy, interval ends, unreadable answers, and what differs from the record's rule.

    Rows are indexed by (arm, rule); fractions. `gained`: right here, wrong by the record's rule; `lost`: the reverse.
    """
    import pandas

    check_records(records)
    base = {row["id"]: row["arms"] for row in rescore(records, RECORD_RULE)}
    rows = []
    for name in EXTRACTORS:
        for row in rescore(records, name):
            for arm in arms or row["arms"]:
                answer, before = row["arms"][arm], base[row["id"]][arm]["correct"]
                rows.append((arm, name, answer["correct"], answer["extracted"] == INVALID,
                             answer["correct"] and not before, before and not answer["correct"]))  # fmt: skip
    frame = pandas.DataFrame(rows, columns=["arm", "rule", "right", "invalid", "gained", "lost"])
    counts = frame.groupby(["arm", "rule"], sort=False).sum().astype(int)
    n = len(records)
    ends = [wilson(int(right), n) for right in counts["right"]]
    table = pandas.DataFrame(
        {"accuracy": counts["right"] / n, "low": [low for low, _ in ends], "high": [high for _, high in ends],
         "n": n, "invalid": counts["invalid"], "gained": counts["gained"], "lost": counts["lost"]},
        index=counts.index,
    )  # fmt: skip
    order = [(arm, rule) for arm in ordered_arms(counts.index.levels[0]) for rule in EXTRACTORS]
    return table.loc[[key for key in order if key in table.index]]


def disagreements(records: Sequence[Mapping], limit: int = 50) -> pandas.DataFrame:
    """The answers that some rules call right and others wrong: id, arm, gold, what each rule read, the text's end.

    A rule that reads nothing in any text (the form it looks for never occurs) differs everywhere and is left out.
    Texts are plain strings as a model wrote them: a page has to escape them (a DataFrame shown in a notebook does).
    """
    import pandas

    texts = [(row, arm, answer["text"]) for row in records for arm, answer in row["arms"].items()]
    rules = {
        name: rule
        for name, rule in EXTRACTORS.items()
        if any(rule.extract(cut_at_stop(text)) != INVALID for _, _, text in texts)
    }
    rows = []
    for row, arm, text in texts:
        read = {name: rule.score(text, row["gold"]) for name, rule in rules.items()}
        if len({right for _, right in read.values()}) > 1 and len(rows) < limit:
            marks = [f"{extracted} {'✓' if right else '✗'}" for extracted, right in read.values()]
            rows.append([row["id"], arm, row["gold"], *marks, text[-60:]])
    return pandas.DataFrame(rows, columns=["id", "arm", "gold", *rules, "end of text"])


def effects_by_rule(
    records: Sequence[Mapping], better: str = LATENT, worse: Sequence[str] = ("source", "target")
) -> pandas.DataFrame:
    """`better` - each of `worse` under every rule, in points with 95 % interval, clustered by word: does a verdict hang
    on how answers are read?"""
    import pandas

    words, rows = [row.get("word", "") for row in records], {}
    for name in EXTRACTORS:
        again = rescore(records, name)
        rows[name] = {}
        for arm in worse:
            sides = [[row["arms"][side]["correct"] for row in again] for side in (better, arm)]
            found = paired_difference(*sides, words)
            ends = f"[{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
            rows[name][f"{better} - {arm}"] = f"{100 * found['difference']:+.1f} {ends}"
    return pandas.DataFrame(rows).T
