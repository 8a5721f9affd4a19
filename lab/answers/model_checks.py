"""Checks of an evaluation that need the models: what enters them, what a bridge writes, how answers were generated.

They run in every evaluation, on a few questions where they cost a pass and on all where they cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lab.answers.common import Answer, sketches
from lab.answers.generation import Decoding, end_tokens_of, generate_from_text, greedy, text_of
from lab.answers.wire import Wire
from lab.config import SOFT, TEXT, Layout
from lab.errors import LabError
from lab.models import build_inputs, count_tokens, fingerprint, positions
from lab.tasks import Question, source_text

if TYPE_CHECKING:
    from lab.answers.evaluation import Evaluation
    from lab.models import FrozenModel, SourceStates, TargetInputs
    from lab.translators import Bridge, TranslatorOutput

REPLAY_TOKENS = 24
SAME = 0.02  # of a sketch: batches round otherwise, another question differs by far more
CLOSE = 1e-3  # of soft tokens' size: how far a batch may round otherwise than a question alone, in float32


def check_token_counts(
    model, layout: Layout, inputs: TargetInputs, contexts: list[dict[str, str]], soft: Sequence[int]
) -> None:
    """Raise LabError if the inputs of an evaluation hold labels, or a token that the visible text does not explain.

    `soft`: how many soft tokens each row has (an adapter's take no place).
    """
    if inputs.labels is not None:
        raise LabError("evaluation inputs carry labels, so gold text; build them with answers=None.")
    real = inputs.attention_mask.sum(dim=1).tolist()
    for count, context, added in zip(real, contexts, soft, strict=True):
        expected = count_tokens(model, layout, context) + (0 if layout.adapter else added)
        if count != expected:
            raise LabError(
                f"layout {layout.name}: {count} tokens enter {model.name} but its visible text explains {expected}; "
                f"something unseen, such as gold text, was added for the question {context['question'][:60]!r}."
            )


def replay_check(model: FrozenModel, contexts: list[dict[str, str]], max_new_tokens: int = REPLAY_TOKENS) -> None:
    """Raise LabError unless embeddings through `build_inputs` are those of the same text's token ids, and answer alike.

    What enters has to be equal bit by bit. What comes out as well in float32; in half precision kernels may round
    differently from call to call, so there the answers are not compared.
    """
    layout = model.reads(TEXT)
    texts = [layout.visible_text(**context) for context in contexts]
    inputs = build_inputs(model, layout, None, contexts, None)
    ids, mask = model.encode(texts, bos=True, side="left")
    same = torch.equal(inputs.attention_mask, mask) and torch.equal(inputs.embeds, model.embed(ids))
    if not same or not torch.equal(inputs.position_ids, positions(mask)):
        raise LabError(
            f"replay check of {model.name}: what enters for the question {contexts[0]['question'][:60]!r} and those "
            "beside it are not the embeddings of their text; its inputs are built wrongly."
        )
    if model.dtype != torch.float32:
        return
    through_embeddings = greedy(model, inputs, max_new_tokens)
    through_ids = generate_from_text(model, texts, max_new_tokens)
    for one, other, context in zip(through_embeddings, through_ids, contexts, strict=True):
        if one != other:
            raise LabError(
                f"replay check of {model.name}: embeddings give {one.text[:60]!r}, token ids give {other.text[:60]!r} "
                f"for the question {context['question'][:60]!r}; its inputs are built wrongly."
            )


def check_soft_inputs(
    model: FrozenModel, layout: Layout, written: TranslatorOutput, contexts: Sequence[Mapping[str, str]]
) -> None:
    """Raise LabError unless every part of a prompt with soft tokens stands where its layout says, value by value.

    Put together here once more and in another way, one row at a time, from the layout's segments and those soft tokens
    of the row that exist.
    """
    soft = written.soft_tokens.to(model.device)
    inputs = build_inputs(model, layout, soft, contexts, None, written.mask)
    rows = list(soft) if written.mask is None else [own[there] for own, there in zip(soft, written.mask, strict=True)]
    bos = model.tokenizer.bos_token_id
    for row, context in enumerate(contexts):
        parts = [] if bos is None else [model.embed(torch.tensor([bos], device=model.device))]
        for place, segment in enumerate(layout.segments(**context)):
            if segment is SOFT:
                parts.append(rows[row].to(parts[0].dtype if parts else model.dtype))
            else:
                ids = model.tokens([segment], continued=place > 0)[0]
                parts.append(model.embed(torch.tensor(ids, dtype=torch.long, device=model.device)))
        expected = torch.cat(parts)
        if layout.adapter:
            count = len(rows[row])
            added = expected[-count:] + layout.adapter_scale * rows[row].to(expected)
            expected = torch.cat([expected[:-count], added])
        real = inputs.attention_mask[row].bool()
        counted = torch.arange(len(expected), device=model.device)
        entered, where = inputs.embeds[row][real], inputs.position_ids[row][real]
        if not (torch.equal(entered, expected) and torch.equal(where, counted)):
            raise LabError(
                f"layout {layout.name}: what enters {model.name} for the question {context['question'][:60]!r} is not "
                "its text and its soft tokens in their places, at positions 0, 1, 2, ...; its inputs are built wrongly."
            )


def check_bridge(arm: str, bridge: Bridge, questions: Sequence[Question]) -> None:
    """Raise LabError for a bridge that does not write the same soft tokens each time, alone and in a batch.

    Dropout that is still on, noise that no seed holds, or a padding that leaks into the states would make a record
    depend on when and beside what a question was answered.
    """
    if bridge.translator.training:
        raise LabError(f"arm {arm}: its translator is in training mode, with dropout; call `eval()` before evaluating.")
    first, again = bridge.write_anew(questions), bridge.write_anew(questions)
    if not torch.equal(first.soft_tokens, again.soft_tokens):
        raise LabError(
            f"arm {arm}: its translator writes other soft tokens for the same questions the second time; something in "
            "it is random (dropout or noise without a seed)."
        )
    if bridge.source.dtype != torch.float32:  # half precision rounds by the batch
        return
    for row, question in enumerate(questions):
        alone, beside = bridge.write_anew([question]).soft_tokens[0], first.soft_tokens[row]
        if first.mask is not None:
            beside = beside[first.mask[row]]
        if (alone - beside).abs().max() > CLOSE * beside.square().mean().sqrt():
            raise LabError(
                f"arm {arm}: its translator writes other soft tokens for question {question.id} alone than in a batch; "
                "padding or the batch leaks into them."
            )


@contextmanager
def heard(translator: nn.Module) -> Iterator[list[SourceStates]]:
    """What a translator is given inside, call by call."""
    found: list[SourceStates] = []
    hook = translator.register_forward_pre_hook(lambda _, given: found.append(given[0]))
    try:
        yield found
    finally:
        hook.remove()


def check_source_reads(where: str, bridge: Bridge, questions: Sequence[Question], given: SourceStates) -> None:
    """Raise LabError unless `given` are the states of what the source reads of `questions`, at the translator's layers.

    Read here once more, by the rule itself and from no cache: training and evaluation are both held to it.
    """
    texts = [source_text(question.question, question.evidence) for question in questions]
    with bridge.source.without_cache():
        expected = bridge.source.source_states(texts, bridge.translator.layers)
    if expected.ids.shape != given.ids.shape or not torch.equal(expected.ids, given.ids):
        raise LabError(
            f"{where}: the source does not read {texts[0][:60]!r} of the question and its evidence; training and "
            "evaluation have to read by one rule."
        )
    close = expected.states.shape == given.states.shape and torch.allclose(
        expected.states.float(), given.states.float(), rtol=1e-3, atol=1e-3
    )
    if not close:
        raise LabError(
            f"{where}: the states that the translator is given are not those of layers {bridge.translator.layers!r}, "
            "which it was built for; training and evaluation have to read the same ones."
        )


def check_soft_tokens(arm: str, bridge: Bridge, questions: Sequence[Question], answers: Sequence[Answer]) -> None:
    """Raise LabError unless the soft tokens that entered are those that the arm's name and its record say.

    Of the first questions: those of the donor that the record names; in latent_zero none at all, in latent_noise and
    latent_mean not the question's own.
    """
    by_id = {question.id: question for question in questions}
    donors = [by_id[answer.soft_from or answer.id] for answer in answers]
    written = bridge.write_anew(donors)
    for answer, donor, sketch in zip(answers, donors, sketches(written.soft_tokens, written.mask), strict=True):
        own, entered = torch.tensor(sketch), torch.tensor(answer.sketch)
        apart = len(entered) != len(own) or (entered - own).abs().max() > SAME * own.abs().max().clamp_min(1e-6)
        if arm == "latent_zero" and entered.any():
            raise LabError(f"arm latent_zero: soft tokens of question {answer.id} are not zero; the control is none.")
        if arm in ("latent_noise", "latent_mean") and not apart and _tells_apart(bridge, donor, questions):
            raise LabError(f"arm {arm}: question {answer.id} has its own soft tokens; the control is none.")
        if arm in ("latent", "latent_shuffled") and apart:
            raise LabError(
                f"arm {arm}: the soft tokens that question {answer.id} was given are not those of question {donor.id}, "
                "which its record names."
            )


def _tells_apart(bridge: Bridge, question: Question, questions: Sequence[Question]) -> bool:
    """Whether some other question's soft tokens are clearly different; a collapsed translator's mean is its own."""
    own = bridge.write([question]).soft_tokens.float()
    others = (bridge.write([other]).soft_tokens.float() for other in questions if other.id != question.id)
    limit = 10 * SAME * own.abs().max().clamp_min(1e-6)
    return any(other.shape != own.shape or bool((other - own).abs().max() > limit) for other in others)


def check_cut(
    arm: str, evaluation: Evaluation, answers: Sequence[Answer], budget: int, size: int, said: Sequence[Answer] = ()
) -> None:
    """Raise LabError unless text that was cut has the length of the soft tokens: `budget` tokens, or `size` bytes.

    Not more, which would favour it, and not so much less that the next token or letter would have fitted, which would
    be no rival. `said`: the source's answers, if it was asked, of which same_bytes hands over as much as fits.
    """
    target = evaluation.pair.target
    for place, (question, answer) in enumerate(zip(evaluation.questions, answers, strict=True)):
        if arm == "same_bytes":
            whole, text = answer.handed if len(answer.handed) > 1 else (question.question, *answer.handed)
            spent = len((whole + text).encode("utf-8"))
            left = question.question[len(whole) :] or (said[place].text.strip()[len(text) :] if said else "")
            if spent > size or (left and spent + len(left[0].encode("utf-8")) <= size):
                raise LabError(
                    f"arm same_bytes: question {answer.id} was given {spent} bytes of text, soft tokens take {size}"
                    + (f", and {left[:20]!r} was left out." if left else ".")
                )
            continue
        at_end = arm == "token_budget"
        text = TEXT.visible_text(**evaluation.context(question)) if at_end else question.question
        piece = "".join(answer.handed)
        count = len(target.tokens([piece])[0])
        if not (text.endswith(piece) if at_end else text.startswith(piece)) or not (
            count <= budget < _with_one_more(target, text, piece, at_end, budget)
        ):
            raise LabError(
                f"arm {arm}: question {answer.id} was given {count} tokens of text, not the longest piece of at most "
                f"{budget}, which is what the soft tokens take."
            )


def _with_one_more(model: FrozenModel, text: str, piece: str, at_end: bool, budget: int) -> int:
    """How many tokens a piece of `text` would take with its next token; more than `budget` where there is none."""
    spans = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    first = len(text) - len(piece)  # of the piece, where it is the end
    beyond = [span for span in spans if (span[0] < first if at_end else span[1] > len(piece))]
    if not beyond or len(spans) - len(beyond) >= budget:
        return budget + 1
    return len(model.tokens([text[beyond[-1][0] :] if at_end else text[: beyond[0][1]]])[0])


def check_sources(bridges: Mapping[str, Bridge], source: FrozenModel, target: FrozenModel) -> None:
    """Raise LabError unless each retrained control reads the source that it is named for."""
    ours, others = fingerprint(source), fingerprint(target)
    for arm, bridge in bridges.items():
        read = fingerprint(bridge.source) if bridge.translator.needs_source else ""
        named = {"latent_random_source": read != ours, "latent_no_lore_source": read != ours,
                 "latent_target_source": read == others}  # fmt: skip
        if not named.get(arm, True):
            raise LabError(f"arm {arm}: its translator reads a source that the arm is not named for; give its own.")


def check_sent(arm: str, wire: Wire, soft: Tensor, received: Tensor) -> Tensor:
    """`received`, once it is what the format could carry: at most 2^bits values in a group. Raises LabError."""
    group = received.flatten(0, -2)[:, : wire.group or None].float()
    levels = max(len(torch.unique(row)) for row in group)
    if wire.bits < 16 and levels >= 2**wire.bits:
        raise LabError(
            f"arm {arm}: the soft tokens that arrive have {levels} different values in a group, {wire.name} carries "
            f"{2**wire.bits - 1} at most; they were not quantised."
        )
    if received.shape != soft.shape:
        raise LabError(f"arm {arm}: {list(soft.shape)} soft tokens were sent, {list(received.shape)} arrived.")
    return received


def check_decoding(arm: str, answers: Sequence[Answer], model: FrozenModel, decoding: Decoding) -> None:
    """Raise LabError unless an arm's answers were generated as the evaluation says, and are what its tokens say.

    No arm may have another limit, other hygiene or another end rule; no text may be changed after it was generated; no
    answer may stop before it has ended.
    """
    end_tokens = set(end_tokens_of(model))
    for answer in answers:
        generation, where = answer.generation, f"arm {arm}, question {answer.id}"
        ours, theirs = decoding.facts(), generation.decoding.facts()
        if name := next((name for name in ours if ours[name] != theirs[name]), ""):
            raise LabError(
                f"{where}: generated with {name}={theirs[name]!r}, the evaluation says {ours[name]!r}; every arm is to "
                "answer under the same limits, hygiene and end rule."
            )
        if text_of(model.tokenizer, generation.ids, decoding.ends) != generation.text:
            raise LabError(f"{where}: its text is not what its tokens say; it was altered after it was generated.")
        count = len(generation.ids)
        ended = decoding.ends(text_of(model.tokenizer, generation.ids, lambda text: None)) is not None
        by_token = bool(end_tokens) and generation.new_tokens == count + 1
        if generation.new_tokens > decoding.max_new_tokens or not (
            by_token or generation.new_tokens == count and (ended or count == decoding.max_new_tokens)
        ):
            raise LabError(
                f"{where}: {count} tokens are kept of {generation.new_tokens}, the limit is "
                f"{decoding.max_new_tokens} and the answer has not ended; it was cut or went on too long."
            )
