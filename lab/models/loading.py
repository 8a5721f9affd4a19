"""Models by name: found in a folder, a GGUF file, the local cache or a hub, checked, and loaded as a frozen pair.

Safetensors only and no remote code; what cannot be used as it has to be is refused here, in one sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from lab import ranks
from lab.config import RANDOM, PairConfig
from lab.errors import LabError
from lab.models.architecture import attention_of, check_causal, text_model
from lab.models.frozen import SENTENCE, FrozenModel
from lab.models.fused import fuse
from lab.models.gguf_files import as_folder
from lab.models.quantised import made_sound, packing, weight_bytes
from lab.models.residence import Residence
from lab.models.state_cache import StateCache
from lab.places import ROOT

__all__ = ["Pair", "config_of", "device_of", "load_pair", "load_tokenizers", "tokenizer_of"]

HEADROOM = 1.1  # activations and loading buffers, beyond the weights


@dataclass
class Pair:
    """Both frozen models of an experiment."""

    source: FrozenModel
    target: FrozenModel
    # Rows at a time that fitted, by what was asked and of which arms; see `lab.answers.memory`.
    fitted: dict[Callable, dict[str, int]] = field(default_factory=dict, compare=False)

    def forget_graphs(self) -> bool:
        """Give back what was captured of both, see `Graphs.forget`."""
        return any([self.source.captured.forget(), self.target.captured.forget()])

    @contextmanager
    def source_at_home(self) -> Iterator[None]:
        """Inside, the source's weights are on the device. What was captured gives way where it leaves no room for them:
        it can be captured again."""
        away = self.source.residence is not None and self.source.residence.away
        if away and not self.source.residence.has_room() and self.forget_graphs():
            torch.cuda.empty_cache()
        with self.source.at_home():
            yield


def load_pair(config: PairConfig) -> Pair:
    """Load both models of `config`, safetensors only and no remote code, onto one device.

    Raises LabError if a model is not found, the device is not there, or the weights of both would not fit into its
    free memory; memory is checked before any weight is read.
    """
    device = device_of(config.device)
    dtype = getattr(torch, config.dtype)
    known_states = _known_states(config)  # first: a folder that cannot be written is told before weights are read
    configs = [_find(AutoConfig, name) for name in config.models]
    attentions = [attention_of(name, model) for name, model in zip(config.models, configs, strict=True)]
    # With rows of padding in bf16 its backward pass gives NaN (torch 2.11, H100); PyTorch's own kernels give numbers.
    torch.backends.cuda.enable_cudnn_sdp(False)
    leaves, bits = config.source_leaves and device.type == "cuda", (0, config.target_bits)
    _check_memory(config.pair, configs, dtype, device, bits, leaves)
    loaded = []
    chats = (config.source_chat, config.target_chat)
    for name, model, chat, attention, packed in zip(config.models, configs, chats, attentions, bits, strict=True):
        frozen = _load(name, model, dtype, device, chat, attention, packed)
        if config.fused_kernels:
            ids, _ = frozen.encode([SENTENCE])
            fuse(name, frozen.model, ids)
        frozen.graphs, frozen.fused = config.cuda_graphs, config.fused_kernels
        if leaves and not loaded:
            frozen.residence = Residence(frozen.model, device)
            frozen.residence.leave()
        loaded.append(frozen)
    source, target = loaded
    source.known_states = known_states
    return Pair(source, target)


def _known_states(config: PairConfig) -> StateCache | None:
    if not config.state_cache:
        return None
    return StateCache(ROOT / Path(config.state_cache).expanduser(), int(config.state_cache_gb * 1e9))


def load_tokenizers(config: PairConfig) -> Callable[[str, Sequence[int]], str | None]:
    """How the pair's models read tokens back: ("source" or "target", ids) -> text, or None where there is no tokenizer.

    Only the tokenizers are loaded, no weights.
    """
    found: dict[str, PreTrainedTokenizerBase | None] = {}
    for side, name in zip(("source", "target"), config.models, strict=True):
        found[side] = tokenizer_of(name)

    def decode(side: str, ids: Sequence[int]) -> str | None:
        tokenizer = found[side]
        if tokenizer is None:
            return None
        return tokenizer.batch_decode([list(ids)], skip_special_tokens=True, clean_up_tokenization_spaces=False)[0]

    return decode


def config_of(name: str) -> PretrainedConfig:
    """What a model's config.json says. Raises LabError if it is not found."""
    return _find(AutoConfig, name)


