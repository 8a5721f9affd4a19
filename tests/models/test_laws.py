"""The laws that the doctor tries: sound on every architecture, and each of them finds what it is there to find."""

from dataclasses import replace

import pytest
import torch
from model_zoo import ZOO, zoo_model

import lab.models.frozen
from lab.models import LAWS, FrozenModel, tried
from lab.models.laws import (
    batch_as_alone,
    chat_template,
    embeddings_as_tokens,
    gradient,
    own_loss,
    soft_token_size,
    special_tokens,
)


@pytest.mark.parametrize("name", ZOO)
def test_all_laws_hold_on(name):
    torch.set_num_threads(1)
    if (model := zoo_model(name)) is None:
        pytest.skip("the installed transformers has no such model")
    found = [tried(law, model, "target") for law in LAWS]
    assert [finding for finding in found if finding.verdict == "fails"] == []
    assert {finding.model for finding in found} == {"target"} and all(finding.measured for finding in found)


def verdicts(law, model):
    finding = law(model)
    assert bool(finding.advice) == (finding.verdict == "fails")
    return finding.verdict


def test_embeddings_of_another_size_are_found(monkeypatch):
    model = replace(zoo_model("falcon_h1"))
    assert verdicts(embeddings_as_tokens, model) == "sound"
    model.embedding_scale = 1.0  # as if the scale were not known
    assert verdicts(embeddings_as_tokens, model) == "fails"


def test_a_head_without_its_scale_is_found(monkeypatch):
    model, run = zoo_model("granite"), FrozenModel.run

    def unscaled(self, *given, **more):
        out = run(self, *given, **more)
        out.logits = out.logits * self.model.config.logits_scaling
        return out

    assert verdicts(own_loss, model) == "sound"
    monkeypatch.setattr(FrozenModel, "run", unscaled)
    assert verdicts(own_loss, model) == "fails"


def test_a_gradient_that_is_lost_on_the_way_is_found(monkeypatch):
    """As some packed layers lose it: what goes past them still arrives, and looks like all of it."""
    model, run = zoo_model("llama"), FrozenModel.run

    def partly(self, keep, embeds, *given, **more):
        return run(self, keep, 0.9 * embeds.detach() + 0.1 * embeds, *given, **more)

    assert verdicts(gradient, model) == "sound"
    monkeypatch.setattr(FrozenModel, "run", partly)
    assert verdicts(gradient, model) == "fails"


def test_padding_that_moves_a_text_is_found(monkeypatch):
    model = zoo_model("gpt2")
    assert verdicts(batch_as_alone, model) == "sound"
    monkeypatch.setattr(lab.models.frozen, "positions", lambda mask: torch.arange(mask.shape[1]).expand_as(mask))
    assert verdicts(batch_as_alone, model) == "fails"


def test_a_tokenizer_that_cannot_end_is_found():
    model = zoo_model("llama")
    assert verdicts(special_tokens, model) == "sound"
    tokenizer = type(model.tokenizer)(tokenizer_object=model.tokenizer.backend_tokenizer, bos_token="<s>",
                                      pad_token="<pad>")  # fmt: skip
    assert verdicts(special_tokens, replace(model, tokenizer=tokenizer)) == "fails"


def test_a_tokenizer_that_begins_otherwise_is_told():
    model = zoo_model("llama")
    tokenizer = type(model.tokenizer)(tokenizer_object=model.tokenizer.backend_tokenizer, bos_token="</s>",
                                      eos_token="</s>", pad_token="<pad>")  # fmt: skip
    found = special_tokens(replace(model, tokenizer=tokenizer))
    assert found.verdict == "note" and "begins prompts with no bos" in found.advice


def test_the_scale_of_embeddings_is_told():
    assert "(its rows times 5.5)" in soft_token_size(zoo_model("falcon_h1")).measured
    assert "16 wide" in soft_token_size(zoo_model("opt")).measured


def test_a_template_that_is_not_used_is_told():
    model = zoo_model("llama")
    assert chat_template(model).verdict == "sound"
    model.tokenizer.chat_template = "{{ messages[0].content }}"
    try:
        assert chat_template(model).verdict == "note"
        assert chat_template(replace(model, chat=True)).verdict == "sound"
    finally:
        model.tokenizer.chat_template = None


def test_a_law_that_cannot_be_tried_has_failed():
    def breaks(model):
        raise RuntimeError("no such kernel\nat line 7")

    found = tried(breaks, zoo_model("llama"), "source")
    assert (found.verdict, found.measured, found.model) == ("fails", "no such kernel", "source")
