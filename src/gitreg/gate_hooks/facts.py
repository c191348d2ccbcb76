"""Gather what two states cannot tell: earlier pointers, stored blobs, the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gitreg.config import open_registry_store
from gitreg.digest import Digest
from gitreg.errors import GitregError, NotFoundError, UnavailableError
from gitreg.layout import Kind, place
from gitreg.reader import deployments, pointer_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gitreg.changes import PathEdit
    from gitreg.deployment import Deployment
    from gitreg.git import Repository
    from gitreg.names import EnvironmentName, ModelName
    from gitreg.reader import Snapshot

BlobSize = Callable[[Digest], int | None]


class RepositoryFacts:
    """Facts about one push: history up to `base`, then what the push itself has changed so far."""

    def __init__(
        self,
        repository: Repository,
        base: str | None,
        blob_size: BlobSize,
        *,
        trust_tags: bool = False,
        now: int | None = None,
    ) -> None:
        self._repository = repository
        self._base = base
        self._blob_size = blob_size
        self._trust_tags = trust_tags
        self._now = int(time.time()) if now is None else now
        self._before: dict[tuple[EnvironmentName, ModelName], list[Deployment | None]] = {}
        self._since: dict[tuple[EnvironmentName, ModelName], list[Deployment | None]] = {}

    @property
    def now(self) -> int:
        """The clock, in seconds since 1970."""
        return self._now

    def earlier(self, environment: EnvironmentName, model: ModelName) -> Sequence[Deployment | None]:
        """Give every state the pointer has had, oldest first."""
        key = (environment, model)
        if key not in self._before:
            self._before[key] = []
            if self._base is not None:
                records = deployments(self._repository, self._base, environment, model, trust_tags=self._trust_tags)
                self._before[key] = [record.pointer for record in records]
        return [*self._before[key], *self._since.get(key, [])]

    def blob_size(self, digest: Digest) -> int | None:
        """Give a stored blob's size, or None."""
        return self._blob_size(digest)

    def advance(self, commit: str, edits: Iterable[PathEdit]) -> None:
        """Take the pointers of an accepted commit into account for the commits after it."""
        for edit in edits:
            if not edit.path.startswith("deployments/"):
                continue
            where = place(edit.path)
            if where.kind is Kind.DEPLOYMENT and where.environment and where.model:
                pointer = pointer_at(self._repository, commit, where.environment, where.model)
                self._since.setdefault((where.environment, where.model), []).append(pointer)


def no_store(reason: str) -> BlobSize:
    """Answer every question about blobs with the reason why none can be asked."""

    def refuse(_digest: Digest) -> int | None:
        raise UnavailableError(reason)

    return refuse


def sizes(snapshot: Snapshot, base: Path | None, *, machine: Repository | None = None) -> BlobSize:
    """Ask the store that the settings of a snapshot name; it is opened when the first question comes.

    `machine` is the repository whose configuration may name another store, where it is not the one that is read.
    """
    opened: list[BlobSize] = []

    def size(digest: Digest) -> int | None:
        if not opened:
            try:
                uri = snapshot.settings.store
                opened.append(open_registry_store(machine or snapshot.repository, uri, base).size_of)
            except GitregError as error:
                opened.append(no_store(str(error)))
        try:
            return opened[0](digest)
        except NotFoundError as error:
            # A store that is not there cannot say that a blob is not.
            raise UnavailableError(error.message, hint=error.hint) from error

    return size
