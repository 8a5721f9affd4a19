"""A user's own questions: one JSON object per line, read and judged by one of a few scorers.

    {"question": "What is the capital of Peru?", "answer": "Lima"}

`answer`: what `scorer` reads: a number or a phrase; a worked solution may stand before it, ending in ``#### answer``.
For `choice` it is one of `choices` (a list of texts, shown behind letters of which one is the answer), by its letter or
its text, or one of `continuations` (texts that are not shown: the answer is one of them). Either way the likeliest
option is taken, by the sum of its log-probabilities, or with `choice_per_character` by that sum per character: see
`lab.tasks.choosing`. Optional: `evidence` (text for the source
alone, or for both models: the config's `evidence`), `cell` (a path such as ``capitals/europe``; its prefixes are the
groups of the summary), `word` (questions about one word are one cluster), `split` (train, dev or test, in every row or
in none). Other keys are left alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from string import ascii_uppercase

from lab.errors import LabError
from lab.tasks.choosing import MARKER, marked
from lab.tasks.contract import Question, check_text, question_id
from lab.tasks.json_lines import json_lines
from lab.tasks.normalised import normalised_id
from lab.tasks.pooled import PooledTask
from lab.tasks.scorers import SCORERS
from lab.tasks.scoring import INVALID

KEYS = ("question", "answer", "evidence", "cell", "word", "split", "choices", "continuations")
SPLITS = ("train", "dev", "test")
TEST_SHARE, DEV_SHARE = 1 / 3, 1 / 6
EXEMPLARS = 8  # at most; of a small file a quarter of what is left for training


class Jsonl(PooledTask):
    """`data`: the file. `scorer`: one of `SCORERS`. `evidence`: "source" or "both" read that column.

    Without a column `split`, the hash of its text puts a question into test (a third), dev (a sixth) or train, so that
    a file may grow and no question moves; where it names no dev, a sixth of train is dev. Exemplars are taken from
    train.
    """

    name = "jsonl"
    takes = ("data", "evidence", "scorer")
    needs = ("data", "scorer")
    evidence_may_answer = True  # whose question it is says what its source may know

    def __init__(self, data: str, evidence: str = "source", scorer: str = "exact") -> None:
        self.data, self.evidence, self.scorer = Path(data), evidence, scorer
        chosen = SCORERS[scorer]
        self.instruction, self.max_new_tokens = chosen.instruction, chosen.max_new_tokens
        self.extract, self.answer_end = chosen.extract, chosen.answer_end
        self.correct, self.grades, self.chooses = chosen.correct, chosen.grades, chosen.chooses

    @property
    def most_shots(self) -> int:
        return len(self.parts["exemplars"])

    @cached_property
    def parts(self) -> dict[str, list[Question]]:
        rows = self._rows()
        parts: dict[str, list[Question]] = {split: [] for split in SPLITS}
        named = {split for _, _, split in rows}
        for question, share, split in rows:
            if not split:
                split = "test" if share < TEST_SHARE else "dev" if share < TEST_SHARE + DEV_SHARE else "train"
            elif split == "train" and "dev" not in named and share < DEV_SHARE:
                split = "dev"
            parts[split].append(question)
        pool = sorted(parts["train"], key=lambda question: question.id)
        shown = min(EXEMPLARS, len(pool) // 4)
        parts |= {"exemplars": pool[:shown], "train": pool[shown:]}
        if empty := [split for split in SPLITS if not parts[split]]:
            raise LabError(
                f"{self.data}: its {len(rows)} rows give no {empty[0]} questions; add rows, or say `split` in each."
            )
        return parts

    def _rows(self) -> list[tuple[Question, float, str]]:
        """Each question with a fraction from the hash of its text, and the split that its row names."""
        found, seen, named = [], {}, {}
        for where, row in _objects(self.data):
            asked, question = self._question(row, where)
            content = normalised_id(asked)
            if content in seen:
                raise LabError(f"{where}: the same question as {seen[content]}; remove one, or say what differs.")
            seen[content] = where
            split = _text(row, "split", where)
            if split not in ("", *SPLITS):
                raise LabError(f"{where}: split is {split!r}; choose one of {', '.join(SPLITS)}.")
            named.setdefault(bool(split), where)
            found.append((question, int(content, 16) / 16 ** len(content), split))
        if len(named) == 2:
            raise LabError(f"{named[False]}: no `split`, but {named[True]} has one; say it in every row or in none.")
        return found

    def _question(self, row: Mapping, where: str) -> tuple[str, Question]:
        """The question as it is asked, choices and all, and what becomes of the row."""
        asked, evidence = _text(row, "question", where), _text(row, "evidence", where)
        if not asked:
            raise LabError(f'{where}: a row needs a text "question".')
        if not self.chooses and (given := row.keys() & {"choices", "continuations"}):
            raise LabError(f"{where}: {min(given)} are read by scorer='choice', not by {self.scorer!r}.")
        shown, options = _options(row, where) if self.chooses else ([], ())
        asked = "\n".join([asked, *map("{}) {}".format, ascii_uppercase, shown)])
        solution = _solution(row.get("answer"), shown, where)
        gold = self.extract(solution)
        if self.chooses:
            solution = marked(self._option(options, solution, where))
        if gold == INVALID:
            raise LabError(f"{where}: the answer {solution[-60:]!r} is none that scorer={self.scorer!r} reads.")
        check_text(where, asked, solution, evidence, *options)
        shown, alone = (f"{evidence}\n{asked}", "") if self.evidence == "both" else (asked, f"{evidence}\n")
        cell, word = _text(row, "cell", where) or self.data.stem, _text(row, "word", where)
        given = {"question": shown, "evidence": alone} if evidence else {"question": asked}
        return asked, Question(question_id(asked), answer=solution, gold=gold, cell=cell, word=word, choices=options,
                               **given)  # fmt: skip

    def _option(self, options: tuple[str, ...], solution: str, where: str) -> str:
        """The option that is the answer; a choice is made at once, so nothing may be worked out before it."""
        if not solution.startswith(MARKER):
            raise LabError(f"{where}: with scorer={self.scorer!r} no solution stands before the answer; leave it out.")
        read = [self.extract(marked(option)) for option in options]
        same = [option for option, one in zip(options, read, strict=True) if self.correct(self.extract(solution), one)]
        if twins := [one for one in read if sum(self.correct(one, other) for other in read) != 1]:
            raise LabError(f"{where}: two options are read alike, as {twins[0]!r}; reword one.")
        if not same:
            raise LabError(f"{where}: the answer {solution[-60:]!r} is none of its options {', '.join(options)[:80]}.")
        return same[0]


def _objects(path: Path) -> list[tuple[str, Mapping]]:
    """The rows of a file, each an object whose keys are none of ours misspelt."""
    if not path.is_file():
        raise LabError(f"{path} is no file; data= must be a .jsonl file with a question and an answer in each line.")
    rows = json_lines(path)
    for where, row in rows:
        if not isinstance(row, dict):
            raise LabError(f"{where}: a {type(row).__name__} where a JSON object belongs; one object per line.")
        for key in row.keys() - set(KEYS):
            near = difflib.get_close_matches(key.casefold(), KEYS, n=1, cutoff=0.8)
            if near and near[0] not in row:
                raise LabError(f"{where}: the key {key!r} is not known; did you mean {near[0]!r}?")
    if not rows:
        raise LabError(f"{path} holds no rows.")
    return rows


def _text(row: Mapping, key: str, where: str) -> str:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise LabError(f"{where}: {key} is a {type(value).__name__}, not a text.")
    return (value or "").strip()


def _options(row: Mapping, where: str) -> tuple[list[str], tuple[str, ...]]:
    """(the choices that are shown behind letters, the options that are scored: those letters, or continuations)."""
    given = [name for name in ("choices", "continuations") if row.get(name) is not None]
    if len(given) != 1:
        raise LabError(f"{where}: scorer='choice' needs choices, which are shown, or continuations, and not both.")
    texts = row[given[0]]
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise LabError(f"{where}: {given[0]} is not a list of texts.")
    texts = [" ".join(text.split()) for text in texts]
    if not 2 <= len(set(texts)) == len(texts) <= len(ascii_uppercase):
        raise LabError(f"{where}: give from 2 to {len(ascii_uppercase)} {given[0]}, each once.")
    if given == ["choices"]:
        return texts, tuple(ascii_uppercase[: len(texts)])
    if wrong := [text for text in texts if MARKER in text]:
        raise LabError(f"{where}: the continuation {wrong[0][:60]!r} holds {MARKER!r}, which marks an answer.")
    return [], tuple(texts)


def _solution(answer: object, choices: list[str], where: str) -> str:
    """The gold text, ending in ``#### answer``; one of `choices` is answered by its letter."""
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        answer = str(answer)
    if not isinstance(answer, str) or not answer.strip():
        raise LabError(f'{where}: a row needs an "answer", a text or a number.')
    *worked, said = answer.strip().rpartition("####")
    said = said.strip()
    if "\n" in said:
        raise LabError(f"{where}: the answer has several lines; end it in a line '#### answer'.")
    if said in choices:
        letter = ascii_uppercase[choices.index(said)]
        if said in tuple(ascii_uppercase[: len(choices)]) and said != letter:
            raise LabError(f"{where}: the answer {said!r} is a choice and the letter of another; reword the choices.")
        said = letter
    return f"{worked[0].rstrip()}\n#### {said}".lstrip()
