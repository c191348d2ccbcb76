"""Read a zip file's directory, and refuse one that two readers would understand in two ways."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, NamedTuple

from gitreg.scan.headers.source import Source, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ENTRIES = 100_000
_MAX_DIRECTORY = 64 * 1024 * 1024
END, _END64, _LOCATOR, _ENTRY, _LOCAL = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2", b"PK\3\4"
_WIDE = 0xFFFF_FFFF
_STEP = 1 << 16
_STORED, _DEFLATED = 0, 8
TAIL = 22 + 65_535  # bytes of a zip that its end record lies in: it has a comment


class Entry(NamedTuple):
    """A file in a zip: its name, how it is packed, where its bytes are."""

    name: str
    method: int
    start: int
    packed: int
    size: int


def entries(source: Source) -> list[Entry]:
    """List the files of a zip; HeaderError where its directory and the files disagree, overlap or are encrypted."""
    start, length, count = _directory(source)
    if count > MAX_ENTRIES or length > _MAX_DIRECTORY:
        refuse(f"{count:,} files in {length:,} bytes of directory, at most {MAX_ENTRIES:,} are read")
    data = source.read(start, length, "the zip's directory")
    found = [_placed(source, *each) for each in _listed(data, count)]
    names = set[str]()
    for entry in found:
        if entry.name in names:
            refuse(f"{entry.name[:100]!r} is in the zip twice")
        names.add(entry.name)
    reached = 0
    for entry in sorted(found, key=lambda each: each.start):
        if entry.start < reached:
            refuse(f"{entry.name[:100]!r} overlaps another file of the zip")
        reached = entry.start + entry.packed
    if reached > start:
        refuse("a file of the zip reaches into its directory")
    return found


def _directory(source: Source) -> tuple[int, int, int]:
    """Find the directory: where it starts, its bytes, its entries. It has to end right before its end record."""
    window = min(source.size, TAIL)
    tail = source.peek(source.size - window, window)
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < 22:  # noqa: PLR2004 - an end record without a comment
        refuse("the zip has no directory: truncated")
    end = source.size - window + at
    disk, first, here, count, length, start, comment = struct.unpack("<HHHHIIH", tail[at + 4 : at + 22])
    if len(tail) - at != 22 + comment:
        refuse("bytes follow the zip's end")
    if tail.count(END) > 1 and END in tail[at + 4 :]:
        refuse("two ends of a zip")
    if disk or first or here != count:
        refuse("a zip of several disks")
    stop = end
    if source.peek(end - 20, 4) == _LOCATOR:
        stop, count, length, start = _wide(source, end - 20)
    if start + length != stop:
        refuse(f"the zip's directory of {length:,} bytes at byte {start} does not end at byte {stop}")
    return start, length, count


def behind(source: Source) -> Source | None:
    """Find the zip that a file ends with, whatever comes before it: readers of zips look from the end."""
    window = min(source.size, TAIL)
    tail = source.peek(source.size - window, window)
    at = len(tail)
    while (at := tail.rfind(END, 0, at)) >= 0:
        stop = source.size - window + at
        length, start = (
            int.from_bytes(tail[at + 12 : at + 16], "little"),
            int.from_bytes(tail[at + 16 : at + 20], "little"),
        )
        if source.peek(stop - 20, 4) == _LOCATOR:
            stop -= 76
            length, start = (int.from_bytes(source.peek(stop + place, 8), "little") for place in (40, 48))
        if length <= stop and source.peek(stop - length, 4) == _ENTRY:
            before = max(stop - length - start, 0)
            return source.part(before, source.size - before)
    return None


def _wide(source: Source, at: int) -> tuple[int, int, int, int]:
    record = source.number(at + 8, "Q", "the zip's end")
    data = source.read(record, 56, "the zip's end")
    size = int.from_bytes(data[4:12], "little")
    if data[:4] != _END64 or record + 12 + size != at:
        refuse("the zip's end is not where it says")
    count, length, start = struct.unpack("<QQQ", data[32:56])
    return record, count, length, start


def _listed(data: bytes, count: int) -> Iterator[tuple[bytes, int, int, int, int, int]]:
    position = 0
    for _ in range(count):
        row = data[position : position + 46]
        if row[:4] != _ENTRY or len(row) != 46:  # noqa: PLR2004
            refuse("the zip's directory ends before its last file")
        flags, method = struct.unpack("<HH", row[8:12])
        packed, size, name, extra, comment = struct.unpack("<IIHHH", row[20:34])
        offset = int.from_bytes(row[42:46], "little")
        rest = data[position + 46 : position + 46 + name + extra]
        wide = _wide_numbers(rest[name:], size, packed, offset)
        yield (rest[:name], flags, method, *wide)
        position += 46 + name + extra + comment
    if position != len(data):
        refuse("bytes are left in the zip's directory")


def _wide_numbers(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """Take from the extra field of zip64 the numbers that 32 bits do not hold."""
    position, wide = 0, b""
    while position + 4 <= len(extra):
        kind, length = struct.unpack("<HH", extra[position : position + 4])
        if kind == 1:
            wide = extra[position + 4 : position + 4 + length]
        position += 4 + length
    found = []
    for value in (size, packed, offset):
        if value == _WIDE:
            if len(wide) < 8:  # noqa: PLR2004
                refuse("a large file of the zip has no size")
            value, wide = int.from_bytes(wide[:8], "little"), wide[8:]  # noqa: PLW2901
        found.append(value)
    return found[0], found[1], found[2]


def _placed(source: Source, raw: bytes, flags: int, method: int, size: int, packed: int, offset: int) -> Entry:  # noqa: PLR0913, PLR0917 - a row of the directory
    """Compare an entry with the header before its bytes, by which other readers go."""
    name = raw.decode("utf-8" if flags & 0x800 else "cp437", "replace")
    if flags & 0x2041:
        refuse(f"{name[:100]!r} is encrypted")
    local = source.read(offset, 30, f"{name[:100]!r} in the zip")
    if local[:4] != _LOCAL:
        refuse(f"{name[:100]!r} is not where the zip's directory says")
    length, extra = struct.unpack("<HH", local[26:30])
    if source.read(offset + 30, length, "a name in the zip") != raw:
        refuse(f"{name[:100]!r} has another name before its bytes")
    if int.from_bytes(local[8:10], "little") != method:
        refuse(f"{name[:100]!r} is packed in two ways")
    here_packed, here_size = struct.unpack("<II", local[18:26])
    if not flags & 8 and _WIDE not in {here_packed, here_size} and (here_packed, here_size) != (packed, size):
        refuse(f"{name[:100]!r} has other sizes before its bytes than in the zip's directory")
    start = offset + 30 + length + extra
    if start + packed > source.size:
        refuse(f"{name[:100]!r} would end at byte {start + packed} of {source.size}: truncated")
    if method == _STORED and packed != size:
        refuse(f"{name[:100]!r} has {packed:,} bytes, and says {size:,}")
    if method == _DEFLATED and size > packed * 1_040 + 64:
        refuse(f"{name[:100]!r} says that {packed:,} bytes unpack to {size:,}: more than deflate can")
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or ".." in parts or "\0" in name:
        refuse(f"{name[:100]!r} leads out of the zip")
    return Entry(name, method, start, packed, size)


def opened(source: Source, entry: Entry, limit: int) -> Source:
    """Open an entry: in place where it lies there as it is, else its first `limit` bytes, unpacked."""
    if entry.method == _STORED:
        return source.part(entry.start, entry.size)
    return Source(_inflated(source, entry, min(limit, entry.size)), min(limit, entry.size))


def unpacked(source: Source, entry: Entry, limit: int) -> bytes:
    """Unpack up to `limit` bytes of an entry."""
    if entry.method == _STORED:
        return source.payload(entry.start, min(entry.size, limit), entry.name[:100])
    return _inflated(source, entry, min(limit, entry.size)).getvalue()


def may_end_as_zip(source: Source, entry: Entry) -> bool:
    """Whether an entry may end with a zip; all of it is unpacked for that, and little of it kept."""
    tail = b""
    for piece in _pieces(source, entry, entry.size):
        tail = (tail + piece)[-TAIL:]
    return END in tail


def _inflated(source: Source, entry: Entry, want: int) -> io.BytesIO:
    found = io.BytesIO()
    for piece in _pieces(source, entry, want):
        found.write(piece)
    return found


def _pieces(source: Source, entry: Entry, want: int) -> Iterator[bytes]:
    """Unpack the first bytes of an entry piece by piece, none larger than 64 KiB; HeaderError where it has fewer."""
    import zlib

    if entry.method != _DEFLATED:
        refuse(f"{entry.name[:100]!r} is packed by method {entry.method}, which is not read here")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    position, stop, left = entry.start, entry.start + entry.packed, want
    data = b""
    try:
        while left and not inflate.eof and (data or position < stop):
            if not data:
                data = source.payload(position, min(_STEP, stop - position), entry.name[:100])
                position += len(data)
            piece = inflate.decompress(data, min(left, _STEP))
            data = inflate.unconsumed_tail
            left -= len(piece)
            yield piece
        while left and not inflate.eof and (piece := inflate.decompress(b"", min(left, _STEP))):
            left -= len(piece)  # what zlib itself still holds back
            yield piece
    except zlib.error as error:
        refuse(f"{entry.name[:100]!r} is damaged: {error}")
    if left:
        refuse(f"{entry.name[:100]!r} has fewer bytes than the zip says")
