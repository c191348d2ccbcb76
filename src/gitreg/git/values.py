"""What git's objects hold, as values: who and when, commits, tags, trailers."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING, Self

from gitreg.errors import IntegrityError, InvalidError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from datetime import datetime

Oid = str
"""An object id: 40 hex digits in a SHA-1 repository, 64 in a SHA-256 one."""

_OID_LENGTHS = frozenset({40, 64})
_HEX = frozenset("0123456789abcdef")
_SIGNATURE = re.compile(
    rb"(?P<name>[^<>\n\0]*?) ?<(?P<email>[^<>\n\0]*)> (?P<time>-?[0-9]{1,18}) (?P<zone>[+-][0-9]{4})"
)
_TRAILER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)[ \t]*:[ \t]*(.*)")
# Codecs of legacy texts. Python knows others that take time without bound (punycode), or are none of texts.
_ENCODINGS = re.compile(
    r"utf-?8|(?:us-?)?ascii|iso-?8859-?[0-9]{1,2}|latin-?[0-9]{1,2}|(?:cp|windows-)[0-9]{3,4}|koi8-?[rtu]"
    r"|shift[_-]?jis|s-?jis|euc-?(?:jp|kr|cn)|iso-?2022-?(?:jp|kr)|gb2312|gbk|gb18030|big5(?:-?hkscs)?",
    re.ASCII | re.IGNORECASE,
)
# What git itself appends; beside one of these, other lines may stand among the trailers (git-interpret-trailers(1)).
_GIT_TRAILERS = ("Signed-off-by: ", "(cherry picked from commit ")


def is_oid(text: str) -> bool:
    """Whether a text is a full object id."""
    return len(text) in _OID_LENGTHS and _HEX.issuperset(text)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What git knows of an object before its contents are read; the size is in bytes."""

    oid: Oid
    type: str
    size: int


