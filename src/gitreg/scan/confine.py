"""Take away from this process what reading a file does not need: memory, time, files, processes, the network.

Limits hold wherever POSIX does; on Linux a filter of system calls (seccomp) also refuses all but those that are listed
here, which read files, take memory and answer; and Landlock hides the user's keys and the other processes. A platform
that refuses one of these has the others.
"""

from __future__ import annotations

import sys
from contextlib import suppress

MEMORY = 2 * 1024**3  # bytes of address space
CPU_SECONDS = 1_800  # of all files together; each has a limit of its own, which the parent keeps
_OPEN_FILES = 64

# The system calls that remain, by their numbers on two architectures; None where one does not have it. Those of the
# second list take a rule about one argument: its place, and what it may be.
_ALLOWED = {
    "read": (0, 63),
    "readv": (19, 65),
    "pread64": (17, 67),
    "lseek": (8, 62),
    "close": (3, 57),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "futex": (202, 98),
    "membarrier": (324, 283),
    "rseq": (334, 293),
    "set_robust_list": (273, 99),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "getrandom": (318, 278),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "getrlimit": (97, 163),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
_READ_ONLY = ~(0o1 | 0o2 | 0o100 | 0o1000) & 0xFFFF_FFFF  # not O_WRONLY, O_RDWR, O_CREAT, O_TRUNC
_LIMITED = {
    "open": ((2, None), 1, _READ_ONLY),
    "openat": ((257, 56), 2, _READ_ONLY),
    "write": ((1, 64), 0, 0b11),  # to file 1, the answers, and to 2 and 3, which are not there or not for writing
    "fcntl": ((72, 25), 1, 0b11),  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL
}
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # linux/audit.h's numbers
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050001  # the last: EPERM
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

        from gitreg.scan.landlock import hide, secrets

        libc = ctypes.CDLL(None, use_errno=True)
        program = _program(*known)
        code = ctypes.create_string_buffer(program, len(program))

        # struct sock_fprog: a count, padding, and where the program is.
        filled = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
            return False
        hide(libc, secrets())
        return bool(libc.prctl(_SECCOMP, _FILTER, filled, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def _program(column: int, architecture: int) -> bytes:
    """Write the filter in classic BPF: (code, jump if true, jump if false, operand) in eight bytes each."""
    import struct

    rows = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    rows += [(_AT_LEAST, 0, 1, _FOREIGN_CALLS), (_RETURN, 0, 0, _REFUSE)]
    for numbers in _ALLOWED.values():
        if (number := numbers[column]) is not None:
            rows += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for numbers, argument, bits in _LIMITED.values():
        if (number := numbers[column]) is not None:  # refused where the argument has any other bit
            rows += [(_EQUAL, 0, 4, number), (_LOAD, 0, 0, 16 + 8 * argument), (_ANY_BIT, 0, 1, ~bits & 0xFFFF_FFFF)]
            rows += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    rows.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("=HBBI", *row) for row in rows)
