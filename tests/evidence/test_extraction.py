"""Six rules on the same texts: where they differ, and that the harness's are the harness's own."""

import pytest
from synthetic_runs import ACCURACY, edit_records, make_run

from lab.errors import LabError
from lab.evidence.extraction import EXTRACTORS, disagreements, extraction_table, extractor, rescore
from lab.evidence.read import read_evidence

RULES = ("official", "period_safe", "harness_strict", "harness_cot_strict", "harness_flexible", "last_number")
TEXTS = [  # text, gold, right under each of RULES
    ("9 * 2 = 18\n#### 18", "18", (1, 1, 1, 0, 1, 1)),
    ("#### 18.", "18", (0, 1, 1, 0, 1, 1)),  # the trailing period that cost earlier scores
    ("#### 1,018", "1018", (1, 1, 1, 0, 1, 1)),
    ("#### $18", "18", (0, 1, 0, 0, 1, 1)),
    ("The answer is 18.", "18", (0, 0, 0, 1, 1, 1)),
    ("The answer is 18", "18", (0, 0, 0, 0, 1, 1)),  # strict reads 1: its last dot is any character
    ("so 18 pens.\nQ: next?\nA: #### 5", "18", (0, 0, 0, 0, 1, 1)),  # nothing after the next question counts
    ("#### 18\nThat is 3 less.", "18", (1, 1, 1, 0, 0, 0)),  # the last number is not the answer
    ("about 18.0", "18", (0, 0, 0, 0, 0, 1)),
    ("no number here", "18", (0, 0, 0, 0, 0, 0)),
    ("", "18", (0, 0, 0, 0, 0, 0)),
]


@pytest.mark.parametrize("text, gold, right", TEXTS, ids=[text[:24] for text, _, _ in TEXTS])
def test_each_rule_reads_as_it_says(text, gold, right):
    assert tuple(EXTRACTORS) == RULES
    found = tuple(int(extractor(name).score(text, gold)[1]) for name in RULES)
    assert found == right


@pytest.mark.slow
def test_the_harness_rules_are_those_of_its_own_files():
    pytest.importorskip(
        "lm_eval", reason="lm_eval is not installed: `pip install --no-deps -r requirements-harness.lock`"
    )
    from lm_eval.api.metrics import exact_match_fn
    from lm_eval.filters.extraction import RegexFilter

    filters = {
        "harness_strict": RegexFilter(r"#### (\-?[0-9\.\,]+)"),
        "harness_cot_strict": RegexFilter(r"The answer is (\-?[0-9\.\,]+)."),
        "harness_flexible": RegexFilter(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select=-1),
    }
    for text, gold, _ in TEXTS:
        shown = text.split("Q:")[0]
        for name, rule in filters.items():
            read = rule.apply([[shown]], [{}])[0][0]
            match = exact_match_fn(predictions=[read], references=[gold], ignore_case=True, ignore_punctuation=False,
                                   regexes_to_ignore=[",", r"\$", r"(?s).*#### ", r"\.$"])  # fmt: skip
            answer, right = extractor(name).score(text, gold)
            assert (answer, right) == (read, bool(match["exact_match"])), (name, text)


def test_the_rule_of_the_records_gives_the_records(tmp_path):
    run = read_evidence([make_run(tmp_path, "a")]).runs[0]
    assert rescore(run.records, "period_safe") == list(run.records)


def test_records_are_scored_again_without_a_change_to_their_texts(tmp_path):
    folder = make_run(tmp_path, "a")

    def periods(rows):
        for row in rows[:10]:
            row["arms"]["latent"]["text"] += "."

    edit_records(folder, periods)
    records = read_evidence([folder]).runs[0].records
    table = extraction_table(records)
    assert list(table.index.levels[1].sort_values()) == sorted(RULES)
    assert len(table) == len(RULES) * len(ACCURACY)
    official, safe = table.loc[("latent", "official")], table.loc[("latent", "period_safe")]
    touched = sum(row["arms"]["latent"]["correct"] for row in records[:10])
    assert official["lost"] == touched > 0 and official["gained"] == 0
    assert safe["accuracy"] - official["accuracy"] == pytest.approx(touched / len(records))
    again = rescore(records, "official")
    assert [row["arms"]["latent"]["text"] for row in again] == [row["arms"]["latent"]["text"] for row in records]
    shown = disagreements(records, limit=1000)
    assert {"latent"} <= set(shown["arm"]) and "18" not in shown.columns


def test_unknown_rules_and_missing_texts_are_refused(tmp_path):
    with pytest.raises(LabError, match="choose one of official"):
        extractor("best")
    with pytest.raises(LabError, match="has no text"):
        rescore([{"id": "x", "gold": "1", "arms": {"latent": {"correct": True}}}], "official")
