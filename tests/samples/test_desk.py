"""The desk: alignment, filters, the flip matrix, the paired result, tags; all without a browser."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_records import ARMS, record, step_records, write_runs

from lab.errors import LabError
from lab.evidence.stats import mcnemar
from lab.runs.records import write_jsonl
from lab.samples import screen
from lab.samples.chosen import choose_samples
from lab.samples.comparison import FILTERS, FLIPS, Comparison
from lab.samples.desk import Desk
from lab.samples.sheets import Library, Sheet
from lab.samples.tags import Tags

LEGACY = Path(__file__).parents[2].parent / "shared" / "data" / "legacy_runs"


@pytest.fixture
def desk(tmp_path):
    return Desk(Library(write_runs(tmp_path / "runs")), Tags(tmp_path / "tags.json"))


def read_all(desk):
    while desk.across.read_more(desk.a):
        pass


def everything(desk) -> str:
    parts = (screen.choices, screen.header, screen.controls, screen.listing, screen.sample, screen.across)
    return json.dumps([part(desk) for part in parts])


# ---- comparison


def test_latent_against_target_at_the_last_step(desk):
    assert desk.labels == ("latent", "target") and desk.a.step == "final"
    assert desk.comparison.matrix(desk.selection.mask) == {"broken": 2, "fixed": 5, "both_wrong": 6, "both_right": 7}
    header = screen.header(desk)
    assert (header["only_a"], header["only_b"], header["exploratory"]) == (5, 2, False)


def test_filters_keep_what_they_say(desk):
    counts = {name: int(desk.comparison.filtered(name).sum()) for name in FILTERS}
    assert counts == {"fixed": 5, "broken": 2, "only": 3, "all_wrong": 6, "invalid": 0, "repeats": 0, "copies": 0,
                      "disagree": 0}  # fmt: skip


outcomes = st.lists(st.tuples(*[st.integers(0, 1)] * 4), min_size=1, max_size=30)


@given(outcomes, outcomes)
@settings(max_examples=60, deadline=None)
def test_every_aligned_question_is_in_one_cell_and_no_question_vanishes(one, other):
    a = Sheet([record(number, pattern) for number, pattern in enumerate(one)])
    b = Sheet([record(number, pattern) for number, pattern in enumerate(other, start=3)])
    compared = Comparison(a, "latent", b, "latent")
    mask = np.ones(len(compared), dtype=bool)
    assert sum(compared.flip(name).astype(int) for name in FLIPS).tolist() == [1] * len(compared)
    assert sorted(compared.order(mask)) == list(range(len(compared)))
    kept, left = set(compared.ids), compared.left_out()
    assert kept | set(left.get("only in a", [])) == {row["id"] for row in a.records}
    assert kept | set(left.get("only in b", [])) == {row["id"] for row in b.records}
    if len(compared):
        result = compared.result(mask)
        known = {number: one[number][1] for number in range(len(one))}
        test = mcnemar({n: known[n] for n in range(3, len(one)) if n - 3 < len(other)},
                       {n + 3: pattern[1] for n, pattern in enumerate(other) if n + 3 < len(one)})  # fmt: skip
        assert (result["only_a"], result["only_b"], result["p"]) == (test["only_a"], test["only_b"], test["p"])
    else:
        assert compared.result(mask) is None


def test_questions_align_by_id_whatever_the_order():
    rows = step_records("final")
    shuffled = Comparison(Sheet(rows), "latent", Sheet(rows[::-1]), "latent")
    assert len(shuffled) == len(rows) and (shuffled.right_a == shuffled.right_b).all()


def test_what_is_not_compared_is_named():
    rows = step_records("final")
    unscored = rows[3] | {"arms": {**rows[3]["arms"], "latent": {"text": "?", "correct": None}}}
    compared = Comparison(Sheet([*rows[:3], unscored, rows[0]]), "latent", Sheet(rows[1:6]), "latent")
    left = compared.left_out()
    assert left["only in a"] == [rows[0]["id"]]
    assert left["only in b"] == [rows[4]["id"], rows[5]["id"]]
    assert left["not scored"] == [rows[3]["id"]] and left["twice in a"] == [rows[0]["id"]]


def test_the_page_names_what_is_not_compared_by_id_and_beginning(tmp_path):
    rows = step_records("final")
    write_jsonl(tmp_path / "eval_samples_step_1.jsonl", rows[1:])
    write_jsonl(tmp_path / "eval_samples_step_2.jsonl", [*rows[:-1], rows[3]])
    desk = Desk(Library(tmp_path))
    desk.side("b", arm="latent", step="1")
    only_a, only_b, twice = screen.controls(desk)["notices"][:3]
    assert only_a.startswith("1 only in the file of latent @2: " + rows[0]["id"]) and "Ana has 0 pens" in only_a
    assert only_b.startswith("1 only in the file of latent @1: " + rows[-1]["id"]) and "Ana has 19 pens" in only_b
    assert "more than once in the file of latent @2" in twice and rows[3]["id"] in twice


# ---- choosing


def test_regressions_come_first(desk):
    rows = screen.listing(desk)["rows"]
    assert [(row["b"], row["a"]) for row in rows[:7]] == [(True, False)] * 2 + [(False, True)] * 5


def with_costs(records):
    """Question n costs 10 nats in every arm, and n less in latent; the second is without, the third no number."""
    for number, row in enumerate(records):
        for arm, answer in row["arms"].items():
            answer["gold_nats"] = 10.0 - number * (arm == "latent")
    del records[1]["arms"]["latent"]["gold_nats"]
    records[2]["arms"]["target"]["gold_nats"] = "<b>7</b>"
    return records


def test_questions_sort_by_what_the_soft_tokens_tell(tmp_path):
    write_jsonl(tmp_path / "runs" / "one" / "eval_samples_step_final.jsonl", with_costs(step_records("final")))
    desk = Desk(Library(tmp_path / "runs"), Tags(tmp_path / "tags.json"))
    count = len(desk.selection)
    assert desk.comparison.told[5] == pytest.approx(5 / np.log(2)) and np.isnan(desk.comparison.told[[1, 2]]).all()
    assert list(screen.controls(desk)["sortings"]) == ["", "most", "least"]
    before = screen.header(desk)
    desk.selection.sort("most")
    known = [row for row in range(count) if row not in (1, 2)]
    assert list(desk.selection.order) == [*reversed(known), 1, 2]
    assert screen.header(desk) == before  # another order of the same questions chooses nothing
    desk.selection.sort("least")
    assert list(desk.selection.order) == [*known, 1, 2] and screen.controls(desk)["sorting"] == "least"
    shown = {answer["name"]: answer["gold"] for answer in screen.sample(desk, known.index(5))["answers"]}
    assert shown["latent"] == "gold answer: 7.2 bits" and shown["target"] == "gold answer: 14.4 bits"
    desk.selection.choose(cell="plain")
    assert list(desk.selection.order) == [row for row in [*known, 1, 2] if row % 2 == 0]  # a filter keeps the order
    desk.selection.toggle_blind()
    assert desk.selection.sorting == "" and "sortings" not in screen.controls(desk)
    desk.selection.sort("most")
    assert list(desk.selection.order) == sorted(desk.selection.order)  # in blind mode it would name the arm


def test_without_likelihoods_nothing_sorts_by_them(desk):
    assert screen.controls(desk)["sortings"] == {}
    first = list(desk.selection.order)
    desk.selection.sort("most")
    assert list(desk.selection.order) == first and screen.sample(desk)["answers"][0]["gold"] == ""


def test_any_filter_makes_p_exploratory(desk):
    narrowings = ({"flip": "broken"}, {"cell": "plain"}, {"words": "box 3"}, {"tag": "x"})
    selection = desk.selection
    acts = [partial(selection.toggle_filter, "fixed"), *(partial(selection.choose, **words) for words in narrowings)]
    for act in acts:
        act()
        assert screen.header(desk)["exploratory"]
        selection.clear()
        assert not screen.header(desk)["exploratory"] and len(desk.selection.order) == 20


def test_search_cell_and_flip_narrow_together(desk):
    desk.selection.choose(cell="lore")
    assert len(desk.selection.order) == 10
    desk.selection.choose(words="BOX 3?")
    assert [row["question"][8] for row in screen.listing(desk)["rows"]] == ["3"]
    desk.selection.choose(words="", flip="broken")
    assert len(desk.selection.order) == 1
    desk.selection.choose(flip="broken")  # a second click takes it away
    assert len(desk.selection.order) == 10


def test_an_empty_selection_shows_nothing_and_breaks_nothing(desk):
    desk.selection.choose(words="no such words")
    assert screen.sample(desk) == {"id": None} and "sides" not in screen.header(desk)
    desk.selection.move(1)
    desk.toggle_tag("success")
    everything(desk)
    desk.selection.clear()
    assert desk.key


def test_the_question_stays_when_the_step_changes(desk):
    desk.selection.go(4)
    key = desk.key
    desk.side("a", step="100")
    assert desk.key == key and (desk.a.step, desk.b.step) == (100, 100)  # b follows


def test_step_against_step_and_run_against_run(desk):
    desk.side("b", arm="latent", step="0")
    assert desk.labels == ("latent @final", "latent @0")
    assert desk.comparison.matrix(desk.selection.mask)["fixed"] > 0
    desk.side("a", step="100")
    assert desk.b.step == 0  # now they are apart, b stays
    desk.side("b", run=1, step="final")
    assert desk.labels[1] == "latent @final of two"


def test_a_click_into_the_table_of_flips(desk):
    desk.across.tabulate("steps")
    read_all(desk)
    table = desk.flips_table()
    assert table["names"] == ["0", "100", "final"]
    count = table["counts"][1][2]
    desk.click_flip(1, 2)
    assert len(desk.selection.order) == count and desk.labels == ("latent @final", "latent @100")
    assert all(row["b"] and not row["a"] for row in screen.listing(desk)["rows"])


def test_the_same_question_across_steps(desk):
    read_all(desk)
    assert [step["step"] for step in screen.across(desk)["steps"]] == ["0", "100", "final"]
    assert all(set(arms) == set(ARMS) for arms in screen.sample(desk)["steps"])


def test_a_run_with_very_many_steps_shows_those_around(tmp_path):
    for step in range(60):
        write_jsonl(tmp_path / "long" / f"eval_samples_step_{step}.jsonl", step_records("final")[:3])
    desk = Desk(Library(tmp_path))
    desk.side("a", step="30")
    shown = screen.across(desk)
    assert len(shown["steps"]) == 24 and shown["steps_left_out"] == 36
    assert shown["step"] in [step["step"] for step in shown["steps"]]
    desk.across.tabulate("steps")
    read_all(desk)
    table = desk.flips_table()
    assert len(table["names"]) == 16 and table["left_out"] == 44 and "30" in table["names"]


def test_solutions_are_compared_with_the_right_one(desk):
    desk.selection.choose(flip="broken")
    marked = [[kind for _, kind in answer["pieces"]] for answer in screen.sample(desk)["answers"]]
    assert "diverges" not in marked[0] and "diverges" in marked[1]  # target is right
    desk.selection.choose(flip="fixed")
    marked = [[kind for _, kind in answer["pieces"]] for answer in screen.sample(desk)["answers"]]
    assert "diverges" in marked[0] and "diverges" not in marked[1]  # latent is


def test_the_shuffled_control_stands_beside_latent(desk):
    assert [answer["name"] for answer in screen.sample(desk)["answers"]] == [
        "target", "latent", "latent_shuffled", "source"
    ]  # fmt: skip


def test_the_control_stands_beside_latent_on_either_side(desk):
    desk.side("b", arm="latent", step="0")
    names = [answer["name"] for answer in screen.sample(desk)["answers"]]
    assert names[:4] == ["latent @0", "latent_shuffled @0", "latent @final", "latent_shuffled @final"]


def test_the_control_names_the_question_whose_soft_tokens_it_got(desk):
    shown = screen.sample(desk)
    donors = {answer["name"]: answer["donor"] for answer in shown["answers"]}
    assert donors["latent_shuffled"]["question"].endswith("box 1?") and shown["question"].endswith("box 0?")
    assert donors["latent"] == donors["target"] == {}  # its own soft tokens, and none
    desk.selection.choose(flip="broken")
    desk.selection.find(donors["latent_shuffled"]["id"])
    assert desk.key == donors["latent_shuffled"]["id"]
    assert desk.selection.exploratory  # it is among them: the filter stays
    desk.selection.go(0)
    desk.selection.find(desk.comparison.ids[19])
    assert desk.key == desk.comparison.ids[19] and not desk.selection.exploratory
    with pytest.raises(LabError, match="not among"):
        desk.selection.find("nobody")


def test_only_and_all_wrong_ask_the_models_the_control_and_b_but_no_oracle():
    rows = [record(number, pattern) for number, pattern in enumerate([(0, 1, 0, 0), (0, 1, 1, 0), (0, 0, 0, 0)])]
    for row in rows:
        for arm in ("oracle", "text_hint", "latent_bf16"):
            row["arms"][arm] = {"text": "", "extracted": "", "correct": True}
    sheet = Sheet(rows)

    def kept(name, against):
        return Comparison(sheet, "latent", sheet, against).filtered(name).tolist()

    for other in ("target", "oracle", "text_hint"):
        assert (kept("only", other), kept("all_wrong", other)) == ([True, False, False], [False, False, True])
    assert not any(kept("only", "latent_bf16")) and not any(kept("all_wrong", "latent_bf16"))  # b is always asked


def test_every_arm_is_in_the_table_of_flips(tmp_path):
    names = [f"arm_{number:02d}" for number in range(30)]
    arms = {name: {"text": "", "extracted": "1", "correct": name > "arm_10"} for name in names}
    write_jsonl(tmp_path / "eval_samples_step_1.jsonl", [{"id": "q", "question": "?", "gold": "1", "arms": arms}])
    desk = Desk(Library(tmp_path))
    assert desk.flips_table()["names"] == names
    desk.click_flip(29, 0)
    assert (desk.a.arm, desk.b.arm, len(desk.selection.order)) == ("arm_00", "arm_29", 1)


def test_nonsense_is_refused(desk):
    before = everything(desk)
    filtered = partial(desk.selection.toggle_filter, "no")
    for act in (filtered, lambda: desk.side("a", run=7), lambda: desk.side("a", run=-1)):
        with pytest.raises(LabError):
            act()
    assert everything(desk) == before


def test_a_damaged_file_opens_and_is_named(tmp_path):
    folder = write_runs(tmp_path, ("one",)) / "one"
    path = folder / "eval_samples_step_final.jsonl"
    path.write_text(path.read_text() + "{broken\n")
    notices = screen.controls(Desk(Library(tmp_path)))["notices"]
    assert any(f"{path.name}:21:" in line for line in notices)


def test_an_unreadable_first_run_does_not_hide_the_others(tmp_path):
    write_runs(tmp_path, ("two",))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "eval_samples_step_final.jsonl").write_text("{broken\n")
    assert Desk(Library(tmp_path)).a.run == 1


def test_a_folder_without_records_is_one_clear_sentence(tmp_path):
    with pytest.raises(LabError, match="train a run first"):
        Library(tmp_path)


def test_texts_are_let_go_and_verdicts_stay(tmp_path):
    library = Library(write_runs(tmp_path), kept=1)
    for run in (0, 1):
        for step in library.steps(run):
            library.sheet(run, step)
    assert len(library._sheets) == 2
    assert all(library.verdicts(run, step) for run in (0, 1) for step in library.steps(run))


# ---- tags and blind mode


def test_tags_lie_beside_the_records(desk, tmp_path):
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")}
    desk.toggle_tag("success")
    desk.note("a note\n")
    desk.toggle_tag("good", 1)
    kept = Tags(tmp_path / "tags.json")
    assert kept.of(desk.key) == ["success"] and kept.note_of(desk.key) == "a note"
    assert kept.of_answer(desk.key, "one/final/latent") == ["good"]
    desk.toggle_tag("success")
    assert Tags(tmp_path / "tags.json").of(desk.key) == []
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.jsonl")} == files


def test_two_open_notebooks_keep_each_others_tags(tmp_path):
    one, other = Tags(tmp_path / "t.json"), Tags(tmp_path / "t.json")
    one.toggle("q1", "success")
    other.toggle("q2", "failure")
    assert Tags(tmp_path / "t.json").tagged() == {"q1": ["success"], "q2": ["failure"]}


def test_a_strange_tags_file_is_refused(tmp_path):
    (tmp_path / "t.json").write_text("[1]")
    with pytest.raises(LabError, match="t.json"):
        Tags(tmp_path / "t.json")


def test_blind_mode_tells_nothing_about_the_arms(desk):
    desk.selection.toggle_filter("broken")
    read_all(desk)
    desk.selection.toggle_blind()
    shown = everything(desk)
    for word in ("latent", "target", "source", "right", "wrong", "only_a", "accuracy", "saw"):
        assert word not in shown.replace("sources", ""), word
    desk.selection.toggle_filter("broken")
    desk.selection.choose(flip="broken")
    assert len(desk.selection.order) == 20  # neither works while blind
    orders = set()
    for _ in range(20):
        orders.add(tuple(side.arm for side in desk.columns()))
        desk.selection.move(1)
    assert len(orders) > 5  # the order differs by question


def test_a_blind_tag_goes_to_the_arm_it_was_given_to(desk, tmp_path):
    desk.selection.toggle_blind()
    arm = desk.columns()[2].arm
    desk.toggle_tag("odd", 2)
    entry = json.loads((tmp_path / "tags.json").read_text())[desk.key]["answers"]
    assert entry == {f"one/final/{arm}": {"tags": ["odd"], "blind": True}}


# ---- export and older runs


def test_an_export_takes_the_tagged_or_chooses_by_itself(desk):
    assert {sample.kind for sample in choose_samples(desk, 12)} == {"success", "failure", "enrichment"}
    assert len(choose_samples(desk, 12)) == 12
    desk.toggle_tag("failure")
    assert [(sample.kind, sample.record["id"]) for sample in choose_samples(desk, 12)] == [("failure", desk.key)]


def test_an_export_of_two_steps_says_which_answer_is_of_which(desk):
    desk.side("b", arm="latent", step="0")
    names = list(choose_samples(desk, 12)[0].answers)
    assert names == ["latent @0", "source @final", "target @final", "latent @final", "latent_shuffled @final"]


@pytest.mark.skipif(not LEGACY.is_dir(), reason="the archived runs are not here")
def test_archived_runs_feed_the_same_statistics():
    desk = Desk(Library(LEGACY))
    desk.side("a", run=next(i for i, run in enumerate(desk.library.runs) if "128tok" in run.name))
    for step, right, invalid, discordant in (("250", 143, 9, (10, 21)), ("1250", 150, 6, (10, 14)),
                                             ("final", 140, 9, (10, 24))):  # fmt: skip
        desk.side("a", step=step)
        header = screen.header(desk)
        assert (header["sides"][0]["right"], header["n"]) == (right, 200)
        assert (header["only_a"], header["only_b"]) == discordant
        assert int(desk.comparison.filtered("invalid").sum()) == invalid
