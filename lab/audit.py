"""Reported numbers against raw rows: what was reported, what the rows or the log give, the difference, a verdict.

`verdicts` judges every number of `lab.reported`. The tables below it show what the numbers meant: which text an arm
saw, how many soft tokens were really used, which settings were the same, what a KV cache holds.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import mean, median

from scipy.stats import binom

from lab.errors import LabError
from lab.legacy import RunFiles, find_runs, read_step
from lab.logs import FINAL, log_text
from lab.records import write_text
from lab.reported import CLAIMS, REPORTED, RUNS, Reported
from lab.stats import mcnemar, wilson
from lab.summarize import COLUMNS, summarize
from lab.tables import format_p
from lab.tasks.gsm8k import GSM8K
from lab.tasks.scoring import INVALID, STOP, final_answer, same_answer

ROOT = Path(__file__).resolve().parents[1]
AGREES, DIFFERS, ABSENT = "agrees", "differs", "rows not here"
UNCHECKABLE = "nothing to check it by"
# Largest difference that is rounding: half of the last digit given, more where the document says "about".
ROUNDING = {"%": 0.051, "points": 0.051, "n": 0, "tokens": 0, "x": 0.051, "MiB": 0.5, "M": 0.51, "GPU h": 0.5}
PATHS = ("log_dir", "save_path", "run_dir")  # settings that say where, not what

# Shape of the key-value cache, from the models' published configs.
MODELS = {
    "Llama-3.1-8B": {"layers": 32, "kv_heads": 8, "heads": 32, "head_dim": 128, "width": 4096},
    "Mistral-7B-v0.3": {"layers": 32, "kv_heads": 8, "heads": 32, "head_dim": 128, "width": 4096},
}
# Tokens of the 1 319 GSM8K test questions without BOS, counted once with the models' own tokenizers.
QUESTION_TOKENS = {
    "Llama-3.1-8B": {"mean": 59.0, "median": 55, "max": 185, "questions": 1319},
    "Mistral-7B-v0.3": {"mean": 64.9, "median": 61, "max": 189, "questions": 1319},
}


def find_folder(path: str | Path) -> Path | None:
    """`path` as a folder, from the working directory or else from the repository's root; None where there is none."""
    for candidate in (Path(path), ROOT / path):
        if str(path) and candidate.is_dir():
            return candidate.resolve()
    return None


def find_archive(path: str | Path) -> list[RunFiles]:
    """The runs below `path`; none, rather than an error, where the folder is missing or empty."""
    folder = find_folder(path)
    try:
        return find_runs(folder) if folder else []
    except LabError:
        return []


class Archive:
    """Archived runs with their counts, read once. An empty one is fine: then nothing can be recomputed."""

    def __init__(self, path: str | Path, question_tokens: Mapping = QUESTION_TOKENS):
        self.runs, self.reports = find_archive(path), []
        self.tokens = question_tokens
        self.steps = summarize(find_folder(path), self.reports) if self.runs else []
        self._of = {(entry["run"], entry["step"]): entry for entry in self.steps}

    def run(self, short: str) -> RunFiles | None:
        """The run that the documents mean by one of the names in RUNS; None if it is not here."""
        found = [run for run in self.runs if re.search(RUNS[short], run.name)]
        return max(found, key=lambda run: (len(run.log.evaluations), len(run.steps)), default=None)

    def step(self, short: str, step: int | str) -> Mapping | None:
        """What `summarize` says of a step; step "peak" is the best evaluation while training."""
        run = self.run(short)
        if run is None or step != "peak":
            return self._of.get((run.name, step)) if run else None
        looks = [entry for entry in self.steps if entry["run"] == run.name and entry["step"] != FINAL]
        return max(looks, key=lambda entry: _either(entry, "bridged_acc")[0] or 0, default=None)

    def label(self, run: RunFiles) -> str:
        """The short name that the documents' run has in RUNS, or else the run's own name."""
        return next((short for short in RUNS if self.run(short) is run), run.name)

    def records(self, run: RunFiles, step: int | str) -> list[dict]:
        return read_step(run.step(step).path).records


