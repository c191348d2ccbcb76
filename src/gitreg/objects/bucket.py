"""What a store needs of the place it lies in: immutable objects under names, whole or not there at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import BinaryIO

    from _typeshed import ReadableBuffer


class Address(NamedTuple):
    """A place in a cloud: `s3`, `gs` or `az`, the bucket, and what its keys begin with, without slashes around it."""

    scheme: str
    bucket: str
    prefix: str

    @property
    def uri(self) -> str:
        """The canonical URI."""
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


class Found(NamedTuple):
    """An object that a listing found; `size` in bytes, `modified` in seconds since 1970."""

    key: str
    size: int
    modified: float


class Incoming(Protocol):
    """An object on its way in, which gets its name only when all of it is there."""

    def write(self, data: ReadableBuffer, /) -> object:
        """Add bytes at its end."""

    def commit(self, key: str, *, replace: bool = False) -> None:
        """Make it visible, durably; what is there under that name already stays, unless it is to be replaced."""


class Bucket(Protocol):
    """Objects under keys like `blobs/sha256/ab/…`, in a folder or in a cloud.

    Every method raises NotFoundError where the bucket itself is not there, DeniedError where it may not be used,
    UnavailableError (after retries, where a retry can help) where it does not answer or has no room.
    """

    @property
    def uri(self) -> str:
        """The URI as people write it, without credentials."""

    def find(self, key: str) -> Found | None:
        """Look up an object; None where there is none."""

    def size(self, key: str) -> int | None:
        """Look up the size of an object in bytes; None where there is none."""

    def read(self, key: str, start: int = 0, size: int | None = None) -> Iterator[ReadableBuffer]:
        """Give the bytes of a range in pieces; NotFoundError where there is no such object."""

    def get(self, key: str, *, limit: int) -> bytes | None:
        """Read a small object whole; None where there is none, IntegrityError where it has more than `limit` bytes."""

    def put(self, key: str, data: bytes, *, replace: bool = False) -> None:
        """Write a small object; what is there already stays, unless it is to be replaced."""

    def put_file(
        self, key: str, file: BinaryIO, size: int, *, moved: Callable[[int], None] | None = None, replace: bool = False
    ) -> None:
        """Send a large object, read from where the file stands, in parts where the bucket has them."""

    def incoming(self) -> AbstractContextManager[Incoming] | None:
        """Begin an object whose name is not known yet; None where the bucket needs the name first."""

    def list(self, prefix: str) -> Iterator[Found]:
        """List the objects whose key begins with `prefix`, in any order."""

    def rename(self, key: str, to: str) -> None:
        """Give an object another name, in the place of what has it; NotFoundError where there is no such object."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    def path_of(self, key: str) -> Path | None:
        """Name the read-only file that an object is, where it is one that may be linked to."""
