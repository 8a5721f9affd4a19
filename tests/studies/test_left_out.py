"""Laws of leaving out one soft token: what says nothing is not missed, what says all is, and nothing else changes."""

import numpy as np
import pytest
import torch

from lab.answers import Evaluation, LeftOut, leave_out
from lab.answers.latent import LatentArm
from lab.answers.left_out import Means
from lab.config.run import RunConfig
from lab.errors import LabError
from lab.pictures import left_out_figure
from lab.studies.carried import left_out, rises
from lab.tasks.minigsm import MiniGSM
from lab.translators import TranslatorOutput, build_translator
from lab.translators.bridge import Bridge

K, SIZE = 3, 48  # soft tokens; how wide the tiny target is
CONFIG = RunConfig.from_parameters(
    layout="soft_only", soft_tokens=K, width=16, depth=2, heads=2, eval_batch_size=4, max_new_tokens=4
)


class Planted(Bridge):
    """Soft tokens that are the same for every question, but for those `of_the_question`; `counts`: how many a question
    has."""

    of_the_question: tuple[int, ...] = ()
    counts: tuple[int, ...] = (K,)

    def write(self, questions):
        rows, masks = [], []
        for question in questions:
            place = int(question.id[:8], 16)
            always = torch.randn(K, SIZE, generator=torch.Generator().manual_seed(0))
            own = torch.randn(K, SIZE, generator=torch.Generator().manual_seed(place))
            for slot in self.of_the_question:
                always[slot] = own[slot]
            rows.append(always)
            masks.append(torch.arange(K) < self.counts[place % len(self.counts)])
        return TranslatorOutput(torch.stack(rows), torch.stack(masks))


@pytest.fixture
def setting(tiny_pair):
    torch.manual_seed(0)
    bridge = Planted(tiny_pair.source, build_translator(CONFIG.translator, tiny_pair, "all"))
    questions = MiniGSM().dev()[:9]

    def made(of_the_question=(), counts=(K,)):
        object.__setattr__(bridge, "of_the_question", of_the_question)
        object.__setattr__(bridge, "counts", counts)
        return Evaluation(CONFIG, tiny_pair, MiniGSM(), questions, {"latent": bridge}, progress=False)

    return made


def test_what_is_the_same_for_every_question_is_not_missed(setting):
    found = leave_out(setting(of_the_question=(1,)))
    assert found.without.shape == (K, 9)
    for place in (0, 2):
        np.testing.assert_allclose(found.without[place], found.whole, atol=1e-4)
    assert np.abs(found.without[1] - found.whole).min() > 1e-4
    np.testing.assert_allclose(found.all_gone, found.without[1], atol=1e-4)  # it was all that there was


def test_only_its_place_is_another(setting):
    """Positions, lengths and every other embedding stay, and its size is that of the others."""
    evaluation = setting(of_the_question=(0, 1, 2))
    means = Means.of(evaluation.bridges["latent"], evaluation)
    plain, without = (LatentArm("latent", evaluation, evaluation.bridges["latent"], None, change).inputs(range(9))
                      for change in (None, means.without([1])))  # fmt: skip
    assert torch.equal(plain.attention_mask, without.attention_mask)
    assert torch.equal(plain.position_ids, without.position_ids)
    assert plain.prompt_lengths == without.prompt_lengths
    differ = (plain.embeds != without.embeds).any(dim=-1).sum(dim=1)
    assert differ.tolist() == [1] * 9
    soft = evaluation.bridges["latent"].write(evaluation.questions).soft_tokens[:, 1]
    put = without.embeds[(plain.embeds != without.embeds).any(dim=-1)]
    for row in range(9):
        others = torch.cat([soft[:row], soft[row + 1 :]])
        torch.testing.assert_close(put[row].norm(), others.norm(dim=-1).mean())
        torch.testing.assert_close(torch.cosine_similarity(put[row], others.mean(dim=0), dim=0), torch.tensor(1.0))


def test_in_whatever_batch(setting):
    evaluation = setting(of_the_question=(0, 1))
    alone = Evaluation(CONFIG.replace(eval_batch_size=1), evaluation.pair, evaluation.task, evaluation.questions,
                       evaluation.bridges, progress=False)  # fmt: skip
    for one, other in zip(vars(leave_out(evaluation)).values(), vars(leave_out(alone)).values(), strict=True):
        if one is not None:
            np.testing.assert_allclose(one, other, rtol=1e-4)


