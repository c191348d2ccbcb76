"""Say a second time, slowly and by other means, what the reader of YAML and the parser of refs say."""

from __future__ import annotations

import re

import yaml12  # saphyr, a parser of YAML 1.2 in Rust: no line of it comes from libyaml or PyYAML

MAX_REF = 1024
MAX_UPDATES = 1000


def read_yaml(data: bytes) -> object:
    """Read a document by the core schema of YAML 1.2; raise ValueError where there is none.

    It puts up with what gitreg refuses (duplicate keys, tags, anchors), so it only tells what accepted text means. The
    document's end is marked, for without it saphyr 0.2 reads a line break into a block text that ends with the file.
    """
    return yaml12.parse_yaml(data.decode() + ("...\n" if data.endswith(b"\n") else "\n...\n"))


def read_updates(data: bytes) -> list[tuple[str, str, str]] | None:
    """Read what git writes to a pre-receive hook: lines of old, new and ref; None where it is anything else."""
    if data == b"" or data[-1:] != b"\n":
        return None
    lines = data[:-1].split(b"\n")
    if len(lines) > MAX_UPDATES:
        return None
    updates = []
    for line in lines:
        words = line.split(b" ")
        if len(words) != 3:
            return None
        old, new, ref = words
        if not (is_oid(old) and is_oid(new) and len(old) == len(new) and is_ref(ref)):
            return None
        updates.append((old.decode(), new.decode(), ref.decode()))
    return updates


def is_oid(word: bytes) -> bool:
    return len(word) in {40, 64} and all(byte in b"0123456789abcdef" for byte in word)


def is_ref(word: bytes) -> bool:
    """Apply git-check-ref-format(1), rule by rule, to a full ref of visible ASCII that is not too long."""
    if not word.startswith(b"refs/") or len(word) > MAX_REF:
        return False
    if any(not 0x21 <= byte <= 0x7E for byte in word):  # rule 4, and nothing beyond ASCII
        return False
    ref = word.decode()
    components = ref.split("/")
    return (
        all(not part.startswith(".") and not part.endswith(".lock") for part in components)  # rule 1
        and len(components) > 1  # rule 2
        and ".." not in ref  # rule 3
        and re.search(r"[~^:?*\[\\]", ref) is None  # rules 4, 5 and 10
        and all(part != "" for part in components)  # rule 6
        and not ref.endswith(".")  # rule 7
        and "@{" not in ref  # rule 8
        and ref != "@"  # rule 9
    )
