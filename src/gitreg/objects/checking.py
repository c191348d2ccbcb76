"""Compare the files of a folder with what a version says they are, reading every byte."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING

from gitreg.objects.destination import Destination, parts_of
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from gitreg.digest import Digest
    from gitreg.objects.download import Wanted
    from gitreg.objects.upload import Progress

_AT_ONCE = 2  # hashing leaves the interpreter's lock, so two files keep two processors busy
_MOST_OTHERS = 1000


class FileState(StrEnum):
    """How a file of a version is found in a folder."""

    OK = "ok"
    MISSING = "missing"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """A file of a version, as it is found: `found` and `found_size` where it is there and differs."""

    path: str
    state: FileState
    digest: Digest
    size: int
    found: Digest | None = None
    found_size: int | None = None


def check_files(files: Sequence[Wanted], folder: Path, progress: Progress | None = None) -> list[CheckedFile]:
    """Read the files of a version in a folder; NotFoundError where there is no such folder.

    Symlinks are not followed: what lies behind one is no file of the version.
    """
    from concurrent.futures import ThreadPoolExecutor
    from threading import Lock

    for file in files:
        parts_of(file.path)
    lock, stopped = Lock(), False

    def tell(path: str, count: int) -> None:
        if stopped:
            raise InterruptedError
        if progress is not None:
            with lock:
                progress(path, count)

    with Destination(folder, make=False) as destination, ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = [pool.submit(_check, file, destination, tell) for file in files]
        try:
            return [future.result() for future in futures]
        finally:
            stopped = True
            pool.shutdown(cancel_futures=True)


def missing(file: Wanted) -> CheckedFile:
    """Describe a file that is not there."""
    return CheckedFile(path=file.path, state=FileState.MISSING, digest=file.digest, size=file.size)


def others_in(folder: Path, known: Iterable[str]) -> list[str]:
    """List the files of a folder that are not among the known ones, by their relative paths; the first thousand."""
    expected, others = set(known), []
    for path in _below(folder):
        if path not in expected:
            others.append(path)
            if len(others) >= _MOST_OTHERS:
                break
    return sorted(others)


def _check(file: Wanted, destination: Destination, progress: Progress) -> CheckedFile:
    found = destination.read(file.path, lambda count: progress(file.path, count))
    if found is None:
        return missing(file)
    if (found.digest, found.size) == (file.digest, file.size):
        return CheckedFile(path=file.path, state=FileState.OK, digest=file.digest, size=file.size)
    return CheckedFile(
        path=file.path,
        state=FileState.DIFFERS,
        digest=file.digest,
        size=file.size,
        found=found.digest,
        found_size=found.size,
    )


def _below(folder: Path) -> Iterator[str]:
    for base, folders, names in os.walk(folder):
        inside = os.path.relpath(base, folder)
        for name in (*names, *(each for each in folders if os.path.islink(os.path.join(base, each)))):  # noqa: PTH114, PTH118 - as os.walk names them
            yield name if inside == "." else f"{inside}/{name}"
