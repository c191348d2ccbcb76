"""Walk protobuf messages without copying what they hold (https://protobuf.dev/programming-guides/encoding/)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gitreg.scan.headers.source import Source, name_of, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FIELDS = 4_000_000  # of a file
MAX_DEPTH = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """A field: its number, its value (of a varint), and where its bytes lie (of everything else)."""

    number: int
    value: int
    start: int
    end: int
    is_bytes: bool


class Messages:
    """The messages of one file, walked under one budget."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._left = MAX_FIELDS

    def fields(self, start: int, end: int, what: str) -> Iterator[Field]:
        """Give the fields between two bytes; HeaderError where they do not end there."""
        position = start
        while position < end:
            self._left -= 1
            if self._left < 0:
                refuse(f"{what}: more than {MAX_FIELDS:,} fields")
            window = self.source.peek(position, 20)
            key, used = varint(window, 0)
            number, wire = key >> 3, key & 7
            if not used or not number:
                refuse(f"{what}: no field at byte {position}")
            value, body, after = 0, position + used, position + used
            if wire == _VARINT:
                value, stop = varint(window, used)
                after = position + stop if stop else end + 1
            elif wire == _BYTES:
                length, stop = varint(window, used)
                body = position + stop
                after = body + length if stop else end + 1
            elif wire in {_FIXED64, _FIXED32}:
                after = body + (8 if wire == _FIXED64 else 4)
            else:
                refuse(f"{what}: a field of an unknown kind at byte {position}")
            if after > end:
                refuse(f"{what}: the field at byte {position} would end at byte {after} of {end}: truncated")
            yield Field(number, value, body, after, wire == _BYTES)
            position = after

    def text(self, field: Field, what: str) -> str:
        """Read a field's bytes as a short text."""
        if not field.is_bytes:
            refuse(f"{what} is no text")
        count = field.end - field.start
        return name_of(self.source.read(field.start, min(count, 2_000), what), what)

    def numbers(self, field: Field, what: str, limit: int = 1_000) -> list[int]:
        """Read a repeated number, packed or not."""
        if not field.is_bytes:
            return [signed(field.value)]
        if field.end - field.start > limit * 10:
            refuse(f"{what}: more than {limit:,} numbers")
        data = self.source.read(field.start, field.end - field.start, what)
        found, position = [], 0
        while position < len(data):
            value, after = varint(data, position)
            if not after:
                refuse(f"{what}: no number at byte {field.start + position}")
            found.append(signed(value))
            position = after
        return found


def varint(data: bytes, start: int) -> tuple[int, int]:
    """Read a base-128 number and the place after it; 0, 0 where there is none."""
    value = 0
    for index, byte in enumerate(data[start : start + 10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004
            return value & 0xFFFF_FFFF_FFFF_FFFF, start + index + 1
    return 0, 0


def signed(value: int) -> int:
    """Read a varint as int64 is written."""
    return value - (1 << 64) if value >= 1 << 63 else value
