"""Walk a tar file's headers."""

from __future__ import annotations

from typing import NamedTuple

from gitreg.scan.headers.source import HeaderError, Source, refuse

_BLOCK = 512
_MAX_PADDING = 1 << 20  # bytes after the end, to fill a tape's block
_MAX_RECORDS = 1 << 20
_NO_FILES = frozenset({b"1", b"2", b"5"})  # links, folders
_RECORDS = frozenset({b"x", b"X", b"g"})
_ABOUT_THE_NEXT = _RECORDS | {b"L", b"K"}
MAX_ENTRIES = 100_000


class Entry(NamedTuple):
    """A file in a tar."""

    name: str
    start: int
    size: int


def entries(source: Source) -> list[Entry]:
    """List the plain files of a tar; HeaderError where a header is damaged, or a file reaches beyond the end."""
    found: list[Entry] = []
    position, long_name, large = 0, "", ""
    for _ in range(MAX_ENTRIES):
        block = source.peek(position, _BLOCK)
        if not block.strip(b"\0"):
            _check_end(source, position)
            return found
        size = _checked(block, position)
        kind = block[156:157]
        if large and kind not in _ABOUT_THE_NEXT:
            size, large = _larger(size, large, position), ""
        start = position + _BLOCK
        if start + size > source.size:
            refuse(
                f"the file at byte {position} of the tar would end at byte {start + size} of {source.size}: truncated"
            )
        if kind == b"L":
            long_name = _text(source.read(start, min(size, 65_536), "a name in the tar"))
        elif kind in _RECORDS:
            records = _records(source, start, size, kind)
            large = records.get("size", "")
            long_name = records.get("path", long_name)
        elif kind != b"K":
            name = long_name or "/".join(part for part in (_text(block[345:500]), _text(block[:100])) if part)
            long_name = ""
            _check_name(name, kind, _text(block[157:257]))
            if _is_file(name, kind, size):
                found.append(Entry(name, start, size))
        position = start + -(-size // _BLOCK) * _BLOCK
    return refuse(f"more than {MAX_ENTRIES:,} files in the tar")


def _check_end(source: Source, position: int) -> None:
    """Refuse what follows the end: there are readers that go on."""
    if source.size - position > _MAX_PADDING or source.peek(position, _MAX_PADDING).strip(b"\0"):
        refuse(f"bytes follow the tar's end at byte {position}")


def _is_file(name: str, kind: bytes, size: int) -> bool:
    """Whether an entry has bytes; one of a kind that a reader does not know is a file to it."""
    if kind not in _NO_FILES and not (kind == b"\0" and name.endswith("/")):
        return True
    if size:
        refuse(f"{name[:100]!r} in the tar is no file, and has {size:,} bytes")
    return False


def _records(source: Source, start: int, size: int, kind: bytes) -> dict[str, str]:
    """Read an extended header; refuse one that gives a file with holes, or all files a size or a name."""
    if size > _MAX_RECORDS:
        refuse(f"a header of {size:,} bytes at byte {start} of the tar")
    records = _pax(source.read(start, size, "a header of the tar"))
    if any(key.startswith("GNU.sparse") for key in records) or (kind == b"g" and {"size", "path"} & records.keys()):
        refuse(f"a header at byte {start} of the tar that is not read here: pack the files without holes")
    return records


def _checked(block: bytes, position: int) -> int:
    stored = block[148:156].strip(b" \0")
    total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if len(block) < _BLOCK or not stored or stored.strip(b"01234567") or int(stored, 8) != total:
        refuse(f"no header of the tar at byte {position}")
    raw = block[124:136]
    if raw[0] & 0x80:
        return int.from_bytes(bytes([raw[0] & 0x7F]) + raw[1:], "big")
    digits = raw.strip(b" \0")
    if digits.strip(b"01234567"):
        refuse(f"the file at byte {position} of the tar has no size")
    return int(digits or b"0", 8)


def is_header(block: bytes) -> bool:
    """Whether a block is a header of a tar: not compressed."""
    try:
        _checked(block, 0)
    except HeaderError:
        return False
    return True


def _check_name(name: str, kind: bytes, target: str) -> None:
    for path in (name, target if kind in {b"1", b"2"} else ""):
        if path.startswith("/") or ".." in path.split("/"):
            refuse(f"{path[:100]!r} leads out of the tar")
    if kind in {b"3", b"4", b"6", b"S"}:
        refuse(f"{name[:100]!r} is a device, a pipe or a file with holes")


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")


def _larger(size: int, said: str, position: int) -> int:
    """Take the size of an extended header, which stands where the header itself has none, being too small for it."""
    if not said.isascii() or not said.isdigit() or len(said) > 18 or size not in {0, int(said)}:  # noqa: PLR2004
        refuse(f"the file at byte {position} of the tar has two sizes")
    return int(said)


def _pax(data: bytes) -> dict[str, str]:
    """Read the records of an extended header: a length, a key, a value each."""
    found: dict[str, str] = {}
    while data:
        digits, _, _ = data.partition(b" ")
        if not digits.isdigit() or len(digits) > 7 or not 0 < int(digits) <= len(data):  # noqa: PLR2004
            return found
        key, _, value = data[len(digits) + 1 : int(digits) - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        data = data[int(digits) :]
    return found
