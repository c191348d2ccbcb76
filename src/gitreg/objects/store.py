"""Find and open the object store of a registry; this release stores in local folders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gitreg.errors import InvalidError, NotFoundError
from gitreg.objects.faults import reading
from gitreg.objects.folder import BlobFolder
from gitreg.objects.streams import SteadyFile, VerifiedFile

if TYPE_CHECKING:
    import io
    from collections.abc import Callable
    from pathlib import Path

    from gitreg.digest import Digest
    from gitreg.objects.streams import Blob, Readable

_CLOUDS = frozenset({"s3", "gs", "az"})


class Store(Protocol):
    """Where blobs are kept: immutable, written once, named by their digest."""

    def size_of(self, digest: Digest) -> int | None:
        """Look up the size of a blob in bytes without reading it; None where it is not there."""

    def open(self, digest: Digest) -> io.RawIOBase:
        """Open a blob; reading it to the end verifies it (IntegrityError)."""

    def put(self, source: Readable, *, moved: Callable[[int], None] | None = None) -> Blob:
        """Store a stream, whole or not at all; `moved` hears the bytes of each chunk."""


class LocalStore:
    """An object store in a folder: `blobs/sha256/<ab>/<64 hex>`, files read-only."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is touched before the first use."""
        self.folder = folder
        self._blobs = BlobFolder(folder, durable=True)

    def path_of(self, digest: Digest) -> Path | None:
        """Name the file of a blob, or None where it is not there."""
        return self._blobs.path_of(digest) if self.size_of(digest) is not None else None

    def size_of(self, digest: Digest) -> int | None:
        """Look up the size of a blob in bytes by one `stat`; None where it is not there.

        NotFoundError: the store itself is not there, which says nothing about the blob.
        """
        size = self._blobs.size_of(digest)
        if size is None:
            self._need_folder()
        return size

    def open(self, digest: Digest) -> io.RawIOBase:
        """Open a blob; IntegrityError before its last bytes are given out where they are not what was stored."""
        if self.size_of(digest) is None:
            raise NotFoundError(
                f"blob {digest} is not in the store {str(self.folder)!r}",
                hint="it was never uploaded here, or was removed",
            )
        path = self._blobs.path_of(digest)
        with reading(path):
            return VerifiedFile(path, digest)

    def put(self, source: Readable, *, moved: Callable[[int], None] | None = None) -> Blob:
        """Store a stream and return its digest and size; what is there already is not written twice.

        The folder is made where it is missing, its parent is not. UnavailableError: no room, or not writable.
        """
        if not self.folder.parent.is_dir():
            raise NotFoundError(
                f"the object store {str(self.folder)!r} cannot be made: the folder around it does not exist",
                hint="check `store` in registry.yaml, or make the folder",
            )
        return self._blobs.add(source, moved=moved)

    def put_file(self, path: Path, *, moved: Callable[[int], None] | None = None) -> Blob:
        """Store a file; ConflictError, and nothing stored, where it changes meanwhile."""
        with SteadyFile(path) as source:
            return self.put(source, moved=moved)

    def _need_folder(self) -> None:
        if not self.folder.is_dir():
            raise NotFoundError(
                f"the object store {str(self.folder)!r} does not exist",
                hint="check `store` in registry.yaml (a relative path counts from the git directory), or name this"
                " machine's own in its configuration",
            )


def open_store(uri: str, base: Path) -> LocalStore:
    """Open the store that a registry names; a relative `file:` path counts from `base`, its git directory.

    Understands `file:../store` and `file:///absolute/path`, percent-encoded where needed. InvalidError for any other.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or not uri.isprintable():
        raise InvalidError(f"{uri[:80]!r} is not a store", hint="write file:../store, or file:///srv/store")
    if scheme in _CLOUDS:
        raise InvalidError(f"this release stores in folders; {uri[:80]!r} is not one", hint="write file:../store")
    if scheme != "file":
        raise InvalidError(f"{scheme[:80]!r} is not a kind of store", hint="write file:../store")
    return LocalStore(_folder(uri, rest, base))


def _folder(uri: str, rest: str, base: Path) -> Path:
    from urllib.parse import unquote

    if rest.startswith("//"):
        host, slash, rest = rest.removeprefix("//").partition("/")
        if host not in {"", "localhost"} or not slash:
            raise InvalidError(
                f"{uri[:80]!r} names the host {host[:80]!r}; a folder is on this machine",
                hint="write file:///srv/store, with three slashes, or file:../store",
            )
        rest = slash + rest
    path = unquote(rest, errors="surrogateescape")
    if not path or "\0" in path:
        raise InvalidError(f"{uri[:80]!r} names no folder", hint="write file:../store, or file:///srv/store")
    # The `..` of a relative path leaves the real git directory, not a symlink to it.
    return (base.resolve() / path).resolve()
