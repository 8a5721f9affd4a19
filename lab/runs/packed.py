"""Files of a run as they were written, or packed: by xz, as a preserved run has them, by gzip, or against a neighbour.

xz makes records 40 % smaller than gzip does, since many arms answer a question in nearly the same words. Runs of one
folder answer the same questions: packed by zstd against a neighbour's, records are a sixth to a half of that.
Such a file begins with the neighbour's place and the hash of its content, then comes one frame of zstd.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

SUFFIX, AGAINST = ".xz", ".zst"
SUFFIXES = (SUFFIX, ".gz", AGAINST)
PACKED = r"(?:\.(?:xz|gz|zst))?"  # behind a name, in a pattern of names
MAGIC: dict[bytes, tuple[str, Callable]] = {
    b"\xfd7zXZ\x00": ("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)),
    b"\x1f\x8b\x08": ("gzip", lambda: zlib.decompressobj(wbits=31)),
}
PIECE = 4096  # bytes, of which no method makes more than some 100 MiB
# 4 to 12 % smaller records than by the preset alone: texts, of which one byte says much of the next
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "pb": 0, "nice_len": 273}]
HEAD = struct.Struct("<II")  # zstd's frame that every reader skips: its magic, and the length of what it holds
SKIPPED = 0x184D2A50
MOST = 2**30  # bytes of what was packed against a neighbour: more is damage
WINDOW = 27  # bits; what zstd looks back on, and what it may ask for when it unpacks


def pack(data: bytes) -> bytes:
    """The same bytes for the same data."""
    return lzma.compress(data, filters=FILTERS)


def pack_against(data: bytes, neighbour: Path, folder: Path) -> bytes:
    """`data` as a file in `folder` holds it that is packed against `neighbour`; the same bytes for the same two.

    Raises OSError where it could not be unpacked: see `is_near`, and a neighbour must not have one itself.
    """
    zstandard, way = _zstandard(), _way(neighbour, folder)
    base = _content(way, folder)
    about = json.dumps({"neighbour": way, "sha256": hashlib.sha256(base).hexdigest()}).encode()
    chosen = zstandard.ZstdCompressionParameters.from_level(
        22, window_log=WINDOW, write_content_size=True, write_checksum=True, write_dict_id=False
    )
    packer = zstandard.ZstdCompressor(dict_data=_dictionary(base), compression_params=chosen)
    return HEAD.pack(SKIPPED, len(about)) + about + packer.compress(data)


def is_near(neighbour: Path, folder: Path) -> bool:
    """Whether a file in `folder` may be packed against it: at most one folder up, so that they are copied together."""
    return _is_near(_way(neighbour, folder))


def unpack(path: Path) -> bytes:
    """A file's content, packed or not. Raises OSError, also for an archive that is damaged anywhere."""
    data, damage = unpack_tolerantly(path)
    if damage:
        raise OSError(damage)
    return data


def unpack_tolerantly(path: Path) -> tuple[bytes, str | None]:
    """What a file holds, packed or not, and what was wrong with it: as much as can be had of a torn archive.

    Raises OSError where it cannot be read, or where the neighbour that it was packed against is not as it was.
    """
    raw = path.read_bytes()
    return _unpack_against(raw, path.parent) if path.suffix == AGAINST else _unpack_members(raw)


def plain_name(path: Path) -> str:
    """A file's name without what packing added."""
    return path.name.removesuffix(path.suffix) if path.suffix in SUFFIXES else path.name


def lying(path: Path) -> Path | None:
    """Where the file of this plain name lies: as it was written, or packed; None where it does not."""
    found = (path, *(path.with_name(path.name + suffix) for suffix in SUFFIXES))
    return next((file for file in found if file.is_file()), None)


# --- by xz or gzip: known by the first bytes --------------------------------------------------------------------------


def _unpack_members(raw: bytes, most: float = float("inf")) -> tuple[bytes, str | None]:
    parts, kind, name, damage = [], _kind(raw), "", None
    while kind and not damage:  # an archive may hold several members
        name = kind[0]
        part, rest, damage = _member(raw, kind[1](), name, (zlib.error, lzma.LZMAError), most)
        parts.append(part)
        raw = rest.lstrip(b"\0")  # members may be padded
        kind = _kind(raw)
    if not name:
        return raw, None
    return b"".join(parts), damage or (_behind(name) if raw else None)


