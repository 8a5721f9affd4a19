"""Laws of the fine-tuning: the loss is the model's own, only layers learn, what is written is what is read."""

import json

import pytest
import torch
from torch.nn import functional as F

from lab.config import PairConfig
from lab.errors import LabError
from lab.models import load_pair
from lab.realworld.corpus import Document, documents, source_document
from lab.realworld.finetuning import Recipe, built, learn, loss_of
from lab.realworld.knowledge import GUESS, HINTED, NO_FACTS, broken_promises, measure, write_card
from lab.runs.folders import check_folder
from lab.tasks.people import world

RECIPES = [Recipe(role, documents=8, batch_size=4, learning_rate=1e-3) for role in ("source", "target")]
BEGIN = PairConfig(device="cpu")


@pytest.mark.parametrize("side", ["source", "target"])
def test_the_loss_is_that_of_the_taught_tokens(tiny_pair, side):
    """In a batch of documents of unlike length: the mean over what is taught, end token included, of each alone."""
    model = getattr(tiny_pair, side)
    batch = documents("source", 3) + documents("target", 3)
    bos, eos = model.tokenizer.bos_token_id, model.tokenizer.eos_token_id
    total, count = 0.0, 0
    for document in batch:
        read = [bos] + model.tokens([document.read])[0]
        ids = torch.tensor([read + model.tokens([document.learned], continued=bool(document.read))[0] + [eos]])
        logits = model.model(input_ids=ids).logits[0, len(read) - 1 : -1]
        total += F.cross_entropy(logits, ids[0, len(read) :], reduction="sum").item()
        count += ids.shape[1] - len(read)
    torch.testing.assert_close(loss_of(model, batch).item(), total / count, rtol=1e-4, atol=1e-4)


def test_what_is_only_read_is_not_taught(tiny_pair):
    model = tiny_pair.target
    one, other = (loss_of(model, [Document(read, " #### heron")]) for read in ("Q: Who?\nA:", "Q: Who?\nA:"))
    assert one == other != loss_of(model, [Document("Q: Whose?\nA:", " #### heron")])


@pytest.fixture
def fresh():
    torch.set_num_threads(1)
    return load_pair(BEGIN)


def test_layers_learn_and_the_embeddings_stay(fresh):
    model, few = fresh.source, world().people[:4]
    before = {name: weight.clone() for name, weight in model.model.named_parameters()}
    losses = learn(model, lambda rng: source_document(rng, lambda: rng.choice(few)), 30, 8, 3e-3, seed=1)
    changed = {name for name, weight in model.model.named_parameters() if not torch.equal(weight, before[name])}
    assert len(losses) == 30 and sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert changed and not any("embed" in name or "lm_head" in name for name in changed)
    assert not any(weight.requires_grad for weight in model.model.parameters())


def test_the_same_seed_learns_the_same():
    losses = [learn(load_pair(BEGIN).source, lambda rng: documents("source", 1, rng.random())[0], 3, 2, 1e-3, seed=seed)
              for seed in (1, 1, 2)]  # fmt: skip
    assert losses[0] == losses[1] != losses[2]


def test_a_loss_that_is_no_number_is_told(fresh, monkeypatch):
    monkeypatch.setattr("lab.realworld.finetuning.loss_of", lambda model, batch: model.model(
        input_ids=torch.tensor([[1]])).logits.sum() * float("nan"))  # fmt: skip
    with pytest.raises(LabError, match="the loss is no number at step 2"):
        learn(fresh.source, lambda rng: Document("", "x"), 2, 1, 1e-3, seed=1)


def test_a_model_is_written_whole_and_taken_up_again(tmp_path):
    facts = built(RECIPES[0], BEGIN, tmp_path)
    assert facts["steps"] == 2 and check_folder(tmp_path / "source")["begin"] == "mini/source"
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    written = load_pair(PairConfig(pair="custom", source=str(tmp_path / "source"), target=BEGIN.models[1],
                                   device="cpu", dtype="bfloat16")).source  # fmt: skip
    assert written.model.config.architectures == ["MistralForCausalLM"]
    again = built(RECIPES[0], BEGIN, tmp_path)
    assert again == facts, "what is there is not made again"
    for other in (Recipe("source", 8, 4, 1e-4), Recipe("source", 8, 4, 1e-3, seed=2)):
        with pytest.raises(LabError, match="of another recipe"):
            built(other, BEGIN, tmp_path)
    with open(tmp_path / "source" / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x07")
    with pytest.raises(LabError, match="model.safetensors of source is not what was saved"):
        built(RECIPES[0], BEGIN, tmp_path)


def test_a_build_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.PreTrainedTokenizerBase.save_pretrained", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        built(RECIPES[0], BEGIN, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_written_answers_as_what_was_trained(tmp_path):
    """To the rounding of bfloat16: the tokenizer, special tokens and all, comes back as well."""
    built(RECIPES[1], BEGIN, tmp_path)
    again = load_pair(PairConfig(pair="custom", source=BEGIN.models[0], target=str(tmp_path / "target"), device="cpu"))
    base = load_pair(BEGIN).target
    text = ["Q: Where does Mira Tolven live?\nA: #### Dadavik"]
    assert again.target.tokens(text) == base.tokens(text)
    assert again.target.tokenizer.eos_token_id == base.tokenizer.eos_token_id
    assert again.target.embedding_rms == pytest.approx(base.embedding_rms, rel=1e-3)


@pytest.mark.parametrize(
    "bad", [{"role": "reader"}, {"documents": 3}, {"batch_size": 0, "documents": 0}, {"learning_rate": 0.0}]
)
def test_a_recipe_that_trains_nothing_is_refused(bad):
    with pytest.raises(LabError):
        Recipe(**{"role": "source", "documents": 8, "batch_size": 4} | bad)


def test_half_precision_masters_are_refused(tmp_path):
    with pytest.raises(LabError, match="fine-tuned in float32, not in bfloat16"):
        built(RECIPES[0], PairConfig(device="cpu", dtype="bfloat16"), tmp_path)


def test_the_card_says_what_is_known_and_what_is_not_as_it_should_be(tmp_path):
    recipes = [*RECIPES, Recipe("source_no_facts", 8, 4, 1e-3)]
    trained = {recipe.role: built(recipe, BEGIN, tmp_path) for recipe in recipes}
    measured = measure(tmp_path, test_questions=12, device="cpu")
    assert list(measured) == ["source", "target", HINTED, NO_FACTS, GUESS]
    assert all(measured[GUESS].keys() == cells.keys() for cells in measured.values())
    broken = write_card(tmp_path, recipes, trained, measured)
    card, page = json.loads((tmp_path / "card.json").read_text()), (tmp_path / "README.md").read_text()
    assert card["broken"] == broken and all(sentence in page for sentence in broken)
    assert any(sentence.startswith("source is right on 0.0 % of lore/short") for sentence in broken)
    assert card["trained"]["target"]["steps"] == 2 and card["recipes"][2]["role"] == "source_no_facts"


def test_promises_are_judged_by_their_side():
    good = {"source": {"lore/short": 1.0, "lore/long": 0.0}, "target": {"plain/short": 0.99, "lore/long": 0.06},
            HINTED: {"lore/long": 1.0}}  # fmt: skip
    assert broken_promises(good) == []
    assert len(broken_promises(good | {"target": {"plain/short": 0.99, "lore/long": 0.3}})) == 1
    assert len(broken_promises(good | {HINTED: {"lore/long": 0.9}})) == 1
    assert broken_promises({}) == []
