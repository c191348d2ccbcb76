"""Tell how a file is compressed, and unpack it into a bounded part of memory."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.scan.headers.source import Source

MAX_UNPACKED = 512 * 1024 * 1024  # bytes of one file
_READ = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x5d\0")  # gzip, bz2, xz, lzma; zlib is told by a sum
_UNREAD = (
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
)
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")  # a frame that zstd and lz4 pass over
_OLD_JOBLIB = re.compile(rb"ZF\s*(?:0x)?[0-9a-fA-F]+L?\s")
_STEP, _SMALL_STEP = 1 << 16, 256
_MEMORY = 1 << 28  # of LZMA's dictionary
_DICTIONARIES = frozenset(size << bits for bits in range(31) for size in (2, 3)) | {(1 << 32) - 1}  # bytes


def is_compressed(head: bytes) -> bool:
    """Whether a file begins as one that can be unpacked here: by its first bytes, and without damage in its head."""
    return has_magic(head) and beginning(head, len(head))[1]


def has_magic(head: bytes) -> bool:
    """Whether the first bytes are those of what can be unpacked here."""
    is_zlib = head[:1] == b"\x78" and int.from_bytes(head[:2], "big") % 31 == 0
    return is_zlib or head.startswith(_READ) or _is_lzma(head)


def _is_lzma(head: bytes) -> bool:
    """Whether a file begins as LZMA without a container may, which has no magic: by what liblzma takes for one.

    https://github.com/tukaani-project/xz/blob/master/doc/lzma-file-format.txt
    """
    dictionary, size = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    is_size = 0 < size < 1 << 38 or size == (1 << 64) - 1
    return len(head) > 13 and head[0] < 9 * 5 * 5 and dictionary in _DICTIONARIES and is_size and head[13] == 0  # noqa: PLR2004


def unread_packing(head: bytes) -> str:
    """Name the packing of a file that cannot be unpacked here; empty where there is none."""
    if _OLD_JOBLIB.match(head):
        return "joblib before 0.10"
    if _SKIPPABLE.match(head):
        return "zstd or lz4"
    return next((name for magic, name in _UNREAD if head.startswith(magic)), "")


def beginning(data: bytes, limit: int) -> tuple[bytes, bool]:
    """Unpack the beginning of a file from its first bytes, as far as they are sound; and tell whether they are.

    In small steps: readers run what comes before the damage.
    """
    unpacker = _unpacker(data)
    found = b""
    try:
        for position in range(0, len(data), _SMALL_STEP):
            if len(found) >= limit or unpacker.eof:
                break
            found += unpacker.decompress(data[position : position + _SMALL_STEP], limit - len(found))
    except _errors() as error:  # a larger dictionary than is allowed here is no damage
        return found, data.startswith(_READ) and "Memory usage limit" in str(error)
    return found, True


def unpack(source: Source, limit: int = MAX_UNPACKED) -> Source:
    """Unpack a compressed file whole; HeaderError where it is damaged, larger than the limit, or of another method.

    All its parts, one after the other, as the readers of these formats do; other bytes after them are refused.
    """
    from gitreg.scan.headers.source import Source  # to tell a format needs none of it

    found = io.BytesIO()
    for piece in _pieces(source, limit):
        found.write(piece)
    return Source(found, found.tell())


def ending(source: Source, count: int, limit: int) -> bytes:
    """Give the last bytes of what a file unpacks to, and keep no more of it; HeaderError as `unpack`."""
    tail = b""
    for piece in _pieces(source, limit):
        tail = (tail + piece)[-count:]
    return tail


def _pieces(source: Source, limit: int) -> Iterator[bytes]:
    from gitreg.scan.headers.source import TooMuchError, refuse

    head = source.peek(0, 32)
    if unread := unread_packing(head):
        refuse(f"packed by {unread}, which is not looked into: pack it with zlib, gzip, bz2 or xz, or not at all")
    left = limit
    unpacker: Any = None
    for position in range(0, source.size, _STEP):
        block = source.peek(position, _STEP)
        while block := block if unpacker else block.lstrip(b"\0"):  # zeros pad what follows a part
            unpacker = unpacker or _unpacker(head)
            try:
                piece = unpacker.decompress(block, left + 1)
            except _errors() as error:
                refuse(f"the compressed data is damaged: {error}")
            left -= len(piece)
            if left < 0:
                raise TooMuchError(f"it unpacks to more than {limit:,} bytes")
            yield piece
            block, unpacker = (unpacker.unused_data, None) if unpacker.eof else (b"", unpacker)
    if unpacker:
        refuse("the compressed data breaks off: truncated")


def _unpacker(head: bytes) -> Any:  # noqa: ANN401 - the three have no common type
    import bz2
    import lzma
    import zlib

    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if head.startswith((b"\xfd7zXZ\0", b"\x5d\0")) or _is_lzma(head):
        return lzma.LZMADecompressor(memlimit=_MEMORY)
    return zlib.decompressobj(zlib.MAX_WBITS | 32)


def _errors() -> tuple[type[Exception], ...]:
    import lzma
    import zlib

    return (zlib.error, OSError, lzma.LZMAError, EOFError)
