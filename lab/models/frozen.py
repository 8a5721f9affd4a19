"""Frozen models: encode text, embed tokens, read hidden states, and load a pair of them.

Nothing here is ever trained. Batches are padded on the left, positions count real tokens only, and padded states are
zero, so a text gives the same states alone and in any batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import ModelOutput
from transformers.utils import logging as transformers_logging

from lab.config import NAMED_LAYERS, NAMED_LAYERS_TEXT, RANDOM, Layout, PairConfig
from lab.errors import LabError
from lab.models.architecture import (
    attention_of,
    check_causal,
    context_length,
    embedding_scale,
    projection_of,
    takes_positions,
    text_model,
)
from lab.models.gguf_files import as_folder
from lab.models.head import run_with_head_at

__all__ = ["FrozenModel", "Pair", "SourceStates", "layer_indices", "load_pair", "pad_batch", "positions"]

KNOWN_TEXTS = 500_000  # texts whose tokens are remembered: some hundred megabytes at most
SENTENCE = "Two and two are four."  # read while a model is looked at
MESSAGE = "\u27e6message\u27e7"  # stands for what is read while a chat template is looked at
CHAT_DATE = "26 Jul 2024"  # for templates that say a date: the same prompt on every day
HEADROOM = 1.1  # activations and loading buffers, beyond the weights


@dataclass
class SourceStates:
    """states [B, S, L, d_src], zero where mask [B, S] is 0; ids [B, S]. Left-padded, outside the autograd graph."""

    states: Tensor
    mask: Tensor
    ids: Tensor


def positions(mask: Tensor) -> Tensor:
    """[B, S] position of each real token among the real ones of its row; padding gets 0."""
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0)


def pad_batch(rows: Sequence[Sequence[int]], pad: int, device: torch.device | str, side: str = "left") -> tuple:
    """Token rows -> (ids [B, S] long, mask [B, S] long) on `device`, padded on `side` to the longest row."""
    if side not in ("left", "right"):
        raise LabError(f"padding side {side!r} is not known; choose left or right.")
    longest = max((len(row) for row in rows), default=0)
    ids, mask = [], []
    for row in rows:
        padding = longest - len(row)
        before, after = (padding, 0) if side == "left" else (0, padding)
        ids.append([pad] * before + list(row) + [pad] * after)
        mask.append([0] * before + [1] * len(row) + [0] * after)
    shape = (len(rows), longest)
    return (
        torch.tensor(ids, dtype=torch.long, device=device).reshape(shape),
        torch.tensor(mask, dtype=torch.long, device=device).reshape(shape),
    )


def layer_indices(layers: str | Sequence[int], num_layers: int) -> list[int]:
    """`layers` (a name of `NAMED_LAYERS`, or indices, negative from the end) as indices into the num_layers + 1 hidden
    states.

    Index 0 is the embeddings; the last one is after the final norm. "middle" is the layers at 3, 4, 5 and 6 eighths of
    the depth (12, 16, 20, 24 of 32). Raises LabError for an index that does not exist.
    """
    if isinstance(layers, str):
        if layers not in NAMED_LAYERS:
            raise LabError(f"source_layers={layers!r} is not known; choose {NAMED_LAYERS_TEXT}.")
        middle = sorted({-(-eighth * num_layers // 8) for eighth in (3, 4, 5, 6)})
        return {"all": list(range(1, num_layers + 1)), "last": [num_layers], "middle": middle}[layers]
    states = num_layers + 1
    for index in layers:
        if not -states <= index < states:
            raise LabError(f"source_layers has {index}, but the source has hidden states {-states} to {num_layers}.")
    return [index % states for index in layers]


@dataclass
class FrozenModel:
    """A causal language model and its tokenizer, frozen and in evaluation mode."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    device: torch.device
    dtype: torch.dtype
    chat: bool = False  # whether its own chat template stands around all that it reads
    _named_bos: str = field(default="", repr=False)  # which a template may write, whether or not the tokenizer does
    _known_tokens: dict[str, list[int]] = field(default_factory=dict, repr=False)  # a text of a second epoch is free

    def __post_init__(self) -> None:
        self.model.requires_grad_(False)
        self.model.eval()
        rows = self.model.get_input_embeddings().weight.shape[0]
        if len(self.tokenizer) > rows:
            raise LabError(f"{self.name}: its tokenizer has {len(self.tokenizer)} entries, its model {rows}.")
        bos = self.tokenizer.bos_token_id
        self._named_bos = self.tokenizer.bos_token or self._named_bos
        if bos is not None and bos not in self.tokenizer("a")["input_ids"][:1]:
            # Named, but never put before a text (SmolLM2's begins a message): nothing here puts it there, either.
            self.tokenizer.bos_token = None
        if self.tokenizer.pad_token_id is None:
            # Any known token will do, the mask decides; a new one would resize the embeddings.
            self.tokenizer.pad_token = self.tokenizer.eos_token or self.tokenizer.unk_token
            if self.tokenizer.pad_token_id is None:
                raise LabError(f"{self.name}: its tokenizer has no pad, eos or unk token; set one in its folder.")
        if self.model.get_output_embeddings() is None:
            raise LabError(f"{self.name}: its model has no language-model head; choose a causal language model.")
        if getattr(self.model, "generation_config", None) is not None:
            self.model.generation_config.pad_token_id = self.tokenizer.pad_token_id

    @property
    def base(self) -> PreTrainedModel:
        """The model without its language-model head."""
        return self.model.base_model

    @property
    def hidden_size(self) -> int:
        """Size of a hidden state: what a source gives."""
        return self.model.config.hidden_size

    @property
    def embedding_size(self) -> int:
        """Size of an embedding: what a target is given. OPT-350m's are half as wide as its hidden states."""
        return self.model.get_input_embeddings().weight.shape[1]

    @property
    def context_length(self) -> int | None:
        """The most tokens that the model declares to read, None where it declares none; see `context_length`."""
        return context_length(self.model.config)

    @property
    def num_layers(self) -> int:
        """Number of transformer layers."""
        return self.model.config.num_hidden_layers

    @cached_property
    def embedding_rms(self) -> float:
        """The median over the vocabulary of a row's root mean square: the size that soft tokens should have."""
        vocabulary = torch.arange(self.model.get_input_embeddings().weight.shape[0], device=self.device)
        # Of what `embed` returns, which some models scale. In pieces: a float32 copy of a large table takes gigabytes.
        with torch.no_grad():
            rows = [self.embed(ids).float().square().mean(dim=1).sqrt() for ids in vocabulary.split(16384)]
        return torch.cat(rows).median().item()

    @cached_property
    def embedding_scale(self) -> float:
        """What `embed` multiplies the rows of the embedding module by, so that they enter as the tokens would. Raises
        LabError for a model that cannot be given embeddings."""
        return embedding_scale(self.name, self.model, self._plain([SENTENCE])[0])

    @cached_property
    def frame(self) -> tuple[str, str]:
        """The texts before and after all that the model reads: its chat template's around one message of a user, up to
        where the answer begins. Empty without `chat`. Raises LabError for a tokenizer that has no such template."""
        if not self.chat:
            return "", ""
        message = [{"role": "user", "content": MESSAGE}]
        try:
            text = self.tokenizer.apply_chat_template(
                message, tokenize=False, add_generation_prompt=True, date_string=CHAT_DATE, bos_token=self._named_bos
            )
        except Exception as error:  # a template is a program of the model's: it may raise anything
            reason = str(error).split("\n")[0]
            raise LabError(
                f"{self.name}: its chat template cannot be used ({reason}); set source_chat or target_chat to false."
            ) from None
        before, found, after = text.partition(MESSAGE)
        if not found or MESSAGE in after:
            raise LabError(f"{self.name}: its chat template does not hold the message once; leave its chat out.")
        return before.removeprefix(self.tokenizer.bos_token or ""), after  # BOS comes with every prompt already

    def reads(self, layout: Layout) -> Layout:
        """`layout` as this model reads it: inside its chat template, where it has `chat`."""
        return layout.framed(*self.frame)

    @cached_property
    def _marks_starts(self) -> bool:
        """Whether the tokenizer puts a mark of its own before a text (SentencePiece does), as if a word began there."""
        return self.tokenizer.convert_ids_to_tokens(self._plain(["a"])[0])[0].startswith("▁")

    def _plain(self, texts: list[str]) -> list[list[int]]:
        missing = [text for text in dict.fromkeys(texts) if text not in self._known_tokens]
        if missing:
            if len(self._known_tokens) > KNOWN_TEXTS:
                missing = list(dict.fromkeys(texts))
                self._known_tokens.clear()
            rows = self.tokenizer(missing, add_special_tokens=False)["input_ids"]
            self._known_tokens.update(zip(missing, rows, strict=True))
        return [self._known_tokens[text] for text in texts]

    def tokens(self, texts: list[str], continued: bool = False) -> list[list[int]]:
        """Each text's tokens, without special ones. `continued`: it goes on from other text, so no word begins."""
        if not (continued and self._marks_starts):
            return self._plain(texts)
        # The mark goes to the newline before the text, and the newline's tokens are cut off again.
        newline = self._plain(["\n"])[0]
        rows = []
        for text, row in zip(texts, self._plain(["\n" + text for text in texts]), strict=True):
            whole = row[: len(newline)] == newline  # else the newline has merged with the text
            rows.append(row[len(newline) :] if whole else self._plain([text])[0])
        return rows

    def encode(self, texts: list[str], bos: bool = True, side: str = "left") -> tuple[Tensor, Tensor]:
        """(ids [B, S] long, mask [B, S] long) on the model's device. Without `bos` a text goes on from other text."""
        start = [self.tokenizer.bos_token_id] if bos and self.tokenizer.bos_token_id is not None else []
        rows = [start + row for row in self.tokens(texts, continued=not bos)]
        return pad_batch(rows, self.tokenizer.pad_token_id, self.device, side)

    def check_length(self, tokens: int) -> None:
        """Raise LabError for more tokens than the model declares to read."""
        if self.context_length is not None and tokens > self.context_length:
            raise LabError(
                f"{self.name} reads at most {self.context_length} tokens, but a row has {tokens}; use shorter texts, "
                "fewer shots, soft tokens or new tokens, or a model that reads more."
            )

    def embed(self, ids: Tensor) -> Tensor:
        """ids [B, S] -> embeddings [B, S, d], as they enter the model."""
        rows = self.model.get_input_embeddings()(ids)
        return rows if self.embedding_scale == 1 else rows * self.embedding_scale

    def placed(self, mask: Tensor, places: Tensor) -> dict[str, Tensor]:
        """Mask and positions [B, S] by the names under which the model takes them; one without positions gets none."""
        return {"attention_mask": mask} | ({"position_ids": places} if takes_positions(self.base) else {})

    def run(self, keep: Tensor, embeds: Tensor, mask: Tensor, places: Tensor, **more) -> ModelOutput:
        """One pass over embeddings [B, T, d]: `logits` [N, vocabulary], the model's own, at the N positions of `keep`
        [B, T] bool, in their order. `more`: a cache, as the model takes it."""
        given = {"use_cache": False, "inputs_embeds": embeds, **self.placed(mask, places), **more}
        return run_with_head_at(self.model, keep, **given)

    @torch.no_grad()
    def source_states(self, texts: list[str], layers: str | Sequence[int] = "all") -> SourceStates:
        """The hidden states of `texts`, inside the chat template where there is `chat`, at `layers` (see
        `layer_indices`), in that order, without running the head."""
        picked = layer_indices(layers, self.num_layers)
        before, after = self.frame
        ids, mask = self.encode([before + text + after for text in texts])
        self.check_length(ids.shape[1])
        hidden = self._hidden_states(ids, mask)
        states = torch.stack([hidden[index] for index in picked], dim=2)
        # Filled, not multiplied: whatever attention leaves at padding, NaN included, must not come through.
        return SourceStates(states.masked_fill(mask[:, :, None, None] == 0, 0.0), mask, ids)

    def _hidden_states(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """num_layers + 1 hidden states [B, S, d_src]; the last one before it is narrowed to an embedding, if it is."""
        wide: list[Tensor] = []
        projection = projection_of(self.base, self.hidden_size, self.embedding_size)
        hook = projection and projection.register_forward_pre_hook(lambda _, given: wide.append(given[0]))
        try:
            out = self.base(
                input_ids=ids, **self.placed(mask, positions(mask)), output_hidden_states=True, use_cache=False
            )
        finally:
            if hook:
                hook.remove()
        hidden = list(out.hidden_states)
        return hidden if hidden[-1].shape[-1] == self.hidden_size else [*hidden[:-1], wide[-1]]


@dataclass
class Pair:
    """Both frozen models of an experiment."""

    source: FrozenModel
    target: FrozenModel


def load_pair(config: PairConfig) -> Pair:
    """Load both models of `config`, safetensors only and no remote code, onto one device.

    Raises LabError if a model is not found, the device is not there, or the weights of both would not fit into its
    free memory; memory is checked before any weight is read.
    """
    device = _device(config.device)
    dtype = getattr(torch, config.dtype)
    configs = [_find(AutoConfig, name) for name in config.models]
    attentions = [attention_of(name, model) for name, model in zip(config.models, configs, strict=True)]
    _check_memory(config.pair, configs, dtype, device)
    chats = (config.source_chat, config.target_chat)
    source, target = (
        _load(name, model, dtype, device, chat, attention)
        for name, model, chat, attention in zip(config.models, configs, chats, attentions, strict=True)
    )
    return Pair(source, target)


def load_tokenizers(config: PairConfig) -> Callable[[str, Sequence[int]], str | None]:
    """How the pair's models read tokens back: ("source" or "target", ids) -> text, or None where there is no tokenizer.

    Only the tokenizers are loaded, no weights.
    """
    found: dict[str, PreTrainedTokenizerBase | None] = {}
    for side, name in zip(("source", "target"), config.models, strict=True):
        try:
            found[side] = _find(AutoTokenizer, name)
        except LabError:
            found[side] = None

    def decode(side: str, ids: Sequence[int]) -> str | None:
        tokenizer = found[side]
        if tokenizer is None:
            return None
        return tokenizer.batch_decode([list(ids)], skip_special_tokens=True, clean_up_tokenization_spaces=False)[0]

    return decode


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise LabError(f"device={name!r}: PyTorch sees {torch.cuda.device_count()} GPUs; choose auto or cpu.")
    return device


def _find(kind: type, name: str, **options: object):
    """`kind.from_pretrained` of a folder (a GGUF file's is made), of the local hub cache, or of the hub: the first that
    has it."""
    place = as_folder(name.removeprefix(RANDOM))
    if Path(place).is_dir():
        tries = [True]
    elif place != name or Path(place).is_absolute() or place.startswith((".", "~")):
        raise LabError(f"model {name!r}: there is no folder {place}; give one with config.json and tokenizer files.")
    else:
        tries = [True, False]
        hub_logging.set_verbosity_error()  # a dozen lines of retries would hide the one that is raised
    for local in tries:
        try:
            return kind.from_pretrained(place, local_files_only=local, trust_remote_code=False, **options)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = str(error).split("\n")[0]
    where = "read from its folder" if len(tries) == 1 else "found in the local cache or on the hub"
    raise LabError(f"model {name!r} cannot be {where} ({reason}); give a local folder with all its files.")


def _load(
    name: str, config, dtype: torch.dtype, device: torch.device, chat: bool = False, attention: str = "sdpa"
) -> FrozenModel:
    transformers_logging.disable_progress_bar()  # a widget, which an executed notebook shows at 0 % for ever
    tokenizer = _find(AutoTokenizer, name)
    if name.startswith(RANDOM):
        model = _random_model(config, dtype, device, attention)
    else:
        model, info = _find(
            AutoModelForCausalLM, name, dtype=dtype, attn_implementation=attention, use_safetensors=True,
            output_loading_info=True,
        )  # fmt: skip
        if info["missing_keys"]:  # they would be random, and nobody would know
            raise LabError(f"model {name!r} lacks the weights of {sorted(info['missing_keys'])[0]}; get all its files.")
    model = text_model(name, model).to(device=device, dtype=dtype)
    frozen = FrozenModel(model, tokenizer, name, device, dtype, chat)
    # A template that cannot be used, or a model that embeddings cannot be given to, is refused here, not in mid-run.
    frozen.frame, frozen.embedding_scale  # noqa: B018
    check_causal(name, model, frozen.tokens([SENTENCE])[0])
    return frozen


def _random_model(config, dtype: torch.dtype, device: torch.device, attention: str) -> PreTrainedModel:
    """Random weights made on `device` in `dtype`, always the same ones: seconds on a GPU where a CPU takes minutes."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.device(device):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)


def _check_memory(name: str, configs: list, dtype: torch.dtype, device: torch.device) -> None:
    """Raise LabError if the weights of all models, counted without allocating any, exceed the free memory."""
    with torch.device("meta"):
        counts = [AutoModelForCausalLM.from_config(config).num_parameters() for config in configs]
    needed = sum(counts) * torch.empty(0, dtype=dtype).element_size() * HEADROOM
    free = _free_memory(device)
    if free is not None and needed > free:
        raise LabError(
            f"pair {name!r} needs about {needed / 2**30:.1f} GiB in {str(dtype).removeprefix('torch.')}, but {device} "
            f"has {free / 2**30:.1f} GiB free; use dtype='bfloat16', a larger device, or pair='mini'."
        )


def _free_memory(device: torch.device) -> int | None:
    """Free bytes of a GPU or of this machine (within its container's limit); None where that cannot be told."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / f"memory.{part}").read_text()) for part in ("max", "current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free.append(limit - used + int(stat["inactive_file"]))  # cached files make way
    except (OSError, ValueError, KeyError):  # no Linux, no cgroup, or "max": no limit
        pass
    return min(free, default=None)
