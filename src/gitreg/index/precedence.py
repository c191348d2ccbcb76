"""Write a version so that bytes order as SemVer precedence does (https://semver.org, 11)."""

from __future__ import annotations

_RELEASE = b"\xff"
_NUMERIC = b"\x01"
_WORD = b"\x02"
_END = b"\x00"


def precedence(version: str) -> bytes:
    """Give the key of a version that the grammar of names accepts: `1.0.0-rc.1` sorts before `1.0.0`."""
    core, dash, rest = version.partition("-")
    key = b"".join(map(_number, core.split(".")))
    if not dash:
        return key + _RELEASE
    return key + b"".join(map(_identifier, rest.split("."))) + _END


def _number(digits: str) -> bytes:
    # A version has at most 128 characters, so the count of digits fits a byte; more digits are a larger number.
    return bytes((len(digits),)) + digits.encode("ascii")


def _identifier(text: str) -> bytes:
    if text.isdigit():
        return _NUMERIC + _number(text)
    return _WORD + text.encode("ascii") + _END
