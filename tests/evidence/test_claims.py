"""Verdicts follow the truth that a synthetic run was made with; what is missing is said, not guessed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import ACCURACY, add_settings, edit_records, make_run

from lab.answers.arms import ALL_ARMS, RETRAINED
from lab.config import RunConfig
from lab.errors import LabError
from lab.evidence.claims import CLAIMS, Claim
from lab.evidence.comparisons import Comparison, of_values
from lab.evidence.hypotheses import Arms, cache_bytes_per_token
from lab.evidence.read import ALL, FINAL, read_evidence
from lab.evidence.summary import ORACLE, in_group
from lab.evidence.verdicts import arm_rows, claims_json, judge, judge_runs
from lab.pictures.arm_tables import rivals_table, text_transfer_sentence
from lab.pictures.verdicts import claims_figure, claims_table, claims_text, seeds_table
from lab.runs.records import read_jsonl, write_jsonl
from lab.tasks import load_task


def verdicts(judged):
    return {row["key"]: row["verdict"] for row in judged["claims"]}


def row_of(judged, key):
    return next(row for row in judged["claims"] if row["key"] == key)


def seeds(tmp_path, name, accuracies=None, count=3, **settings):
    return [make_run(tmp_path, f"{name}{seed}", seed, accuracies, **settings) for seed in range(1, count + 1)]


def test_a_bridge_that_works_is_supported(tmp_path):
    judged = judge_runs(seeds(tmp_path, "good"))
    found = verdicts(judged)
    for key in ("fusion_beats_both", "enrichment", "enrichment_both_skills", "depends_on_this_input", "kv_savings",
                "knowledge_moved"):  # fmt: skip
        assert found[key] == "supported", row_of(judged, key)
    assert judged["scenario"]["name"] == "best"
    assert judged["seeds"] == [1, 2, 3] and row_of(judged, "fusion_beats_both")["seeds"] == 3
    assert row_of(judged, "kv_savings")["effect"] == 20 - 3 - 4
    assert row_of(judged, "kv_savings")["unit"] == "tokens"
    assert row_of(judged, "depends_on_this_input")["reason"] == "weakest: latent - latent_shuffled"
    assert found["beats_text_transfer"] == "not run"
    assert row_of(judged, "beats_text_transfer")["reason"] == "the records lack the arm cascade"


def test_a_bridge_that_ignores_its_input_is_refuted(tmp_path):
    judged = judge_runs(seeds(tmp_path, "blind", ACCURACY | {"latent": 0.2, "latent_shuffled": 0.6}))
    assert verdicts(judged)["depends_on_this_input"] == "refuted"
    assert verdicts(judged)["fusion_beats_both"] in ("refuted", "inconclusive")
    assert row_of(judged, "depends_on_this_input")["high"] < 0


def test_a_router_in_disguise_beats_both_models_and_is_no_enrichment(tmp_path):
    def plain(right):
        return lambda cell: right if cell.startswith("plain") else 0.02

    def lore(right):
        return lambda cell: right if cell.startswith("lore/short") else 0.02

    def either(cell):
        return 0.98 if cell.startswith(("plain", "lore/short")) else 0.02

    accuracies = {"source": lore(0.98), "target": plain(0.98), "latent": either, "latent_constant": plain(0.98)}
    judged = judge_runs(seeds(tmp_path, "router", accuracies))
    assert verdicts(judged)["fusion_beats_both"] == "supported"
    assert verdicts(judged)["enrichment"] != "supported"
    assert verdicts(judged)["enrichment_both_skills"] != "supported"


@pytest.mark.parametrize("latent, name", [(0.9, "best"), (0.05, "problem"), (0.62, "good"), (0.4, "undecided")])
def test_the_scenario_is_the_documents(tmp_path, latent, name):
    accuracies = {"source": 0.6 if name == "good" else 0.4, "target": 0.38 if name == "undecided" else 0.3,
                  "latent": latent}  # fmt: skip
    assert judge_runs(seeds(tmp_path, "x", accuracies, count=1))["scenario"]["name"] == name


def test_no_compression_is_claimed_where_the_target_reads_the_question(tmp_path):
    judged = judge_runs(seeds(tmp_path, "aware", layout="soft_plus_text"))
    row = row_of(judged, "kv_savings")
    assert row["verdict"] == "not run" and row["refused"]
    assert "refused" in row["reason"] and "context-aware" in row["reason"] and "soft_plus_text" in row["reason"]
    assert verdicts(judged)["fusion_beats_both"] == "supported"  # that is no compression claim
    few, many = [seeds(tmp_path, f"k{k}-", layout="soft_plus_text", soft_tokens=k) for k in (2, 8)]
    row = row_of(judge_runs([*few, *many]), "compression_quality")
    assert row["refused"] and "context-aware" in row["reason"]


def test_as_many_tokens_of_text_are_no_rival_where_the_target_reads_the_question_besides(tmp_path):
    accuracies = ACCURACY | {"token_budget": 0.1}
    row = row_of(judge_runs(seeds(tmp_path, "aware", accuracies, layout="soft_plus_text")), "beats_token_budget")
    assert row["verdict"] == "not run" and row["refused"] and "context-aware" in row["reason"]
    row = row_of(judge_runs(seeds(tmp_path, "only", accuracies)), "beats_token_budget")
    assert row["verdict"] == "supported"


def test_a_record_that_hides_its_layout_is_seen_through(tmp_path):
    runs = seeds(tmp_path, "aware", layout="soft_plus_text", count=1)

    def hide(rows):
        for row in rows:
            row["arms"]["latent"]["context_aware"] = False

    edit_records(runs[0], hide)
    assert row_of(judge_runs(runs), "kv_savings")["refused"]


def test_a_setting_matters_when_seed_against_seed_says_so(tmp_path):
    few = seeds(tmp_path, "few", ACCURACY | {"latent": 0.5}, soft_tokens=2)
    many = seeds(tmp_path, "many", ACCURACY | {"latent": 0.85}, soft_tokens=8)
    judged = judge_runs([*few, *many])
    assert verdicts(judged)["compression_quality"] == verdicts(judged)["bottleneck_size"] == "supported"
    assert row_of(judged, "bottleneck_size")["comparisons"][0]["label"] == "latent: soft_tokens=8 - soft_tokens=2"


def test_a_lone_seed_decides_nothing_about_a_setting(tmp_path):
    few = seeds(tmp_path, "few", ACCURACY | {"latent": 0.5}, 1, soft_tokens=2)
    many = seeds(tmp_path, "many", ACCURACY | {"latent": 0.85}, 1, soft_tokens=8)
    row = row_of(judge_runs([*few, *many]), "bottleneck_size")
    assert row["verdict"] == "inconclusive" and "one seed" in row["reason"]


def test_a_lone_seed_further_out_does_not_take_the_place_of_several(tmp_path):
    """Whatever it says: which sizes are compared is decided by how many seeds they have."""
    few = seeds(tmp_path, "few", ACCURACY | {"latent": 0.5}, soft_tokens=2)
    many = seeds(tmp_path, "many", ACCURACY | {"latent": 0.85}, soft_tokens=8)
    alone = [seeds(tmp_path, f"alone{size}", ACCURACY | {"latent": 0.1}, 1, soft_tokens=size) for size in (1, 16)]
    row = row_of(judge_runs([*few, *many, *alone[0], *alone[1]]), "bottleneck_size")
    assert row["comparisons"][0]["label"] == "latent: soft_tokens=8 - soft_tokens=2" and row["verdict"] == "supported"


def test_runs_that_differ_in_more_than_the_setting_are_never_compared(tmp_path):
    few = seeds(tmp_path, "few", soft_tokens=2)
    many = seeds(tmp_path, "many", soft_tokens=8, width=64)
    row = row_of(judge_runs([*few, *many]), "bottleneck_size")
    assert row["verdict"] == "not run" and "alone" in row["reason"]


def test_a_loss_term_matters_or_was_never_varied(tmp_path):
    without = seeds(tmp_path, "without", ACCURACY | {"latent": 0.5}, 4)
    judged = judge_runs([*seeds(tmp_path, "kl", ACCURACY | {"latent": 0.8}, 4, kl_weight=0.05, kl_tokens=8), *without])
    assert verdicts(judged)["kl_slice"] == "supported"
    assert row_of(judged, "prompt_alignment")["reason"] == "no two runs given differ in prompt_alignment_weight alone"


def test_a_setting_of_a_later_version_is_kept_and_keeps_recipes_apart(tmp_path):
    runs = seeds(tmp_path, "a", count=2)
    add_settings(runs[1], warp_weight=0.5)
    judged = judge_runs(runs)
    assert judged["main"] == ["a1"]


def test_what_bounds_a_claim_is_said_beside_it(tmp_path):
    accuracies = ACCURACY | {"cascade": 0.3, "text_hint": 1.0}
    judged = judge_runs(seeds(tmp_path, "a", accuracies))
    row = row_of(judged, "beats_text_transfer")
    assert row["verdict"] == "supported"
    beside = next(arm["versus"]["all"] for arm in judged["arms"] if arm["arm"] == "text_hint")
    points = [100 * beside[name] for name in ("effect", "low", "high")]
    assert points[0] < -5  # the gold gloss as text is better still
    assert row["reason"].endswith("; latent - text_hint {:+.1f} [{:.1f}, {:.1f}] points".format(*points))


def test_an_arm_that_repeats_another_is_no_second_rival(tmp_path):
    runs = seeds(tmp_path, "a", ACCURACY | {"cascade": 0.3, "same_bytes": 0.6}, count=2)
    assert not any(row["same_as"] for row in arm_rows(read_evidence(runs)))
    for run in runs:
        for row in (rows := read_jsonl(run / FINAL)):
            row["arms"]["same_bytes"] = row["arms"]["cascade"]
        write_jsonl(run / FINAL, rows)
    rows = arm_rows(read_evidence(runs))
    assert {row["arm"]: row["same_as"] for row in rows if row["same_as"]} == {"same_bytes": "cascade"}
    assert "same_bytes (= cascade)" in rivals_table(rows).column("arm")
    assert "same_bytes gives the answers of cascade, letter for letter." in text_transfer_sentence(rows)


def test_degradation_is_read_from_the_log(tmp_path):
    steady = judge_runs(seeds(tmp_path, "steady", looks=(0.3, 0.80, 0.81, 0.79)))
    fallen = judge_runs(seeds(tmp_path, "fallen", looks=(0.3, 0.815, 0.6, 0.36)))
    assert verdicts(steady)["degradation_below_10"] == "supported"
    row = row_of(fallen, "degradation_below_10")
    assert row["verdict"] == "refuted" and row["effect"] == pytest.approx(0.36 - 0.815)
    assert "evaluations" in row_of(judge_runs(seeds(tmp_path, "short")), "degradation_below_10")["reason"]


@pytest.mark.parametrize(
    ("forward", "mirror"),
    [
        ({"pair": "custom", "source": "weak", "target": "strong"}, {"source": "strong", "target": "weak"}),
        ({"pair": "mini"}, {"source": "lab/pairs/mini/target", "target": "lab/pairs/mini/source"}),
    ],
)
def test_direction_compares_the_gaps_of_a_pair_and_its_mirror(tmp_path, forward, mirror):
    here = seeds(tmp_path, "here", **forward)
    there = seeds(tmp_path, "there", {"source": 0.4, "target": 0.3, "latent": 0.3}, **(forward | mirror))
    judged = judge_runs([*here, *there])
    assert verdicts(judged)["direction_matters"] == "supported"
    assert row_of(judged, "direction_matters")["effect"] > 0.4


def test_hotpotqa_is_judged_on_its_own_runs(tmp_path):
    here, there = seeds(tmp_path, "gsm"), seeds(tmp_path, "hotpot", task="hotpotqa")
    judged = judge_runs([*here, *there])
    assert verdicts(judged)["generalises_hotpotqa"] == "supported"
    assert judged["main"] == ["gsm1", "gsm2", "gsm3"]
    assert verdicts(judge_runs(here))["generalises_hotpotqa"] == "not run"


def test_on_hotpotqa_a_target_without_the_evidence_is_no_text_baseline(tmp_path):
    accuracies = ACCURACY | {"source": 0.98, "latent": 0.8}
    row = row_of(judge_runs(seeds(tmp_path, "hotpot", accuracies, task="hotpotqa")), "generalises_hotpotqa")
    assert row["verdict"] != "supported"


def test_the_family_is_all_that_was_declared(tmp_path):
    judged = judge_runs(seeds(tmp_path, "a", count=1))
    assert judged["family"] == len(CLAIMS) == len({claim.key for claim in CLAIMS})
    for row in judged["claims"]:
        if row["p"] is not None:
            assert row["p_holm"] >= row["p"]
    smallest = min((row for row in judged["claims"] if row["p"] is not None), key=lambda row: row["p"])
    assert smallest["p_holm"] == pytest.approx(min(1, len(CLAIMS) * smallest["p"]), abs=0)  # however small


def test_the_table_of_arms_is_one_family_over_all_its_columns(tmp_path):
    rows = arm_rows(read_evidence(seeds(tmp_path, "a", count=1)))
    found = [versus for row in rows for versus in row["versus"].values()]
    assert len(found) == 2 * (len(rows) - 1)  # every arm but latent, on all questions and on those of both skills
    smallest = min(found, key=lambda versus: versus["p"])
    assert smallest["p_holm"] == pytest.approx(len(found) * smallest["p"], abs=0)


def test_what_a_claim_could_show_is_asked_at_the_level_of_its_verdict(tmp_path):
    judged = judge_runs(seeds(tmp_path, "a", ACCURACY | {"latent": 0.25}, count=1))
    row = row_of(judged, "fusion_beats_both")
    decisive = next(Comparison(**c) for c in row["comparisons"] if c["effect"] == row["effect"])
    assert row["detectable"] == decisive.detectable(judged["alpha"] / len(CLAIMS)) > decisive.detectable()


def test_equal_arms_support_nothing(tmp_path):
    accuracies = dict.fromkeys(("source", "target", "latent", "latent_shuffled", "latent_constant", "cascade"), 0.5)
    found = verdicts(judge_runs(seeds(tmp_path, "null", accuracies)))
    assert "supported" not in {found[key] for key in found if key != "kv_savings"}


def test_cache_bytes_respect_grouped_heads(tmp_path):
    run = read_evidence(seeds(tmp_path, "a", count=1)).runs[0]
    config = json.loads((Path(__file__).parents[2] / "lab/pairs/mini/target/config.json").read_text())
    heads, size = config["num_key_value_heads"], config["hidden_size"] // config["num_attention_heads"]
    assert cache_bytes_per_token(run) == config["num_hidden_layers"] * 2 * heads * size * 2
    large = read_evidence([make_run(tmp_path, "large", pair="mistral-llama")]).runs[0]
    assert cache_bytes_per_token(large) == 128 * 1024


def test_everything_shown_is_escaped_or_plain(tmp_path):
    evidence = read_evidence(seeds(tmp_path, "a"))
    judged = judge(evidence)
    text = claims_text(judged)
    assert "SUPPORTED" in text and "NOT RUN" in text and "\x1b" not in text
    assert json.loads(claims_json(judged)) == json.loads(json.dumps(judged))
    assert "naïve" in claims_json({"main": ["naïve"]})
    table = claims_table(judged)
    assert len(table) == len(CLAIMS)
    assert set(table.column("verdict")) <= {"supported", "refuted", "inconclusive", "not run"}
    assert len(seeds_table(evidence)) == 3 and len(rivals_table(judged["arms"])) == 6
    assert len(claims_figure(judged).data) >= 5
    judged["main"] = ["evil\x1b[31m"]
    assert "\x1b" not in claims_text(judged)


def test_the_command_prints_and_gives_json(tmp_path):
    runs = [str(run) for run in seeds(tmp_path, "a")]
    shown = subprocess.run([sys.executable, "-m", "lab", "claims", *runs], capture_output=True, text=True)
    assert shown.returncode == 0 and "scenario: best" in shown.stdout
    found = subprocess.run([sys.executable, "-m", "lab", "claims", *runs, "--json"], capture_output=True, text=True)
    assert json.loads(found.stdout)["scenario"]["name"] == "best"
    failed = subprocess.run([sys.executable, "-m", "lab", "claims", "none"], capture_output=True, text=True)
    assert (
        failed.returncode == 1
        and failed.stderr == "error: none is no folder; give run directories, or a folder that holds some.\n"
    )


def test_no_run_is_an_error_and_not_a_verdict():
    with pytest.raises(LabError, match="no run was given"):
        judge_runs([])


def test_collapse_is_judged_at_the_end_of_training(tmp_path):
    holds = seeds(tmp_path, "holds", looks=(0.3, 0.7, 0.69), count=4, contrast_weight=0.05, contrast_start=10)
    falls = seeds(tmp_path, "falls", looks=(0.3, 0.8, 0.36), count=4)
    row = row_of(judge_runs([*holds, *falls]), "fixes_prevent_collapse")
    assert row["verdict"] == "supported" and row["effect"] == pytest.approx(0.33)
    assert row["comparisons"][0]["label"] == "last on dev: contrast_weight=0.05 - contrast_weight=0.0"


def test_two_recipes_that_end_alike_show_no_collapse(tmp_path):
    holds = seeds(tmp_path, "holds", looks=(0.3, 0.7, 0.69), contrast_weight=0.05, contrast_start=10)
    falls = seeds(tmp_path, "falls", looks=(0.3, 0.8, 0.69))
    row = row_of(judge_runs([*holds, *falls]), "fixes_prevent_collapse")
    assert row["verdict"] == "inconclusive" and row["low"] < 0 == row["effect"] < row["high"]


def test_the_fixes_are_as_many_of_them_as_were_tried_together(tmp_path):
    one = seeds(tmp_path, "a_one", looks=(0.3, 0.7, 0.1), kl_weight=0.05)
    all_of_them = seeds(tmp_path, "b_all", looks=(0.3, 0.7, 0.69), kl_weight=0.05, contrast_weight=0.05)
    none = seeds(tmp_path, "c_none", looks=(0.3, 0.8, 0.36))
    row = row_of(judge_runs([*one, *all_of_them, *none]), "fixes_prevent_collapse")
    assert row["effect"] == pytest.approx(0.33)
    row = row_of(judge_runs([*one, *all_of_them]), "fixes_prevent_collapse")
    assert row["verdict"] == "not run"  # no side is without


def comparison(wins, losses, n, clusters=None):
    better = np.arange(n) < wins
    worse = (np.arange(n) >= wins) & (np.arange(n) < wins + losses)
    return of_values("a - b", better[None].astype(float), worse[None].astype(float), clusters or [""] * n)


@pytest.mark.parametrize("losses", [0, 1, 3])
def test_a_handful_of_discordant_pairs_refutes_nothing(losses):
    # were the effect one point, 400 pairs would show no win with a chance of 0.99 ** 400 = 0.018
    assert 0.99**400 / 10 < comparison(0, losses, 400).p_less < 0.05
    assert comparison(0, losses, 1319).p_less < 0.001
    assert comparison(0, 2, 2).p_less > 0.05


def test_a_setting_may_be_a_word(tmp_path):
    chosen = {"prepend": 0.5, "adapter": 0.9}
    runs = [
        run
        for word, accuracy in chosen.items()
        for run in seeds(tmp_path, word, ACCURACY | {"latent": accuracy}, 4, injection=word, layout="soft_plus_text")
    ]
    judged = judge_runs(runs)
    assert verdicts(judged)["adapters"] == "supported"
    assert row_of(judged, "adapters")["comparisons"][0]["label"] == "latent: injection=adapter - injection=prepend"


def test_an_undecided_claim_says_what_it_could_have_shown(tmp_path):
    accuracies = {"source": 0.3, "target": 0.5, "latent": 0.52, "latent_shuffled": 0.5}
    row = row_of(judge_runs(seeds(tmp_path, "null", accuracies, count=1)), "depends_on_this_input")
    assert row["verdict"] == "inconclusive" and "80 % power" in row["reason"]


FAMILY = """fusion_beats_both enrichment enrichment_both_skills depends_on_this_input knowledge_moved
sources_own_knowledge beats_text_transfer beats_token_budget fixes_prevent_collapse degradation_below_10
compression_quality kv_savings generalises_hotpotqa direction_matters kl_slice prompt_alignment answer_supervision
bottleneck_size adapters decode_loss"""


def test_the_family_stays_as_it_was_declared():
    """A claim that is renamed, dropped or added changes every correction; records name claims by these keys."""
    assert [claim.key for claim in CLAIMS] == FAMILY.split()


def test_claims_are_about_arms_that_there_are():
    tests = {claim.key: claim.test for claim in CLAIMS if isinstance(claim.test, Arms)}
    for key, test in tests.items():
        assert {test.better, *test.worse} <= {*ALL_ARMS, ORACLE}, key
    assert {claim.beside for claim in CLAIMS} <= {*ALL_ARMS, ""}
    assert set(tests["sources_own_knowledge"].worse) == set(RETRAINED) - {"latent_constant", "text_tuned"}


@pytest.mark.parametrize("layout", ["soft_only", "soft_plus_text"])
def test_a_row_of_the_arms_says_who_reads_the_question_and_is_not_compared_with_itself(tmp_path, layout):
    rows = {row["arm"]: row for row in arm_rows(read_evidence(seeds(tmp_path, "a", count=1, layout=layout)))}
    assert rows["target"]["context_aware"] is True and rows["oracle"]["context_aware"] is None
    assert rows["latent"]["context_aware"] is (layout == "soft_plus_text")
    assert rows["latent"]["versus"] == {}
    assert all(set(row["versus"]) == {"all", "both_held_out"} for arm, row in rows.items() if arm != "latent")


class Told:
    """A test of two comparisons that are equally sure."""

    needs = "nothing"

    def compare(self, evidence):
        return [Comparison(f"by {effect}", effect, effect - 0.1, effect + 0.1, 1e-9, 1 - 1e-9, 100, 100, 2)
                for effect in (0.3, 0.2, 0.4)]  # fmt: skip


def test_of_equally_sure_comparisons_the_least_effect_is_shown(tmp_path):
    evidence = read_evidence(seeds(tmp_path, "a", count=1))
    (row,) = judge(evidence, claims=[Claim("told", "It is so.", "not tested", Told())])["claims"]
    assert (row["verdict"], row["effect"], row["reason"]) == ("supported", 0.2, "weakest: by 0.2")


def test_every_claim_says_what_it_is_and_needs():
    for claim in CLAIMS:
        assert claim.sentence.endswith(".") and claim.reported and claim.needs, claim.key


def test_cells_that_claims_name_hold_questions():
    cells = {question.cell for question in load_task(RunConfig().task).test()}
    tests = [claim.test for claim in CLAIMS if isinstance(claim.test, Arms)]
    for group in {group for test in tests for place in test.places for group in place} - {ALL}:
        assert any(in_group(cell, group) for cell in cells), group


def test_without_questions_for_both_skills_nothing_is_said_of_them(tmp_path):
    run = make_run(tmp_path, "a")
    edit_records(run, lambda rows: [row for row in rows if not row["cell"].startswith("lore/long")])
    assert all(set(row["versus"]) <= {"all"} for row in judge_runs([run])["arms"])


def test_the_level_is_the_one_that_was_asked_for(tmp_path):
    runs = seeds(tmp_path, "a", count=1)
    assert [judge_runs(runs, alpha)["alpha"] for alpha in (0.05, 0.01)] == [0.05, 0.01]
