"""What a publication notes for the next one: this machine's own, which can be thrown away."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gitreg.errors import GitregError
from gitreg.published.shape import FORMAT, dump
from gitreg.records import dataclass, field

if TYPE_CHECKING:
    from gitreg.objects.local import LocalBucket

_MAX_BYTES = 256 << 20
_NOTES = "notes/2"


@dataclass(frozen=True, slots=True)
class Memory:
    """What the last publication to a place left.

    `projects` and `models` hold, by name, from which objects of git a file was made, and what it was. `left` tells
    since when a file is not named any more.
    """

    projects: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    left: dict[str, float] = field(default_factory=dict)


class Notes:
    """The file of a `Memory`."""

    def __init__(self, bucket: LocalBucket, key: str) -> None:
        self._bucket = bucket
        self._key = key

    def read(self) -> Memory:
        """Read the notes; empty ones where there are none, or none that this gitreg wrote."""
        with suppress(GitregError):
            data = self._bucket.get(self._key, limit=_MAX_BYTES)
            first, _, said = (data or b"").partition(b"\n")
            if said and first == _mark(said):
                return Memory(**json.loads(said))
        return Memory()

    def write(self, memory: Memory) -> None:
        """Write the notes."""
        said = dump({"projects": memory.projects, "models": memory.models, "left": memory.left})
        self._bucket.put(self._key, _mark(said) + b"\n" + said, replace=True)


def _mark(said: bytes) -> bytes:
    """Mark notes as whole, and as of this format."""
    return f"{FORMAT} {_NOTES} {hashlib.sha256(said).hexdigest()}".encode()
