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
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

_UNDECODED = re.compile(r"[\ud800-\udfff]")  # how Python shows the bytes of a name that are not UTF-8
IGNORE_FILE = ".gitregignore"
_MAX_IGNORE = 64 * 1024  # bytes
MAX_DEPTH = 100  # folders in folders
MAX_LENGTH = 1_024  # of a name, in characters, as the manifest's schema says
MAX_FILES = 5_000  # of one version; its manifest, at most 1 MiB, holds about as many


@dataclass(frozen=True, slots=True)
class Source:
    """A file on this machine, its name in the version, a relative POSIX path, and its format, where somebody looked."""

    path: str
    file: Path
    format: str | None = None


def collect(paths: Sequence[Path], *, follow_symlinks: bool = False) -> list[Source]:
    """List the files to register, sorted by name: a file under its own name, a folder's files relative to it.

    What the `.gitregignore` of a named folder matches is left out, and so is that file. A symlink is followed where it
    is named itself; inside a folder it is refused, or followed with `follow_symlinks`. Special files, `.git`, names
    that are not printable UTF-8 and names that differ only in case are refused. Everything that is wrong is reported
    at once (InvalidError); a missing path is a NotFoundError.
    """
    if not paths:
        raise InvalidError("there is nothing to register", hint="name a file or a folder")
    problems: list[Problem] = []
    found: list[Source] = []
    for path in paths:
        for source in _below(path, problems, follow_symlinks=follow_symlinks):
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


def _below(path: Path, problems: list[Problem], *, follow_symlinks: bool) -> Iterator[Source]:
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
        sources = _Walk(path, problems, follow_symlinks=follow_symlinks).folder(path, "")
        first = next(sources, None)
        if first is not None:
            yield first
            yield from sources
        elif len(problems) == before:
            problems.append(_problem(path, "is an empty folder, or its .gitregignore leaves nothing of it"))


class _Walk:
    """A walk through a named folder and all that is below it."""

    def __init__(self, top: Path, problems: list[Problem], *, follow_symlinks: bool) -> None:
        self._problems = problems
        self._follow = follow_symlinks
        self._ignored = _ignored(top)
        self._inside: list[tuple[int, int]] = []  # the folders that one stands in

    def folder(self, folder: Path, prefix: str) -> Iterator[Source]:
        """List the files below a folder; their names begin with `prefix`."""
        with reading(folder), os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            name = prefix + entry.name
            path = folder / entry.name
            if name == IGNORE_FILE or (self._ignored and self._ignored(name)):
                continue
            # A pattern for a folder alone ends with a slash; what is in the folder then need not be looked at.
            if self._ignored and entry.is_dir(follow_symlinks=self._follow) and self._ignored(f"{name}/"):
                continue
            if _is_acceptable(entry.name, path, self._problems):
                yield from self._entry(entry, path, name)

    def _entry(self, entry: os.DirEntry[str], path: Path, name: str) -> Iterator[Source]:
        if entry.is_symlink() and not self._follow:
            hint = "put the file itself there, name the link's target, or follow links with --follow-symlinks"
            self._problems.append(_problem(path, f"is a symlink; {hint}"))
        elif entry.is_dir(follow_symlinks=self._follow):
            yield from self._below(path, name)
        elif entry.is_file(follow_symlinks=self._follow):
            yield Source(name, path)
        elif entry.is_symlink() and not path.exists():
            self._problems.append(_problem(path, "is a symlink to what is not there"))
        else:
            self._problems.append(_problem(path, "is neither a file nor a folder"))

    def _below(self, path: Path, name: str) -> Iterator[Source]:
        with reading(path):
            found = path.stat()
        place = (found.st_dev, found.st_ino)
        if place in self._inside or len(self._inside) >= MAX_DEPTH:
            self._problems.append(_problem(path, "leads back into a folder around it, or too deep"))
            return
        self._inside.append(place)
        yield from self.folder(path, f"{name}/")
        self._inside.pop()


def _ignored(top: Path) -> Callable[[str], bool] | None:
    """Read the patterns of a folder's `.gitregignore`, which are those of git; None where there is none."""
    path = top / IGNORE_FILE
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidError(f"{_shown(path)} cannot be read: {error.strerror}", hint="make it a regular file") from error
    with reading(path), os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise InvalidError(f"{_shown(path)} is no regular file")
        data = file.read(_MAX_IGNORE + 1)
    if len(data) > _MAX_IGNORE:
        raise InvalidError(f"{_shown(path)} has more than {_MAX_IGNORE} bytes")
    from pathspec import GitIgnoreSpec
    from pathspec.patterns.gitignore import GitIgnorePatternError

    try:
        return GitIgnoreSpec.from_lines(data.decode().splitlines()).match_file
    except (UnicodeDecodeError, GitIgnorePatternError) as error:
        raise InvalidError(f"{_shown(path)} is not one: {error}", hint="it is written as a .gitignore is") from error


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
