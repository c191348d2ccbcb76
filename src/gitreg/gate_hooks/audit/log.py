"""Keep the log of decisions: appended under a lock, synced, and never shorter than its head file says."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import ConflictError, IntegrityError, UnavailableError
from gitreg.gate_hooks.audit.entry import GENESIS, MAX_LINE, Entry, sealed, unsealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

LOG, HEAD = "audit.jsonl", "audit.head"
LOCK_PATIENCE = 30.0  # seconds
_PAUSE = 0.002
_CHUNK = 1 << 16
_ASK = "`gitreg audit verify` on the server says more; see docs/audit.md"
_BEGIN = "its owner runs `gitreg doctor --fix` on the server, which begins one; see docs/audit.md"
# Two slots, written in turn, with the number at both ends: one that is torn shows it, and leaves the other.
_SLOT = re.compile(rb"([0-9]{20}) ([0-9a-f]{64}) \1\n")
_SLOT_SIZE = 20 + 1 + 64 + 1 + 20 + 1
HEAD_SIZE = 2 * _SLOT_SIZE


class Place(NamedTuple):
    """An entry's number and hash, the beginning's being zero."""

    number: int
    hash: str


class Files(NamedTuple):
    """The two files of a log, open and locked."""

    log: int
    head: int


def audit_path(git_dir: Path) -> Path:
    """Name the log of a repository."""
    return git_dir / "gitreg" / LOG


def head_path(git_dir: Path) -> Path:
    """Name the file that remembers how long the log is."""
    return git_dir / "gitreg" / HEAD


# Writing


def append(git_dir: Path, entry: Entry) -> str:
    """Append one decision, as `append_all` does; give the new head of the chain."""
    return append_all(git_dir, [entry])


def append_all(git_dir: Path, entries: Sequence[Entry]) -> str:
    """Append decisions under a lock, all synced to the disk at once; give the new head of the chain.

    Raises UnavailableError where it cannot be written, and IntegrityError where there is no log, or one that is not
    as it was left: a decision that leaves no trace must not be taken.
    """
    with _told(), locked(git_dir) as files:
        end, last = _checked_end(files)
        if last.number == 0:
            raise IntegrityError("the registry has no audit log", hint=_BEGIN)
        return _extend(files, end, last, entries)


def begin(git_dir: Path, entry: Entry) -> str:
    """Begin a log with its first entry; ConflictError where there is one, IntegrityError where one was cut."""
    with _told():
        _create(git_dir)
        with locked(git_dir) as files:
            if os.fstat(files.head).st_size < HEAD_SIZE and not os.fstat(files.log).st_size:
                # The first run, or one that was killed here.
                _write_all(files.head, 2 * _slot(Place(0, GENESIS)), 0)
                os.fsync(files.head)
            end, last = _checked_end(files)
            if last.number:
                raise ConflictError("the registry has an audit log already", hint="gitreg audit verify")
            seal = _extend(files, end, last, [entry])
        _sync_folder(audit_path(git_dir).parent)
        _sync_folder(git_dir)
    return seal


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"the audit log cannot be written: {error.strerror or error}",
            hint="tell the server's owner; nothing was decided",
        ) from error


def _create(git_dir: Path) -> None:
    """Make the files where there are none, or where a first run was killed; what else is missing is damage."""
    log, memory = audit_path(git_dir), head_path(git_dir)
    log.parent.mkdir(exist_ok=True)
    if os.path.lexists(log) or (os.path.lexists(memory) and memory.lstat().st_size):
        return
    # Where several accounts push, each must be able to append; others have no business in it.
    mode = 0o640 | (git_dir.stat().st_mode & stat.S_IWGRP)
    for path in (memory, log):
        with contextlib.suppress(FileExistsError):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
            try:
                os.fchmod(fd, mode)
            finally:
                os.close(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _extend(files: Files, end: int, last: Place, entries: Iterable[Entry]) -> str:
    """Write lines behind the last whole one, and then remember the last of them.

    The order is what a kill leaves sound: the head never names what the disk does not have yet. Where the head alone
    cannot be written the lines stay, for the head may have been written after all.
    """
    lines = []
    for entry in entries:
        line, seal = sealed({**entry.to_data(), "seq": last.number + 1, "previous": last.hash})
        lines.append(line)
        last = Place(last.number + 1, seal)
    # What stands behind the last line end is half a line of a hook that was killed: its push was never answered.
    if os.fstat(files.log).st_size != end:
        os.ftruncate(files.log, end)
    try:
        _write_all(files.log, b"".join(lines), end)
        os.fsync(files.log)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(files.log, end)
        raise
    _remember(files.head, last)
    return last.hash


def _remember(fd: int, place: Place) -> None:
    """Write the older of the two slots anew.

    This needs no sync: what a power cut may leave is the head of some seconds ago, which the log goes on past.
    """
    _write_all(fd, _slot(place), place.number % 2 * _SLOT_SIZE)


def _slot(place: Place) -> bytes:
    return b"%020d %s %020d\n" % (place.number, place.hash.encode(), place.number)


def _write_all(fd: int, data: bytes, at: int) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(fd, data[written:], at + written)


# The lock


@contextlib.contextmanager
def locked(git_dir: Path, *, shared: bool = False) -> Iterator[Files]:
    """Hold the log, alone or with other readers; raises IntegrityError where its files are not what they must be."""
    flags = os.O_RDONLY if shared else os.O_RDWR
    deadline = time.monotonic() + LOCK_PATIENCE
    owners = {os.geteuid(), 0, git_dir.stat().st_uid}
    with contextlib.ExitStack() as stack:
        log = _open_locked(stack, audit_path(git_dir), flags, deadline, owners)
        head = _open(head_path(git_dir), flags, owners)
        stack.callback(os.close, head)
        yield Files(log, head)


def _open_locked(stack: contextlib.ExitStack, path: Path, flags: int, deadline: float, owners: set[int]) -> int:
    """Open and lock the log; once more where another file has taken its name in between."""
    kind = fcntl.LOCK_SH if flags == os.O_RDONLY else fcntl.LOCK_EX
    while time.monotonic() < deadline:
        fd = _open(path, flags, owners)
        try:
            _lock(fd, kind, deadline)
            if _is_still(fd, path):
                stack.callback(os.close, fd)
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    raise UnavailableError("the audit log is replaced again and again", hint="try again")


def _open(path: Path, flags: int, owners: set[int]) -> int:
    try:
        # Not blocking: where a pipe has taken its place nobody would ever answer.
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        if path.name == LOG and not (path.parent / HEAD).exists():
            raise IntegrityError("the registry has no audit log", hint=_BEGIN) from error
        raise IntegrityError(f"the audit log's file {path.name} is gone", hint=_ASK) from error
    except OSError as error:
        if path.is_symlink() or not path.is_file():
            raise IntegrityError(f"the audit log's {path.name} is no regular file", hint=_ASK) from error
        raise
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in owners:
        os.close(fd)
        what = f"belongs to the account {found.st_uid}" if stat.S_ISREG(found.st_mode) else "is no regular file"
        raise IntegrityError(f"the audit log's {path.name} {what}", hint=_ASK)
    return fd


def _lock(fd: int, kind: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise UnavailableError("the audit log is locked by another process", hint="try again") from error
            time.sleep(_PAUSE)
        else:
            return


def _is_still(fd: int, path: Path) -> bool:
    found = os.fstat(fd)
    try:
        now = path.lstat()
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (now.st_dev, now.st_ino)


# The end of the log


def check(git_dir: Path) -> None:
    """Raise IntegrityError where no entry could be appended: the log is missing, cut, altered or somebody else's."""
    with locked(git_dir, shared=True) as files:
        _found_end(files)


