"""Set up the desk at which a push is judged: its repository, its store, who marks deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.config import open_registry_store
from gitreg.errors import GitregError, NotFoundError, UnavailableError
from gitreg.gate_hooks.facts import no_store
from gitreg.gate_hooks.marks import server_marks
from gitreg.gate_hooks.push import Desk
from gitreg.git import refs
from gitreg.layout import MAIN
from gitreg.reader import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.digest import Digest
    from gitreg.gate_hooks.facts import BlobSize
    from gitreg.git import Repository


def server_desk(repository: Repository) -> Desk:
    """Judge on the server: the store of registry.yaml, tags written by the server unless configured otherwise."""
    return Desk(repository, sizes(repository, MAIN, repository.git_dir), server_marks=server_marks(repository))


def sizes(repository: Repository, rev: str, base: Path | None, *, machine: Repository | None = None) -> BlobSize:
    """Ask the store that the settings at `rev` (a commit or a full ref) name; opened when the first question comes.

    `machine` is the repository whose configuration may name another store, where it is not the one that is read.
    """
    opened: list[BlobSize] = []

    def size(digest: Digest) -> int | None:
        if not opened:
            try:
                commit = refs.resolve(repository, rev) if rev.startswith("refs/") else rev
                uri = Snapshot(repository, commit or "").settings.store
                opened.append(open_registry_store(machine or repository, uri, base).size_of)
            except GitregError as error:
                opened.append(no_store(str(error)))
        try:
            return opened[0](digest)
        except NotFoundError as error:
            # A store that is not there cannot say that a blob is not.
            raise UnavailableError(error.message, hint=error.hint) from error

    return size
