"""Read HDF5's groups and datasets (https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gitreg.scan.headers.keras import code_in_layers
from gitreg.scan.headers.source import (
    MAX_NAME,
    MAX_TENSORS,
    Facts,
    Source,
    Tensor,
    check_spans,
    checked_shape,
    name_of,
    refuse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x89HDF\r\n\x1a\n"
_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL = 0x01, 0x02, 0x03, 0x06, 0x07
_LAYOUT, _CONTINUATION, _SYMBOLS = 0x08, 0x10, 0x11
_MAX_OBJECTS = 500_000
_MAX_MESSAGES = 5_000_000
_MAX_DEPTH = 100
_ENTRY_REST = 24  # bytes of a symbol table entry after its two addresses


class _Message(NamedTuple):
    kind: int
    start: int
    size: int


def read(source: Source) -> Facts:
    """Read the datasets of all groups; each must lie in the file, whose own end must be there."""
    file = _File(source)
    file.walk()
    check_spans(file.spans, source.size)
    return Facts(
        tensors=tuple(file.tensors),
        details={"superblock": file.version},
        dangers=code_in_layers(source),
        notes=tuple(sorted(file.notes)),
    )


class _File:
    """The superblock's facts, and what the walk has found."""

    def __init__(self, source: Source) -> None:
        self.source = source
        if source.read(0, 8, "the signature") != MAGIC:
            refuse("no HDF5 signature at byte 0")
        self.version = source.number(8, "B", "the superblock's version")
        if self.version > 3:  # noqa: PLR2004
            refuse(f"a superblock of version {self.version}")
        at = 13 if self.version < 2 else 9  # noqa: PLR2004
        self.offset, self.length = source.read(at, 2, "the sizes of addresses")
        if self.offset not in {4, 8} or self.length not in {4, 8}:
            refuse(f"addresses of {self.offset} and {self.length} bytes")
        self.tensors: list[Tensor] = []
        self.spans: list[tuple[int, int, str]] = []
        self.notes: set[str] = set()
        self._messages = _MAX_MESSAGES
        self._seen: set[int] = set()
        self.base, self.root = self._superblock()

    def _superblock(self) -> tuple[int, int]:
        start = {0: 24, 1: 28}.get(self.version, 12)
        base = self.address(start, 0)
        end = self.address(start + 2 * self.offset, 0)
        # After the four addresses, the root group: an address, or an entry with the name's place before it.
        root = start + (5 if self.version < 2 else 3) * self.offset  # noqa: PLR2004
        if base is None or end is None:
            refuse("a superblock without addresses")
        if base + end > self.source.size and end > self.source.size:
            refuse(f"the file says that it ends at byte {end}, it has {self.source.size}: truncated")
        found = self.address(root, base)
        if found is None:
            refuse("no root group")
        return base, found

    def address(self, at: int, base: int | None = None) -> int | None:
        """Read an address; None where it is undefined."""
        raw = self.source.read(at, self.offset, "an address")
        if raw == b"\xff" * self.offset:
            return None
        return int.from_bytes(raw, "little") + (self.base if base is None else base)

    def count(self, at: int) -> int:
        """Read a length."""
        return int.from_bytes(self.source.read(at, self.length, "a length"), "little")

    def walk(self) -> None:
        """Visit every object once, by its first name."""
        waiting = [("", self.root, 0)]
        while waiting:
            name, at, depth = waiting.pop()
            if at in self._seen:
                continue
            self._seen.add(at)
            if len(self._seen) > _MAX_OBJECTS or depth > _MAX_DEPTH or len(self.tensors) > MAX_TENSORS:
                refuse("more groups and datasets than are read")
            messages = list(self.messages(at))
            kinds = {message.kind for message in messages}
            if _DATASPACE in kinds and _DATATYPE in kinds and _LAYOUT in kinds:
                self.dataset(name, messages)
            for step, target in self.children(messages):
                path = f"{name}/{step}".lstrip("/")
                if len(path) > MAX_NAME:
                    refuse(f"a name of {len(path):,} characters")
                waiting.append((path, target, depth + 1))

    # --- object headers ---

    def messages(self, at: int) -> Iterator[_Message]:
        """Give the messages of an object's header, in all its parts."""
        modern = self.source.read(at, 4, "an object's header") == b"OHDR"
        blocks, extra = [self._modern(at)] if modern else [self._classic(at)], 0
        if modern:
            flags = self.source.number(at + 5, "B", "an object's header")
            extra = 2 if flags & 4 else 0
        for start, size in blocks:
            position = start
            head = 4 + extra if modern else 8
            while position + head <= start + size:
                self._messages -= 1
                if self._messages < 0:
                    refuse("more messages than are read of a file")
                message = self._message(position, modern=modern, head=head)
                if message.start + message.size > start + size:
                    refuse(f"a message at byte {position} reaches beyond its header")
                position = message.start + message.size
                if message.kind == _CONTINUATION:
                    blocks.append(self._continued(message, modern=modern))
                    if len(blocks) > 10_000:  # noqa: PLR2004
                        refuse("a header in more parts than are read")
                else:
                    yield message

    def _classic(self, at: int) -> tuple[int, int]:
        if self.source.number(at, "B", "an object's header") != 1:
            refuse(f"no object's header at byte {at}")
        return at + 16, self.source.number(at + 8, "I", "an object's header")

    def _modern(self, at: int) -> tuple[int, int]:
        flags = self.source.number(at + 5, "B", "an object's header")
        start = at + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        return start + width, int.from_bytes(self.source.read(start, width, "a header's size"), "little")

    def _message(self, at: int, *, modern: bool, head: int) -> _Message:
        data = self.source.read(at, head, "a message")
        if modern:
            return _Message(data[0], at + head, int.from_bytes(data[1:3], "little"))
        return _Message(int.from_bytes(data[:2], "little"), at + head, int.from_bytes(data[2:4], "little"))

    def _continued(self, message: _Message, *, modern: bool) -> tuple[int, int]:
        start, size = self.address(message.start), self.count(message.start + self.offset)
        if start is None or start + size > self.source.size:
            refuse(f"a header goes on at byte {start}, beyond the file")
        if modern and size < 8:  # noqa: PLR2004 - a signature and a checksum
            refuse(f"a header goes on for {size} bytes")
        return (start + 4, size - 8) if modern else (start, size)

    # --- groups ---

    def children(self, messages: list[_Message]) -> Iterator[tuple[str, int]]:
        """Give the names and addresses of what a group holds."""
        for message in messages:
            if message.kind == _SYMBOLS:
                tree, heap = self.address(message.start), self.address(message.start + self.offset)
                if tree is not None and heap is not None:
                    yield from self.symbols(tree, heap)
            elif message.kind == _LINK:
                yield from self.link(message)
            elif message.kind == _LINK_INFO:
                flags = self.source.number(message.start + 1, "B", "a group")
                if self.address(message.start + 2 + (8 if flags & 1 else 0)) is not None:
                    self.notes.add("a group of many members, whose datasets are not listed")

    def symbols(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        """Walk the B-tree of an old group."""
        if self.source.read(heap, 4, "a heap of names") != b"HEAP":
            refuse(f"no heap of names at byte {heap}")
        size, names = self.count(heap + 8), self.address(heap + 8 + 2 * self.length)
        if names is None or names + size > self.source.size:
            refuse("a heap of names reaches beyond the file")
        waiting, seen = [tree], set[int]()
        while waiting:
            at = waiting.pop()
            if at in seen or len(seen) > _MAX_OBJECTS:
                refuse("a tree of a group that comes back to itself")
            seen.add(at)
            magic = self.source.read(at, 4, "a group")
            if magic == b"SNOD":
                yield from self.entries(at, names, names + size)
            elif magic == b"TREE":
                step, first = self.length + self.offset, at + 8 + 2 * self.offset + self.length
                children = self.source.number(at + 6, "H", "a tree")
                found = [self.address(first + step * index) for index in range(children)]
                waiting += [each for each in reversed(found) if each is not None]
            else:
                refuse(f"no part of a group at byte {at}")

    def entries(self, at: int, names: int, end: int) -> Iterator[tuple[str, int]]:
        step = 2 * self.offset + _ENTRY_REST
        for index in range(self.source.number(at + 6, "H", "a group's entries")):
            entry = at + 8 + step * index
            place = names + int.from_bytes(self.source.read(entry, self.offset, "a name's place"), "little")
            target = self.address(entry + self.offset)
            if place >= end:
                refuse(f"a name at byte {place} lies outside the heap of names")
            raw = self.source.peek(place, min(end - place, MAX_NAME + 1)).partition(b"\0")[0]
            is_soft = self.source.number(entry + 2 * self.offset, "I", "an entry") == 2  # noqa: PLR2004
            if target is not None and not is_soft:
                yield name_of(raw, "a member of a group"), target

    def link(self, message: _Message) -> Iterator[tuple[str, int]]:
        at, flags = message.start + 2, self.source.number(message.start + 1, "B", "a link")
        kind = self.source.number(at, "B", "a link") if flags & 8 else 0
        at += (1 if flags & 8 else 0) + (8 if flags & 4 else 0) + (1 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(self.source.read(at, width, "a link's name"), "little")
        if length > MAX_NAME:
            refuse(f"a name of {length:,} bytes")
        name = name_of(self.source.read(at + width, length, "a link's name"), "a link")
        if kind == 64:  # noqa: PLR2004
            refuse(f"{name!r} is a link to another file")
        target = self.address(at + width + length) if kind == 0 else None
        if target is not None:
            yield name, target

    # --- datasets ---

    def dataset(self, name: str, messages: list[_Message]) -> None:
        """Note a dataset; one that is stored in one piece has exactly the bytes that its shape needs."""
        first = {message.kind: message for message in reversed(messages)}
        if _EXTERNAL in first:
            refuse(f"dataset {name!r} lies in another file")
        dtype, width = self.datatype(first[_DATATYPE].start)
        tensor = Tensor(name, dtype, self.dataspace(name, first[_DATASPACE].start))
        self.tensors.append(tensor)
        self.layout(tensor, width, first[_LAYOUT].start)

    def dataspace(self, name: str, at: int) -> tuple[int, ...]:
        version, rank = self.source.read(at, 2, f"the shape of {name}")
        if version not in {1, 2} or rank > 32:  # noqa: PLR2004 - HDF5's own limit
            refuse(f"dataset {name!r} has a shape of version {version} and {rank} dimensions")
        start = at + (8 if version == 1 else 4)
        return checked_shape(name, [self.count(start + self.length * index) for index in range(rank)])

    def datatype(self, at: int) -> tuple[str, int]:
        data = self.source.read(at, 8, "a datatype")
        kind, signed, width = data[0] & 15, data[1] & 8, int.from_bytes(data[4:8], "little")
        words = {
            1: f"float{width * 8}",
            3: "string",
            6: "compound",
            7: "reference",
            8: "enum",
            9: "string",
            10: "array",
        }
        if kind == 0:
            return f"{'' if signed else 'u'}int{width * 8}", width
        return words.get(kind, f"class {kind}"), width

    def layout(self, tensor: Tensor, width: int, at: int) -> None:
        version, kind = self.source.read(at, 2, f"the layout of {tensor.name}")
        if version < 3:  # noqa: PLR2004 - written before HDF5 1.6.3
            return
        if kind == 1:
            start, size = self.address(at + 2), self.count(at + 2 + self.offset)
            needs = tensor.elements * width
            if start is None:  # nothing was written: it reads as zeros
                return
            if size != needs:
                refuse(f"dataset {tensor.name!r} of {tensor.elements:,} {tensor.dtype} has {size:,} bytes")
            self.spans.append((start, start + size, tensor.name))
        elif kind == 3:  # noqa: PLR2004
            refuse(f"dataset {tensor.name!r} is made of parts of other files")
