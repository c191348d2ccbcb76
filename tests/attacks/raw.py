"""Git's objects, packs and push protocol by hand, so that anything at all can be said to a server."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

ZERO = "0" * 40
ZERO256 = "0" * 64
_TYPES = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_REF_DELTA = 7
FLUSH = b"0000"


# Objects


def oid_of(kind: str, body: bytes) -> str:
    """Name an object as git does."""
    return hashlib.sha1(b"%s %d\0" % (kind.encode(), len(body)) + body, usedforsecurity=False).hexdigest()


class Objects(dict[str, tuple[str, bytes]]):
    """Objects of a push, by id."""

    def add(self, kind: str, body: bytes) -> str:
        oid = oid_of(kind, body)
        self[oid] = (kind, body)
        return oid

    def blob(self, data: bytes) -> str:
        return self.add("blob", data)

    def tree(self, entries: Iterable[tuple[str, str | bytes, str]], *, ordered: bool = True) -> str:
        """Make a tree of mode, name and id; in git's order unless told otherwise."""
        rows = [(mode, name.encode() if isinstance(name, str) else name, oid) for mode, name, oid in entries]
        if ordered:
            rows.sort(key=lambda row: row[1] + (b"/" if row[0] == "40000" else b""))
        return self.add("tree", b"".join(b"%s %s\0" % (m.encode(), n) + bytes.fromhex(o) for m, n, o in rows))

    def link(self, root: str, path: str, mode: str, oid: str | None) -> str:
        """Put an entry at a path below a tree that is among the objects; None takes it away. Gives the new tree."""
        first, _, rest = path.partition("/")
        entries = {name: (m, o) for m, name, o in self.entries(root)}
        if rest:
            below = entries.get(first)
            start = below[1] if below and below[0] == "40000" else self.tree([])
            entries[first] = ("40000", self.link(start, rest, mode, oid))
            if not self.entries(entries[first][1]):
                del entries[first]
        elif oid is None:
            del entries[first]
        else:
            entries[first] = (mode, oid)
        return self.tree((m, name, o) for name, (m, o) in entries.items())

    def entries(self, tree: str) -> list[tuple[str, str, str]]:
        body, rows = self[tree][1], []
        while body:
            head, _, rest = body.partition(b"\0")
            mode, _, name = head.partition(b" ")
            rows.append((mode.decode(), name.decode(), rest[:20].hex()))
            body = rest[20:]
        return rows


PERSON = b"Some Body <somebody@example.org> 1767225600 +0100"


def commit_body(
    tree: str,
    parents: Sequence[str] = (),
    message: bytes = b"Change\n",
    *,
    author: bytes = PERSON,
    committer: bytes = PERSON,
    extra: bytes = b"",
) -> bytes:
    """Write a commit; `extra` are more header lines, each with its line end."""
    head = b"tree %s\n" % tree.encode() + b"".join(b"parent %s\n" % parent.encode() for parent in parents)
    return head + b"author %s\ncommitter %s\n%s\n%s" % (author, committer, extra, message)


def tag_body(target: str, name: str, message: str, *, kind: str = "commit", tagger: bytes | None = PERSON) -> bytes:
    """Write an annotated tag."""
    who = b"tagger %s\n" % tagger if tagger is not None else b""
    return b"object %s\ntype %s\ntag %s\n%s\n%s" % (
        target.encode(),
        kind.encode(),
        name.encode(),
        who,
        message.encode(),
    )


def write_loose(repository: Path, kind: str, body: bytes) -> str:
    """Put an object into a repository past everything that git checks."""
    oid = oid_of(kind, body)
    path = repository / "objects" / oid[:2] / oid[2:]
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_bytes(zlib.compress(b"%s %d\0" % (kind.encode(), len(body)) + body))
    return oid


# Packs


def _head(kind: int, size: int) -> bytes:
    byte, size = (kind << 4) | (size & 15), size >> 4
    found = bytearray()
    while size:
        found.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    found.append(byte)
    return bytes(found)


def zeros(size: int) -> bytes:
    """Compress a file of zeros without holding or reading it: one block again and again (RFC 1950, RFC 1951)."""
    whole, rest = divmod(size, 1 << 20)
    block = _deflated(1 << 20, zlib.Z_FULL_FLUSH)
    checksum = (size % 65521) << 16 | 1  # Adler-32 of zeros
    return b"\x78\xda" + block * whole + _deflated(rest, zlib.Z_FINISH) + checksum.to_bytes(4, "big")


