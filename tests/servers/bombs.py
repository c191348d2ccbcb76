"""Small packs that grow without bound when they are unpacked."""

from __future__ import annotations

import hashlib
import zlib

from tests.attacks import raw

_REF_DELTA = 7
_LONGEST_COPY = 0xFFFFFF


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _copy(size: int) -> bytes:
    """Copy so many bytes from the start of the base."""
    return bytes([0x80 | 0x70, size & 0xFF, size >> 8 & 0xFF, size >> 16 & 0xFF])


def repeat(base: bytes, times: int, *, kind: str = "blob", end: bytes = b"") -> bytes:
    """Make an entry that repeats a base of less than 16 MiB."""
    assert 0x10000 <= len(base) <= _LONGEST_COPY
    script = _number(len(base)) + _number(len(base) * times + len(end)) + _copy(len(base)) * times
    script += bytes([len(end)]) + end if end else b""
    return raw._head(_REF_DELTA, len(script)) + bytes.fromhex(raw.oid_of(kind, base)) + zlib.compress(script)


def name_of(base: bytes, times: int, *, kind: str = "blob") -> str:
    """Name what an entry that repeats a base makes."""
    digest = hashlib.sha1(b"%s %d\0" % (kind.encode(), len(base) * times), usedforsecurity=False)
    for _ in range(times):
        digest.update(base)
    return digest.hexdigest()


def zeros(size: int) -> tuple[str, bytes]:
    """Make an entry of a blob of zeros; its name is not worked out, since git must not come so far."""
    return "1" * 40, raw.packed("blob", size, raw.zeros(size))


def push(tip: str, kind: str) -> raw.Push:
    """Push a commit onto main whose tree, directly or below it, is a bomb of some kind."""
    objects, entries = raw.Objects(), list[bytes]()
    if kind == "zeros of 2 GiB":
        oid, entry = zeros(2 << 30)
        entries.append(entry)
    elif kind == "zeros of 500 MiB":
        oid, entry = zeros(500 << 20)
        entries.append(entry)
    elif kind == "a delta of 2 GiB":
        base = bytes(_LONGEST_COPY)
        objects.blob(base)
        oid = name_of(base, 128)
        entries.append(repeat(base, 128))
    elif kind == "400 deltas of 60 MiB":
        base = bytes(1 << 20)
        oid = objects.blob(base)
        entries += [repeat(base, 60, end=number.to_bytes(2, "big")) for number in range(400)]
    else:
        base = b"".join(b"100644 f%06d\0" % number + b"\1" * 20 for number in range(10_000))
        objects.add("tree", base)
        assert kind == "a tree of 500 MB"
        commit = objects.add("commit", raw.commit_body(name_of(base, 1500, kind="tree"), [tip]))
        return raw.Push([(tip, commit, "refs/heads/main")], objects, [repeat(base, 1500, kind="tree")])
    tree = objects.tree([("100644", "README.md", oid)])
    commit = objects.add("commit", raw.commit_body(tree, [tip]))
    return raw.Push([(tip, commit, "refs/heads/main")], objects, entries)


KINDS = ("zeros of 2 GiB", "zeros of 500 MiB", "a delta of 2 GiB", "400 deltas of 60 MiB", "a tree of 500 MB")
