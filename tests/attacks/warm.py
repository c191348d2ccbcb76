"""Judge pushes in forks of one process that has gitreg loaded: the hook's own code, without its start each time.

The start is the same for every attack, and `tests/gate_hooks` is about it; `make soak` starts the hook itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SOAK = "GITREG_SOAK" in os.environ
# The fork takes what git gave the hook from there.
POSSIBLE = Path("/proc/self/environ").exists()

# What stands in the place of hooks/pre-receive: it says who it is, and waits for the answer.
_HOOK = """\
#!/bin/sh
echo $$ > '{folder}/ask'
read -r status < '{folder}/answer'
test "$status" -eq 42
"""
# One push at a time. The fork has the streams, the environment and the folder that git gave the hook.
_JUDGE = """\
import importlib, os, pkgutil

from gitreg.gate_hooks.hook import main

for room in ("gate", "gate_hooks", "git", "manifest", "reader", "wire"):
    package = importlib.import_module(f"gitreg.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

def judge(process):
    for stream in (0, 1, 2):
        os.dup2(os.open(f"{process}/fd/{stream}", os.O_RDONLY if stream == 0 else os.O_WRONLY), stream)
    with open(f"{process}/environ", "rb") as file:
        variables = dict(each.split(b"=", 1) for each in file.read().split(b"\\0") if each)
    os.environb.clear()
    os.environb.update(variables)
    os.chdir(f"{process}/cwd")
    main("pre-receive")

# Open for writing as well: it does not end when a hook does.
with open(os.open("ask", os.O_RDWR)) as ask:
    for line in ask:
        pid = os.fork()
        if pid == 0:
            judge(f"/proc/{int(line)}")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with open("answer", "w") as answer:
            print(status, file=answer)
"""


@contextlib.contextmanager
def judging(folder: Path, repository: Path) -> Iterator[None]:
    """Let copies of a repository be judged so until the end."""
    for name in ("ask", "answer"):
        os.mkfifo(folder / name)
    hook = repository / "hooks" / "pre-receive"
    hook.write_text(_HOOK.format(folder=folder))
    with subprocess.Popen([sys.executable, "-I", "-c", _JUDGE], cwd=folder) as judge:
        try:
            yield
        finally:
            judge.kill()