def tokenizer_of(name: str) -> PreTrainedTokenizerBase | None:
    """A model's tokenizer, None where it is not found."""
    try:
        return _find(AutoTokenizer, name)
    except LabError:
        return None


def device_of(name: str) -> torch.device:
    """The device of that name, "auto" being a GPU where there is one. Raises LabError for a GPU that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise LabError(f"device={name!r}: PyTorch sees {torch.cuda.device_count()} GPUs; choose auto or cpu.")
    if device.type == "cuda" and device.index is None and ranks.count() > 1:
        device = torch.device("cuda", torch.cuda.current_device())  # that of this rank
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
        except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
            reason = str(error).split("\n")[0]
    where = "read from its folder" if len(tries) == 1 else "found in the local cache or on the hub"
    raise LabError(f"model {name!r} cannot be {where} ({reason}); give a local folder with all its files.")


def _load(
    name: str,
    config,
    dtype: torch.dtype,
    device: torch.device,
    chat: bool = False,
    attention: str = "sdpa",
    bits: int = 0,
) -> FrozenModel:
    transformers_logging.disable_progress_bar()  # a widget, which an executed notebook shows at 0 % for ever
    tokenizer = _find(AutoTokenizer, name)
    if name.startswith(RANDOM):
        if bits:
            raise LabError(f"target_bits={bits} packs weights as a file is read, and {name!r} has none; leave it out.")
        model = _random_model(config, dtype, device, attention)
    else:
        place = (device.index or 0) if device.type == "cuda" else device.type  # where accelerate is to put all of it
        packed = {"quantization_config": packing(bits, dtype), "device_map": {"": place}} if bits else {}
        model, info = _find(
            AutoModelForCausalLM, name, dtype=dtype, attn_implementation=attention, use_safetensors=True,
            output_loading_info=True, **packed,
        )  # fmt: skip
        if info["missing_keys"]:  # they would be random, and nobody would know
            raise LabError(f"model {name!r} lacks the weights of {sorted(info['missing_keys'])[0]}; get all its files.")
    model = text_model(name, model)
    model = made_sound(name, model, bits) if bits else model.to(device=device, dtype=dtype)
    frozen = FrozenModel(model, tokenizer, name, device, dtype, chat, bits)
    # A template that cannot be used, or a model that embeddings cannot be given to, is refused here, not in mid-run.
    frozen.frame, frozen.embedding_scale  # noqa: B018
    check_causal(name, model, frozen.tokens([SENTENCE])[0])
    return frozen


def _random_model(config, dtype: torch.dtype, device: torch.device, attention: str) -> PreTrainedModel:
    """Random weights made on `device` in `dtype`, always the same ones: seconds on a GPU where a CPU takes minutes."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.device(device):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)


def _check_memory(
    name: str, configs: list, dtype: torch.dtype, device: torch.device, bits: Sequence[int] = (0, 0),
    leaves: bool = False,
) -> None:  # fmt: skip
    """Raise LabError if the weights of all models, counted without allocating any, exceed the free memory. `leaves`:
    they are there one after the other."""
    with torch.device("meta"):
        models = [AutoModelForCausalLM.from_config(config) for config in configs]
    sizes = [weight_bytes(model, dtype, packed) for model, packed in zip(models, bits, strict=True)]
    needed = HEADROOM * (max(sizes) if leaves else sum(sizes))
    free = _free_memory(device)
    if free is not None and needed > free:
        packed = f" (target in {bits[-1]} bits)" if bits[-1] else ""
        raise LabError(
            f"pair {name!r} needs about {needed / 2**30:.1f} GiB in {str(dtype).removeprefix('torch.')}{packed}, but "
            f"{device} has {free / 2**30:.1f} GiB free; use dtype='bfloat16', target_bits=4, a larger device, or "
            "pair='mini'."
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
