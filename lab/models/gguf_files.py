"""A GGUF file as a model: written once into the user's cache as a folder of safetensors, config and tokenizer.

From there it is loaded like any other folder. The weights are stored as float32, because only that loses nothing:
float16 changes half of the values of a Q4_1 file and two thirds of a Q4_K_M one (by up to 4e-4 of the largest),
bfloat16 more than four fifths of either (4e-3). The folder is named after the file's sha256 and everything that shaped
it, so a changed file or another version of the converter makes another one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers
from huggingface_hub.utils import WeakFileLock
from tokenizers import pre_tokenizers, processors
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from lab.config import PACKAGE
from lab.errors import LabError
from lab.models.packaged import Piece, WeightsFile, packaged
from lab.places import cache
from lab.progress import tqdm

if TYPE_CHECKING:
    from gguf import GGUFReader

__all__ = ["as_folder"]

CONVERTER = 1  # to be raised where this module writes something else from the same file
DTYPE = torch.float32
# Vocabularies of these kinds were made of digits alone and words as GPT-2 has them; transformers leaves the digits out,
# so that of several spaces before a number the last one would stand alone.
DIGITS_ALONE = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
LOOKED_AT, MOSTLY = 2000, 0.8  # so many entries of a tokenizer; the share that has to be encoded as itself
NEEDED = ("gguf", "accelerate")  # accelerate by transformers, where it reads GGUF
NAME = re.compile(rf"(?P<file>{PACKAGE}[^@]+|.+\.gguf)(?:@(?P<sha256>[0-9a-fA-F]{{8,64}}))?", re.IGNORECASE)


def as_folder(name: str) -> str:
    """A model's name as `from_pretrained` takes it: for a GGUF file (its path, or `package:<name>`; `@` and the first
    8 or more digits of its sha256 may follow) the folder that it was written into, any other name as it is.

    The first call for a file takes from seconds to minutes. Raises LabError for a file that is missing, damaged, not
    the one of the given sha256, or that cannot be read as it was meant.
    """
    match = NAME.fullmatch(name)
    if match is None or Path(name).is_dir():
        return name
    file = _file(match["file"])
    digest, wanted = file.sha256(), (match["sha256"] or "").lower()
    if not digest.startswith(wanted):
        raise LabError(
            f"model {name!r}: the file's sha256 is {digest[:12]}..., it is another model than the one named."
        )
    folder = cache() / "models" / _folder_name(file, digest)
    if not folder.is_dir():
        _make(name, file, folder)
    return str(folder)


def _file(name: str) -> WeightsFile:
    if name.startswith(PACKAGE):
        try:
            return packaged(name.removeprefix(PACKAGE))
        except LabError as error:
            raise LabError(f"model {name!r}: {error}") from None
    path = Path(name).expanduser()
    if not path.is_file():
        raise LabError(f"model {name!r}: there is no file {path}; give a GGUF file, a folder, or a hub id.")
    return WeightsFile(path.name, (Piece(path),))


def _folder_name(file: WeightsFile, digest: str) -> str:
    """The file by name and content, then what decided how it was written."""
    kind = str(DTYPE).removeprefix("torch.")
    return f"{Path(file.name).stem}-{digest[:16]}-{kind}-converter{CONVERTER}-transformers{transformers.__version__}"


def _make(name: str, file: WeightsFile, folder: Path) -> None:
    """Write the folder beside its place, then rename it. Of two processes one writes, the other one waits for it."""
    if missing := [package for package in NEEDED if find_spec(package) is None]:
        needed = " and ".join(missing)
        raise LabError(f"model {name!r} is a GGUF file, which needs {needed}; `pip install {' '.join(missing)}`.")
    work = folder.with_name(f".{folder.name}.tmp")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(folder.with_name(f".{folder.name}.lock")):
            if folder.is_dir():
                return
            shutil.rmtree(work, ignore_errors=True)  # of a process that was killed
            work.mkdir()
            print(f"{file.name} is written once to {folder}", flush=True)
            try:
                _write(name, _alone(file, work / "file"), work / "model", file.sha256())
                os.rename(work / "model", folder)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise LabError(
            f"model {name!r} cannot be written to {folder.parent} ({error.strerror or error}); name another folder in "
            "the environment variable LAB_CACHE."
        ) from None


def _alone(file: WeightsFile, folder: Path) -> Path:
    """The whole file in a folder of its own, where nothing else can be taken for a part of the model."""
    folder.mkdir()
    path = folder / file.name
    if len(file.pieces) == 1:
        path.symlink_to(file.pieces[0].path.resolve())
        return path
    with open(path, "wb") as joined:
        for _, block in file.blocks():
            joined.write(block)
    return path


def _write(name: str, path: Path, folder: Path, digest: str) -> None:
    """The GGUF file at `path`, alone in its folder, as a new folder of safetensors, config and tokenizer."""
    from gguf import GGUFReader

    options = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    with _one_bar():
        try:
            tokenizer = AutoTokenizer.from_pretrained(path.parent, **options)
            model, info = AutoModelForCausalLM.from_pretrained(
                path.parent, dtype=DTYPE, output_loading_info=True, **options
            )
            reader = GGUFReader(path)
            _split_digits(reader, tokenizer)
            _begin(reader, tokenizer)
            unread = _unread(reader, model, info) or _misread(tokenizer)
        except Exception as error:  # whatever a reader meets in a file that is cut off, or not what it says
            reason = str(error).split("\n")[0] or type(error).__name__
            raise LabError(
                f"model {name!r} cannot be read as a GGUF file ({reason}); it is damaged, or of an architecture that "
                f"transformers {transformers.__version__} does not read from GGUF."
            ) from None
        if unread:
            raise LabError(
                f"model {name!r} cannot be read from GGUF as it was meant: {unread}; get its safetensors, or another "
                f"version of transformers than {transformers.__version__}."
            )
        # The model no longer is what these say of it, and `save_pretrained` would refuse.
        del model.config.quantization_config
        model.hf_quantizer = None
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    facts = {"file": path.name, "sha256": digest, "dtype": str(DTYPE), "converter": CONVERTER}
    (folder / "gguf.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _split_digits(reader: GGUFReader, tokenizer: PreTrainedTokenizerBase) -> None:
    """Have `tokenizer` split a text into words as the file says, where transformers does not."""
    kind = reader.fields.get("tokenizer.ggml.pre")
    if kind is not None and kind.contents() in DIGITS_ALONE:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )


def _begin(reader: GGUFReader, tokenizer: PreTrainedTokenizerBase) -> None:
    """Have `tokenizer` put BOS before a text, or not, as the file says; some versions of transformers do not ask it."""
    said, bos = reader.fields.get("tokenizer.ggml.add_bos_token"), tokenizer.bos_token
    if said is None or bos is None:
        return
    wanted, does = bool(said.contents()), tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    if wanted != does:
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A" if wanted else "$A", special_tokens=[(bos, tokenizer.bos_token_id)]
        )


def _unread(reader: GGUFReader, model: PreTrainedModel, info: dict) -> str:
    """What of the file is not in the model, or of the model not in the file; empty where they agree.

    transformers passes over tensors and settings that it does not know. Both would change what the model says.
    """
    if lacking := sorted({*info["missing_keys"], *info["mismatched_keys"]}):
        return f"it lacks the weights of {lacking[0]}"
    stored, loaded = sum(int(tensor.n_elements) for tensor in reader.tensors), model.num_parameters()
    if stored != loaded:
        return f"it holds {stored} numbers, of which the model takes {loaded}"
    scaling = [field.contents() for key, field in reader.fields.items() if key.endswith("rope.scaling.type")]
    rope = json.dumps(getattr(model.config, "rope_parameters", None) or {})
    if scaling not in ([], ["none"]) and scaling[0] not in rope:
        return f"its positions are scaled ({scaling[0]}), which transformers does not read"
    return ""


def _misread(tokenizer: PreTrainedTokenizerBase) -> str:
    """What is wrong with the tokenizer; empty if its entries are found in their own texts.

    transformers rebuilds it from lists, and not every version in the right order: of Gemma's entries 5.17 finds 7 %
    again, 5.23 all.
    """
    special, tried, found = set(tokenizer.all_special_ids), 0, 0
    for number in range(0, len(tokenizer), max(1, len(tokenizer) // LOOKED_AT)):
        text = tokenizer.decode([number], clean_up_tokenization_spaces=False)
        if number in special or "\ufffd" in text:  # a part of a letter has no text of its own
            continue
        ways = (text, text.removeprefix(" "), f" {text}")  # SentencePiece may put a space before, or take one off
        tried += 1
        found += any(tokenizer(way, add_special_tokens=False)["input_ids"] == [number] for way in ways)
    if found < MOSTLY * tried:
        return f"of its tokenizer's entries {found / tried:.0%} are what their own text is encoded as"
    return ""


@contextmanager
def _one_bar() -> Iterator[None]:
    """transformers' bar as this package shows bars: its own is a widget, which an executed notebook shows at 0 %."""
    module = import_module("transformers.modeling_gguf_pytorch_utils")
    theirs, shown = module.tqdm, transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    module.tqdm = tqdm
    try:
        yield
    finally:
        module.tqdm = theirs
        if shown:
            transformers_logging.enable_progress_bar()