def _either(entry: Mapping | None, name: str) -> tuple[float | None, str]:
    """A number of a step with its basis: from the rows, or else from the log."""
    if entry is None:
        return None, ""
    if entry[name] is not None:
        return entry[name], "rows"
    logged = (entry["log"] or {}).get(name)
    return (logged, "log") if logged is not None else (None, "")


# --- how each kind of number is recomputed: (value, basis) ------------------------------------------------------------


def _accuracy(archive: Archive, short: str, step, arm: str):
    value, basis = _either(archive.step(short, step), COLUMNS[arm])
    return (None if value is None else 100 * value), basis


def _invalid(archive: Archive, short: str, step, arm: str):
    entry = archive.step(short, step)
    value = entry["bridged_invalid"] if entry and arm == "latent" else None
    return value, "rows" if value is not None else ""


def _gap(archive: Archive, short: str, step):
    (latent, basis), (target, _) = (_accuracy(archive, short, step, arm) for arm in ("latent", "target"))
    return (None, "") if None in (latent, target) else (latent - target, basis)


def _config(archive: Archive, short: str, key: str):
    run = archive.run(short)
    value = run.log.config.get(key) if run else None
    return value, "log" if value is not None else ""


def _soft_tokens(archive: Archive, short: str):
    run = archive.run(short)
    return (run.log.soft_tokens, "log") if run and run.log.soft_tokens is not None else (None, "")


def _log_number(archive: Archive, short: str, pattern: str):
    run = archive.run(short)
    found = re.search(pattern, log_text(run.log_path)) if run and run.log_path else None
    return (float(found[1]), "log") if found else (None, "")


def _sweep_hours(archive: Archive, gpus: int):
    """Hours from the first start to the last end in a sweep's summary.log, times its GPUs."""
    run = archive.run("sweep")
    text = log_text(run.summary_path) if run and run.summary_path else ""
    times = [datetime.strptime(f"{a} {b}", "%b %d %H:%M:%S %Y") for a, b in re.findall(
        r"^(?:Start|End): \w+ (\w+ +\d+ [\d:]+) \w+ (\d+)", text, re.M)]  # fmt: skip
    return (gpus * (max(times) - min(times)).total_seconds() / 3600, "log") if times else (None, "")


def _quotient(archive: Archive, above: float, below: float):
    return above / below, "arithmetic"


def _compression(archive: Archive, soft_tokens: int):
    """Tokens of the mean question, as the target counts them, per soft token."""
    return archive.tokens["Llama-3.1-8B"]["mean"] / soft_tokens, "tokenizer"


def _kv(archive: Archive, tokens: int):
    return tokens * kv_bytes_per_token("Llama-3.1-8B") / 2**20, "config"


def _none(archive: Archive):
    return None, ""


MEASURES = {
    "accuracy": _accuracy, "invalid": _invalid, "gap": _gap, "config": _config, "soft_tokens": _soft_tokens,
    "log_number": _log_number, "sweep_hours": _sweep_hours, "quotient": _quotient, "compression": _compression,
    "kv": _kv, "none": _none,
}  # fmt: skip


def verdicts(archive: Archive, documents: str | Path = "", reported: Iterable[Reported] = REPORTED) -> list[dict]:
    """One row per reported number.

    ``{"place", "what", "reported", "unit", "recomputed", "basis", "difference", "verdict", "reread", "note",
    "quote_found"}``. `basis` is rows, log, config, tokenizer or arithmetic; `verdict` is "agrees", "differs", "rows
    not here" or "nothing to check it by"; `quote_found` is whether the quote stands in its line of the document
    (None where `documents` does not hold it).
    """
    folder, rows = find_folder(documents), []
    for item in reported:
        value, basis = MEASURES[item.measure[0]](archive, *item.measure[1:])
        if value is None:
            verdict = UNCHECKABLE if item.measure[0] == "none" else ABSENT
        else:
            verdict = AGREES if abs(value - item.value) <= ROUNDING[item.unit] + 1e-9 else DIFFERS
        rows.append(
            {
                "place": item.place,
                "what": item.what,
                "reported": item.value,
                "unit": item.unit,
                "recomputed": None if value is None else round(value, 2),
                "basis": basis or None,
                "difference": None if value is None else round(value - item.value, 2),
                "verdict": verdict,
                "reread": item.reread,
                "note": item.note,
                "quote_found": _quote_found(item, folder),
            }
        )
    return rows


