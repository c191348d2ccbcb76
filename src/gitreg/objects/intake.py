"""Take files into a store: hashed, cut and written in one pass, of which only the bytes that are new are kept."""

from __future__ import annotations

import hashlib
import io
import os
from functools import partial
from typing import TYPE_CHECKING, cast

from gitreg.digest import Digest
from gitreg.errors import ConflictError
from gitreg.objects import similar
from gitreg.objects.chunks import LISTED_FROM, ChunkCheck, ChunkList, Cutting, tensor_borders
from gitreg.objects.faults import reading
from gitreg.objects.pipeline import Taken, take
from gitreg.objects.recipes import (
    Range,
    Recipe,
    blob_key,
    chunks_key,
    is_bounded,
    layout_of,
    merged,
    recipe_key,
)
from gitreg.objects.renewal import renewed
from gitreg.objects.shared import agrees, path_of, read_at
from gitreg.objects.streams import Blob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from io import FileIO
    from typing import BinaryIO

    from _typeshed import ReadableBuffer, WriteableBuffer

    from gitreg.objects.bucket import Bucket
    from gitreg.objects.chunks import Chunk
    from gitreg.objects.similar import Match
    from gitreg.objects.streams import Readable

# A recipe has to be worth its while: what it saves, in bytes and as a share of the blob.
SAVED = 1 << 20
SHARE = 0.1


class Intake:
    """What stores bytes in a bucket; `moved` hears of them as they are taken in, or sent where that comes later."""

    def __init__(self, bucket: Bucket, moved: Callable[[int], None] | None = None) -> None:
        self._bucket = bucket
        self._moved = moved

    def stream(self, source: Readable) -> Blob:
        """Store what can be read only once, whole."""
        from tempfile import TemporaryFile

        incoming = self._bucket.incoming()
        if incoming is None:  # the bucket needs the name first, and that is known at the end of the stream
            with TemporaryFile(buffering=0) as spooled:
                taken = take(source, spooled.write, moved=self._interrupted)
                return self._send(spooled, taken)
        with incoming as entering:
            taken = take(source, entering.write, moved=self._moved)
            if not self._is_there(taken):
                entering.commit(blob_key(taken.blob.digest), replace=self._is_damaged(taken.blob))
                self._note(taken)
        return taken.blob

    def file(self, source: FileIO) -> Blob:
        """Store a file, which is read again where parts of it are to be kept by themselves."""
        with reading(path_of(source)):
            borders = tensor_borders(cast("BinaryIO", source))
        cutting = partial(Cutting, borders, os.fstat(source.fileno()).st_size)
        source.seek(0)
        incoming = self._bucket.incoming()
        if incoming is None:
            taken = take(source, cutting=cutting, moved=self._interrupted)
            return self._send(source, taken)
        with incoming as entering:
            taken = take(source, entering.write, cutting=cutting, moved=self._moved)
            if not self._is_there(taken) and not self._compose(source, taken):
                entering.commit(blob_key(taken.blob.digest), replace=self._is_damaged(taken.blob))
                self._note(taken)
        return taken.blob

    def _send(self, source: FileIO, taken: Taken) -> Blob:
        """Send a file whose name is known by now, or what of it is new."""
        blob = taken.blob
        if not self._is_there(taken) and not self._compose(source, taken):
            # BLAKE3 of the chunks says as much as another SHA-256, in a third of the time.
            check = WholeCheck(blob) if taken.chunks is None else ChunkCheck(taken.chunks)
            self._put(Ranges(source, [(0, blob.size)], check), blob, self._moved)
            self._note(taken)
        elif self._moved is not None:
            self._moved(blob.size)
        return blob

    def _put(self, file: Ranges, blob: Blob, moved: Callable[[int], None] | None) -> None:
        key = blob_key(blob.digest)
        self._bucket.put_file(key, cast("BinaryIO", file), blob.size, moved=moved, replace=self._is_damaged(blob))

    def _interrupted(self, _count: int) -> None:
        if self._moved is not None:
            self._moved(0)  # nothing is sent yet, but who wants to stop is heard

    def _is_there(self, taken: Taken) -> bool:
        """Whether a blob need not be written; what of its company a killed process left out is made up for."""
        blob = taken.blob
        if not renewed(self._bucket, blob.digest, blob.size):
            return False
        if taken.chunks is not None and self._bucket.size(chunks_key(blob.digest)) is None:
            self._note(taken)
        return True

    def _is_damaged(self, blob: Blob) -> bool:
        return self._bucket.size(blob_key(blob.digest)) not in {None, blob.size}

    def _note(self, taken: Taken) -> None:
        """Write what a stored blob is found and checked by."""
        if taken.chunks is not None:
            self._bucket.put(chunks_key(taken.blob.digest), taken.chunks.to_bytes(), replace=True)
            similar.note(self._bucket, taken.blob.digest, taken.chunks)

    def _compose(self, source: FileIO, taken: Taken) -> bool:
        """Keep only the new bytes of a file, and a recipe; say False where that would not be worth it."""
        if taken.chunks is None:
            return False
        matches = similar.match(self._bucket, taken.chunks)
        saved = sum(match.chunk.size for match in matches if match.parts)
        if saved < max(SAVED, SHARE * taken.blob.size) or not agrees(self._bucket, source, matches):
            return False
        new = [match.chunk for match in matches if not match.parts]
        pack = _pack(source, new)
        recipe = _recipe(taken.blob, matches, pack)
        data = recipe.to_bytes()
        if not is_bounded(recipe, data):
            return False
        if pack.size:
            self._keep_pack(source, new, pack)
        self._bucket.put(chunks_key(taken.blob.digest), taken.chunks.to_bytes(), replace=True)
        self._bucket.put(recipe_key(taken.blob.digest), data, replace=True)
        # gc looks at the recipes once more when it has taken what it takes: what it took before shows here.
        if not layout_of(self._bucket, taken.blob.digest).is_there():
            self._bucket.delete(recipe_key(taken.blob.digest))
            return False
        similar.note(self._bucket, taken.blob.digest, taken.chunks)
        return True

    def _keep_pack(self, source: FileIO, new: Sequence[Chunk], pack: Blob) -> None:
        if self._bucket.size(blob_key(pack.digest)) != pack.size:
            ranges = [(chunk.offset, chunk.size) for chunk in new]
            self._put(Ranges(source, ranges, ChunkCheck(new)), pack, None)
        if pack.size >= LISTED_FROM:
            self._bucket.put(chunks_key(pack.digest), ChunkList.of(new).to_bytes())


