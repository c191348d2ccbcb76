"""Walk a tar file's headers."""

from __future__ import annotations

from typing import NamedTuple

from gitreg.scan.headers.source import HeaderError, Source, refuse

_BLOCK = 512
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
            return found
        size = _checked(block, position)
        kind = block[156:157]
        if large and kind not in {b"L", b"x", b"g"}:
            size, large = _larger(size, large, position), ""
        start = position + _BLOCK
        if start + size > source.size:
            refuse(
                f"the file at byte {position} of the tar would end at byte {start + size} of {source.size}: truncated"
            )
        if kind == b"L":
            long_name = _text(source.read(start, min(size, 65_536), "a name in the tar"))
        elif kind in {b"x", b"g"}:
            records = _pax(source.read(start, min(size, 1 << 20), "a header of the tar"))
            large = records.get("size", "") if kind == b"x" else ""
            long_name = records.get("path", long_name)
        else:
            name = long_name or "/".join(part for part in (_text(block[345:500]), _text(block[:100])) if part)
            long_name = ""
            _check_name(name, kind, _text(block[157:257]))
            if kind in {b"0", b"\0", b"7"}:
                found.append(Entry(name, start, size))
        position = start + -(-size // _BLOCK) * _BLOCK
    return refuse(f"more than {MAX_ENTRIES:,} files in the tar")


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
    if kind in {b"3", b"4", b"6"}:
        refuse(f"{name[:100]!r} is a device or a pipe")


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
