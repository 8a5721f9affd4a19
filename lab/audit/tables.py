"""What the reported numbers meant: settings, the text each arm saw, paired results, the texts behind a leak.

Each function gives rows for `lab.pictures.tables.table`; without archived runs there are none.
"""

import re
from collections.abc import Mapping, Sequence
from statistics import mean

from scipy.stats import binom

from lab.audit.archive import Archive
from lab.errors import LabError
from lab.evidence import mcnemar, wilson
from lab.pictures import WILSON, format_p
from lab.runs import FINAL, log_text
from lab.tasks import INVALID, STOP, final_answer, same_answer

PATHS = ("log_dir", "save_path", "run_dir")  # settings that say where, not what
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
        records = archive.last(run)
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


def paired_table(archive: Archive) -> list[dict]:
    """Every archived file: latent against target on the same questions, with intervals; the oracle of both models."""
    rows = []
    for run in archive.runs:
        for file in run.steps:
            records = {record["id"]: record for record in archive.read(file)}
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
                    f"latent % [{WILSON}]": f"{100 * sum(right['latent']) / n:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
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
            answers = [(row["arms"]["latent"], row["gold"]) for row in archive.read(file) if
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


def question_bytes(archive: Archive) -> float | None:
    """Mean UTF-8 bytes of the archived questions; None without rows."""
    for run in archive.runs:
        if records := archive.last(run):
            return mean(len(row["question"].encode("utf-8")) for row in records)
    return None
