"""Run a command and measure what it took.

The kernel counts the memory of whoever starts a process as the process's own until it has become another program, and
pytest grows; so a small process stands between them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BETWEEN = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
taken = [os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10, usage.ru_utime + usage.ru_stime]
os.write(int(sys.argv[1]), json.dumps(taken).encode())
"""


@dataclass(frozen=True)
class Measured:
    """How a command ended; `memory` is the peak of its largest process in bytes, `seconds` are the processor's."""

    code: int
    output: bytes
    memory: int
    seconds: float


def measured(args: Sequence[str], environment: Mapping[str, str], data: bytes = b"") -> Measured:
    """Run a command to its end."""
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _BETWEEN, str(writer), *args],
            input=data,
            capture_output=True,
            env=dict(environment),
            pass_fds=[writer],
            check=True,
        )
        code, memory, seconds = json.loads(os.read(reader, 4096))
    finally:
        os.close(reader)
        os.close(writer)
    return Measured(code, done.stdout, memory, seconds)