def _kind(raw: bytes) -> tuple[str, Callable] | None:
    return next((kind for magic, kind in MAGIC.items() if raw.startswith(magic)), None)


def _member(raw: bytes, engine, name: str, errors, most: float = float("inf")) -> tuple[bytes, bytes, str | None]:
    """What the archive holds that `raw` begins with, what stands behind it, and what was wrong with it."""
    parts, start, length = [], 0, 0
    try:
        while start < len(raw) and not engine.eof and length <= most:
            parts.append(engine.decompress(raw[start : start + PIECE]))
            start, length = start + PIECE, length + len(parts[-1])
    except errors as error:
        return b"".join(parts), b"", f"the {name} archive is damaged ({error})"
    held = b"".join(parts)
    if length > most:
        return held, b"", f"the {name} archive is damaged (it holds more than it says)"
    if not engine.eof:
        return held, b"", f"the {name} archive ends too early"
    return held, raw[min(start, len(raw)) - len(engine.unused_data) :], None


def _behind(name: str) -> str:
    return f"the {name} archive is damaged (something else stands behind it)"


# --- by zstd against a neighbour: known by the suffix -----------------------------------------------------------------


def _unpack_against(raw: bytes, folder: Path) -> tuple[bytes, str | None]:
    zstandard, (way, digest, frame) = _zstandard(), _head(raw)
    base = _content(way, folder)
    if hashlib.sha256(base).hexdigest() != digest:
        raise OSError(f"{way}, which it was packed against, is not the file that it was")
    try:
        said = zstandard.get_frame_parameters(frame)
    except zstandard.ZstdError as error:
        return b"", f"the zstd archive is damaged ({error})" if frame else "the zstd archive ends too early"
    if said.content_size > MOST or not said.has_checksum:  # without a size it is more
        return b"", f"the zstd archive is damaged (it says no size up to {MOST >> 30} GiB, or has no checksum)"
    unpacker = zstandard.ZstdDecompressor(dict_data=_dictionary(base), max_window_size=2**WINDOW)
    held, rest, damage = _member(frame, unpacker.decompressobj(), "zstd", zstandard.ZstdError, said.content_size)
    return held, damage or (_behind("zstd") if rest else None)


def _head(raw: bytes) -> tuple[str, str, bytes]:
    """The neighbour's place and hash, and the frame behind them."""
    try:
        magic, length = HEAD.unpack_from(raw)
        about = json.loads(raw[HEAD.size : HEAD.size + length])
        way, digest = about["neighbour"], about["sha256"]
        if magic == SKIPPED and isinstance(way, str):
            return way, digest, raw[HEAD.size + length :]
    except (struct.error, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise OSError("the zstd archive is damaged (it does not begin with the neighbour that it was packed against)")


def _content(way: str, folder: Path) -> bytes:
    """What the neighbour holds that a file in `folder` names so."""
    path, told = folder / way, f"{way}, which it is packed against,"
    if not (_is_near(way) and path.resolve().is_relative_to(folder.resolve().parent)):  # nor by a link
        raise OSError(f"{told} lies more than one folder up")
    if path.suffix == AGAINST:
        raise OSError(f"{told} is packed against another file itself")
    if not path.is_file():
        raise OSError(f"{told} is missing")
    try:
        held, damage = _unpack_members(path.read_bytes(), MOST)
        if damage:
            raise OSError(damage)
        return held
    except OSError as error:
        raise OSError(f"{told} cannot be read: {error}") from None


def _way(neighbour: Path, folder: Path) -> str:
    return Path(os.path.relpath(neighbour, folder)).as_posix()


def _is_near(way: str) -> bool:
    path = PurePosixPath(way)
    return not (path.is_absolute() or set(way) & set("\\:")) and path.parts.count("..") <= 1


def _dictionary(base: bytes):
    zstandard = _zstandard()
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _zstandard():
    """Imported where it is needed: not every reader has it."""
    try:
        import zstandard
    except ImportError:
        raise OSError("it needs zstandard, which is not installed: `pip install zstandard`") from None
    return zstandard