def _quote_found(item: Reported, folder: Path | None) -> bool | None:
    try:
        lines = (folder / item.document).read_text("utf-8").split("\n") if folder else None
    except (OSError, ValueError):
        return None
    return None if lines is None else item.line <= len(lines) and _plain(item.quote) in _plain(lines[item.line - 1])


def _plain(text: str) -> str:
    """Text without the difference of typographic spaces and dashes."""
    return re.sub("[\u2010-\u2015\u2212]", "-", " ".join(text.split()))


def verdict_counts(rows: Sequence[Mapping]) -> list[dict]:
    """How many numbers of each document agree, differ, or cannot be checked here; how many quotes were found in it."""
    order = (AGREES, DIFFERS, ABSENT, UNCHECKABLE)
    documents = list(dict.fromkeys(row["place"].split(":")[0] for row in rows))
    counts = Counter((row["place"].split(":")[0], row["verdict"]) for row in rows)
    found = Counter(row["place"].split(":")[0] for row in rows if row["quote_found"])
    return [
        {"document": name} | {verdict: counts[name, verdict] for verdict in order} | {"quotes found": found[name]}
        for name in documents
    ]


# --- the leak ---------------------------------------------------------------------------------------------------------

_EXAMPLE = re.compile(
    r"--- Example (\d+) ---\n(?:(?!--- Example ).)*?^Gold answer: ([^\n]*)\n(?:(?!--- Example ).)*?^Bridged: ([^\n]*)\n"
    r"(?:Bridged generation start: ((?:(?!\n--- Example|\n=====).)*))?",
    re.S | re.M,
)
_EVALUATED = re.compile(r"^\[(?:Eval\] Step (\d+)|Final Eval\]).*Bridged acc: ([\d.]+)", re.M)


def leak_examples(archive: Archive, short: str = "sweep") -> list[dict]:
    """What the target generated, as the old log shows it: per evaluation and example the gold answer and the text.

    A solution would be written before its result and marked with ``####``. Text that starts in the middle of a sum,
    repeats one fragment and holds the gold number without a step is the continuation of a solution already read.
    """
    run = archive.run(short)
    if run is None or run.log_path is None:
        return []
    text, rows, begin = log_text(run.log_path), [], 0
    for evaluated in _EVALUATED.finditer(text):
        for number, gold, answer, start in _EXAMPLE.findall(text[begin : evaluated.start()]):
            generated = " ".join(start.split())
            rows.append(
                {
                    "step": int(evaluated[1]) if evaluated[1] else FINAL,
                    "accuracy, %": round(100 * float(evaluated[2]), 1),
                    "example": int(number),
                    "gold": gold.strip(),
                    "scored as": answer.strip()[:24],
                    "generated": generated[:90],
                    "holds the gold number": gold.strip() in generated,
                    "repeats": bool(re.search(r"(\S.{0,11}?)\1{2,}", generated)),
                    "marks its answer": "####" in generated,
                }
            )
        begin = evaluated.end()
    return rows


# --- settings ---------------------------------------------------------------------------------------------------------


def settings_table(archive: Archive) -> list[dict]:
    """What each run's log says of soft tokens and of the text that the target read, beside what came of it."""
    rows = []
    for run in archive.runs:
        config, log = run.config, run.log
        rows.append(
            {
                "run": archive.label(run),
                "folder": run.name,
                "direction": f"{_model(config.get('source_model'))} → {_model(config.get('target_model'))}",
                "soft tokens set": config.get("soft_tokens"),
                "soft tokens used": log.soft_tokens,
                "injection": config.get("soft_injection"),
                "evaluation mode": config.get("eval_prompt_mode"),
                "questions": config.get("eval_samples"),
                "status": run.status.replace("_", " "),
                "last step": log.last_step,
                "steps planned": log.steps_planned,
            }
        )
    return rows


