"""Find the files that somebody names for registration, under the names that they get in the manifest."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError, Problem
from gitreg.objects.faults import reading
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_UNDECODED = re.compile(r"[\ud800-\udfff]")  # how Python shows the bytes of a name that are not UTF-8
MAX_LENGTH = 1_024  # of a name, in characters, as the manifest's schema says
MAX_FILES = 5_000  # of one version; its manifest, at most 1 MiB, holds about as many


@dataclass(frozen=True, slots=True)
class Source:
    """A file on this machine and its name in the version, a relative POSIX path."""

    path: str
    file: Path


def collect(paths: Sequence[Path]) -> list[Source]:
    """List the files to register, sorted by name: a file under its own name, a folder's files relative to it.

    A symlink is followed where it is named itself, and refused inside a folder; so are special files, `.git`, names
    that are not printable UTF-8 and names that differ only in case. Everything that is wrong is reported at once
    (InvalidError); a missing path is a NotFoundError.
    """
    if not paths:
        raise InvalidError("there is nothing to register", hint="name a file or a folder")
    problems: list[Problem] = []
    found: list[Source] = []
    for path in paths:
        for source in _below(path, problems):
            found.append(source)
            if len(found) > MAX_FILES:
                raise InvalidError(f"more than {MAX_FILES} files for one version", hint="pack them into an archive")
    found.sort(key=lambda source: source.path)
    problems += _clashes(found)
    problems += [
        _problem(source.file, f"has a name of more than {MAX_LENGTH:,} characters")
        for source in found
        if len(source.path) > MAX_LENGTH
    ]
    if problems:
        raise InvalidError("these files cannot be registered", problems=problems)
    return found


def _below(path: Path, problems: list[Problem]) -> Iterator[Source]:
    """List one named path; what cannot be registered is added to `problems`."""
    with reading(path):
        mode = path.stat().st_mode
    name = path.name or path.resolve().name
    if stat.S_ISREG(mode):
        if _is_acceptable(name, path, problems):
            yield Source(name, path)
    elif not stat.S_ISDIR(mode):
        problems.append(_problem(path, "is neither a file nor a folder"))
    else:
        before = len(problems)
        sources = _walk(path, "", problems)
        first = next(sources, None)
        if first is not None:
            yield first
            yield from sources
        elif len(problems) == before:
            problems.append(_problem(path, "is an empty folder"))


def _walk(folder: Path, prefix: str, problems: list[Problem]) -> Iterator[Source]:
    with reading(folder), os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        path = folder / entry.name
        if not _is_acceptable(entry.name, path, problems):
            continue
        if entry.is_symlink():
            problems.append(_problem(path, "is a symlink; put the file itself there, or name the link's target"))
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(path, f"{prefix}{entry.name}/", problems)
        elif entry.is_file(follow_symlinks=False):
            yield Source(prefix + entry.name, path)
        else:
            problems.append(_problem(path, "is neither a file nor a folder"))


def _is_acceptable(name: str, path: Path, problems: list[Problem]) -> bool:
    """Whether a name can stand in a manifest and be a file on every machine."""
    wrong = None
    if name.casefold() == ".git":
        wrong = "belongs to git; register a folder that is no checkout, or its files one by one"
    elif _UNDECODED.search(name):
        wrong = "has a name that is not UTF-8"
    elif "\\" in name or not name.isprintable():
        wrong = "has a name with a backslash, a control or another unprintable character"
    elif name != name.strip():
        wrong = "has a name that begins or ends with a space"
    if wrong:
        problems.append(_problem(path, wrong))
    return wrong is None


def _clashes(sources: Iterable[Source]) -> Iterator[Problem]:
    """Find names that are one file on a machine that ignores case or normalises Unicode."""
    seen: dict[str, Source] = {}
    for source in sources:
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", source.path).casefold())
        first = seen.setdefault(key, source)
        if first is source:
            continue
        same = "has the same name as" if first.path == source.path else "differs only in case or accents' form from"
        yield _problem(source.file, f"{same} {_shown(first.file)}")


def _problem(path: Path, message: str) -> Problem:
    return Problem(f"{_shown(path)} {message}")


def _shown(path: Path) -> str:
    return repr(os.fsencode(path).decode(errors="backslashreplace"))
