"""Hold what a new file shares with a store against the stored bytes, before a recipe is built on them.

A recipe on top of a damaged blob would be a second damaged blob. In a folder all is compared. In a cloud that would
cost what the recipe saves: there, samples are, which find an object that is another or cut off, and not each flipped
bit; `gitreg fsck --deep` finds those.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import NotFoundError, UnavailableError
from gitreg.objects.faults import reading
from gitreg.objects.recipes import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from io import FileIO

    from gitreg.objects.bucket import Bucket
    from gitreg.objects.similar import Match

SAMPLES = 16
SAMPLE = 1 << 20  # bytes
_OBJECTS = 64


class Shared(NamedTuple):
    """Bytes of a file, from `at` on, that a part of a stored object has as well."""

    at: int
    part: Part

    def goes_on(self, at: int, part: Part) -> bool:
        """Whether these bytes follow in the file as in the object."""
        end = self.part.offset + self.part.size
        return (self.part.digest, self.at + self.part.size, end) == (part.digest, at, part.offset)


def agrees(bucket: Bucket, file: FileIO, matches: Iterable[Match]) -> bool:
    """Whether stored bytes are those of a new file, as the chunk lists say; False where they cannot be read."""
    found = shared(matches)
    if any(bucket.path_of(each.part.key) is None for each in found[:1]):
        found = samples(found)
    return all(_is_same(bucket, file, each) for each in found)


def shared(matches: Iterable[Match]) -> list[Shared]:
    """List what a file shares with stored objects, in as few ranges as can be."""
    found: list[Shared] = []
    for match in matches:
        at = match.chunk.offset
        for part in match.parts:
            if found and found[-1].goes_on(at, part):
                last = found.pop()
                found.append(Shared(last.at, Part(part.digest, last.part.offset, last.part.size + part.size)))
            else:
                found.append(Shared(at, part))
            at += part.size
    return found


def samples(found: Sequence[Shared]) -> list[Shared]:
    """Choose pieces by chance: one of each object, and others."""
    pieces = [
        Shared(each.at + begin, Part(each.part.digest, each.part.offset + begin, min(SAMPLE, each.part.size - begin)))
        for each in found
        for begin in range(0, each.part.size, SAMPLE)
    ]
    random.shuffle(pieces)
    chosen = {each.part.digest: each for each in pieces}
    return [*list(chosen.values())[:_OBJECTS], *pieces[: max(0, SAMPLES - len(chosen))]]


def _is_same(bucket: Bucket, file: FileIO, wanted: Shared) -> bool:
    at, part = wanted
    end = at + part.size
    try:
        for piece in bucket.read(part.key, part.offset, part.size):
            size = memoryview(piece).nbytes
            if piece != read_at(file, at, size):
                return False
            at += size
    except (NotFoundError, UnavailableError):  # gone, or on a disk that does not read it any more
        return False
    return at == end


def read_at(file: FileIO, offset: int, size: int) -> bytes:
    """Read a range of a file, fewer bytes where it ends before."""
    with reading(path_of(file)):
        return os.pread(file.fileno(), size, offset)


def path_of(file: FileIO) -> Path:
    """Name a file for an error; one without a name is the copy of a stream."""
    return Path(getattr(file, "path", "the copy of the stream"))
