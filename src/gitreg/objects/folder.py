"""Keep blobs in a folder, each under its digest, so that a blob is there whole or not at all.

The layout is `blobs/sha256/<ab>/<64 hex>` (DESIGN.md §5). What is being written lies in `tmp/` until it is complete;
what a killed process left there is removed a day later.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from gitreg.errors import IntegrityError
from gitreg.objects.faults import reading, writing
from gitreg.objects.streams import Blob, copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gitreg.digest import Digest
    from gitreg.objects.streams import Readable

BLOB_MODE = 0o444
# What a file system says that has no hard links, or none between these two places.
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK})
STALE_AFTER = 24 * 60 * 60  # seconds
_TEMPORARY = "tmp"


class BlobFolder:
    """A folder of immutable blobs that many processes may fill at once."""

    def __init__(self, root: Path, *, durable: bool) -> None:
        """Name the folder; nothing is touched. `durable`: a blob, once added, outlives a power cut."""
        self.root = root
        self._durable = durable
        self._swept = False

    def path_of(self, digest: Digest) -> Path:
        """Name the file of a blob, whether it is there or not."""
        return self.root / "blobs" / "sha256" / digest.hex[:2] / digest.hex

    def size_of(self, digest: Digest) -> int | None:
        """Look up the size of a blob in bytes by one `stat`; None where it is not there."""
        path = self.path_of(digest)
        with reading(path), suppress(FileNotFoundError):
            found = path.lstat()
            return found.st_size if stat.S_ISREG(found.st_mode) else None
        return None

    def add(
        self,
        source: Readable,
        *,
        expected: Digest | None = None,
        replace: bool = False,
        moved: Callable[[int], None] | None = None,
    ) -> Blob:
        """Copy a stream in, hashing it in the same pass, and make it visible at its end.

        A blob that is there with the right size is left as it is, unless `replace` says that it is known to be damaged;
        one of another size is damaged and replaced. IntegrityError: the stream is not the `expected` blob.
        UnavailableError: no room, or not writable. Nothing is left behind then.
        """
        with writing(self.root), self._temporary() as (path, sink):
            blob = copy(source, sink, moved)
            if expected is not None and blob.digest != expected:
                raise IntegrityError(f"expected {expected}, found {blob.digest} in what was read")
            if replace or self.size_of(blob.digest) != blob.size:
                self._publish(path, sink, blob, replace=replace)
        return blob

    @contextmanager
    def _temporary(self) -> Iterator[tuple[Path, BinaryIO]]:
        folder = self.root / _TEMPORARY
        self._make(folder)
        self._sweep(folder)
        path = folder / f"{os.getpid()}-{os.urandom(8).hex()}"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as sink:
                yield path, sink
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _publish(self, path: Path, sink: BinaryIO, blob: Blob, *, replace: bool) -> None:
        """Give a complete file its final name; a blob of the right size that is there by now stays."""
        os.fchmod(sink.fileno(), BLOB_MODE)
        sink.flush()
        if self._durable:
            os.fsync(sink.fileno())
        sink.close()  # a network file system may say only now that there was no room
        final = self.path_of(blob.digest)
        self._make(final.parent)
        if replace or self.size_of(blob.digest) not in {None, blob.size}:
            path.replace(final)
        else:
            _link_new(path, final)
        if self._durable:
            _sync_folder(final.parent)

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir()
        if self._durable:
            _sync_folder(folder.parent)

    def _sweep(self, folder: Path) -> None:
        """Remove, once, what killed processes left behind more than a day ago."""
        if self._swept:
            return
        self._swept = True
        oldest = time.time() - STALE_AFTER
        for left in folder.iterdir():
            with suppress(OSError):
                if left.lstat().st_mtime < oldest:
                    left.unlink()


def _link_new(path: Path, final: Path) -> None:
    """Give a blob's file its final name without replacing what is there; the first of several writers wins."""
    try:
        with suppress(FileExistsError):
            os.link(path, final)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # No hard links here. A rename may replace the file of another writer, by the very same bytes.
        path.rename(final)


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