@dataclass(frozen=True, slots=True)
class Object:
    """An object and its contents."""

    oid: Oid
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """Who did something, and when: seconds since 1970, minutes east of UTC."""

    name: str
    email: str
    time: int
    offset: int = 0

    @classmethod
    def now(cls, name: str, email: str) -> Self:
        """Sign with the present time, in UTC."""
        import time

        return cls(name, email, int(time.time()))

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Read `Name <email> seconds +hhmm`, as git writes it."""
        match = _SIGNATURE.fullmatch(line)
        if not match:
            raise InvalidError(f"{line[:80]!r} is no `Name <email> seconds +hhmm`")
        zone = int(match["zone"])
        minutes = abs(zone) // 100 * 60 + abs(zone) % 100
        return cls(
            match["name"].decode("utf-8", "replace"),
            match["email"].decode("utf-8", "replace"),
            int(match["time"]),
            minutes if zone >= 0 else -minutes,
        )

    def __str__(self) -> str:
        """Write `Name <email>`."""
        return f"{self.name} <{self.email}>"

    def line(self) -> bytes:
        """Write it for git; raise InvalidError where the name or the address cannot be written."""
        for what, text in (("name", self.name), ("e-mail address", self.email)):
            if not text.strip() or any(mark in text for mark in "<>\n\r\0"):
                raise InvalidError(
                    f"{text[:80]!r} cannot be the {what} of an author", hint="leave out < > and line ends"
                )
        return f"{self} {self.moment}".encode()

    @property
    def moment(self) -> str:
        """The time as git writes it: `seconds +hhmm`."""
        hours, minutes = divmod(abs(self.offset), 60)
        return f"{self.time} {'-' if self.offset < 0 else '+'}{hours:02}{minutes:02}"

    @property
    def when(self) -> datetime:
        """The time with its zone; raise InvalidError where the calendar has no such day."""
        from datetime import UTC, datetime, timedelta, timezone

        try:
            return datetime.fromtimestamp(self.time, UTC).astimezone(timezone(timedelta(minutes=self.offset)))
        except (ValueError, OverflowError, OSError) as error:
            raise InvalidError(f"{self.moment!r} is no time that a calendar knows") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit, read."""

    oid: Oid
    tree: Oid
    parents: tuple[Oid, ...]
    author: Signature
    committer: Signature
    message: str
    signed: bool = False

    @property
    def subject(self) -> str:
        """The first paragraph of the message, on one line."""
        return subject_of(self.message)

    @property
    def trailers(self) -> dict[str, str]:
        """The trailers of the message; see `trailers_of`."""
        return trailers_of(self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """An annotated tag, read; `tagger` is None in tags from git's first year."""

    oid: Oid
    target: Oid
    target_type: str
    name: str
    tagger: Signature | None
    message: str

    @property
    def subject(self) -> str:
        """The first paragraph of the message, on one line."""
        return subject_of(self.message)

    @property
    def trailers(self) -> dict[str, str]:
        """The trailers of the message; see `trailers_of`."""
        return trailers_of(self.message)


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers of a commit or a tag in their order, and the message."""

    fields: tuple[tuple[bytes, bytes], ...]
    message: bytes

    @classmethod
    def parse(cls, data: bytes) -> Headers:
        """Split headers from message; a line that begins with a space continues the header before it."""
        head, _, message = data.partition(b"\n\n")
        fields: list[tuple[bytes, list[bytes]]] = []
        for line in head.removesuffix(b"\n").split(b"\n"):
            if line.startswith(b" ") and fields:
                fields[-1][1].append(line[1:])
            else:
                key, _, value = line.partition(b" ")
                fields.append((key, [value]))
        return cls(tuple((key, b"\n".join(lines)) for key, lines in fields), message)

    def all(self, key: bytes) -> list[bytes]:
        """Give every value of a header."""
        return [value for found, value in self.fields if found == key]

    def one(self, key: bytes) -> bytes:
        """Give the value of a header that is there exactly once."""
        values = self.all(key)
        if len(values) != 1:
            raise InvalidError(f"{len(values)} `{key.decode('ascii', 'replace')}` headers where one belongs")
        return values[0]

    def text(self) -> str:
        """Decode the message by its `encoding` header; what cannot be decoded becomes U+FFFD."""
        name = (self.all(b"encoding") or [b"utf-8"])[0].decode("ascii", "replace")
        try:
            return self.message.decode(name if _ENCODINGS.fullmatch(name) else "utf-8", "replace")
        except LookupError:
            return self.message.decode("utf-8", "replace")

    def parents(self) -> list[bytes]:
        """Give a commit's parents: right behind its tree. Git reads one elsewhere as no parent, and so is it."""
        if not self.fields or self.fields[0][0] != b"tree":
            raise InvalidError("a commit begins with its tree")
        return [value for _, value in takewhile(lambda field: field[0] == b"parent", self.fields[1:])]


def parse_commit(oid: Oid, data: bytes) -> Commit:
    """Read a commit object; raise IntegrityError naming one that is malformed."""
    headers = Headers.parse(data)
    try:
        return Commit(
            oid=oid,
            tree=_oid(headers.one(b"tree")),
            parents=tuple(map(_oid, headers.parents())),
            author=Signature.parse(headers.one(b"author")),
            committer=Signature.parse(headers.one(b"committer")),
            message=headers.text(),
            signed=bool(headers.all(b"gpgsig") or headers.all(b"gpgsig-sha256")),
        )
    except InvalidError as error:
        raise IntegrityError(f"commit {oid} is malformed: {error.message}") from error


def parse_tag(oid: Oid, data: bytes) -> Tag:
    """Read a tag object; raise IntegrityError naming one that is malformed."""
    headers = Headers.parse(data)
    try:
        taggers = headers.all(b"tagger")
        return Tag(
            oid=oid,
            target=_oid(headers.one(b"object")),
            target_type=headers.one(b"type").decode("ascii", "replace"),
            name=headers.one(b"tag").decode("utf-8", "replace"),
            tagger=Signature.parse(headers.one(b"tagger")) if taggers else None,
            message=headers.text(),
        )
    except InvalidError as error:
        raise IntegrityError(f"tag {oid} is malformed: {error.message}") from error


def _oid(value: bytes) -> Oid:
    text = value.decode("ascii", "replace")
    if not is_oid(text):
        raise InvalidError(f"{text[:80]!r} is no object id")
    return text


def subject_of(message: str) -> str:
    """Give the first paragraph of a message on one line."""
    paragraph = message.lstrip("\n").partition("\n\n")[0]
    return " ".join(line.strip() for line in paragraph.splitlines()).strip()


def trailers_of(message: str) -> dict[str, str]:
    """Give the trailers of a message, unfolded: its last paragraph, unless that is the subject.

    Git's own rule (git-interpret-trailers(1)) with `:` as the only separator. Of a repeated key the last counts; keys
    are written as git does, `Signed-off-by`, since they do not depend on case.
    """
    paragraphs = re.split(r"\n(?:[ \t]*\n)+", message.strip("\n"))
    if len(paragraphs) == 1:
        return {}
    lines = paragraphs[-1].rstrip().split("\n")
    found: dict[str, list[str]] = {}
    matched, last = 0, ""
    others = 0
    for line in lines:
        match = _TRAILER.fullmatch(line)
        if match:
            last = match[1].capitalize()
            found[last] = [match[2].strip()]
            matched += 1
        elif line[:1] in {" ", "\t"} and last:
            found[last].append(line.strip())
        elif line.startswith(_GIT_TRAILERS):
            matched, last = matched + 1, ""
        else:
            others, last = others + 1, ""
    by_git = any(line.startswith(_GIT_TRAILERS) for line in lines)
    counts = others == 0 or (by_git and matched * 3 >= others)
    return {key: " ".join(filter(None, lines)) for key, lines in found.items()} if counts else {}
