"""What a token is: its text, which only its owner has, and what the server keeps of it."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from typing import TYPE_CHECKING, Any, Self

from gitreg.access import Action
from gitreg.errors import InvalidError
from gitreg.names import UserName, did_you_mean
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "gitreg_"
ID_LENGTH = 10
_SECRET_BYTES = 32
_SECRET_LENGTH, _CHECK_LENGTH = 43, 6
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_TEXT = re.compile(rf"(gitreg_([a-z0-9]{{{ID_LENGTH}}})_[0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{6}})", re.ASCII)
_LIFETIME = re.compile(r"([1-9][0-9]{0,5})([hdw])", re.ASCII)
_UNITS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}
LONGEST = 3660 * 86_400
_NOTE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as the server keeps it; times in seconds since 1970.

    `scopes` are what it was made for, None being all that access.yaml grants its user. `digest` is the SHA-256 of its
    text. One that was revoked stays listed for a while.
    """

    id: str
    user: UserName
    created: int
    expires: int
    digest: str
    scopes: frozenset[Action] | None = None
    note: str = ""
    name: str = ""
    email: str = ""
    revoked: int | None = None

    def counts_at(self, now: float) -> bool:
        """Whether it lets anybody in."""
        return self.revoked is None and now < self.expires

    def state_at(self, now: float) -> str:
        """Say in a word what became of it."""
        if self.revoked is not None:
            return "revoked"
        return "active" if now < self.expires else "expired"

    def to_data(self) -> dict[str, Any]:
        """Give plain data."""
        data = {name: getattr(self, name) for name in self.__slots__}
        data["scopes"] = None if self.scopes is None else sorted(self.scopes)
        return {key: value for key, value in data.items() if value not in (None, "")}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Build from plain data; ValueError, KeyError or TypeError where it says something else."""
        known = {key: data[key] for key in data if key in cls.__slots__}
        if len(known) != len(data) or not re.fullmatch(r"[0-9a-f]{64}", known["digest"]):
            raise ValueError("is no token")
        for name in ("created", "expires", "revoked"):
            if type(known.get(name, 0)) is not int:
                raise ValueError(f"has no {name} that is a time")
        scopes = known.pop("scopes", None)
        user = UserName(known.pop("user"))
        return cls(user=user, scopes=None if scopes is None else frozenset(map(Action, scopes)), **known)


def mint() -> tuple[str, str]:
    """Make a new id, and the text that has it: `gitreg_<id>_<secret><check>`.

    The secret is 256 random bits in base 62, the check the CRC-32 of all before it: scanners for leaked secrets, and
    people, can tell a token from what only looks like one.
    """
    identifier = "".join(secrets.choice(_ID_LETTERS) for _ in range(ID_LENGTH))
    secret = _digits(int.from_bytes(secrets.token_bytes(_SECRET_BYTES), "big"), _SECRET_LENGTH)
    body = f"{PREFIX}{identifier}_{secret}"
    return identifier, body + _check(body)


def id_of(text: str) -> str | None:
    """Give the id in a token's text; None where it is none, was cut off or mistyped."""
    match = _TEXT.fullmatch(text)
    return match[2] if match and _check(match[1]) == match[3] else None


def digest_of(text: str) -> str:
    """Give what is kept of a token: no key stretching is needed for a secret that nobody can guess."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fits(token: Token | None, text: str) -> bool:
    """Whether a text is this token's; takes as long where there is no such token."""
    wanted = token.digest if token is not None else "0" * 64
    return hmac.compare_digest(wanted, digest_of(text)) and token is not None


def lifetime(text: str) -> int:
    """Read a lifetime in seconds: `12h`, `90d`, `52w`."""
    match = _LIFETIME.fullmatch(text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST:
        raise InvalidError(f"{text[:40]!r} is no lifetime", hint="write 12h, 90d or 52w; ten years at most")
    return seconds


def scopes_of(words: Iterable[str]) -> frozenset[Action] | None:
    """Read the scopes of a token; none named means all that access.yaml grants. Every token may read."""
    found = set()
    for word in words:
        if word not in set(Action):
            near = did_you_mean(word, Action)
            hint = f"did you mean {near}?" if near else f"allowed: {', '.join(Action)}"
            raise InvalidError(f"{word[:40]!r} is no action", hint=hint)
        found.add(Action(word))
    return frozenset({*found, Action.READ}) if found else None


def note_of(text: str, what: str = "note") -> str:
    """Check a text that is listed with a token."""
    if len(text) > _NOTE or not text.isprintable():
        raise InvalidError(f"the {what} is longer than {_NOTE} characters, or not printable", hint="shorten it")
    return text


def _check(body: str) -> str:
    return _digits(zlib.crc32(body.encode()), _CHECK_LENGTH)


def _digits(number: int, length: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, len(_LETTERS))
        digits = _LETTERS[digit] + digits
    return digits.rjust(length, _LETTERS[0])
