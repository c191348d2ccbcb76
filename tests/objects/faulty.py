"""A store over a real folder whose reads are counted, and go wrong on demand."""

from __future__ import annotations

import hashlib
import random
import threading
from typing import TYPE_CHECKING

from blake3 import blake3

from gitreg.digest import Digest
from gitreg.objects import LocalStore, Store
from gitreg.objects.chunks import Chunk, ChunkList
from gitreg.objects.recipes import Range, Recipe, blob_key, chunks_key, recipe_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer

    from gitreg.objects.bucket import Bucket

    # What a read gives in place of the stored bytes: (key, start, the true pieces) -> pieces.
    Fault = Callable[[str, int, Iterator[ReadableBuffer]], Iterator[ReadableBuffer]]


class FaultyBucket:
    """Another bucket, read through a fault."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.fault: Fault | None = None
        self.reads: list[tuple[str, int, int | None]] = []
        self.given = 0
        self._counting = threading.Lock()  # pieces come in several threads

    def __getattr__(self, name: str) -> object:
        return getattr(self._bucket, name)

    def path_of(self, _key: str) -> None:
        """Be no folder of this machine, as a store behind a wire."""

    def read(self, key: str, start: int = 0, size: int | None = None) -> Iterator[ReadableBuffer]:
        self.reads.append((key, start, size))
        pieces = self._bucket.read(key, start, size)
        for piece in self.fault(key, start, pieces) if self.fault else pieces:
            with self._counting:
                self.given += memoryview(piece).nbytes
            yield piece


class FaultyStore(Store):
    """A store in a folder, its reads counted and spoilt on demand."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.faulty = FaultyBucket(LocalStore(folder).bucket)
        super().__init__(self.faulty)  # type: ignore[arg-type]
        self.folder = folder

    def file_of(self, key: str) -> Path:
        return self.folder / key


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def keep(store: FaultyStore, data: bytes, chunk: int | None = None) -> Digest:
    """Keep bytes whole, and with `chunk` a list of chunks of that size."""
    digest = Digest(hashlib.sha256(data).hexdigest())
    _write(store.file_of(blob_key(digest)), data)
    if chunk is not None:
        pieces = [data[at : at + chunk] for at in range(0, len(data), chunk)]
        chunks = [Chunk(at * chunk, len(piece), blake3(piece).digest()) for at, piece in enumerate(pieces)]
        _write(store.file_of(chunks_key(digest)), ChunkList.of(chunks).to_bytes())
    return digest


def keep_recipe(store: FaultyStore, data: bytes, ranges: list[Range]) -> Digest:
    """Keep bytes as ranges of others."""
    digest = Digest(hashlib.sha256(data).hexdigest())
    _write(store.file_of(recipe_key(digest)), Recipe(digest, len(data), tuple(ranges)).to_bytes())
    return digest


def flip(path: Path, at: int) -> None:
    """Flip a bit of a file."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
