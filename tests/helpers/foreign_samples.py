"""Files of other tools: rows as lm-evaluation-harness writes them, and real logs of Inspect where it is installed."""

from pathlib import Path

from lab.runs.records import write_jsonl

QUESTIONS = [("Ana has 3 pens and buys 4.\nHow many?", "7"), ("Bob has 10 figs and eats 2. How many?", "8"),
             ("2+2?", "4")]  # fmt: skip
TIME = "2026-11-25T21-43-36.298595"
CHOICES = ["stone", "fig", "penknife"]


def harness_row(place: int, said: str, rule: str = "strict-match", **besides: object) -> dict:
    """What `save_results_samples` writes for a task like gsm8k: `said` is the answer that the filter read."""
    question, gold = QUESTIONS[place]
    return {
        "doc_id": place, "doc": {"question": question, "answer": f"so\n#### {gold}"}, "target": f"so\n#### {gold}",
        "arguments": {"gen_args_0": {"arg_0": f"Question: 1+1?\nAnswer: 2\n\nQuestion: {question}\nAnswer:",
                                     "arg_1": {"until": ["Question:"], "do_sample": False}}},
        "resps": [[f" it is {said}.\n#### {said}"]], "filtered_resps": [said], "filter": rule,
        "metrics": ["exact_match"], "doc_hash": "d", "prompt_hash": "p", "target_hash": "t",
        "exact_match": float(said == gold),
    } | besides  # fmt: skip


def choice_row(chances: list[float], acc: float, acc_norm: float) -> dict:
    """The same for a task of multiple choice; the right one is "fig"."""
    requests = {f"gen_args_{i}": {"arg_0": "Which is a fruit?\nAnswer:", "arg_1": f" {choice}"}
                for i, choice in enumerate(CHOICES)}  # fmt: skip
    pairs = [[str(chance), "False"] for chance in chances]
    return {
        "doc_id": 0, "doc": {"question": "Which is a fruit?", "choices": CHOICES, "gold": 1}, "target": "1",
        "arguments": requests, "resps": [[pair] for pair in pairs], "filtered_resps": pairs, "filter": "none",
        "metrics": ["acc", "acc_norm"], "doc_hash": "d", "prompt_hash": "p", "target_hash": "t", "acc": acc,
        "acc_norm": acc_norm,
    }  # fmt: skip


def write_harness(folder: Path, answers: dict[str, list[str]], task: str = "sums") -> list[Path]:
    """One file per model (a folder each, as the harness does), its answers read by two filters."""
    paths = []
    for model, said in answers.items():
        path = folder / model / f"samples_{task}_{TIME}.jsonl"
        rows = [harness_row(place, answer) for place, answer in enumerate(said)]
        loose = [harness_row(place, answer.removeprefix("x"), "flexible-extract") for place, answer in enumerate(said)]
        write_jsonl(path, rows + loose)
        paths.append(path)
    return paths


def write_inspect(folder: Path, said: list[str], task: str = "sums", form: str = "eval", epochs: int = 1) -> Path:
    """A real log: Inspect's own mock model answers, its scorers read. Needs `inspect_ai`."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import includes, match
    from inspect_ai.solver import generate, system_message

    outputs = [ModelOutput.from_content("mock", text) for text in said * epochs]
    for output in outputs:  # or Inspect would ask the network how many tokens these are
        output.usage = ModelUsage(input_tokens=12, output_tokens=3, total_tokens=15)
    samples = [Sample(input=question, target=gold) for question, gold in QUESTIONS[: len(said)]]
    [log] = eval(
        Task(dataset=samples, solver=[system_message("Be brief."), generate()], name=task,
             scorer=[match(numeric=True), includes()]),
        model=get_model("mockllm/model", custom_outputs=outputs), log_dir=str(folder), log_format=form,
        display="none", max_samples=1, epochs=epochs,
    )  # fmt: skip
    return Path(log.location)
