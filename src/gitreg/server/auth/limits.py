"""Bound how often somebody may ask: token buckets, in a table that several workers may share."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

SETS, WAYS = 2048, 8
_SALT = 16
_SLOT = struct.Struct("<Qdd")  # which key, what is left in its bucket, and when that was so


class Table:
    """A bucket for each key, and no more of them than there is room for.

    A key has its place in one of so many sets, by a hash that nobody outside can foresee; the one of its set that was
    quiet for longest makes room. With a path the table is one for all processes that name it; they keep it open for as
    long as they live.
    """

    def __init__(self, path: Path | None = None, *, sets: int = SETS, ways: int = WAYS) -> None:
        self._sets = sets
        self._set = struct.Struct("<" + ways * _SLOT.format.removeprefix("<"))
        self._lock: AbstractContextManager[None] = contextlib.nullcontext()
        size, file = _SALT + sets * self._set.size, -1
        if path is not None:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._lock = _Locked(file)
        with self._lock:
            if path is not None and os.fstat(file).st_size == 0:
                os.ftruncate(file, size)
                os.pwrite(file, os.urandom(_SALT), 0)
        self._slots = mmap.mmap(file, size)
        if path is None:
            self._slots[:_SALT] = os.urandom(_SALT)
        self._salt = self._slots[:_SALT]

    def __len__(self) -> int:
        """Count the keys that are remembered."""
        return sum(key != 0 for key, _, _ in _SLOT.iter_unpack(self._slots[_SALT:]))

    def take(self, key: str, bucket: tuple[float, float], now: float) -> float:
        """Take one of a key's bucket, `rate` a second and so many at most; 0, or the seconds until there will be one.

        It is full where the key is not known.
        """
        word = hashlib.blake2b(key.encode(), digest_size=8, key=self._salt).digest()
        number = int.from_bytes(word) or 1
        with self._lock:
            return self._take(number, bucket, now)

    def _take(self, number: int, bucket: tuple[float, float], now: float) -> float:
        rate, full = bucket
        begin = _SALT + number % self._sets * self._set.size
        found = self._set.unpack_from(self._slots, begin)
        keys, at = found[::3], found[2::3]
        if number in keys:
            own = keys.index(number)
            left = min(full, found[3 * own + 1] + max(0.0, now - at[own]) * rate)
        else:  # an empty slot was never
            own = min(range(len(keys)), key=lambda place: (keys[place] != 0, at[place]))
            left = full
        waits = 0.0 if left >= 1 else (1 - left) / rate
        _SLOT.pack_into(self._slots, begin + own * _SLOT.size, number, left if waits else left - 1, now)
        return waits


class _Locked:
    """Keep other processes out of a file, for some microseconds; the lock falls with the process that has it."""

    def __init__(self, file: int) -> None:
        self._file = file

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)


class Buckets:
    """A bucket for each key: `rate` a second, up to `burst` at once; a rate of 0 never says no. For one thread.

    The clock has to be one for all that share the table. A key that was forgotten begins full.
    """

    def __init__(self, rate: float, burst: float | None = None, table: Table | None = None) -> None:
        self._rate = rate
        self._burst = max(1.0, 2 * rate if burst is None else burst)
        self._table = Table() if table is None else table

    def take(self, key: str, now: float) -> float:
        """Take one; 0 where there was one to take, else the seconds until there will be."""
        return self._table.take(key, (self._rate, self._burst), now) if self._rate else 0.0
