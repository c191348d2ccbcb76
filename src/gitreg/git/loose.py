"""Read a ref out of git's own files, where that is enough: no process has to be started for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitreg.git.values import is_oid

if TYPE_CHECKING:
    from gitreg.git.repository import Repository
    from gitreg.git.values import Oid

# What further work trees share. Of the others each has its own.
_SHARED = ("refs/heads/", "refs/remotes/", "refs/tags/")
_MOST = 64 * 1024


def read_ref(repository: Repository, ref: str) -> Oid | None:
    """Give a ref's value as its file, or else the head of packed-refs, has it; None where only git can tell.

    Nothing is remembered, so nothing is ever out of date. git replaces both files by renaming, and packs a ref before
    it takes its file away: who reads in this order finds a value that the ref had meanwhile (gitrepository-layout(5)).
    Another way of keeping refs, a symbolic or a garbled one, and one that is not there, are git's to tell.
    """
    if not ref.startswith(_SHARED) or ".." in ref:
        return None
    folder, width = os.fspath(repository.common_dir), repository.oid_length
    try:
        value = _start_of(f"{folder}/{ref}").removesuffix(b"\n")
    except FileNotFoundError:
        value = _packed(folder, ref, width)
    except OSError:
        return None
    found = value.decode("ascii", "replace")
    return found if len(found) == width and is_oid(found) and found != repository.null_oid else None


def _packed(folder: str, ref: str, width: int) -> bytes:
    """Find a ref among the packed ones, which are sorted: branches are at the start, before any number of tags."""
    try:
        data = _start_of(f"{folder}/packed-refs")
    except OSError:
        return b""
    at = data.find(b" " + os.fsencode(ref) + b"\n")
    return data[at - width : at] if at > width and data[at - width - 1] in b"\n" else b""


def _start_of(path: str) -> bytes:
    """Read as much of a regular file as can matter here."""
    # A link would be a symbolic ref of old, and a pipe keep us waiting.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(file, _MOST)
    finally:
        os.close(file)
