"""Keep one verified copy of each pulled blob on this machine, shared between registries and processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from gitreg.errors import IntegrityError, InvalidError, NotFoundError
from gitreg.objects.faults import reading
from gitreg.objects.folder import BlobFolder
from gitreg.objects.streams import VerifiedFile, copy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitreg.digest import Digest
    from gitreg.objects.store import Store


class Cache:
    """A folder of blobs, laid out as a store is, that can be deleted at any time."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is touched before the first use."""
        self.folder = folder
        # Not synced to disk: what a power cut spoils is found by its digest and fetched again.
        self._blobs = BlobFolder(folder, durable=False)

    @classmethod
    def of_user(cls, environment: Mapping[str, str]) -> Self:
        """Open the cache at $GITREG_CACHE, $XDG_CACHE_HOME/gitreg or ~/.cache/gitreg, the first that is set."""
        named = environment.get("GITREG_CACHE")
        if named:
            return cls(Path(named).absolute())
        base = Path(environment.get("XDG_CACHE_HOME") or "")
        if not base.is_absolute():  # the XDG specification: a relative path is to be ignored
            home = environment.get("HOME")
            base = Path(home) / ".cache" if home else _home() / ".cache"
        return cls(base / "gitreg")

    def fetch(self, digest: Digest, store: Store, *, moved: Callable[[int], None] | None = None) -> Path:
        """Bring a blob in where it is not there or is damaged, and name its read-only file, every byte verified.

        `moved` hears the bytes that the store gave; a blob that was here already is told of in one call.
        """
        path = self._blobs.path_of(digest)
        found = self._blobs.size_of(digest)
        if found is not None and self._is_sound(path, digest):
            if moved is not None:
                moved(found)
            return path
        with store.open(digest) as source:
            self._blobs.add(source, expected=digest, replace=found is not None, moved=moved)
        return path

    def _is_sound(self, path: Path, digest: Digest) -> bool:
        try:
            with reading(path), VerifiedFile(path, digest) as source:
                copy(source)
        except (IntegrityError, NotFoundError):  # damaged, or removed by somebody since
            return False
        return True


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise InvalidError("there is no home folder to keep the cache in", hint="set GITREG_CACHE") from error
