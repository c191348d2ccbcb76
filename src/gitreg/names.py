"""The grammar of names: projects, models, versions, environments, aliases, users, registries, selectors."""

from __future__ import annotations

import re
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Self

from gitreg.errors import InvalidError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import semver

RESERVED_ALIASES = frozenset({"latest"})
MAX_VERSION_LENGTH = 128

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_MODEL = re.compile(r"(?=.{1,63}\Z)[a-z0-9][a-z0-9_-]*(?:\.[a-z0-9_-]+)*", re.ASCII)
_USER = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,126}", re.ASCII)
# SemVer 2.0.0, https://semver.org, without build metadata and in lower case.
_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[a-z-][0-9a-z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_IDENTIFIER}(?:\.{_IDENTIFIER})*)?",
    re.ASCII,
)
_ALLOWED = "a lower-case letter or digit, then up to 62 of a-z 0-9 _ -"
_SHOWN = 80


def _shown(text: str) -> str:
    """Quote a rejected name for a message, cut to a readable length."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


# Code points that macOS leaves out of file names, as git's own guard of `.git` knows them (utf8.c, next_hfs_char).
_IGNORED = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


def folded(path: str) -> str:
    """Bring together the paths that some file system takes for one."""
    if path.isascii():
        return path.lower()
    from unicodedata import normalize

    return normalize("NFC", normalize("NFC", path.translate(_IGNORED)).casefold())


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Name the known word nearest to a mistyped one, or None."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return near[0] if near else None


class _Name(str):
    """A checked name; an invalid one cannot exist."""

    __slots__ = ()
    _what = "a"
    _grammar = _ALLOWED
    _pattern = _NAME

    def __new__(cls, text: str) -> Self:
        """Check the whole text against the grammar."""
        if not cls.is_one(text):
            raise InvalidError(f"{_shown(text)} is not {cls._what} name", hint=f"allowed: {cls._grammar}")
        return super().__new__(cls, text)

    @classmethod
    def is_one(cls, text: str) -> bool:
        """Whether a text is such a name."""
        return bool(cls._pattern.fullmatch(text)) and cls._acceptable(text)

    @classmethod
    def _acceptable(cls, _text: str) -> bool:
        return True


class EnvironmentName(_Name):
    """Where models run, such as `prod`."""

    __slots__ = ()
    _what = "an environment"


class AliasName(_Name):
    """A movable name of a version, such as `champion`; `latest` is reserved."""

    __slots__ = ()
    _what = "an alias"
    _grammar = f"{_ALLOWED}; `latest` is reserved"

    @classmethod
    def _acceptable(cls, text: str) -> bool:
        return text not in RESERVED_ALIASES


class UserName(_Name):
    """A person or a machine that acts."""

    __slots__ = ()
    _what = "a user"
    _grammar = "a lower-case letter or digit, then up to 126 of a-z 0-9 . _ @ + -, no `..`, no `.lock` ending"
    _pattern = _USER

    @classmethod
    def _acceptable(cls, text: str) -> bool:
        return ".." not in text and not text.endswith(".lock")


class RegistryName(_Name):
    """What a machine calls a registry, as `corp` in `corp:risk/fraud@prod`; `models` is reserved."""

    __slots__ = ()
    _what = "a registry"
    _grammar = f"{_ALLOWED}; `models` is reserved"

    @classmethod
    def _acceptable(cls, text: str) -> bool:
        return text != "models"  # of models:/ URIs


def split_registry(text: str) -> tuple[RegistryName | None, str]:
    """Take the registry's name off a selector, as `corp` off `corp:risk/fraud@prod`; None where it has none."""
    name, colon, rest = text.partition(":")
    if not colon or name == "models" or set(name) & set("/@"):
        return None, text
    return RegistryName(name), rest


