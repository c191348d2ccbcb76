"""Take the history out of a git bundle, by the checks and within the limits of a push."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from gitreg.errors import IntegrityError, InvalidError, UnavailableError
from gitreg.git.environment import with_config
from gitreg.git.process import useful_line
from gitreg.git.values import is_oid

if TYPE_CHECKING:
    from gitreg.git.repository import Repository

_SIGNATURES = frozenset({b"# v2 git bundle\n", b"# v3 git bundle\n"})
_MAX_LINE = 4096
_MAX_LINES = 1000
# An object that would need more memory than this is refused by its size, and so none has to be streamed.
_ALLOCATION = 64 << 20
# git's own table of the objects; a pack says how many it has, and an object takes three bytes and more.
_OF_AN_OBJECT, _LEAST_OBJECT = 64, 3
_MAX_OBJECTS = 20_000_000
_CONFIG = (("core.bigFileThreshold", "1024g"), ("core.deltaBaseCacheLimit", "16m"))
_LEAST_PATIENCE, _BYTES_A_SECOND = 600, 1 << 18


class Header(NamedTuple):
    """What a git bundle begins with: the commits that it builds on, and its refs with their object ids."""

    prerequisites: tuple[str, ...]
    refs: dict[str, str]


def read_header(file: BinaryIO, object_format: str) -> Header:
    """Read a bundle up to where its pack begins; InvalidError where it is none, or of another object format.

    The format: gitformat-bundle(5).
    """
    if file.readline(_MAX_LINE) not in _SIGNATURES:
        raise InvalidError("the history is no git bundle of version 2 or 3")
    prerequisites: list[str] = []
    refs: dict[str, str] = {}
    found = "sha1"
    for _ in range(_MAX_LINES):
        line = file.readline(_MAX_LINE).decode("utf-8", "replace")
        if line == "\n":
            if found != object_format:
                raise InvalidError(f"the history has object ids of {found[:20]}, and the registry of {object_format}")
            return Header(tuple(prerequisites), refs)
        oid, _, name = line.removesuffix("\n").removeprefix("-").partition(" ")
        if line.startswith("@object-format="):
            found = line.removesuffix("\n").partition("=")[2]
        elif not line.endswith("\n") or not is_oid(oid):
            break
        elif line.startswith("-"):
            prerequisites.append(oid)
        else:
            refs[name] = oid
    raise InvalidError("the history's header is not that of a git bundle")


def take_pack(repository: Repository, file: BinaryIO, size: int) -> None:
    """Put the objects of a pack, which a file of `size` bytes ends with, into a repository, as git does of a push.

    `file` stands where the pack begins. IntegrityError where an object is damaged, malformed or larger than any may be.
    """
    begin = file.tell()
    limit = max(_ALLOCATION, 2 * _OF_AN_OBJECT * _objects(file.read(12), size))  # tables grow by half and more
    os.lseek(file.fileno(), begin, os.SEEK_SET)  # git reads from there on, and knows of no buffer
    environment = {**with_config(repository.runner.environment, _CONFIG), "GIT_ALLOC_LIMIT": str(limit)}
    args = ["index-pack", "--strict", "--stdin", "--fix-thin"]
    patience = _LEAST_PATIENCE + size // _BYTES_A_SECOND
    with repository.runner.start(args, stdin=file, environment=environment) as process:
        try:
            _, errors = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise UnavailableError(f"git took longer than {patience} s to read the history") from error
        except BaseException:
            process.kill()
            raise
    repository.close()  # what it read so far knows nothing of the new objects
    if process.returncode != 0:
        said = useful_line(errors.decode("utf-8", "replace")) or f"exit code {process.returncode}"
        raise IntegrityError(f"git refuses the history: {said}", hint="ask who made it; nothing was taken")


def _objects(header: bytes, size: int) -> int:
    """Read how many objects a pack says it has (gitformat-pack(5)); IntegrityError where it cannot have so many."""
    count = int.from_bytes(header[8:12], "big")
    if header[:4] != b"PACK" or count > min(_MAX_OBJECTS, size // _LEAST_OBJECT):
        raise IntegrityError(
            f"the history's pack says that it has {count:,} objects, and has {size:,} bytes",
            hint=f"it is damaged, or has more than the {_MAX_OBJECTS:,} that are taken; ask who made it",
        )
    return count
