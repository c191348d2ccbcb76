"""Look objects up by what a user may type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.git.repository import Repository
    from gitreg.git.values import Oid

# The ids of a tree without entries, which git knows without storing it.
_EMPTY_TREES = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}


def empty_tree(repository: Repository) -> Oid:
    """Name the tree without entries in the repository's object format."""
    return _EMPTY_TREES[repository.object_format]


def commit_of(repository: Repository, rev: str) -> Oid | None:
    """Give the commit that a revision expression (gitrevisions(7)) names; None where it names none."""
    if not rev or rev.startswith("-") or any(mark <= " " for mark in rev):
        raise InvalidError(f"{rev[:80]!r} is no revision", hint="name a branch, a tag or a commit")
    args = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}"]
    return repository.run(args, codes=(0, 1, 128)).decode("ascii", "replace").strip() or None


def kind_of(repository: Repository, oid: Oid) -> str:
    """Give an object's type: `commit`, `tree`, `blob`, `tag`, or `missing`."""
    info = repository.objects.info(oid)
    return info.type if info else "missing"


def files_below(repository: Repository, commit: Oid, folder: str) -> Iterator[tuple[str, Oid]]:
    """Name every plain file of a folder and the folders in it, with its blob, in git's order, as they come.

    A path with unusual characters, which git writes in quotes, is left out: no path of a registry is one.
    """
    for line in repository.lines(["--literal-pathspecs", "ls-tree", "-r", "--full-tree", commit, "--", f"{folder}/"]):
        facts, _, path = line.partition(b"\t")
        if facts.startswith(b"100644 ") and not path.startswith(b'"'):
            yield path.decode("ascii"), facts[-repository.oid_length :].decode("ascii")
