"""Make sure that every later change of a file will show in what `stat` says of it.

Two things hide changes. Within a tick of the clock of a file system, a second change shows the same times as the first.
And who writes through a memory map moves the times only with the first write to a page: the next one shows only once
the page went to the disk, and in a file system that lies in memory none does.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

# A kernel's clock for files stands still for up to 10 ms.
TICK = 0.02  # seconds
_COARSE = 2.1  # where times have whole seconds only
_SECOND = 1_000_000_000  # nanoseconds
# Those that take the right to write from a page when they send it to the disk, and so see the next write to it. Of
# others nobody knows, or it is known that they do not: tmpfs, and FUSE as long as the file is open.
_SEEING = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "nfs", "nfs4", "overlay"})
_MOUNT = re.compile(r"^mnt_id:\s*([0-9]+)$", re.MULTILINE)


def is_unwritten(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether nobody wrote to a file between two looks at it, as far as its times tell.

    A link that was made or removed meanwhile sets the change time as well: then the other one alone tells.
    """
    same = (before.st_dev, before.st_ino, before.st_size, before.st_mtime_ns) == (
        after.st_dev,
        after.st_ino,
        after.st_size,
        after.st_mtime_ns,
    )
    return same and (before.st_ctime_ns == after.st_ctime_ns or before.st_nlink != after.st_nlink)


def is_seen(opened: int) -> bool:
    """Whether the file system of an open file moves its times for whatever writes to it, be it late."""
    return _file_system(opened) in _SEEING


def settle(opened: int, found: os.stat_result) -> bool:
    """Whether from now on every change of an open file shows as other times than were found; waits for up to a tick.

    Asked before the file is read: what is read after that, and has the same times at the end, did not change.
    """
    kind = _file_system(opened)
    if kind not in _SEEING:
        return False
    tick = TICK if found.st_ctime_ns % _SECOND else _COARSE
    missing = found.st_ctime + tick - time.time()
    if missing > TICK:
        return False
    if missing > 0:
        time.sleep(missing)
    try:
        # A map of a file below an overlay is not known to the overlay.
        if kind == "overlay" or not _is_closed(opened):
            os.fsync(opened)
    except OSError:
        return False
    return True


def _is_closed(opened: int) -> bool:
    """Whether nobody has a file open for writing, or mapped: only then the kernel gives a lease on it.

    False also where that cannot be known, such as for another user's file.
    """
    try:
        # Who opens it at this very moment makes the kernel send a signal; the usual one would end this process.
        fcntl.fcntl(opened, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except (OSError, AttributeError):
        return False
    with suppress(OSError):
        fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True


def _file_system(opened: int) -> str | None:
    """Name the kind of file system that an open file lies in; None where the kernel does not tell."""
    with suppress(OSError, UnicodeDecodeError):
        found = _MOUNT.search(Path(f"/proc/self/fdinfo/{opened}").read_text(encoding="ascii"))
        return _mounts().get(found[1]) if found else None
    return None


@cache
def _mounts() -> dict[str, str]:
    """List the kinds of the mounted file systems by their numbers; one that is mounted later is not known."""
    kinds = {}
    for line in os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).splitlines():
        mount, _, system = line.partition(" - ")
        if system:
            kinds[mount.split(" ", 1)[0]] = system.split(" ", 1)[0]
    return kinds
