"""Made-up runs with known outcomes, for the tests of the browser."""

from pathlib import Path

from lab.runs.records import write_jsonl
from lab.tasks import question_id

# target, latent, latent_shuffled, source: right?
OUTCOMES = ("target right", "latent right", "shuffled right", "source right")
ARMS = ("target", "latent", "latent_shuffled", "source")
PATTERNS = {  # how many questions of each pattern, by step
    0: {(1, 0, 0, 0): 6, (0, 0, 0, 0): 10, (1, 1, 0, 1): 4},
    100: {(1, 0, 0, 0): 3, (0, 1, 0, 0): 2, (0, 0, 0, 0): 8, (1, 1, 0, 1): 7},
    "final": {(1, 0, 0, 0): 2, (0, 1, 0, 0): 3, (0, 1, 0, 1): 2, (0, 0, 0, 0): 6, (1, 1, 0, 1): 7},
}


def answer(arm: str, number: int, gold: int, right: bool) -> dict:
    said = gold if right else gold + 1
    text = f" {number}+1={number + 1} pens.\n{number + 1}*2={said} pens.\n#### {said}"
    return {
        "text": text, "extracted": str(said), "correct": bool(right),
        "saw": f"Q: shot?\nA: 1\n\nQ: {question(number)}\nA:",
        "context_aware": arm != "latent", "prompt_tokens": 30, "soft_tokens": 16 * arm.startswith("latent"),
        "new_tokens": 20,
    }  # fmt: skip


def question(number: int) -> str:
    return f"Ana has {number} pens, finds one more and doubles them. How many pens are there in box {number}?"


def record(number: int, pattern: tuple[int, ...]) -> dict:
    """Question `number`; its shuffled control has the soft tokens of the question after it."""
    gold = 2 * (number + 1)
    arms = {arm: answer(arm, number, gold, right) for arm, right in zip(ARMS, pattern, strict=True)}
    for arm, source in (("latent", number), ("latent_shuffled", number + 1)):
        arms[arm]["soft_from"] = question_id(question(source))
    return {
        "id": question_id(question(number)), "question": question(number), "gold": str(gold),
        "cell": "lore/long/seen" if number % 2 else "plain", "word": "", "arms": arms,
    }  # fmt: skip


def step_records(step) -> list[dict]:
    patterns = [pattern for pattern, count in PATTERNS[step].items() for _ in range(count)]
    return [record(number, pattern) for number, pattern in enumerate(patterns)]


def write_runs(folder: Path, names=("one", "two")) -> Path:
    for name in names:
        for step in PATTERNS:
            write_jsonl(folder / name / f"eval_samples_step_{step}.jsonl", step_records(step))
    return folder
