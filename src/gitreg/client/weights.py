"""Give and take weights through a server, with the code that any store is used with."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, NoReturn

from gitreg.client.wires import Asked
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
_OCTETS = "application/octet-stream"


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
        said = self._http.write("POST", "/uploads", {"digest": str(digest), "size": size}).data
        return said.get("present") is True

    def put(self, source: Readable, *, moved: Callable[[int], None] | None = None) -> Blob:  # noqa: ARG002
        """Refuse a stream: the server wants to know the digest before."""
        raise InvalidError("a server takes files, and no streams", hint="write it to a file first")

    def put_open(self, source: io.FileIO, *, moved: Callable[[int], None] | None = None) -> Blob:
        """Send an open file that the server lacks; what broke off begins again, what is there is not sent."""
        size = os.fstat(source.fileno()).st_size
        source.seek(0)
        digest = Digest(hashlib.file_digest(source, "sha256").hexdigest())
        for pause in (*_PAUSES, None):
            if self.renewed(digest, size):
                break
            try:
                self._send(digest, source, size, moved)
                break
            except (UnavailableError, ConflictError):  # a conflict: somebody else sends it, or the server thinks so
                if pause is None:
                    raise
                time.sleep(pause)
        return Blob(digest, size)

    def _send(self, digest: Digest, source: io.FileIO, size: int, moved: Callable[[int], None] | None) -> None:
        target = self._http.target(f"/uploads/sha256/{digest.hex}")
        self._http.ask(
            Asked(
                method="PUT",
                target=target,
                headers={"Content-Type": _OCTETS},
                body=source,
                size=size,
                again=False,
                moved=moved,
            )
        )
