"""Tables of the embedded pair, computed from the records in runs/preserved: every arm, each translator, each piece."""

from collections.abc import Sequence

from preserved_tables import apart, between, dots, findings, of_same_seeds

from lab.evidence import SUPPORTED, rows_of
from lab.evidence.read import Rows, Run

ARMS = {
    "source": "source", "target": "target", "oracle": "either of them (`oracle`)",
    "token_budget": "prompt cut to 16 tokens (`token_budget`)", "token_budget_question": "question cut to 16 tokens",
    "cascade": "the source's answer as text (`cascade`)", "same_bytes": "the same in as many bytes (`same_bytes`)",
    "text_hint": "the gold gloss as text (`text_hint`)", "latent": "**latent**",
    "latent_bf16": "latent, bf16 on the wire", "latent_int8": "latent, int8", "latent_int4": "latent, int4",
    "latent_shuffled": "another question's soft tokens", "latent_mean": "the mean soft tokens", "latent_zero": "zeros",
    "latent_noise": "noise",
    "latent_constant": "retrained: constant prompt", "latent_random_source": "retrained: source with random weights",
    "latent_no_lore_source": "retrained: source without lore",
    "latent_target_source": "retrained: the target as source",
}  # fmt: skip
# What latent is compared with to say that it knows more, and by the source.
RIVALS = ("source", "target", "oracle", "token_budget", "token_budget_question", "cascade", "latent_shuffled",
          "latent_constant", "latent_random_source", "latent_no_lore_source", "latent_target_source")  # fmt: skip
BASE = "effect_base"
TRANSLATORS = {
    BASE: "resampler, 16 soft tokens, all source layers (`layers_all`, here `effect_base`)",
    "layers_last": "the same, last source layer only (`layers_last`)",
    "compare_dit_cross": "DiT, cross-attention to all states (`compare_dit_cross`)",
    "compare_dit_attention": "DiT, attention pooling (`compare_dit_attention`)",
    "compare_dit_mean": "DiT, mean pooling (`compare_dit_mean`)",
    "compare_linear": "linear map, one soft token per source token: a bound, no compression (`compare_linear`)",
    "compare_constant": "constant prompt, never sees the source (`compare_constant`)",
}
EFFECTS = {  # job -> what it is compared with
    BASE: "", "effect_8tok": BASE, "effect_32tok": BASE, "effect_kl": BASE, "effect_kl_alone": "effect_kl",
    "effect_fixes": BASE, "effect_prompt_alignment": BASE, "effect_decode": BASE, "effect_beside_text": BASE,
    "effect_adapter": "effect_beside_text", "effect_swapped": "",
}  # fmt: skip


def evidence() -> tuple[list[str], list[list[str]]]:
    """Every arm of three seeds on the same questions, and latent minus it in points."""
    said = [(ARMS[row["arm"]], row) for row in findings().documents["arms"] if not row["same_as"]]
    columns = ["Arm", "right, %, by seed", "latent minus arm", "where both skills are needed, held out"]
    return columns, [[name, _right(row["per_seed"]), *_less(row.get("versus", {}))] for name, row in said]


def evidence_numbers() -> dict[str, str]:
    """For the sentence above it."""
    found, runs = findings().documents["arms"], findings().embedded.main
    worst = max(row["versus"][part]["p_holm"] for row in found if not row["same_as"] and row["arm"] in RIVALS
                for part in row["versus"])  # fmt: skip
    gloss = next(row["versus"]["all"]["p_holm"] for row in found if row["arm"] == "text_hint")
    repeats = {row["arm"]: row["same_as"] for row in found if row["same_as"]}
    return {
        "steps": f"{runs[0].settings['steps']:,}".replace(",", " "), "n": f"{len(runs[0].records):,}".replace(",", " "),
        "worst": f"{worst:.3f}".removeprefix("0"), "gloss": f"{gloss:.3f}".removeprefix("0"),
        "repeats": "; ".join(f"`{arm}` repeats `{other}`" for arm, other in repeats.items()),
    }  # fmt: skip


def translators() -> tuple[list[str], list[list[str]]]:
    """Each translator at one budget, and its difference to the resampler."""
    runs = _by_job()
    rows = [[name, *_against(runs, job, "" if job == BASE else BASE)] for job, name in TRANSLATORS.items()]
    return ["Translator", "right, %, seeds 1 · 2 · 3", "minus the first"], rows


def effects() -> tuple[list[str], list[list[str]]]:
    """Each recipe that changes one thing, and its difference to what it changes."""
    runs = _by_job()
    columns = ["Job", "right, %, seeds 1 · 2 · 3", "another question's soft tokens", "compared with", "difference"]
    return columns, [_effect(runs, job, other) for job, other in EFFECTS.items()]


