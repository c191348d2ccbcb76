"""Follow what git's two sides say to each other during a push, without taking part.

The framing is gitprotocol-common(5), the rest gitprotocol-pack(5): the server names its refs; the client answers with
the updates it wants, and a pack; the server reports. Everything that is kept is bounded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = 4
_LENGTH = re.compile(rb"[0-9a-fA-F]{4}")
_LONGEST = 65520
_UPDATE = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) ([^\0\n]+)\n?")
MAX_COMMANDS = 2 << 20
_MAX_REJECTED = 1000
_MAX_REASON = 500
_MAX_SAID = 8 << 10
_SIDE_BANDS = (b"side-band", b"side-band-64k")
_REPORT, _MESSAGE, _FATAL = 1, 2, 3


class MalformedError(Exception):
    """What came is not git's protocol."""


class Packets:
    """Cut a stream into packets as it comes; None is a flush."""

    __slots__ = ("rest",)

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Take in what came and give the packets that are whole; MalformedError where a length is none."""
        self.rest += data
        while len(self.rest) >= _HEADER:
            length = self._length()
            if len(self.rest) < length:
                return
            packet, self.rest = self.rest[_HEADER:length], self.rest[max(length, _HEADER) :]
            yield packet if length else None

    def _length(self) -> int:
        head = self.rest[:_HEADER]
        length = int(head, 16) if _LENGTH.fullmatch(head) else 1
        if 0 < length < _HEADER or length > _LONGEST:
            raise MalformedError(f"a packet of length {head!r}")
        return length


class Commands:
    """The updates that a client asks for: all packets up to the first flush."""

    __slots__ = ("_packets", "_size", "capabilities", "is_whole", "updates")

    def __init__(self) -> None:
        self.updates: list[tuple[str, str, str]] = []
        self.capabilities: frozenset[bytes] = frozenset()
        self.is_whole = False
        self._packets = Packets()
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take in what the client sent; what follows the flush is not looked at.

        Raises MalformedError where it is no packet, or more than git's hooks are ever asked about.
        """
        if self.is_whole:
            return
        for packet in self._packets.feed(data):
            if packet is None:
                self.is_whole, self._packets.rest = True, b""
                return
            self._size += len(packet)
            self._take(packet)
        if self._size + len(self._packets.rest) > MAX_COMMANDS:
            raise MalformedError(f"more than {MAX_COMMANDS >> 20} MiB of ref updates")

    def _take(self, packet: bytes) -> None:
        """Read one line; those that say `shallow`, or belong to a signed push, are git's business."""
        line, zero, capabilities = packet.partition(b"\0")
        if zero and not self.capabilities:
            self.capabilities = frozenset(capabilities.split())
        match = _UPDATE.fullmatch(line)
        if match:
            old, new, ref = (part.decode("utf-8", "replace") for part in match.groups())
            self.updates.append((old, new, ref))

    @property
    def has_side_band(self) -> bool:
        """Whether the report comes in bands, with git's messages beside it."""
        return any(band in self.capabilities for band in _SIDE_BANDS)


class Report:
    """How the server answers: whether it took the pack in, which refs it refused, and what it said meanwhile.

    It begins with the list of refs, which over HTTP is an answer of its own: there `is_named` says that it has been.
    """

    __slots__ = ("_commands", "_inner", "_is_lost", "_is_named", "_packets", "_said", "rejected", "unpacked")

    def __init__(self, commands: Commands, *, is_named: bool = False) -> None:
        self.unpacked: str | None = None
        self.rejected: dict[str, str] = {}
        self._commands = commands
        self._packets = Packets()
        self._inner = Packets()
        self._said = b""
        self._is_named = is_named
        self._is_lost = False

    @property
    def said(self) -> str:
        """The last of git's messages."""
        return self._said.decode("utf-8", "replace")

    def feed(self, data: bytes) -> None:
        """Take in what the server sent; a server that is not understood is passed on all the same."""
        if self._is_lost:
            return
        try:
            for packet in self._packets.feed(data):
                self._take(packet)
        except MalformedError:
            self._is_lost = True

    def _take(self, packet: bytes | None) -> None:
        if not self._is_named:
            self._is_named = packet is None  # the list of refs ends
        elif packet and self._commands.has_side_band:
            self._take_band(packet[0], packet[1:])
        elif packet:
            self._take_line(packet)

    def _take_band(self, band: int, data: bytes) -> None:
        if band == _REPORT:
            for line in self._inner.feed(data):
                self._take_line(line or b"")
        elif band in {_MESSAGE, _FATAL}:
            self._said = (self._said + data)[-_MAX_SAID:]

    def _take_line(self, line: bytes) -> None:
        word, _, rest = line[:_MAX_REASON].decode("utf-8", "replace").rstrip("\n").partition(" ")
        if word == "unpack":
            self.unpacked = rest
        elif word == "ng" and len(self.rejected) < _MAX_REJECTED:
            ref, _, reason = rest.partition(" ")
            self.rejected[ref] = reason
