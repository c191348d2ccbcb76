"""Read `keys/allowed_signers`: which SSH key signs for which user, and when.

The format is ALLOWED SIGNERS of ssh-keygen(1), so that git reads the file as well. gitreg takes the part of it that has
one meaning: one user a line, no patterns, times in UTC.
"""

from __future__ import annotations

import binascii
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Self

from gitreg.errors import InvalidError, Problem
from gitreg.names import UserName
from gitreg.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMESPACE = "git"
"""What git puts into the signatures of commits and tags (gpg-interface.c)."""

MAX_BYTES = 1 << 20
MAX_LINE = 16 * 1024
MAX_KEYS = 10_000
MAX_PROBLEMS = 100
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 16_384
_SHOWN = 80
_LENGTH = 4
_HALF = 0x80
_MAX_APPLICATION = 255

# The curve of each type, and how long an uncompressed point on it is (RFC 5656, 3.1; SEC 1, 2.3.3).
_CURVES = {
    "ecdsa-sha2-nistp256": ("nistp256", 65),
    "ecdsa-sha2-nistp384": ("nistp384", 97),
    "ecdsa-sha2-nistp521": ("nistp521", 133),
    "sk-ecdsa-sha2-nistp256@openssh.com": ("nistp256", 65),
}
_EDWARDS = frozenset({"ssh-ed25519", "sk-ssh-ed25519@openssh.com"})
_RSA = "ssh-rsa"
KEY_TYPES = ("ssh-ed25519", *list(_CURVES)[:3], _RSA, "sk-ssh-ed25519@openssh.com", list(_CURVES)[3])
_ED25519_BYTES = 32

_LINE = re.compile(
    r'(?P<user>[^ ]+) +(?:(?P<options>[A-Za-z][^ "]*(?:"[^"]*"[^ "]*)+|cert-authority) +)?'
    r"(?P<type>[a-z][a-z0-9@.-]*) +(?P<key>[A-Za-z0-9+/]+={0,2})(?: +(?P<comment>.*))?"
)
_OPTION = re.compile(r'(?P<name>[A-Za-z-]+)(?:="(?P<value>[^"]*)")?(?:,|\Z)')
_TIMES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_NAMESPACES = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]*(?:,[A-Za-z0-9][A-Za-z0-9@._-]*)*")


class Strings(NamedTuple):
    """The first strings of an SSH structure (RFC 4251, 5), and what comes behind them."""

    values: tuple[bytes, ...]
    rest: bytes


def strings(data: bytes, count: int) -> Strings:
    """Take so many length-prefixed strings off; InvalidError where they are not there."""
    values, at = [], 0
    for _ in range(count):
        start = at + _LENGTH
        size = int.from_bytes(data[at:start], "big")
        if start > len(data) or size > len(data) - start:
            raise InvalidError("it is cut off")
        values.append(data[start : start + size])
        at = start + size
    return Strings(tuple(values), data[at:])


def decode_base64(text: str) -> bytes:
    """Decode base64 that says each byte in the one canonical way; InvalidError otherwise."""
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeEncodeError) as error:
        raise InvalidError(f"it is no base64: {error}") from error
    if binascii.b2a_base64(data, newline=False).decode() != text:
        raise InvalidError("its base64 is not the canonical one")
    return data


def fingerprint(blob: bytes) -> str:
    """Name a public key as `ssh-keygen -l` does."""
    import hashlib

    return "SHA256:" + binascii.b2a_base64(hashlib.sha256(blob).digest(), newline=False).decode().rstrip("=")


def key_type(blob: bytes) -> str:
    """Check a public key as SSH stores it, to its last byte, and give its type; InvalidError says what is wrong.

    The shapes are those of RFC 4253, 6.6, RFC 5656, 3.1, RFC 8709, 4 and OpenSSH's PROTOCOL.u2f. Only one spelling of
    a key passes, so that two keys are the same key exactly where their bytes are.
    """
    kind = strings(blob, 1).values[0].decode("ascii", "backslashreplace")
    if kind in _EDWARDS:
        (_, point), rest = strings(blob, 2)
        _want(len(point) == _ED25519_BYTES, "its point has the wrong length")
    elif kind in _CURVES:
        curve, size = _CURVES[kind]
        (_, named, point), rest = strings(blob, 3)
        _want(named == curve.encode(), f"it is not on the curve {curve}")
        _want(len(point) == size and point[:1] == b"\4", "its point is not an uncompressed one")
    elif kind == _RSA:
        (_, exponent, modulus), rest = strings(blob, 3)
        _check_rsa(_number(exponent), _number(modulus))
    else:
        raise _unknown_type(kind)
    if kind.startswith("sk-"):
        (application,), rest = strings(rest, 1)
        _want(0 < len(application) <= _MAX_APPLICATION, "its application is empty or too long")
    _want(not rest, "bytes follow the key")
    return kind


