"""Give and take weights through a server, with the code that any store is used with."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Any, NoReturn

from gitreg.connections import Asked
from gitreg.digest import Digest
from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.objects.bucket import Found
from gitreg.objects.recipes import blob_key
from gitreg.objects.store import Store
from gitreg.objects.streams import Blob

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from gitreg.client.http import Http
    from gitreg.manifest import Manifest
    from gitreg.objects.bucket import Incoming
    from gitreg.objects.streams import Readable

_PAUSES = (0.5, 2.0, 5.0, 10.0)
_ACCEPTED = 202
# What a server may take to store a file whose last byte has come: so many seconds, and one more for so many bytes.
_STORED_WITHIN, _STORED_AT = 120.0, 10 << 20
_PIECE = 1 << 20
RESUMED_FROM = 16 << 20
"""Bytes from which on a file can go on where it broke off, for which the server keeps a copy until all is there."""


class ServedBucket:
    """The files of one version as objects under their digests; they are read, and nothing else."""

    def __init__(self, http: Http, files: Mapping[str, tuple[str, int]]) -> None:
        """Take the address and the size of each by its key."""
        self._http = http
        self._files = files

    @property
    def uri(self) -> str:
        """The server."""
        return self._http.uri

    def find(self, key: str) -> Found | None:
        """Look up an object, as the manifest describes it."""
        found = self._files.get(key)
        return Found(key, found[1], 0.0) if found else None

    def size(self, key: str) -> int | None:
        """Look up the size of an object in bytes."""
        found = self._files.get(key)
        return found[1] if found else None

    def read(self, key: str, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Give the bytes of a range in pieces."""
        if key not in self._files:
            raise NotFoundError(f"there is no {key} at {self.uri}")
        path, whole = self._files[key]
        left = whole - start if size is None else min(size, whole - start)
        if left <= 0:
            return
        for piece in self._http.stream(path, start, left):
            left -= len(piece)
            if left < 0:
                raise IntegrityError(f"{self.uri} gave more bytes of {key} than were asked for")
            yield piece

    def get(self, key: str, *, limit: int) -> bytes | None:  # noqa: ARG002 - the store's recipes stay with the server
        """Read a small object: it has none."""
        return None

    def list(self, prefix: str) -> Iterator[Found]:
        """List the objects whose key begins with `prefix`."""
        return (Found(key, size, 0.0) for key, (_, size) in self._files.items() if key.startswith(prefix))

    def path_of(self, key: str) -> None:  # noqa: ARG002 - none is a file of this machine
        """Name no file."""
        return

    def put(self, key: str, data: bytes, *, replace: bool = False) -> None:
        """Refuse."""
        self._refuse(key, data, replace)

    def put_file(
        self, key: str, file: BinaryIO, size: int, *, moved: Callable[[int], None] | None = None, replace: bool = False
    ) -> None:
        """Refuse."""
        self._refuse(key, file, size, moved, replace)

    def incoming(self) -> AbstractContextManager[Incoming] | None:
        """Begin nothing without its name."""
        return None

    def rename(self, key: str, to: str) -> None:
        """Refuse."""
        self._refuse(key, to)

    def delete(self, key: str) -> None:
        """Refuse."""
        self._refuse(key)

    def _refuse(self, *_: object) -> NoReturn:
        raise InvalidError(f"the store behind {self.uri} is its server's", hint="work on it where the server runs")


class ServedStore(Store):
    """The store behind a server: the files of a version come from it, and whole files go to it."""

    def __init__(self, http: Http, manifest: Manifest | None = None) -> None:
        found = {}
        if manifest is not None:
            below = f"/models/{manifest.model}/versions/{manifest.version}/files/"
            found = {blob_key(each.digest): (below + each.path, each.size) for each in manifest.artifacts}
        super().__init__(ServedBucket(http, found))
        self._http = http

    def renewed(self, digest: Digest, size: int) -> bool:
        """Whether a blob is there; if so, gc takes it for new from now on."""
        return self._http.write("POST", "/uploads", {"digest": str(digest), "size": size}).data.get("present") is True

    def put(self, source: Readable, *, moved: Callable[[int], None] | None = None) -> Blob:
        """Send a stream, which is kept until its end is there: the server wants to know the digest before."""
        from tempfile import TemporaryFile

        buffer = memoryview(bytearray(_PIECE))
        with TemporaryFile(buffering=0) as spooled:
            while count := source.readinto(buffer):
                left = buffer[:count]
                while left:
                    left = left[spooled.write(left) :]
            return self.put_open(spooled, moved=moved)

    def put_open(self, source: io.FileIO, *, moved: Callable[[int], None] | None = None) -> Blob:
        """Send an open file that the server lacks; of a large one that broke off the rest is sent."""
        source.seek(0)
        digest = Digest(hashlib.file_digest(source, "sha256").hexdigest())
        blob = Blob(digest, os.fstat(source.fileno()).st_size)
        _Upload(self._http, source, blob, moved).send()
        return blob


class _Upload:
    """One file on its way to a server, over as many requests as it takes."""

    def __init__(self, http: Http, file: io.FileIO, blob: Blob, moved: Callable[[int], None] | None) -> None:
        self._http = http
        self._file = file
        self._blob = blob
        self._moved = moved
        self._told = 0

    def send(self) -> None:
        """Send it until it is there; what the server says where it does not get on any more."""
        pauses, furthest = list(_PAUSES), 0
        ends = time.monotonic() + _STORED_WITHIN + self._blob.size / _STORED_AT
        while (said := self._asked()).get("present") is not True:
            there = self._received(said)
            if there > furthest:  # it gets on, however often it breaks
                pauses, furthest = list(_PAUSES), there
            self._tell(there - self._told)
            try:
                if self._put(there, is_part="received" in said and self._blob.size >= RESUMED_FROM):
                    break
            except (UnavailableError, ConflictError):  # a conflict: somebody else sends it, or the server thinks so
                if not pauses:
                    raise
                time.sleep(pauses.pop(0))
            else:  # all of it has come, and is being stored
                if time.monotonic() > ends:
                    raise UnavailableError(f"{self._http.uri} does not come to store it", hint="try again later")
                time.sleep(_PAUSES[0])
        self._tell(self._blob.size - self._told)

    def _asked(self) -> dict[str, Any]:
        """Ask whether it is there; if so, gc takes it for new from now on."""
        body = {"digest": str(self._blob.digest), "size": self._blob.size}
        return self._http.write("POST", "/uploads", body).data

    def _received(self, said: Mapping[str, Any]) -> int:
        found = said.get("received")
        return found if type(found) is int and 0 <= found <= self._blob.size else 0

    def _put(self, start: int, *, is_part: bool) -> bool:
        """Send what is left; say whether it is stored."""
        size = self._blob.size
        headers = {"Content-Type": "application/octet-stream"}
        if is_part:
            span = f"{start}-{size - 1}" if start < size else "*"
            headers["Content-Range"] = f"bytes {span}/{size}"
        else:
            start = 0
        asked = Asked(
            method="PUT",
            target=self._http.target(f"/uploads/sha256/{self._blob.digest.hex}"),
            headers=headers,
            body=self._file,
            size=size - start,
            start=start,
            again=False,
            moved=self._tell,
        )
        return self._http.ask(asked).status != _ACCEPTED

    def _tell(self, count: int) -> None:
        """Say how far it is; what was sent and did not arrive is taken back."""
        self._told += count
        if self._moved is not None and count:
            self._moved(count)