def test_a_place_counts_where_it_is(setting):
    found = leave_out(setting(of_the_question=(0, 1, 2), counts=(1, 3)))
    assert set(found.counts) == {1, 3}
    short = found.counts == 1
    np.testing.assert_allclose(found.without[2][short], found.whole[short], atol=1e-4)  # there is none to be missed
    rows = rises(found, [""] * 9)["places"]
    assert [row["n"] for row in rows] == [9, int((~short).sum()), int((~short).sum())]


def test_one_question_has_no_others(setting):
    evaluation = setting()
    lone = Evaluation(CONFIG, evaluation.pair, evaluation.task, evaluation.questions[:1], evaluation.bridges)
    with pytest.raises(LabError, match="two questions"):
        leave_out(lone)


def drawn(rise, n=300, noise=0.2):
    """Rises of known size, in nats of the whole answer of ten tokens each."""
    rng = np.random.default_rng(0)
    whole = rng.normal(20, 5, n)
    without = whole + 10 * (np.array(rise)[:, None] + rng.normal(0, noise, (len(rise), n)))
    right = (np.ones(n), (rng.random((len(rise), n)) > np.array(rise)[:, None]) * 1.0, np.zeros(n))
    return LeftOut(np.full(n, len(rise)), np.full(n, 10), whole, without, without.sum(axis=0), right)


def test_rises_are_those_of_the_truth():
    found = rises(drawn([0.0, 0.3, 0.0, 0.1]), [""] * 300)
    effects = [row["told"]["effect"] for row in found["places"]]
    assert effects == pytest.approx([0, 0.3, 0, 0.1], abs=0.04)
    assert [row["told"]["p_holm"] <= 0.05 for row in found["places"]] == [False, True, False, True]
    assert all(row["told"]["p_holm"] >= row["told"]["p"] for row in found["places"])
    assert found["sum"]["effect"] == pytest.approx(sum(effects))
    assert found["all"]["low"] < found["all"]["effect"] < found["all"]["high"]
    assert found["places"][1]["right"]["effect"] == pytest.approx(0.3, abs=0.1)
    assert found["all_right"]["effect"] == 1


def test_questions_of_one_word_are_no_further_questions():
    values = drawn([0.1])
    apart = rises(values, [str(row) for row in range(300)])["places"][0]["told"]
    whole = np.repeat(values.whole[:30], 10)
    same = LeftOut(values.counts, values.tokens, whole, np.repeat(values.without[:, :30], 10, axis=1), values.all_gone)
    wider = rises(same, [str(row // 10) for row in range(300)])["places"][0]["told"]
    assert wider["high"] - wider["low"] > 2 * (apart["high"] - apart["low"])


def test_a_trained_kind_goes_through_and_is_drawn(tiny_pair):
    torch.manual_seed(0)
    task, bridge = MiniGSM(), Bridge(tiny_pair.source, build_translator(CONFIG.translator, tiny_pair, "all"))
    found = left_out(CONFIG, tiny_pair, task, bridge, task.dev()[:6], answers=True)
    assert [row["place"] for row in found["places"]] == [1, 2, 3] and found["questions"] == 6
    told = [row["told"]["effect"] for row in found["places"] if row["told"]]
    assert list(left_out_figure(found).data[0].y) == pytest.approx(told)
    assert left_out(CONFIG, tiny_pair, task, bridge, []) == {}


def test_the_picture_says_what_it_lacks():
    found = rises(drawn([0.0, 0.3]), [""] * 300)
    (bars,) = left_out_figure(found).data
    assert list(bars.marker.color) == ["rgba(0,0,0,0)", "#D55E00"] and len(bars.error_y.array) == 2
    assert left_out_figure(found, "right").data
    assert "set left_out_questions" in left_out_figure({}).layout.title.text
    assert "set left_out_answers" in left_out_figure(found | {"all_right": None}, "right").layout.title.text
    silent = {"places": [{"place": 1, "told": None}], "all": None}
    assert "changes anything" in left_out_figure(silent).layout.title.text
