"""Keep what was read of published indexes: the last head of each, and shards under their digest."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from gitreg.config import cache_folder
from gitreg.errors import GitregError
from gitreg.objects.local import LocalBucket
from gitreg.published.shape import MAX_HEAD, MAX_SHARD, SHARDS, SIGNATURES, Ref

if TYPE_CHECKING:
    from pathlib import Path

_STALE = 30 * 24 * 60 * 60  # seconds since a shard was last read
_TOUCH = 24 * 60 * 60
_MAX_ARMOR = 8 * 1024
_MAX_SAVED = 2 * MAX_HEAD + 4096


class Saved(NamedTuple):
    """A head as it was last read: its bytes, and the web server's tag of them."""

    data: bytes
    tag: str | None


class IndexCache:
    """A folder in the user's cache; without one everything is read again."""

    def __init__(self, uri: str, folder: Path | None = None) -> None:
        self._bucket = LocalBucket(folder or cache_folder() / "indexes")
        self._key = f"heads/{hashlib.sha256(uri.encode()).hexdigest()[:32]}"

    def head(self) -> Saved | None:
        """Give the last head; None where there is none, or it cannot be read."""
        with suppress(GitregError, OSError, ValueError, UnicodeError):
            data = self._bucket.get(self._key, limit=_MAX_SAVED)
            if data is not None:
                first, _, body = data.partition(b"\n")
                said = json.loads(first)
                if said["sha256"] == hashlib.sha256(body).hexdigest():
                    return Saved(body, said["tag"])
        return None

    def save_head(self, saved: Saved) -> None:
        """Keep a head, and drop what nobody has read for a month."""
        first = json.dumps({"sha256": hashlib.sha256(saved.data).hexdigest(), "tag": saved.tag}).encode()
        self._put(self._key, first + b"\n" + saved.data)
        with suppress(GitregError, OSError):
            oldest = time.time() - _STALE
            for prefix in (SHARDS, SIGNATURES):
                for found in self._bucket.list(prefix):
                    if found.modified < oldest:
                        self._bucket.delete(found.key)

    def shard(self, ref: Ref) -> bytes | None:
        """Give a shard whose bytes are what its name says; None where there is none."""
        import os

        with suppress(GitregError, OSError):
            data = self._bucket.get(ref.key, limit=MAX_SHARD)
            if data is not None and Ref.of(data) == ref:
                found = self._bucket.find(ref.key)
                if found is not None and time.time() - found.modified > _TOUCH:
                    os.utime(self._bucket.path_of(ref.key))
                return data
        return None

    def save_shard(self, ref: Ref, data: bytes) -> None:
        """Keep a shard, in the place of a damaged one too."""
        self._put(ref.key, data)

    def signature(self, name: str) -> bytes | None:
        """Give the signature of a head; it is verified by whoever asks."""
        with suppress(GitregError, OSError):
            return self._bucket.get(name, limit=_MAX_ARMOR)
        return None

    def save_signature(self, name: str, data: bytes) -> None:
        """Keep the signature of a head, and those of earlier ones no longer than shards."""
        self._put(name, data)

    def _put(self, key: str, data: bytes) -> None:
        with suppress(GitregError, OSError):  # a cache that cannot be written costs time alone
            self._bucket.folder.parent.mkdir(parents=True, exist_ok=True)
            self._bucket.put(key, data, replace=True)
