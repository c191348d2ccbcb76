"""Publish the static index after a push, where git's configuration says where to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.config import open_registry_store
from gitreg.errors import NotFoundError
from gitreg.git import refs
from gitreg.layout import MAIN
from gitreg.reader import Snapshot

if TYPE_CHECKING:
    from gitreg.git import Repository
    from gitreg.objects import Store
    from gitreg.published.publish import Publication

TO = "gitreg.indexpublish"
KEY = "gitreg.indexsign"


def publish_index(repository: Repository) -> Publication | None:
    """Publish main where `gitreg.indexpublish` says, signed by `gitreg.indexsign`; None where it says nothing."""
    from gitreg.published.publish import destination, publish

    to, key = repository.config(TO), repository.config(KEY)
    if not to:
        return None

    def snapshot() -> Snapshot:
        tip = refs.resolve(repository, MAIN)
        if tip is None:
            raise NotFoundError("there is no branch main to publish")
        return Snapshot(repository, tip)

    def store() -> Store:
        settings = snapshot().settings
        return open_registry_store(repository, settings.store, repository.git_dir)

    signer = repository.git_dir / Path(key).expanduser() if key else None
    return publish(snapshot, destination(to, repository.git_dir, store), key=signer)
