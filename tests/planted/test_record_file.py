"""Records changed with an editor after the run: reading names each."""

import json
import re
from dataclasses import replace

import pytest
from planted_world import MINI

from lab.answers.generation import generate
from lab.errors import LabError
from lab.evidence import read_evidence, verify_run
from lab.runs import write_jsonl
from lab.runs.seals import seal_path
from lab.tasks import load_task

pytestmark = pytest.mark.slow
FINAL = "eval_samples_step_final.jsonl"


@pytest.fixture
def refused(finished):
    def edited(change, match):
        """`change(rows)` edits the rows of a finished run, or gives others."""
        read_evidence([finished])
        assert not verify_run(finished)
        path = finished / FINAL
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        write_jsonl(path, change(rows) or rows)
        with pytest.raises(LabError, match=match):
            read_evidence([finished])
        assert any(re.search(match, found) for found in verify_run(finished))

    return edited


def test_file_row_dropped(refused):
    refused(lambda rows: rows[:4] + rows[5:], "1 rows were dropped")


def test_file_row_under_another_id(refused):
    refused(lambda rows: [*rows, rows[2] | {"id": "0123456789abcdef"}], "was not in this evaluation; it repeats")


def test_file_verdict_flipped(refused):
    def change(rows):
        rows[3]["arms"]["latent"]["correct"] ^= True

    refused(change, "altered after it was written")


def test_file_answer_rewritten(refused):
    def change(rows):
        gold = rows[3]["gold"]
        rows[3]["arms"]["latent"] |= {"text": f"So it is.\n#### {gold}", "extracted": gold, "correct": True}

    refused(change, "altered after it was written")


def test_file_gold_changed(refused):
    def change(rows):
        rows[3]["gold"] = str(int(rows[3]["gold"]) + 1)

    refused(change, "altered after it was written")


def test_file_question_reworded(refused):
    def change(rows):
        rows[3]["question"] = rows[3]["question"].replace("How many", "About how many")

    refused(change, "altered after it was written")


def test_file_words_removed(refused):
    def change(rows):
        for row in rows:
            del row["word"]

    refused(change, "altered after it was written")


def test_file_of_another_split(world, refused):
    def other_rows(rows):
        task = load_task(MINI.task)
        arms = tuple(rows[0]["arms"])
        return world.evaluate(MINI, task, task.dev(), arms=arms)

    refused(other_rows, "was not in this evaluation")


def test_file_arm_renamed(refused):
    def change(rows):
        for row in rows:
            row["arms"]["target"] = row["arms"].pop("latent_shuffled")

    refused(change, "altered after it was written")


def test_file_question_hidden(refused):
    def change(rows):
        for row in rows:
            for arm, answer in row["arms"].items():
                if arm.startswith("latent"):
                    answer["saw"], answer["context_aware"] = answer["saw"].replace(row["question"], ""), False

    refused(change, "altered after it was written")


def test_file_answer_over_the_limit(refused):
    def change(rows):
        rows[3]["arms"]["latent"]["new_tokens"] = 999

    refused(change, "answered with 999 tokens|altered after it was written")


def test_file_config_edited(finished):
    read_evidence([finished])
    config = finished / "config.yaml"
    config.write_text(config.read_text().replace("dropout: 0.0", "dropout: 0.1"))
    with pytest.raises(LabError, match="config"):
        read_evidence([finished])


def test_file_frozen_answers_differ(world, plant, finished):
    """The same seal, device and batch, and yet the target has said something else."""
    read_evidence([finished, world.finish(MINI.replace(seed=5))])
    world.forget()

    def planted(kept, model, inputs, decoding):
        if model is world.pair.target and decoding.max_new_tokens == MINI.evaluation.max_new_tokens:
            inputs = replace(inputs, embeds=1.5 * inputs.embeds)
        return kept(model, inputs, decoding)

    plant.around(generate, planted)
    with pytest.raises(LabError, match="target"):
        read_evidence([finished, world.finish(MINI.replace(seed=5))])


def test_file_seal_removed(finished):
    read_evidence([finished])
    path = finished / FINAL
    write_jsonl(path, [json.loads(line) for line in path.read_text().splitlines()][:-1])
    seal_path(path).unlink()
    with pytest.raises(LabError, match="seal"):
        read_evidence([finished])