def _model(name) -> str:
    return str(name).split("/")[-1] if name else "?"


def same_settings(archive: Archive, ignored: Sequence[str] = PATHS) -> list[dict]:
    """Each pair of runs with a logged configuration: the settings in which they differ, places apart.

    Two runs without any difference are replicates: what lies between their results is noise.
    """
    runs = [run for run in archive.runs if run.log.config]
    rows = []
    for index, one in enumerate(runs):
        for other in runs[index + 1 :]:
            a, b = one.log.config, other.log.config
            keys = sorted(key for key in a.keys() | b.keys() if key not in ignored and a.get(key) != b.get(key))
            verdict = "the same settings: replicates" if not keys else f"{len(keys)} settings differ"
            differing = ", ".join(keys[:12]) + (f" and {len(keys) - 12} more" if len(keys) > 12 else "")
            rows.append(
                {"run": archive.label(one), "and": archive.label(other), "verdict": verdict, "differ in": differing}
            )
    return rows


def saw_table(archive: Archive) -> list[dict]:
    """Per run (last file) and arm: what it read, and whether compression may be claimed for it."""
    rows = []
    for run in archive.runs:
        records = archive.records(run, run.steps[-1].step) if run.steps else []
        for arm in ("source", "target", "latent"):
            if not (records and arm in records[0]["arms"]):
                continue
            answer = records[0]["arms"][arm]
            saw = answer["saw"]
            rows.append(
                {
                    "run": archive.label(run),
                    "arm": arm,
                    "soft tokens": answer["soft_tokens"],
                    "reads the question as text": answer["context_aware"],
                    "characters of text": None
                    if saw is None
                    else round(mean(_characters(row, arm) for row in records)),
                    "of them the question": round(mean(len(row["question"]) for row in records)),
                    "compression claimable": _claimable(answer),
                    "starts": None if saw is None else saw[:60],
                }
            )
    return rows


def _characters(record: Mapping, arm: str) -> int:
    """Characters of the text that an arm read, without the mark of the soft tokens."""
    return len(re.sub(r"^<soft×[^>]*>", "", record["arms"].get(arm, {}).get("saw") or ""))


def _claimable(answer: Mapping) -> str:
    if answer["soft_tokens"] == 0:
        return "no soft tokens"
    if answer["context_aware"] is None:
        return "not known: no settings in the log"
    return "no: the text is there" if answer["context_aware"] else "if fewer than the question's tokens"


_LAYOUT = re.compile(
    r"LABEL ALIGNMENT DIAGNOSTIC.*?Input embeddings shape: torch\.Size\(\[\d+, (\d+), .*?"
    r"Supervised tokens per sample: \[([\d, ]+)\]",
    re.S,
)


def training_layout(archive: Archive) -> list[dict]:
    """What the target read in training, from the log's diagnostic of one batch, beside what it read when evaluated.

    The longest sample fills its row: positions that are neither soft tokens nor supervised answer would be the
    question. None are left where the target was trained without the question and evaluated with it.
    """
    rows = []
    for run in archive.runs:
        found = _LAYOUT.search(log_text(run.log_path)) if run.log_path else None
        if not found:
            continue
        positions, longest = int(found[1]), max(int(count) for count in found[2].split(",") if count.strip())
        # an adapter adds to the embeddings of the text, it takes no positions of its own
        soft = 0 if run.log.config.get("soft_injection") == "adapter" else run.log.soft_tokens or 0
        rows.append(
            {
                "run": archive.label(run),
                "positions": positions,
                "soft tokens": soft,
                "answer tokens": longest,
                "left for the question": positions - soft - longest,
                "evaluated with": run.log.config.get("eval_prompt_mode"),
            }
        )
    return rows