def _unknown_type(kind: str) -> InvalidError:
    return InvalidError(f"{kind[:_SHOWN]!r} is no type of key that is taken", hint=f"allowed: {', '.join(KEY_TYPES)}")


def _want(fine: bool, complaint: str) -> None:  # noqa: FBT001 - what is asked for, and what to say otherwise
    if not fine:
        raise InvalidError(complaint)


def _number(data: bytes) -> int:
    """Read a positive mpint (RFC 4251, 5) in its shortest form."""
    padded = data[:1] == b"\0" and len(data) > 1 and data[1] >= _HALF
    _want(bool(data) and (padded or 0 < data[0] < _HALF), "a number in it is not written in its shortest form")
    return int.from_bytes(data, "big")


def _check_rsa(exponent: int, modulus: int) -> None:
    bits = modulus.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise InvalidError(
            f"an RSA key of {bits} bits; from {MIN_RSA_BITS} to {MAX_RSA_BITS} are taken",
            hint="ssh-keygen -t ed25519 makes a better one",
        )
    _want(exponent % 2 == 1 and 1 < exponent < 1 << 64 and modulus % 2 == 1, "it is no RSA key that anybody would make")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One line: a key, whose it is, what it may sign, and from when to when, in seconds since 1970, both included.

    `namespaces` None allows all, and so commits and tags.
    """

    user: UserName
    type: str
    blob: bytes
    line: int
    namespaces: tuple[str, ...] | None = None
    valid_after: int | None = None
    valid_before: int | None = None

    @property
    def signs_commits(self) -> bool:
        """Whether the key counts for git at all."""
        return self.namespaces is None or NAMESPACE in self.namespaces

    def is_early(self, seconds: int) -> bool:
        """Whether a time comes before the key's."""
        return self.valid_after is not None and seconds < self.valid_after

    def is_late(self, seconds: int) -> bool:
        """Whether a time comes after the key's."""
        return self.valid_before is not None and seconds > self.valid_before

    def counts_at(self, seconds: int) -> bool:
        """Whether the key may sign commits at a time."""
        return self.signs_commits and not self.is_early(seconds) and not self.is_late(seconds)

    def public_line(self) -> str:
        """Write type and key as OpenSSH does, on one line."""
        return f"{self.type} {binascii.b2a_base64(self.blob, newline=False).decode()}"


@dataclass(frozen=True, slots=True)
class AllowedSigners:
    """Every key that is listed, by its bytes; a key is one user's alone."""

    keys: Mapping[bytes, Key] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes, path: str | None = None) -> Self:
        """Read the file; raise InvalidError with everything that is wrong, by line."""
        keys: dict[bytes, Key] = {}
        problems: list[Problem] = []
        if len(data) > MAX_BYTES:
            problems.append(Problem(f"{len(data)} bytes; at most {MAX_BYTES} are read", path))
            data = b""
        for number, line in _lines(data):
            if len(problems) >= MAX_PROBLEMS:
                problems.append(Problem("and more; mend these first", path, number))
                break
            try:
                key = _parse_line(line, number)
            except InvalidError as error:
                problems.append(Problem(str(error), path, number))
                continue
            if key is None:
                continue
            first = keys.setdefault(key.blob, key)
            if first is not key:
                problems.append(Problem(f"the key of line {first.line} again; a key is one user's", path, number))
            if len(keys) > MAX_KEYS:
                problems.append(Problem(f"more than {MAX_KEYS} keys", path, number))
                break
        if problems:
            raise InvalidError(f"{path or 'the text'} is not a valid list of allowed signers", problems=problems)
        return cls(keys)

    def find(self, blob: bytes) -> Key | None:
        """Give the line of a public key, or None where it is not listed."""
        return self.keys.get(blob)

    def users_at(self, seconds: int) -> frozenset[str]:
        """Name the users who have a key that may sign commits at a time."""
        return frozenset(str(key.user) for key in self.keys.values() if key.counts_at(seconds))


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    return enumerate(data.removesuffix(b"\n").split(b"\n"), 1)


