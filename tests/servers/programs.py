"""Find the programs that a test of a real server needs."""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRED = "GITREG_REQUIRE_SERVERS"
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")


def program(name: str, package: str | None = None) -> str:
    """Give a program's absolute path; where it is missing the test is skipped, or fails if servers are required."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_PLACES))
    found = shutil.which(name, path=path)
    if found:
        return os.path.abspath(found)  # noqa: PTH100 - not resolved: some programs look at their own name
    reason = f"{name} is not installed (Debian: apt-get install {package or name})"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{reason}, and {REQUIRED} asks for it")
    pytest.skip(reason)
