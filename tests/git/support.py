"""What the tests of the git layer share: a fixed author, and git run as a person would."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from gitreg.git import Repository, Signature, refs, write_commit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gitreg.git import Oid

ALICE = Signature("Alice Doe", "alice@example.org", 1_767_225_600, 60)
MAIN = "refs/heads/main"


def git(folder: Path, *args: str, data: bytes | None = None) -> str:
    """Run git as a person would, in the sealed home of the test."""
    finished = subprocess.run(["git", *args], cwd=folder, input=data, capture_output=True, check=True)
    return finished.stdout.decode().strip()


def commit(
    repository: Repository,
    parent: Oid | None,
    edits: Mapping[str, bytes | None],
    message: str = "Change",
    *,
    who: Signature = ALICE,
) -> Oid:
    """Write a commit by Alice; its time only depends on `who`."""
    return write_commit(repository, parent=parent, edits=edits, message=message, author=who, committer=who)


def advance(repository: Repository, edits: Mapping[str, bytes | None], message: str = "Change") -> Oid:
    """Write a commit on main and move main."""
    tip = refs.resolve(repository, MAIN)
    oid = commit(repository, tip, edits, message)
    refs.update(repository, MAIN, oid, tip)
    return oid


def raw_tree(repository: Repository, *entries: tuple[bytes, bytes, str]) -> Oid:
    """Write a tree object exactly as given, however wrong; an entry is mode, name and object id."""
    data = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
    args = ["hash-object", "-t", "tree", "-w", "--literally", "--stdin"]
    return repository.run(args, input=data).decode().strip()


def blob(repository: Repository, data: bytes) -> Oid:
    """Write a blob."""
    return repository.run(["hash-object", "-w", "--stdin"], input=data).decode().strip()