def _deflated(size: int, end: int) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(bytes(size)) + squeeze.flush(end)


def packed(kind: str, size: int, squeezed: bytes) -> bytes:
    """Make a pack's entry out of what is compressed already."""
    return _head(_TYPES[kind], size) + squeezed


def delta(base: str, body: bytes) -> bytes:
    """Make a pack's entry that copies nothing of a base which the pack need not hold: a thin pack's."""
    size = bytearray()
    rest = len(body)
    while True:
        size.append((rest & 0x7F) | (0x80 if rest > 0x7F else 0))
        rest >>= 7
        if not rest:
            break
    steps = b"".join(bytes([len(body[at : at + 127])]) + body[at : at + 127] for at in range(0, len(body), 127))
    script = BASE_SIZE + bytes(size) + steps
    return _head(_REF_DELTA, len(script)) + bytes.fromhex(base) + zlib.compress(script)


BASE_SIZE = b"\0"  # the empty blob's


def pack(objects: Mapping[str, tuple[str, bytes]], *entries: bytes) -> bytes:
    """Write a pack of whole objects and of ready-made entries."""
    whole = [packed(kind, len(body), zlib.compress(body, 1)) for kind, body in objects.values()]
    data = b"PACK" + struct.pack(">II", 2, len(whole) + len(entries)) + b"".join([*whole, *entries])
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


# The protocol


def pkt(line: bytes) -> bytes:
    """Frame a line."""
    return b"%04x" % (len(line) + 4) + line


@dataclass(frozen=True)
class Push:
    """What a pusher says: ref updates (old, new, ref), objects, and how the rest of the talk differs from git's own."""

    updates: Sequence[tuple[str, str, str | bytes]]
    objects: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    entries: Sequence[bytes] = ()
    capabilities: str = "report-status"
    before: Sequence[bytes] = ()  # lines ahead of the first update, such as `shallow …`
    options: Sequence[bytes] | None = None
    raw: bytes | None = None  # said instead of all this

    def said(self) -> bytes:
        if self.raw is not None:
            return self.raw
        capabilities = b"\0 " + self.capabilities.encode() + b"\n"
        lines = [
            pkt(b"%s %s %s" % (old.encode(), new.encode(), ref if isinstance(ref, bytes) else ref.encode()) + end)
            for (old, new, ref), end in zip(self.updates, [capabilities] + [b"\n"] * len(self.updates), strict=False)
        ]
        text = b"".join([*(pkt(line) for line in self.before), *lines, FLUSH])
        if self.options is not None:
            text += b"".join(pkt(option) for option in self.options) + FLUSH
        if any(new.strip("0") for _, new, _ in self.updates):
            text += pack(self.objects, *self.entries)
        return text


@dataclass(frozen=True)
class Report:
    """How a push ended: what the server reports of each ref, what its hooks said, receive-pack's exit status."""

    status: int
    unpacked: str
    refs: Mapping[str, str]
    said: str

    @property
    def codes(self) -> set[str]:
        """The codes of the violations that the pusher was shown."""
        return {line[3:].partition("]")[0] for line in self.said.splitlines() if line.startswith("  [")}


def send(path: Path, push: Push, who: str | None, *, environment: Mapping[str, str] | None = None) -> Report:
    """Talk to `git receive-pack` over pipes, as ssh would let one."""
    env = {**os.environ, **(environment or {}), **({"GL_USER": who} if who is not None else {})}
    done = subprocess.run(
        ["git", "receive-pack", str(path)], input=push.said(), env=env, capture_output=True, check=False, timeout=300
    )
    return parse_report(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))


def parse_report(status: int, output: bytes, said: str) -> Report:
    """Read what receive-pack answers behind its list of refs."""
    lines, sections = list[bytes](), list[list[bytes]]()
    while len(output) >= 4:
        length = int(output[:4], 16)
        if length == 0:
            sections.append(lines)
            lines = []
            output = output[4:]
            continue
        lines.append(output[4:length].rstrip(b"\n"))
        output = output[length:]
    unpacked, refs = "", {}
    for line in sections[1] if len(sections) > 1 else ():
        word, _, rest = line.decode("utf-8", "replace").partition(" ")
        if word == "unpack":
            unpacked = rest
        elif word == "ok":
            refs[rest] = "ok"
        elif word == "ng":
            ref, _, why = rest.partition(" ")
            refs[ref] = why
    return Report(status, unpacked, refs, said)
