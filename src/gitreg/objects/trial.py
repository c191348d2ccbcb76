"""Try out whether a store does all that gitreg asks of it, with an object of its own that is gone afterwards."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from gitreg.errors import GitregError, IntegrityError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitreg.objects.bucket import Bucket

FOLDER = "trial"
_SIZE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a store was asked to do: how long it took in seconds, and what went wrong, if anything."""

    name: str
    seconds: float
    message: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What a store was found to do; `exit_code` is that of the first error, 0 where there was none."""

    uri: str
    steps: tuple[Step, ...]
    exit_code: int

    @property
    def is_fine(self) -> bool:
        """Whether every step succeeded."""
        return self.exit_code == 0


def check(bucket: Bucket, *, write: bool = True) -> Trial:
    """Look, write, write again, read back whole and in part, list and delete; without `write`, only look.

    A step that fails ends the trial, but for the removal of what it wrote.
    """
    key = f"{FOLDER}/{os.urandom(16).hex()}"
    data = os.urandom(_SIZE)
    steps: list[tuple[str, Callable[[], object]]] = [("find", lambda: _want(bucket.size(key) is None, "a new name"))]
    if write:
        steps += [
            ("write", lambda: bucket.put(key, data)),
            ("keep what is there", lambda: _kept(bucket, key, data)),
            ("tell the size", lambda: _want(bucket.size(key) == _SIZE, "the size")),
            ("read", lambda: _want(_read(bucket, key) == data, "the bytes")),
            ("read a range", lambda: _want(_read(bucket, key, 1000, 5000) == data[1000:6000], "the range")),
        ]
    steps.append(("list", lambda: _listed(bucket, key, there=write)))
    done: list[Step] = []
    exit_code = 0
    for name, step in steps:
        exit_code = _run(done, name, step)
        if exit_code:
            break
    if write and len(done) > 1:
        exit_code = (
            _run(done, "delete", lambda: _delete(bucket, key)) if not exit_code else _cleared(bucket, key, exit_code)
        )
    return Trial(bucket.uri, tuple(done), exit_code)


def _run(done: list[Step], name: str, step: Callable[[], object]) -> int:
    begun = time.monotonic()
    try:
        step()
    except GitregError as error:
        done.append(Step(name, time.monotonic() - begun, error.message, error.hint))
        return error.exit_code
    done.append(Step(name, time.monotonic() - begun))
    return 0


def _cleared(bucket: Bucket, key: str, exit_code: int) -> int:
    """Remove what a failed trial may have written; its first error is the one to tell."""
    _run([], "delete", lambda: bucket.delete(key))
    return exit_code


def _kept(bucket: Bucket, key: str, data: bytes) -> None:
    bucket.put(key, b"other bytes")
    _want(bucket.get(key, limit=_SIZE) == data, "an object that was there, and was to stay")


def _read(bucket: Bucket, key: str, start: int = 0, size: int | None = None) -> bytes:
    return b"".join(map(bytes, bucket.read(key, start, size)))


def _listed(bucket: Bucket, key: str, *, there: bool) -> None:
    found = [each.size for each in bucket.list(f"{FOLDER}/") if each.key == key]
    _want(found == ([_SIZE] if there else []), "the list")


def _delete(bucket: Bucket, key: str) -> None:
    bucket.delete(key)
    _want(bucket.size(key) is None, "an object that was deleted")


def _want(holds: bool, what: str) -> None:  # noqa: FBT001 - a condition is what it is given
    if not holds:
        raise IntegrityError(f"{what} came back wrong", hint="this store is not to be trusted with weights")