def budget_numbers() -> dict[str, str]:
    """For the sentences above the other two: the budget that all of their runs have."""
    base = _by_job()[BASE][0]
    sizes = {name: f"{base.settings[name]:,}".replace(",", " ") for name in ("steps", "batch_size")}
    return sizes | {"n": f"{len(base.records):,}".replace(",", " ")}


def layers() -> dict[str, str]:
    """All source layers against the last one."""
    runs = _by_job()
    rows, both = rows_of(runs[BASE]), [runs[BASE], runs["layers_last"]]
    each, last = (_seeds(rows.values(one, "latent")) for one in both)
    return {
        "what": "all source layers against the last one, equal budget, by seed, test",
        "found": f"{each} % against {last}: {_difference(rows, *both)} points",
        "n": f"{len(rows.records):,}".replace(",", " "),
    }


def dit() -> dict[str, str]:
    """The DiT that reads all states, beside the constant prompt."""
    runs = _by_job()
    rows = rows_of(runs["compare_dit_cross"])
    ours, constant = (rows.values(runs[job], "latent") for job in ("compare_dit_cross", "compare_constant"))
    return {
        "what": "DiT with cross-attention to all source layers, same budget, test",
        "found": f"{_seeds(ours)} %; the constant prompt {_seeds(constant)}",
        "n": f"{len(rows.records):,}".replace(",", " "),
    }


def counterfactual() -> dict[str, str]:
    """Answers that follow what was edited in the source alone, and those that should not move."""
    counts = findings().embedded.beside_main("evidence.json")["counterfactual"]["counts"]
    edited, others = counts["edited words"], counts["other words"]
    return {
        "what": "counterfactual, twelve held-out words edited in the source alone, the first seed's translator",
        "found": f"{edited['source after: answers of the world after']} of {edited['n']} answers follow the edit "
                 f"(before {edited['source before: answers of the world after']}); of {others['n']} about other words "
                 f"{others['source after: answers of the world before']} stay right "
                 f"(before {others['source before: answers of the world before']})",
        "n": str(edited["n"] + others["n"]),
    }  # fmt: skip


def claims() -> dict[str, str]:
    """How the documents' claims stand on what is preserved of this world."""
    verdicts = [row["verdict"] for row in findings().documents["claims"]]
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys((SUPPORTED, *verdicts))}
    return {
        "what": f"the documents' {len(verdicts)} claims on these records",
        "found": ", ".join(f"{count} {verdict.replace('_', ' ')}" for verdict, count in counts.items()),
        "n": f"{len(findings().embedded.main[0].records):,}".replace(",", " "),
    }


def _right(per_seed: Sequence[float]) -> str:
    """One number where every seed has the same."""
    return dots([100 * one for one in (per_seed if len(set(per_seed)) > 1 else per_seed[:1])], 1)


def _less(versus: dict) -> list[str]:
    return [f"{100 * versus[part]['effect']:+.1f}{between(versus[part], 1, 100)}" if part in versus else ""
            for part in ("all", "both_held_out")]  # fmt: skip


def _by_job() -> dict[str, list[Run]]:
    """Job -> its runs, one for each seed."""
    found: dict[str, list[Run]] = {}
    for run in findings().embedded.evidence.runs:
        found.setdefault(run.path.name.rpartition("-seed")[0], []).append(run)
    return {job: sorted(runs, key=lambda run: run.seed) for job, runs in found.items()}


def _against(runs: dict[str, list[Run]], job: str, other: str) -> list[str]:
    rows = rows_of(runs[job])
    return [_seeds(rows.values(runs[job], "latent")), _difference(rows, runs[job], runs[other]) if other else ""]


def _effect(runs: dict[str, list[Run]], job: str, other: str) -> list[str]:
    right, difference = _against(runs, job, other)
    shuffled = _seeds(rows_of(runs[job]).values(runs[job], "latent_shuffled"))
    return [f"`{job}`", right, shuffled, f"`{other}`" if other else "", difference]


def _seeds(values: Sequence) -> str:
    return dots([100 * sum(one) / len(one) for one in values], 1)


def _difference(rows: Rows, ours: Sequence[Run], theirs: Sequence[Run]) -> str:
    """Latent of the one minus that of the other in points, of the seeds that both have."""
    return apart(*(rows.values(runs, "latent") for runs in of_same_seeds(ours, theirs)), rows.clusters)


TABLES = {"evidence": evidence, "translators": translators, "effects": effects}
NUMBERS = {"evidence": evidence_numbers, "translators": budget_numbers, "effects": budget_numbers}
FINDINGS = {"layers": layers, "dit": dit, "counterfactual": counterfactual, "claims": claims}