def _checked_end(files: Files) -> tuple[int, Place]:
    """Find the end of the whole lines and the last entry, once the head is known to agree, and made to."""
    end, last, known = _found_end(files)
    if last != known:
        os.fsync(files.log)  # whoever wrote the last lines may have been killed before
        _remember(files.head, last)
    return end, last


def _found_end(files: Files) -> tuple[int, Place, Place]:
    """Find the end of the whole lines, the last entry, and the one that the head knows of.

    The log may go on past its head, in an unbroken chain: a hook was killed between the two, or the files were copied
    while pushes arrived. It may not end before it.
    """
    known = read_head(files.head)
    if known is None:
        raise IntegrityError(f"{HEAD} is damaged", hint=_ASK)
    end, last = 0, Place(0, GENESIS)
    place = below = last
    for line, line_end in backwards(files.log):
        place, previous = _place(line)
        if not end:
            end, last = line_end, place
        elif place != below:
            raise IntegrityError("the audit log's chain is broken", hint=_ASK)
        below = Place(place.number - 1, previous)
        if place.number <= known.number:
            break
    if place.number == 1 and known.number == 0:
        place = below
    if place != known:
        raise IntegrityError(
            f"the audit log ends at entry {last.number}, and {HEAD} knows of {known.number}: it was cut or altered",
            hint=_ASK,
        )
    return end, last, known


def _place(line: bytes) -> tuple[Place, str]:
    try:
        members = unsealed(line)
    except ValueError as error:
        raise IntegrityError(f"a line at the end of the audit log {error}", hint=_ASK) from error
    return Place(members["seq"], members["hash"]), members["previous"]


def read_head(fd: int) -> Place | None:
    """Read the head file: the newer of its two slots; None where neither can be read."""
    data = os.pread(fd, HEAD_SIZE + 1, 0)
    if len(data) != HEAD_SIZE:
        return None
    slots = (_SLOT.fullmatch(data[at : at + _SLOT_SIZE]) for at in (0, _SLOT_SIZE))
    return max((Place(int(slot[1]), slot[2].decode()) for slot in slots if slot), default=None)


def backwards(fd: int, before: int | None = None) -> Iterator[tuple[bytes, int]]:
    """Give the whole lines of a file, newest first, and where each ends; half a line at its end is left out.

    `before` is where the first of them ends at the latest.
    """
    size = os.fstat(fd).st_size
    at = end = size if before is None else min(before, size)
    rest, is_half, size = b"", True, _CHUNK
    while at > 0:
        size = min(size, at)
        at -= size
        rest, *lines = (os.pread(fd, size, at) + rest).split(b"\n")
        for line in reversed(lines):
            if is_half:
                end -= len(line)
                is_half = False
            else:
                yield line, end
                end -= len(line) + 1
        size = _CHUNK if lines else min(4 * size, MAX_LINE)
    if rest and not is_half:
        yield rest, end
