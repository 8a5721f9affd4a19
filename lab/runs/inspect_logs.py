"""Logs of Inspect, `.eval` or `.json`, by its own reader: `inspect_ai` is needed where there is such a log."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.runs.foreign import INSPECT, Samples, foreign_answer, origin_of
from lab.runs.rows import Problem, name_repeated
from lab.tasks import INVALID, final_answer, question_id

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample
    from inspect_ai.model import ChatMessage
    from inspect_ai.scorer import Score


def read_inspect(path: Path) -> Samples:
    """One log. Arms are named by scorer where there are several, and by epoch where a question was asked again.

    "Lines" are the log's samples. Raises LabError where `inspect_ai` is not installed or the file is none of its logs.
    """
    log = _log(path)
    origin = origin_of(path)
    time = origin.time if origin and origin.time else log.eval.created
    samples = Samples(path, tool=INSPECT, model=log.eval.model, task=log.eval.task, time=time)
    samples.lines = len(log.samples or [])
    if log.status != "success":
        samples.warnings.append((samples.lines, f"the evaluation ended with status '{log.status}'"))
    several = len({name for sample in log.samples or [] for name in sample.scores or {}}) > 1
    records: dict[str, dict] = {}
    numbers = []
    for number, sample in enumerate(log.samples or [], start=1):
        try:
            record = _record(sample, several, log.eval.task)
        except Problem as problem:
            samples.problems.append((number, str(problem)))
            continue
        key = str(sample.id)
        if key in records and not records[key]["arms"].keys() & record["arms"].keys():
            records[key]["arms"] |= record["arms"]  # another epoch
        elif key in records:
            samples.problems.append((number, "the same sample and epoch as before"))
        else:
            records[key] = record
            numbers.append(number)
    samples.records = list(records.values())
    for number, record in zip(numbers, samples.records, strict=True):
        samples.places.setdefault(record["id"], number)
    name_repeated(samples, numbers)
    return samples


def _log(path: Path) -> "EvalLog":
    try:
        from inspect_ai.log import read_eval_log
    except ImportError as error:
        raise LabError(
            f"{path}: logs of Inspect are read by its own package; install it with `pip install inspect-ai`."
        ) from error
    if not path.is_file():
        raise LabError(f"{path}: there is no such file; give a log of Inspect.")
    try:
        # in a thread of its own: the reader runs an event loop, and a notebook's kernel has one already
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(read_eval_log, str(path), resolve_attachments=True).result()
    except Exception as error:  # whatever a file that is no log makes of its parsers
        reason = str(error).strip().split("\n")[0]
        raise LabError(f"{path}: no log that Inspect can read ({reason}); give one of its .eval or .json logs.") from error


def _record(sample: "EvalSample", several: bool, task: str) -> dict:
    if not sample.scores:
        raise Problem("sample with an error and no score" if sample.error else "sample without a score")
    question = _question(sample)
    if not question:
        raise Problem("sample without a question")
    target = sample.target if isinstance(sample.target, str) else " | ".join(sample.target)
    answer = final_answer(target)
    arms = {}
    for name, score in sample.scores.items():
        epoch = f"epoch {sample.epoch}" if sample.epoch > 1 else ""
        arms[" ".join(filter(None, (name if several else "", epoch)))] = _answer(sample, score)
    return {
        "id": question_id(question), "question": question, "cell": task, "word": "", "arms": arms, "gold_text": target,
        "gold": _chosen(sample, target) if answer == INVALID else answer,
    }  # fmt: skip


def _chosen(sample: "EvalSample", said: str) -> str:
    """What a letter stands for where the question offers choices; anything else as it is."""
    said = said.strip()
    place = ord(said) - ord("A") if len(said) == 1 else -1
    return sample.choices[place].strip() if sample.choices and 0 <= place < len(sample.choices) else said


def _question(sample: "EvalSample") -> str:
    """The input; of a conversation what the user said last."""
    if isinstance(sample.input, str):
        return sample.input.strip()
    said = [message.text for message in sample.input if message.role == "user"]
    return said[-1].strip() if said else ""


def _answer(sample: "EvalSample", score: "Score") -> dict:
    usage = sample.output.usage
    return foreign_answer(
        text=sample.output.completion, extracted=_chosen(sample, score.answer or "") or None, correct=_correct(score.value),
        saw=_saw(sample.messages) or None,
        prompt_tokens=usage.input_tokens if usage else None, new_tokens=usage.output_tokens if usage else None,
    )  # fmt: skip


def _correct(value: object) -> bool | None:
    """Inspect's letters and numbers: C and 1 are right, I, N (no answer) and 0 wrong; anything between is neither."""
    known = {"C": True, "I": False, "N": False, 1: True, 0: False}
    return known.get(value) if isinstance(value, str | int | float) else None


def _saw(messages: "list[ChatMessage]") -> str:
    """The conversation before the last answer, a line with the speaker above each message."""
    last = max((place for place, message in enumerate(messages) if message.role == "assistant"), default=len(messages))
    return "\n\n".join(f"[{message.role}]\n{message.text}" for message in messages[:last])
