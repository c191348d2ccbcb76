"""Keep this process from opening what holds secrets: other processes, and the keys in its user's home folder.

Landlock, of Linux 5.13 and later, is a list of what may be opened, so everything beside the secrets is put on it.
<https://docs.kernel.org/userspace-api/landlock.html>
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterator

_OF_ALL = ("/proc", "/run/secrets")  # the environments of processes; what containers are handed
_IN_HOME = (
    ".aws",
    ".azure",
    ".config/gcloud",
    ".config/gh",
    ".config/git",
    ".docker",
    ".git-credentials",
    ".gitconfig",
    ".gnupg",
    ".kube",
    ".netrc",
    ".pypirc",
    ".ssh",
)
_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, on every architecture
_BENEATH = 1
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3


def secrets() -> frozenset[str]:
    """Name what is not to be opened."""
    import pwd

    try:
        home = os.path.realpath(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a user without an entry, as in containers
        return frozenset(_OF_ALL)
    return frozenset({*_OF_ALL, *(os.path.join(home, name) for name in _IN_HOME)})  # noqa: PTH118 - no pathlib here


def hide(libc: ctypes.CDLL, hidden: frozenset[str]) -> bool:
    """Let this process open nothing that is hidden, for good; False, and nothing is changed, where that cannot be.

    It has given up the way to new privileges before.
    """
    import ctypes

    handled = struct.pack("=Q", _READ_FILE | _READ_FOLDER)
    rules = libc.syscall(_CREATE, handled, ctypes.c_size_t(len(handled)), 0)
    if rules < 0:
        return False
    try:
        for path, is_folder in _others("/", hidden):
            _allow(libc, rules, path, is_folder=is_folder)
        return bool(libc.syscall(_RESTRICT, rules, 0) == 0)
    except OSError:
        return False
    finally:
        os.close(rules)


def _others(folder: str, hidden: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """List what is not hidden, as few folders and files as say it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.path in hidden or entry.is_symlink():  # where a link leads has a rule of its own
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and any(each.startswith(f"{entry.path}/") for each in hidden):
                yield from _others(entry.path, hidden)
            else:
                yield entry.path, is_folder


def _allow(libc: ctypes.CDLL, rules: int, path: str, *, is_folder: bool) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # gone, or not for this user: then it needs no rule
        return
    try:
        rule = struct.pack("=Qi", _READ_FILE | (_READ_FOLDER if is_folder else 0), opened)
        libc.syscall(_ADD, rules, _BENEATH, rule, 0)  # one that fails leaves the more hidden
    finally:
        os.close(opened)