def _parse_line(line: bytes, number: int) -> Key | None:
    """Read one line; None for one that names no key."""
    if len(line) > MAX_LINE:
        raise InvalidError(f"{len(line)} bytes; a line has at most {MAX_LINE}")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError("it is no UTF-8") from error
    if not text.isprintable():
        odd = next(mark for mark in text if not mark.isprintable())
        raise InvalidError(f"it holds {odd!r}, which cannot be seen", hint="write spaces, and end lines with \\n alone")
    text = text.strip(" ")
    if not text or text.startswith("#"):
        return None
    _check_first(text)
    match = _LINE.fullmatch(text)
    if not match:
        raise InvalidError(
            "it is no `user [options] type key [comment]`",
            hint='as in: alice namespaces="git" ssh-ed25519 AAAAC3…; options are name="value", joined by commas alone',
        )
    if match["type"] not in KEY_TYPES:
        raise _unknown_type(match["type"])
    options = _options(match["options"] or "")
    blob = decode_base64(match["key"])
    kind = key_type(blob)
    if kind != match["type"]:
        raise InvalidError(f"the line says {match['type'][:_SHOWN]}, the key is {kind}")
    after, before = (_moment(options, name) for name in ("valid-after", "valid-before"))
    if after is not None and before is not None and after >= before:
        raise InvalidError("valid-after is not before valid-before: the key would never count")
    names = options.get("namespaces")
    return Key(
        user=UserName(match["user"]),
        type=kind,
        blob=blob,
        line=number,
        namespaces=tuple(names.split(",")) if names is not None else None,
        valid_after=after,
        valid_before=before,
    )


def _check_first(text: str) -> None:
    """Say what is wrong with whom a line is for, before the rest is looked at."""
    user = text.partition(" ")[0]
    if "," in user:
        raise InvalidError(f"{user[:_SHOWN]!r} names several users; a key is one user's")
    if any(mark in user for mark in '*?!"'):
        raise InvalidError(f"{user[:_SHOWN]!r} is a pattern or quoted; write one user's name as it is")
    UserName(user)


def _options(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _OPTION.match(text, at)
        if not match:
            raise InvalidError(f'{text[at : at + _SHOWN]!r} is no option; write name="value", joined by commas')
        name = match["name"].lower()
        if name == "cert-authority":
            raise InvalidError(
                "cert-authority is refused: whom a certificate names is decided outside the registry, which could not "
                "take it back",
                hint="list the users' own keys",
            )
        if name not in {"namespaces", "valid-after", "valid-before"}:
            raise InvalidError(f"{name[:_SHOWN]!r} is no option; allowed: namespaces, valid-after, valid-before")
        if name in found or match["value"] is None:
            raise InvalidError(f'{name} is there twice, or without ="value"')
        found[name] = match["value"]
        at = match.end()
        if at == len(text) and text.endswith(","):
            raise InvalidError("the options end with a comma")
    if not _NAMESPACES.fullmatch(found.get("namespaces", NAMESPACE)):
        raise InvalidError('namespaces are names joined by commas, without patterns, as in namespaces="git"')
    return found


def _moment(options: Mapping[str, str], name: str) -> int | None:
    """Read a time in UTC as seconds since 1970."""
    text = options.get(name)
    if text is None:
        return None
    digits = text.removesuffix("Z")
    shape = _TIMES.get(len(digits)) if digits.isascii() and digits.isdigit() else None
    if shape is None:
        raise InvalidError(f"{name}: {text[:_SHOWN]!r} is no YYYYMMDDZ, YYYYMMDDHHMMZ or YYYYMMDDHHMMSSZ")
    if digits == text:
        raise InvalidError(
            f"{name}: {text} has no Z; OpenSSH would take it in the time zone of each machine",
            hint=f'write {name}="{text}Z" for UTC',
        )
    try:
        seconds = int(datetime.strptime(digits, shape).replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise InvalidError(f"{name}: {text} is no time that a calendar knows") from error
    # To OpenSSH 1970 itself means no limit.
    _want(seconds > 0, f"{name}: {text} is not after 1970-01-01")
    return seconds
