"""Claims: the sentences of the paper as data, each with its test; and the verdict that real records give it.

The matrix is that of the project's documents. It is the family declared beforehand: Holm's correction counts every
claim in it, run or not. A verdict needs more than a p-value: *supported* where the effect has the stated direction and
survives the correction; *refuted* where it is credibly below the smallest effect worth a sentence (one point), or on
the other side; else *inconclusive*; *not run* where arms or runs are missing, or where the claim cannot be made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.comparisons import Comparison, NotRun, compare_arms
from lab.errors import LabError
from lab.evidence import ALL, Evidence, read_evidence, rows_of
from lab.hypotheses import Arms, CacheSaved, Collapse, Degradation, Direction, Setting, need_arms
from lab.stats import ALPHA, holm, minimum_detectable_effect, proportion
from lab.summary import BOTH_SKILLS, LATENT, ORACLE, ordered_arms

SUPPORTED, REFUTED, INCONCLUSIVE, NOT_RUN = "supported", "refuted", "inconclusive", "not run"
HELD_OUT_LORE = ("lore/short/held_out", "lore/long/held_out")
BOTH_HELD_OUT = (f"{BOTH_SKILLS}/held_out",)
CONTROLS = ("latent_constant", "latent_shuffled")


@dataclass(frozen=True)
class Claim:
    """A sentence with its test. `reported`: what the documents say of it. `beside`: an arm that no system could have,
    which bounds the sentence; the verdict says where latent stands to it."""

    key: str
    sentence: str
    reported: str
    test: Arms | Setting | Collapse | Direction | Degradation | CacheSaved
    beside: str = ""

    @property
    def needs(self) -> str:
        return self.test.needs


_EVERYONE = ("source", "target", ORACLE, "latent_constant")
CLAIMS = (
    Claim("fusion_beats_both", "Cross-model fusion beats both models.", "81.5 % against 54 % and 73 %",
          Arms("latent", ("source", "target"))),
    Claim("enrichment", "The latent arm also beats any router between the models and a constant prompt trained at "
          "equal budget.", "not tested", Arms("latent", _EVERYONE)),
    Claim("enrichment_both_skills", "It does so where both skills are needed and the word was never trained on.",
          "not tested", Arms("latent", _EVERYONE, (BOTH_HELD_OUT,))),
    Claim("depends_on_this_input", "The answer depends on this source input.", "not tested",
          Arms("latent", ("latent_shuffled",))),
    Claim("knowledge_moved", "Knowledge moved, it was not memorised: held-out lore is answered.", "not tested",
          Arms("latent", ("target", *CONTROLS), (HELD_OUT_LORE,))),
    Claim("sources_own_knowledge", "It is the source's knowledge: on held-out lore other sources at equal budget do "
          "not give it.", "not tested",
          Arms("latent", ("latent_random_source", "latent_no_lore_source", "latent_target_source"), (HELD_OUT_LORE,))),
    Claim("beats_text_transfer", "Soft tokens beat the text that the source itself would write.", "expected",
          Arms("latent", ("cascade",)), beside="text_hint"),
    Claim("beats_token_budget", "Soft tokens beat a text prompt cut to as many tokens.", "4-6 % for cut text",
          Arms("latent", ("token_budget",), soft_only=True)),
    Claim("fixes_prevent_collapse", "The stability fixes prevent collapse.", "64.5 % at the end against 36.0 %",
          Collapse(Setting(("contrast_weight", "kl_weight", "prompt_alignment_weight", "geometry_weight", "patience"),
                           alongside=("contrast_start", "kl_tokens")))),
    Claim("degradation_below_10", "Accuracy falls by less than 10 points from its peak.", "68.0 % to 64.5 %",
          Degradation()),
    Claim("compression_quality", "More soft tokens answer better: compression is traded for quality.",
          "32, 48, 64 tokens: ~55, 60-70, 64.5 %", Setting(("soft_tokens",), by="size", soft_only=True)),
    Claim("kv_savings", "Soft tokens save cache memory in the target.", "43-59 MB, at 0.5 MB a token: four times the "
          "128 KiB of Llama-3.1-8B's grouped heads", CacheSaved()),
    Claim("generalises_hotpotqa", "It generalises beyond arithmetic: latent beats the text baseline on HotpotQA.",
          # the source as well: the target alone may never see the evidence
          "planned", Arms("latent", ("source", "target"), task="hotpotqa")),
    Claim("direction_matters", "Direction matters: weak to strong works better than strong to weak.",
          "-12.5 against -15.5 points to the target", Direction()),
    Claim("kl_slice", "The KL slice matters.", "62.5 % against 36 %",
          Setting(("kl_weight",), alongside=("kl_tokens",))),
    Claim("prompt_alignment", "Prompt alignment matters.", "65.5 % against 62.5 %",
          Setting(("prompt_alignment_weight",))),
    Claim("answer_supervision", "Answer supervision matters.", "36 % against 2.5 %",
          Setting(("answer_nll_weight",))),
    Claim("bottleneck_size", "A wider bottleneck matters.", "74.5 % at 96 soft tokens against 68 % at 64",
          Setting(("soft_tokens",), by="size")),
    Claim("adapters", "Adapter injection matters.", "45.5 % against 37.5 %",
          Setting(("injection",), words=("adapter",), alongside=("adapter_scale",))),
    Claim("decode_loss", "The decode loss matters.", "73.0 % at the end against 71.5 %",
          Setting(("decode_weight",), alongside=("decode_every", "decode_samples", "decode_tokens"))),
)  # fmt: skip
"""The family, declared before any run was looked at."""


def judge(evidence: Evidence, alpha: float = ALPHA, claims: Sequence[Claim] = CLAIMS) -> dict:
    """Every claim's verdict on these runs, Holm-corrected over all of `claims`, those not run included.

    Returns {"alpha", "family", "tested", "main" (run names), "seeds", "layout", "n", "scenario", "unfinished", "arms"
    (see `arm_rows`), "claims": [{"key", "sentence", "reported", "needs", "verdict", "refused", "reason", "p",
    "p_holm", "effect", "low", "high", "unit", "n", "clusters", "seeds", "comparisons": [...]}]}. A claim of several
    comparisons shows the weakest one's effect.
    """
    found: dict[str, list[Comparison]] = {}
    reasons: dict[str, NotRun] = {}
    for claim in claims:
        try:
            found[claim.key] = claim.test.compare(evidence)
        except NotRun as reason:
            reasons[claim.key] = reason
    # For: all comparisons together. Against: any of them, paid for by their number. Both directions are tested.
    sides = {
        key: (max(c.p_greater for c in cs), min(1.0, len(cs) * min(c.p_less for c in cs))) for key, cs in found.items()
    }
    p_values = {key: min(1.0, 2 * min(side)) for key, side in sides.items()}
    corrected = holm(p_values, family=len(claims))
    rows = []
    for claim in claims:
        row = {"key": claim.key, "sentence": claim.sentence, "reported": claim.reported, "needs": claim.needs}
        if claim.key in reasons:
            reason = reasons[claim.key]
            rows.append(row | {"verdict": NOT_RUN, "refused": reason.refused, "reason": str(reason), "p": None,
                               "p_holm": None, "comparisons": []})  # fmt: skip
            continue
        comparisons = found[claim.key]
        lone = isinstance(claim.test, (Setting, Collapse, Direction)) and comparisons[0].seeds < 2
        good, bad = sides[claim.key]
        verdict = INCONCLUSIVE if lone or corrected[claim.key] > alpha else SUPPORTED if good <= bad else REFUTED
        decisive = min(comparisons, key=lambda c: c.p_less) if verdict == REFUTED else max(
            comparisons, key=lambda c: (c.p_greater, -c.effect))  # fmt: skip
        rows.append(row | {
            "verdict": verdict, "refused": False, "reason": _reason(verdict, decisive, lone) + _beside(claim, evidence),
            "p": p_values[claim.key], "p_holm": corrected[claim.key],
            **{name: getattr(decisive, name) for name in ("effect", "low", "high", "unit", "n", "clusters", "seeds")},
            "comparisons": [vars(c) for c in comparisons],
        })  # fmt: skip
    main = evidence.main
    return {
        "alpha": alpha, "family": len(claims), "tested": len(found), "main": [run.name for run in main],
        "seeds": [run.seed for run in main], "layout": main[0].settings["layout"], "n": len(main[0].records),
        "scenario": scenario(evidence, alpha), "unfinished": [path.name for path in evidence.unfinished],
        "arms": arm_rows(evidence), "claims": rows,
    }  # fmt: skip


def _reason(verdict: str, decisive: Comparison, lone: bool) -> str:
    if lone:
        return "one seed on each side: two seeds of one recipe differ as well; run at least two"
    if verdict == SUPPORTED:
        return f"weakest: {decisive.label}" + (" (one training seed)" if decisive.seeds < 2 else "")
    if verdict == REFUTED:
        worse = "the other way round" if decisive.high < 0 else "below what is worth a sentence"
        return f"{decisive.label} is {worse}"
    return f"undecided: {decisive.label}{_could_show(decisive)}"


def _beside(claim: Claim, evidence: Evidence) -> str:
    """Where latent stands to the arm that bounds the claim: `; latent - text_hint -6.6 points`."""
    if not claim.beside or any(claim.beside not in run.arms for run in evidence.main):
        return ""
    found = compare_arms(evidence.main, LATENT, claim.beside)
    return f"; {found.label} {100 * found.effect:+.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}] points"


def _could_show(comparison: Comparison) -> str:
    """What these rows could have shown: without it an absent effect and a small sample look alike."""
    pairs = comparison.detail.get("pairs")
    discordant = comparison.detail.get("discordant")
    if not pairs or not discordant or pairs < 5:
        return ""
    effect = minimum_detectable_effect(int(pairs), discordant)
    shown = "no effect at all" if effect is None else f"{100 * effect:.1f} points"
    return f" (80 % power, before correction, for {shown})"


def arm_rows(evidence: Evidence) -> list[dict]:
    """Every arm of the main recipe: accuracy over all seeds, and latent - arm overall and where both skills are needed.

    Per arm {"arm", "accuracy", "low", "high", "n", "clusters", "seeds", "per_seed", "context_aware", "versus": {place:
    {"effect", "low", "high", "p", "p_holm"}}, "same_as"}; Holm over all comparisons of this table. "same_as" names the
    arm before it whose every text it repeats, or is "".
    """
    runs = evidence.main
    arms = ordered_arms(set.intersection(*(run.arms for run in runs)))
    every = rows_of(runs)
    places = {"all": (ALL,)} | ({"both_held_out": BOTH_HELD_OUT} if rows_of(runs, BOTH_HELD_OUT).records else {})
    rows, p_values, seen = [], {}, {}
    for arm in arms:
        aware = None if arm == ORACLE else any(row["arms"][arm].get("context_aware") for row in runs[0].records)
        versus = {}
        for place, groups in places.items() if LATENT in arms and arm != LATENT else ():
            found = compare_arms(runs, LATENT, arm, groups)
            versus[place] = {"effect": found.effect, "low": found.low, "high": found.high, "p": found.p}
            p_values[f"{arm} {place}"] = found.p
        accuracy = proportion(every.values(runs, arm), every.clusters)
        texts = tuple(row["arms"].get(arm, {}).get("text", arm) for run in runs for row in run.records)
        same_as = seen.setdefault(texts, arm)
        rows.append({"arm": arm, **accuracy, "context_aware": aware, "versus": versus,
                     "same_as": same_as if same_as != arm else ""})  # fmt: skip
    corrected = holm(p_values)
    for row in rows:
        for place, found in row["versus"].items():
            found["p_holm"] = corrected[f"{row['arm']} {place}"]
    return rows


def scenario(evidence: Evidence, alpha: float = ALPHA) -> dict:
    """Which story the main recipe tells: best (latent above source and target), good (above target), problem (below
    source), or undecided; each comparison tested, Holm over the two. {"name", "sentence", "comparisons"}."""
    runs = evidence.main
    try:
        need_arms(runs, ("source", "target", "latent"))
        source, target = (compare_arms(runs, "latent", arm) for arm in ("source", "target"))
    except NotRun as reason:
        return {"name": NOT_RUN, "sentence": f"{reason}.", "comparisons": []}
    p = holm({c.label: c.p for c in (source, target)})
    above_source, above_target = (c.effect > 0 and p[c.label] <= alpha for c in (source, target))
    below_source = source.effect < 0 and p[source.label] <= alpha
    name, sentence = (
        ("best", "latent is above source and target") if above_source and above_target
        else ("problem", "latent is below the source") if below_source
        else ("good", "latent is above the target") if above_target
        else ("undecided", "latent is neither above the target nor below the source, as far as these rows tell")
    )  # fmt: skip
    return {"name": name, "sentence": sentence, "comparisons": [vars(source), vars(target)]}


def judge_runs(paths: Sequence[str | Path], alpha: float = ALPHA) -> dict:
    """`judge` for run directories (or folders of them); the first one's recipe is the main one."""
    if not paths:
        raise LabError("claims: no run was given; name at least one run directory.")
    return judge(read_evidence(paths), alpha)
