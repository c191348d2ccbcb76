"""Name bytes by their SHA-256."""

from __future__ import annotations

import hashlib
import re
from typing import Self

from gitreg.errors import InvalidError
from gitreg.records import dataclass

_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
PREFIX = "sha256:"


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A SHA-256 (FIPS 180-4), written `sha256:` and 64 lower-case hex digits."""

    hex: str

    def __post_init__(self) -> None:
        """Check the digits."""
        if not _HEX.fullmatch(self.hex):
            raise InvalidError(f"{self.hex[:80]!r} is not 64 lower-case hex digits")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha256:<64 hex>`."""
        if not text.startswith(PREFIX):
            raise InvalidError(f"{text[:80]!r} is not a digest", hint="write sha256: and 64 lower-case hex digits")
        return cls(text.removeprefix(PREFIX))

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Compute the digest of bytes in memory."""
        return cls(hashlib.sha256(data).hexdigest())

    def __str__(self) -> str:
        """Write `sha256:<64 hex>`."""
        return PREFIX + self.hex

    @property
    def short(self) -> str:
        """The first twelve digits, for people."""
        return self.hex[:12]
