"""Laws that any frozen model has to hold to before a number that it gives can be trusted, tried on the model itself.

Each takes a `FrozenModel` and says what it measured. Short texts and a few passes: seconds, whatever the model's size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from lab.config import TEXT
from lab.errors import LabError
from lab.models.architecture import ROUNDING, apart
from lab.models.fingerprints import plain_tensors
from lab.models.frozen import FrozenModel, positions
from lab.models.inputs import IGNORED, answer_logits, build_inputs
from lab.models.quantised import packed_layers

__all__ = ["LAWS", "Finding"]

SOUND, NOTE, FAILS = "sound", "note", "fails"
TEXTS = [
    "Q: Two and two?\nA:",
    "Yes",
    "Q: A box holds 24 pens. Mia fills 5 boxes. How many pens are there?\nA:",
]
QUESTIONS = [{"question": "Two and two?"}, {"question": "A box holds 24 pens. Mia fills 5 boxes. How many pens?"}]
GOLD = ["4", "24 * 5 = 120\n#### 120"]
# How far along a gradient is gone: until it promises a change of so many nats, to be seen above rounding. And by which
# factor the change may differ, the way being not quite straight.
PROMISED, WITHIN = {torch.float32: 0.01, torch.bfloat16: 0.5}, {torch.float32: 1.1, torch.bfloat16: 3.0}
REPORT = "report it with its config.json; until then choose another model"


@dataclass(frozen=True)
class Finding:
    """One law and what became of it: `verdict` sound, note (to know, nothing is wrong) or fails; `advice`: what to do.

    `model`: whose it is, source, target or pair.
    """

    law: str
    verdict: str
    measured: str
    advice: str = ""
    model: str = ""

    def of(self, model: str) -> Finding:
        return replace(self, model=model)


def _compared(law: str, model: FrozenModel, difference: float, advice: str) -> Finding:
    sound = difference <= ROUNDING[model.dtype]
    said = f"apart by {difference:.1e} of their size" if difference else "equal bit by bit"
    return Finding(law, SOUND if sound else FAILS, said, "" if sound else advice)


def weights(model: FrozenModel) -> Finding:
    """How large a model is, how much of it is packed, and how it attends."""
    count = model.model.num_parameters()
    held = {tensor.data_ptr(): tensor.nbytes for _, tensor in plain_tensors(model.model.state_dict())}
    size, packed = sum(held.values()), packed_layers(model.model)
    kind = f"{model.model.config.model_type}, {str(model.dtype).removeprefix('torch.')} on {model.device}"
    kind += f", {len(packed)} layers in {model.bits} bits" if packed else ""
    attention = model.model.config._attn_implementation
    return Finding("weights", NOTE, f"{count / 1e6:,.1f} M parameters, {size / 2**20:,.0f} MiB; {kind}; {attention}")


@torch.no_grad()
def embeddings_as_tokens(model: FrozenModel) -> Finding:
    """Text gives the same logits as embeddings and as token ids, else soft tokens would enter in another size."""
    ids, mask = model.encode(TEXTS)
    placed = model.placed(mask, positions(mask))
    by_ids = model.model(input_ids=ids, use_cache=False, **placed).logits
    by_embeddings = model.model(inputs_embeds=model.embed(ids), use_cache=False, **placed).logits
    difference = apart(by_embeddings[mask.bool()], by_ids[mask.bool()])
    return _compared("embeddings = tokens", model, difference, REPORT)


@torch.no_grad()
def batch_as_alone(model: FrozenModel) -> Finding:
    """A text's states are the same alone and beside longer ones, so padding leaks nowhere."""
    with model.without_cache():
        batch, *each = (model.source_states(texts).states for texts in (TEXTS, *([text] for text in TEXTS)))
    differences = [apart(row[-alone.shape[1] :], alone[0]) for row, alone in zip(batch, each, strict=True)]
    return _compared("batch = alone", model, max(differences), f"set eval_batch_size and batch_size to 1, or {REPORT}")


@torch.no_grad()
def own_loss(model: FrozenModel) -> Finding:
    """The loss of answers, with the head at their tokens alone, is that of the model's whole forward."""
    inputs = build_inputs(model, model.reads(TEXT), None, QUESTIONS, GOLD)
    labels = F.pad(inputs.labels[:, 1:], (0, 1), value=IGNORED)
    keep = labels != IGNORED
    ours = model.run(keep, inputs.embeds, inputs.attention_mask, inputs.position_ids).logits
    placed = model.placed(inputs.attention_mask, inputs.position_ids)
    theirs = model.model(inputs_embeds=inputs.embeds, use_cache=False, **placed).logits[keep]
    losses = [F.cross_entropy(logits.float(), labels[keep]).item() for logits in (ours, theirs)]
    found = _compared("loss = the model's own", model, apart(ours, theirs), REPORT)
    return replace(found, measured=f"{losses[0]:.3f} against {losses[1]:.3f} nats per token")


