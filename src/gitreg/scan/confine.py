"""Take away from this process what reading a file does not need: memory, time, files, processes, the network.

Limits hold wherever POSIX does; on Linux a filter of system calls (seccomp) also refuses sockets, other programs and
every change of the disk. A platform that refuses one of these has the others.
"""

from __future__ import annotations

import sys
from contextlib import suppress

MEMORY = 2 * 1024**3  # bytes of address space
CPU_SECONDS = 1_800  # of all files together; each has a limit of its own, which the parent keeps
_OPEN_FILES = 64

# The system calls to refuse: sockets, other processes, changes of files and of the system. With them linux/audit.h's
# number of an architecture and the calls that open a file, each with the place of the argument that says how.
_X86_64 = (
    "41 42 44 49 53 56 57 58 59 62 76 82 83 84 85 86 87 88 90 92 94 101 133 155 161 165 166 169 175 176 "
    "188 200 234 246 250 258 259 260 263 264 265 266 268 272 280 304 308 310 311 313 316 319 320 321 322 "
    "323 425 435 437 438"
)
_AARCH64 = (
    "5 33 34 35 36 37 38 39 40 41 45 51 53 54 88 97 104 105 106 117 129 130 131 142 198 199 200 203 206 "
    "219 220 221 265 268 270 271 273 276 279 280 281 282 425 435 437 438"
)
_ARCHITECTURES = {
    "x86_64": (0xC000003E, _X86_64, ((2, 1), (257, 2))),
    "aarch64": (0xC00000B7, _AARCH64, ((56, 2),)),
}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050001  # the last: EPERM
_WRITES = 0o1 | 0o2 | 0o100 | 0o1000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC
_FOREIGN_CALLS = 0x40000000  # x32's
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2


def confine() -> None:
    """Set every limit that this platform has; for good."""
    import resource

    limits = {
        "RLIMIT_AS": MEMORY,
        "RLIMIT_CPU": CPU_SECONDS,
        "RLIMIT_NOFILE": _OPEN_FILES,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_NPROC": 0,
        "RLIMIT_CORE": 0,
    }
    for name, value in limits.items():
        with suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (value, value))
    if sys.platform == "linux":
        _filter_calls()


def _filter_calls() -> bool:
    """Install the filter; False where the kernel or the architecture has none."""
    import os
    import struct

    known = _ARCHITECTURES.get(os.uname().machine)
    if known is None:
        return False
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        program = _program(*known)
        code = ctypes.create_string_buffer(program, len(program))

        # struct sock_fprog: a count, padding, and where the program is.
        filled = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
            return False
        return bool(libc.prctl(_SECCOMP, _FILTER, filled, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def _program(architecture: int, refused: str, opens: tuple[tuple[int, int], ...]) -> bytes:
    """Write the filter in classic BPF: (code, jump if true, jump if false, operand) in eight bytes each."""
    import struct

    rows = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    rows += [(_AT_LEAST, 0, 1, _FOREIGN_CALLS), (_RETURN, 0, 0, _REFUSE)]
    for number in map(int, refused.split()):
        rows += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    for number, argument in opens:  # an `open` that could write
        rows += [(_EQUAL, 0, 4, number), (_LOAD, 0, 0, 16 + 8 * argument), (_ANY_BIT, 0, 1, _WRITES)]
        rows += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    rows.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *row) for row in rows)