# --- statistics -------------------------------------------------------------------------------------------------------


def paired_table(archive: Archive) -> list[dict]:
    """Every archived file: latent against target on the same questions, with intervals; the oracle of both models."""
    rows = []
    for run in archive.runs:
        for file in run.steps:
            records = {record["id"]: record for record in read_step(file.path).records}
            complete = [r["arms"] for r in records.values() if {"source", "target", "latent"} <= r["arms"].keys()]
            if not complete:
                continue
            n = len(complete)
            right = {arm: [arms[arm]["correct"] for arms in complete] for arm in ("source", "target", "latent")}
            test = mcnemar(right["latent"], right["target"])
            low, high = wilson(sum(right["latent"]), n)
            either = sum(a or b for a, b in zip(right["source"], right["target"], strict=True))
            rows.append(
                {
                    "run": archive.label(run),
                    "step": file.step,
                    "n": n,
                    "latent": sum(right["latent"]),
                    "latent %": f"{100 * sum(right['latent']) / n:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
                    "target": sum(right["target"]),
                    "only latent right": test["only_a"],
                    "only target right": test["only_b"],
                    "difference, points": "{:+.1f} [{:+.1f}, {:+.1f}]".format(
                        *(100 * value for value in (test["difference"], *test["ci95"]))
                    ),
                    "p (exact McNemar)": format_p(test["p"]),
                    "source or target right": either,
                }
            )
    return rows


def scorer_table(archive: Archive) -> list[dict]:
    """The latent arm by two readings of the same texts: the run's own (the first ``####`` anywhere) and this
    workbench's (the first one before the next ``Q:``). They part where the model first repeats the question."""
    rows = []
    for run in archive.runs:
        for file in run.steps:
            answers = [(row["arms"]["latent"], row["gold"]) for row in read_step(file.path).records if
                       (row["arms"].get("latent") or {}).get("text") is not None]  # fmt: skip
            if not answers:
                continue
            rows.append(
                {
                    "run": archive.label(run),
                    "step": file.step,
                    "n": len(answers),
                    "right as recorded": sum(answer["correct"] for answer, _ in answers),
                    "right before the next Q:": sum(same_answer(final_answer(a["text"]), gold) for a, gold in answers),
                    "text begins with Q:": sum(answer["text"].lstrip().startswith(STOP) for answer, _ in answers),
                    "invalid as recorded": sum(answer["extracted"] == INVALID for answer, _ in answers),
                }
            )
    return rows


def selection_bias(accuracy: float, n: int, looks: int) -> float:
    """How far the best of `looks` evaluations is expected to exceed a true `accuracy` by chance alone (a fraction).

    Expectation of the largest of independent binomial shares. Looks at one set of questions are not independent, so
    this bounds the bias from above.
    """
    if not 0 <= accuracy <= 1 or n < 1 or looks < 1:
        raise LabError(
            f"selection_bias: accuracy {accuracy}, n {n}, looks {looks}: give a fraction and counts above 0."
        )
    # E[max] = sum over k of P(max > k)
    return sum(1 - binom.cdf(k, n, accuracy) ** looks for k in range(n)) / n - accuracy


# --- cost -------------------------------------------------------------------------------------------------------------


def kv_bytes_per_token(model: str, kv_heads: int | None = None) -> int:
    """Bytes of keys and values per token in bf16: layers x 2 x key-value heads x head width x 2."""
    shape = MODELS[model]
    return shape["layers"] * 2 * (kv_heads or shape["kv_heads"]) * shape["head_dim"] * 2


def kv_table() -> list[dict]:
    """The KV cache of the token counts in the documents: as reported, and with the model's own number of heads."""
    rows = []
    for tokens, reported in ((86, 43), (102, 51), (118, 59)):
        own = kv_bytes_per_token("Llama-3.1-8B")
        full = kv_bytes_per_token("Llama-3.1-8B", MODELS["Llama-3.1-8B"]["heads"])
        rows.append(
            {
                "tokens": tokens,
                "reported, MB": reported,
                "8 key-value heads, MiB": tokens * own / 2**20,
                "with 32 heads it would be, MiB": tokens * full / 2**20,
                "KiB per token": own // 1024,
            }
        )
    return rows