def gradient(model: FrozenModel) -> Finding:
    """Along the gradient on the embeddings the loss changes by as much as it says; soft tokens are trained by it, and a
    layer that lets none through leaves one that looks like any other."""
    inputs = build_inputs(model, model.reads(TEXT), None, QUESTIONS[:1], GOLD[:1])

    def loss(embeds: torch.Tensor) -> torch.Tensor:
        logits, labels = answer_logits(model, replace(inputs, embeds=embeds))
        return F.cross_entropy(logits.float(), labels)

    embeds = inputs.embeds.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(embeds), embeds)
    size = found.float().norm()
    step = PROMISED[model.dtype] / size.clamp_min(1e-9)
    with torch.no_grad():
        there, back = (loss(embeds + sign * step * (found / size)).double() for sign in (1, -1))
    changed = ((there - back) / (2 * step)).item()
    sound = bool(size > 0) and 1 / WITHIN[model.dtype] <= changed / size.item() <= WITHIN[model.dtype]
    said = f"{size.item():.3g} a unit, the loss changes by {changed:.3g}"
    return Finding("gradient = change", SOUND if sound else FAILS, said, "" if sound else REPORT)


def special_tokens(model: FrozenModel) -> Finding:
    """Where a text begins and ends, with what it is padded, and whether tokens say the text that they were made of."""
    tokenizer, law = model.tokenizer, "special tokens"
    said = ", ".join(f"{name} {getattr(tokenizer, f'{name}_token')!r}" for name in ("bos", "eos", "pad"))
    if tokenizer.eos_token_id is None:
        return Finding(law, FAILS, said, "set eos_token in its tokenizer_config.json: a training answer cannot end")
    plain = model.tokens(TEXTS)
    read = tokenizer.batch_decode(plain, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    if [text.strip() for text in read] != TEXTS:
        return Finding(law, FAILS, f"{said}; tokens do not say their text", "its tokenizer alters text; choose another")
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    if tokenizer(TEXTS[0])["input_ids"] != bos + plain[0]:
        begins = "begins every prompt with bos" if bos else "begins prompts with no bos"
        return Finding(law, NOTE, said, f"its tokenizer by itself frames a text otherwise; the workbench {begins}")
    return Finding(law, SOUND, said)


def chat_template(model: FrozenModel) -> Finding:
    """The chat template, where it was asked for; that there is one, where it was not."""
    law, there = "chat template", bool(getattr(model.tokenizer, "chat_template", None))
    if model.chat:
        before, after = model.frame  # refused at loading, where it cannot be used
        return Finding(law, SOUND, f"{len(before)} characters before a text, {len(after)} after it")
    if there:
        return Finding(law, NOTE, "it has one that is not used", "set source_chat or target_chat where it shall be")
    return Finding(law, SOUND, "none, and none is asked for")


def context(model: FrozenModel) -> Finding:
    """The most tokens that it declares to read."""
    length = model.context_length
    if length is None:
        return Finding("context", NOTE, "declares no limit", "keep texts as long as those it was trained on")
    return Finding("context", SOUND, f"{length:,} tokens; what is longer is refused before a run")


def soft_token_size(model: FrozenModel) -> Finding:
    """How large its embeddings are as they enter: what soft tokens are held to."""
    sizes = f"{model.embedding_size} wide, RMS {model.embedding_rms:.3g}"
    scale = f" (its rows times {model.embedding_scale:g})" if model.embedding_scale != 1 else ""
    return Finding("embeddings", SOUND if model.embedding_rms > 0 else FAILS, sizes + scale, "")


LAWS: tuple[Callable[[FrozenModel], Finding], ...] = (
    weights, soft_token_size, embeddings_as_tokens, batch_as_alone, own_loss, gradient, special_tokens, chat_template,
    context,
)  # fmt: skip


def tried(law: Callable[[FrozenModel], Finding], model: FrozenModel, whose: str) -> Finding:
    """What a law found; one that could not be tried has failed, and says why."""
    try:
        return law(model).of(whose)
    except (LabError, RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        return Finding(law.__name__.replace("_", " "), FAILS, str(error).splitlines()[0][:160], REPORT, whose)