@dataclass(frozen=True, slots=True, order=True)
class ModelName:
    """A model, written `project/name`."""

    project: str
    name: str

    def __post_init__(self) -> None:
        """Check both halves; the name may hold single dots inside."""
        if not _NAME.fullmatch(self.project):
            raise InvalidError(f"{_shown(self.project)} is not a project name", hint=f"allowed: {_ALLOWED}")
        if not _MODEL.fullmatch(self.name) or self.name.endswith(".lock"):
            raise InvalidError(
                f"{_shown(self.name)} is not a model name",
                hint=f"allowed: {_ALLOWED}, single dots inside, no `.lock` ending",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `project/name`."""
        project, slash, name = text.partition("/")
        if not slash or "/" in name:
            raise InvalidError(f"{_shown(text)} is not a model", hint="write it as project/name, all in lower case")
        return cls(project, name)

    def __str__(self) -> str:
        """Write `project/name`."""
        return f"{self.project}/{self.name}"


@cache
def _precedence(text: str) -> semver.Version:
    # Imported here: most commands never compare two versions.
    import semver

    return semver.Version.parse(text)


@dataclass(frozen=True, slots=True)
class Version:
    """A SemVer 2.0.0 version without build metadata, ordered by SemVer precedence."""

    text: str

    def __post_init__(self) -> None:
        """Check grammar, case and length."""
        if len(self.text) <= MAX_VERSION_LENGTH and _VERSION.fullmatch(self.text):
            return
        hint = "write MAJOR.MINOR.PATCH or MAJOR.MINOR.PATCH-pre.release, as in 1.4.0"
        if "+" in self.text:
            hint = "build metadata (+…) has no precedence; leave it out"
        elif self.text != self.text.lower() and _VERSION.fullmatch(self.text.lower()):
            hint = f"versions are lower case: {self.text.lower()}"
        elif self.text[:1] == "v" and _VERSION.fullmatch(self.text[1:]):
            hint = f"leave out the v: {self.text[1:]}"
        raise InvalidError(f"{_shown(self.text)} is not a version", hint=hint)

    def __str__(self) -> str:
        """Write the version as it was read."""
        return self.text

    @property
    def is_prerelease(self) -> bool:
        """Whether it comes before its release, as 1.0.0-rc.1 does."""
        return "-" in self.text

    def __lt__(self, other: Version) -> bool:
        """Compare by SemVer precedence."""
        return _precedence(self.text) < _precedence(other.text)

    def __gt__(self, other: Version) -> bool:
        """Compare by SemVer precedence."""
        return other < self

    def __le__(self, other: Version) -> bool:
        """Compare by SemVer precedence."""
        return not other < self

    def __ge__(self, other: Version) -> bool:
        """Compare by SemVer precedence."""
        return not self < other

    def bump(self, part: str) -> Version:
        """Name the next version after raising `major`, `minor` or `patch`."""
        if part not in {"major", "minor", "patch"}:
            raise InvalidError(f"{_shown(part)} is not a part of a version", hint="allowed: major, minor, patch")
        return Version(str(_precedence(self.text).next_version(part)))


_PART = rf"(?:{_NUMBER}|[xX*])"
_COMPARATOR = rf"(\^|~|>=|<=|>|<|==|=)?\s*({_PART}(?:\.{_PART}(?:\.{_PART}(?:-[0-9a-z.-]+)?)?)?)"
_BETWEEN = r"\s*,\s*|\s+|(?=[~^<>=])"


@dataclass(frozen=True, slots=True)
class VersionRange:
    """A set of versions: `^1.4`, `~1.4.2`, `1.x`, or comparisons joined by commas or spaces.

    The meaning is npm's: https://github.com/npm/node-semver#ranges, without `||` and hyphen ranges. A pre-release is
    in the range only where a bound names a pre-release of the same MAJOR.MINOR.PATCH.
    """

    text: str
    bounds: tuple[tuple[str, Version], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a range; raise InvalidError where it is none."""
        bounds: list[tuple[str, Version]] = []
        position, stripped = 0, text.strip()
        comparator, between = re.compile(_COMPARATOR, re.ASCII), re.compile(_BETWEEN, re.ASCII)
        while match := comparator.match(stripped, position):
            bounds += _bounds(match[1] or "", match[2])
            position = match.end()
            if position == len(stripped):
                return cls(stripped, tuple(bounds))
            gap = between.match(stripped, position)
            if not gap:
                break
            position = gap.end()
        raise InvalidError(f"{_shown(text)} is not a version range", hint="write ^1.4, ~1.4.2, 1.x or >=1.2,<2")

    def __contains__(self, version: Version) -> bool:
        """Whether a version satisfies every bound."""
        if not all(_OPERATORS[operator](version, bound) for operator, bound in self.bounds):
            return False
        return not version.is_prerelease or any(
            bound.is_prerelease and bound.text.partition("-")[0] == version.text.partition("-")[0]
            for _, bound in self.bounds
        )


_OPERATORS = {
    ">=": Version.__ge__,
    "<=": Version.__le__,
    ">": Version.__gt__,
    "<": Version.__lt__,
    "=": Version.__eq__,
}


def _bounds(operator: str, text: str) -> list[tuple[str, Version]]:
    """Turn one comparator into lower and upper bounds on full versions."""
    core, dash, pre = text.partition("-")
    parts = [int(part) for part in takewhile(str.isdigit, core.split("."))]
    full = len(parts) == len(("major", "minor", "patch"))
    if dash and not full:
        raise InvalidError(f"{_shown(text)} is not a version", hint="a pre-release needs all of 1.4.0-rc.1")
    if not parts:
        # Nothing is below or above every version.
        return [("<", Version("0.0.0-0"))] if operator in {"<", ">"} else [(">=", Version("0.0.0"))]
    low = _filled(parts, dash + pre)
    if full and operator not in {"^", "~"}:
        return [(operator if operator not in {"", "=="} else "=", low)]
    if operator in {"", "=", "==", "^", "~"}:
        return [(">=", low), ("<", _filled(_past(operator, parts), "-0"))]
    return {
        ">": [(">=", _filled(_past("", parts)))],
        ">=": [(">=", low)],
        "<": [("<", _filled(parts, "-0"))],
        "<=": [("<", _filled(_past("", parts), "-0"))],
    }[operator]


def _filled(parts: Sequence[int], pre: str = "") -> Version:
    return Version(".".join(map(str, [*parts, 0, 0][:3])) + pre)


def _past(operator: str, parts: Sequence[int]) -> list[int]:
    """Name the first release past a caret, tilde or partial range; `-0` keeps out its pre-releases as well."""
    full = [*parts, 0, 0][:3]
    if operator == "^":
        at = next((index for index, part in enumerate(parts) if part), len(parts) - 1)
    else:
        at = min(1, len(parts) - 1)
    return [*full[:at], full[at] + 1]


@dataclass(frozen=True, slots=True)
class Selector:
    """What a user types: a model and, after `@`, a version, `latest`, a range, an environment or an alias."""

    model: ModelName
    what: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `project/name[@what]` or a `models:/project/name/VERSION`, `models:/project/name@what` URI."""
        registry, rest = split_registry(text)
        if registry is not None:
            raise InvalidError(
                f"{_shown(text)} names a registry where one is open already",
                hint=f"leave out `{registry}:`, or open that one: gitreg.open('{registry}:')",
            )
        if text.startswith("models:"):
            rest = text.removeprefix("models:").lstrip("/")
            if "@" not in rest and rest.count("/") == len(("project", "version")):
                rest = "@".join(rest.rsplit("/", 1))
        name, at, what = rest.partition("@")
        if at and not what:
            raise InvalidError(
                f"{_shown(text)} names nothing after @",
                hint="write a version, latest, a range, an environment or an alias",
            )
        return cls(ModelName.parse(name), what or None)

    @property
    def version(self) -> Version | None:
        """The exact version, where one was typed."""
        if self.what and _VERSION.fullmatch(self.what):
            return Version(self.what)
        return None

    @property
    def version_range(self) -> VersionRange | None:
        """The version range, where one was typed."""
        what = self.what
        if what is None or self.version or not (what[0] in "^~><=*" or re.fullmatch(r"[0-9]+(\.[0-9xX*]+){0,2}", what)):
            return None
        return VersionRange.parse(what)

    def __str__(self) -> str:
        """Write it back as `project/name[@what]`."""
        return f"{self.model}@{self.what}" if self.what else str(self.model)


def whole_selectors(selectors: Iterable[str]) -> list[str]:
    """Complete selectors that leave the model out: it is that of the one before."""
    whole: list[str] = []
    for selector in selectors:
        model = whole[-1].partition("@")[0] if whole and "/" not in selector else None
        whole.append(f"{model}@{selector.removeprefix('@')}" if model else selector)
    return whole