def compression_table(tokens: Mapping = QUESTION_TOKENS, text_bytes: float | None = None) -> list[dict]:
    """Soft tokens against the tokens of the question alone (the target's count), and bytes on the wire in bf16."""
    target, width = tokens["Llama-3.1-8B"], MODELS["Llama-3.1-8B"]["width"]
    rows = []
    for soft, reported in ((8, None), (16, None), (32, 4.7), (48, 3.1), (64, 2.3), (128, None), (2048, None)):
        saved = target["mean"] - soft
        rows.append(
            {
                "soft tokens": soft,
                "reported ratio": reported,
                "mean question / soft tokens": round(target["mean"] / soft, 2),
                "median question / soft tokens": round(target["median"] / soft, 2),
                "KV saved without the question, MiB": round(saved * kv_bytes_per_token("Llama-3.1-8B") / 2**20, 2),
                "soft tokens on the wire, KiB": soft * width * 2 / 1024,
                "question as text, KiB": None if text_bytes is None else round(text_bytes / 1024, 2),
            }
        )
    return rows


def question_bytes(archive: Archive) -> float | None:
    """Mean UTF-8 bytes of the archived questions; None without rows."""
    for run in archive.runs:
        if run.steps:
            return mean(len(row["question"].encode("utf-8")) for row in archive.records(run, run.steps[-1].step))
    return None


def count_tokens(questions: Sequence[str], tokenizers: Mapping[str, str | Path]) -> dict:
    """QUESTION_TOKENS counted anew, where `tokenizers` names a folder with a `tokenizer.json` for a model.

    Raises LabError where a folder is named that has none.
    """
    counted = dict(QUESTION_TOKENS)
    for model, place in tokenizers.items():
        if not str(place):
            continue
        folder = find_folder(place)
        if folder is None or not (folder / "tokenizer.json").is_file():
            raise LabError(f"{place} has no tokenizer.json; give the folder of {model}'s tokenizer, or nothing.")
        from tokenizers import Tokenizer

        coder = Tokenizer.from_file(str(folder / "tokenizer.json"))
        lengths = [len(found.ids) for found in coder.encode_batch(list(questions), add_special_tokens=False)]
        counted[model] = {"mean": round(mean(lengths), 1), "median": median(lengths), "max": max(lengths),
                          "questions": len(lengths)}  # fmt: skip
    return counted


def question_tokens(gsm8k: str | Path, tokenizers: Mapping[str, str | Path]) -> dict:
    """QUESTION_TOKENS, counted anew on the GSM8K test questions in the folder `gsm8k` where a tokenizer is named."""
    if not any(str(place) for place in tokenizers.values()):
        return dict(QUESTION_TOKENS)
    folder = find_folder(gsm8k)
    if folder is None:
        raise LabError(f"{gsm8k} is no folder; give one with GSM8K's test.jsonl, or name no tokenizer.")
    return count_tokens([question.question for question in GSM8K(folder).test()], tokenizers)


def claims_table() -> list[dict]:
    """What the documents claim, whether it stands, and why."""
    return [{"place": c.place, "claim": c.claim, "verdict": c.verdict, "why": c.why} for c in CLAIMS]


def write_audit(folder: str | Path, rows: Sequence[Mapping], archive: Archive) -> Path:
    """Write `audit.json`: all verdicts, the paired tests, the claims, and what could not be read; returns its path."""
    path = Path(folder) / "audit.json"
    audit = {"counts": verdict_counts(rows), "verdicts": list(rows), "paired": paired_table(archive),
             "claims": claims_table(), "reports": archive.reports}  # fmt: skip
    write_text(path, json.dumps(audit, indent=2, ensure_ascii=False) + "\n")
    return path