def _pack(source: FileIO, new: Sequence[Chunk]) -> Blob:
    """Name the bytes of a file that are new, one chunk after the other."""
    hasher = hashlib.sha256()
    for chunk in new:
        data = read_at(source, chunk.offset, chunk.size)
        if not chunk.matches(data):
            raise _changed(source)
        hasher.update(data)
    return Blob(Digest(hasher.hexdigest()), sum(chunk.size for chunk in new))


def _recipe(blob: Blob, matches: Sequence[Match], pack: Blob) -> Recipe:
    ranges = []
    at = 0
    for match in matches:
        if match.parts:
            ranges += [Range(part.digest, part.offset, part.size) for part in match.parts]
        else:
            ranges.append(Range(pack.digest, at, match.chunk.size))
            at += match.chunk.size
    return Recipe(blob.digest, blob.size, tuple(merged(ranges)))


class Ranges(io.RawIOBase):
    """Ranges of a file, one after the other, that raise ConflictError before their end where they are not as told."""

    def __init__(self, file: FileIO, ranges: Sequence[tuple[int, int]], check: ChunkCheck | WholeCheck) -> None:
        self._file = file
        self._ranges = ranges
        self._check = check
        self._index = self._within = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer with what comes next."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view) and self._index < len(self._ranges):
            offset, size = self._ranges[self._index]
            room = view[filled : filled + size - self._within]
            with reading(path_of(self._file)):
                count = os.preadv(self._file.fileno(), [room], offset + self._within)
            if not count:
                raise _changed(self._file)
            filled += count
            self._within += count
            if self._within == size:
                self._index, self._within = self._index + 1, 0
        self._check.update(view[:filled])
        if self._check.damaged:
            raise _changed(self._file)
        return filled


class WholeCheck:
    """The comparison of bytes with the blob that they are, as they come."""

    def __init__(self, blob: Blob) -> None:
        """Expect the bytes of a blob."""
        self.damaged: list[Blob] = []
        self._blob = blob
        self._left = blob.size
        self._hasher = hashlib.sha256()

    def update(self, data: ReadableBuffer) -> None:
        """Hear of the bytes that follow those before."""
        self._hasher.update(data)
        self._left -= memoryview(data).nbytes
        if not self._left and self._hasher.hexdigest() != self._blob.digest.hex:
            self.damaged.append(self._blob)


def _changed(file: FileIO) -> ConflictError:
    return ConflictError(
        f"{str(path_of(file))!r} changed while it was read", hint="wait until nothing writes it and run it again"
    )
