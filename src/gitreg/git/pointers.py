"""Follow the first-parent chain, and what it changed in one folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gitreg.git.values import Oid, is_oid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.git.repository import Repository


class Step(NamedTuple):
    """A commit of the chain: when it was committed (seconds since 1970), and the blobs that it put at which paths."""

    commit: Oid
    time: int
    written: dict[str, Oid | None]


def steps(repository: Repository, tip: Oid, folder: str, since: Oid | None = None) -> Iterator[Step]:
    """Give every commit of the first-parent chain, newest first, with what it wrote in (None: took out of) a folder.

    One process tells it all, line by line.
    """
    shape = ["--format=%H %ct", "--raw", "--no-abbrev", "--no-renames", "--diff-merges=first-parent", "--sparse"]
    chain = [tip, *([f"^{since}"] if since else [])]
    found: Step | None = None
    args = ["--literal-pathspecs", "log", "--first-parent", *shape, *chain, "--", folder]
    for line in repository.lines(args):
        if line.startswith(b":"):
            facts, _, path = line.partition(b"\t")
            _, mode, _, new, status = facts.split(b" ")
            # git writes a path with unusual characters in quotes: no path of a registry is one.
            if found and not path.startswith(b'"') and (mode.startswith(b"100") or status == b"D"):
                blob = None if status == b"D" else new.decode("ascii")
                found.written[path.decode("utf-8", "surrogateescape")] = blob
        elif line:
            if found:
                yield found
            oid, _, seconds = line.decode("ascii").partition(" ")
            assert is_oid(oid)  # noqa: S101 - git's own
            found = Step(oid, int(seconds), {})
    if found:
        yield found
