"""Statistics: what a run can know of them."""

from dataclasses import replace

import pytest
import torch
from planted_world import MINI
from synthetic_runs import make_run

from lab.answers.generation import generate
from lab.errors import LabError
from lab.evidence import CLAIMS, judge, read_evidence
from lab.studies.experiment import test_once as take_the_test
from lab.studies.experiment import train_translator
from lab.tasks import load_task

pytestmark = pytest.mark.slow
TASK = load_task(MINI.task)


def test_holm_over_chosen_claims(world):
    evidence = read_evidence([make_run(world.folder, "a")])
    judge(evidence)
    with pytest.raises(LabError, match="family"):
        judge(evidence, claims=CLAIMS[:3])


def test_one_translator_as_two_seeds(world, plant):
    """Other hardware rounds otherwise: one evaluation differs from the other in a few letters."""
    first, second = world.start(MINI, TASK), world.start(MINI.replace(seed=1235), TASK)
    translator = train_translator(first).translator
    take_the_test(first, translator)
    noise = torch.Generator().manual_seed(0)

    def planted(kept, target, inputs, decoding):
        if decoding.max_new_tokens == MINI.evaluation.max_new_tokens:  # the replay check has a limit of its own
            inputs = replace(inputs, embeds=inputs.embeds + torch.randn(inputs.embeds.shape, generator=noise))
        return kept(target, inputs, decoding)

    plant.around(generate, planted)
    take_the_test(second, translator)
    with pytest.raises(LabError, match="weights"):
        read_evidence([first.run.path, second.run.path])
