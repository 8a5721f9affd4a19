"""Files of a run as they were written, or packed: by xz, as a preserved run has them, or by gzip.

xz makes records 40 % smaller than gzip does, since many arms answer a question in nearly the same words.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

SUFFIX = ".xz"
SUFFIXES = (SUFFIX, ".gz")
PACKED = r"(?:\.(?:xz|gz))?"  # behind a name, in a pattern of names
MAGIC: dict[bytes, tuple[str, Callable]] = {
    b"\xfd7zXZ\x00": ("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)),
    b"\x1f\x8b": ("gzip", lambda: zlib.decompressobj(wbits=31)),
}
PIECE = 65536  # bytes


def pack(data: bytes) -> bytes:
    """The same bytes for the same data."""
    return lzma.compress(data, preset=9)


def unpack(path: Path) -> bytes:
    """A file's content, packed or not. Raises OSError, also for an archive that is damaged anywhere."""
    data, damage = unpack_tolerantly(path.read_bytes())
    if damage:
        raise OSError(damage)
    return data


def unpack_tolerantly(raw: bytes) -> tuple[bytes, str | None]:
    """What `raw` holds, packed or not, by its first bytes, and what was wrong with it: as much as can be had of a torn
    archive."""
    parts, kind, name = [], _kind(raw), ""
    while kind:  # an archive may hold several members
        name, engine = kind[0], kind[1]()
        try:
            for start in range(0, len(raw), PIECE):
                parts.append(engine.decompress(raw[start : start + PIECE]))
                if engine.eof:
                    break
        except (zlib.error, lzma.LZMAError) as error:
            return b"".join(parts), f"the {name} archive is damaged ({error})"
        if not engine.eof:
            return b"".join(parts), f"the {name} archive ends too early"
        raw = raw[min(start + PIECE, len(raw)) - len(engine.unused_data) :].lstrip(b"\0")  # members may be padded
        kind = _kind(raw)
    if not name:
        return raw, None
    return b"".join(parts), f"the {name} archive is damaged (something else stands behind it)" if raw else None


def _kind(raw: bytes) -> tuple[str, Callable] | None:
    return next((kind for magic, kind in MAGIC.items() if raw.startswith(magic)), None)


def plain_name(path: Path) -> str:
    """A file's name without what packing added."""
    return path.name.removesuffix(path.suffix) if path.suffix in SUFFIXES else path.name


def lying(path: Path) -> Path | None:
    """Where the file of this plain name lies: as it was written, or packed; None where it does not."""
    found = (path, *(path.with_name(path.name + suffix) for suffix in SUFFIXES))
    return next((file for file in found if file.is_file()), None)
