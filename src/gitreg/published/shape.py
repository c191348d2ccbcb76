"""Write and read the files of a published index: a head, a catalogue for each project, a shard for each model."""

from __future__ import annotations

import hashlib
import json
import math
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from gitreg.errors import IntegrityError, InvalidError
from gitreg.records import dataclass
from gitreg.wire import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

FORMAT = "gitreg-index/v1"
FAMILY = "gitreg-index/"
HEAD = "head.json"
SHARDS = "shards/"
SIGNATURES = "signatures/"
NAMESPACE = "gitreg-index"
"""What the SSH signature of a head is for."""

MAX_HEAD = 16 << 20
MAX_SHARD = 64 << 20
_HEX = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class Ref(NamedTuple):
    """A shard as the file above names it: the SHA-256 of its bytes in hex, and how many they are."""

    sha256: str
    size: int

    @property
    def key(self) -> str:
        """Where the shard lies below the index."""
        return f"{SHARDS}{self.sha256[:2]}/{self.sha256}.json"

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Name bytes."""
        return cls(hashlib.sha256(data).hexdigest(), len(data))

    @classmethod
    def from_data(cls, data: object) -> Self:
        """Read a reference; IntegrityError where it is none, or is to more than is read."""
        found = mapping(data, "a reference to a shard")
        sha256, size = found.get("sha256"), found.get("size")
        if not isinstance(sha256, str) or not _HEX.fullmatch(sha256) or not isinstance(size, int):
            raise IntegrityError(f"{str(data)[:120]!r} names no shard of the index")
        if not 0 < size <= MAX_SHARD:
            raise IntegrityError(f"shard {sha256[:12]} has {size} bytes by the index; at most {MAX_SHARD} are read")
        return cls(sha256, size)

    def to_data(self) -> dict[str, object]:
        """Give it as JSON says it."""
        return {"sha256": self.sha256, "size": self.size}


class Part(NamedTuple):
    """A shard with the files of a model from one path on, up to the first of the next part."""

    first: str
    ref: Ref

    @classmethod
    def all_of(cls, row: Mapping[str, Any]) -> list[Self]:
        """Read which shards a model has: one, or for very many versions several; in the order of paths."""
        if "shard" in row:
            return [cls("", Ref.from_data(row["shard"]))]
        rows = row.get("shards")
        if not isinstance(rows, list) or not rows:
            raise IntegrityError("the index names no shard of a model where it must")
        found = [cls(str(mapping(each, "a shard").get("first")), Ref.from_data(each)) for each in rows]
        if found[0].first or any(one.first >= other.first for one, other in pairwise(found)):
            raise IntegrityError("the index names the shards of a model out of order")
        return found

    @staticmethod
    def row(parts: Sequence[Part]) -> dict[str, object]:
        """Say it in a catalogue."""
        if len(parts) == 1:
            return {"shard": parts[0].ref.to_data()}
        return {"shards": [{"first": part.first, **part.ref.to_data()} for part in parts]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is switched: the registry's name, the commit of main that was published and when, and every catalogue.

    `settings` is registry.yaml, as an entry; `projects` names the catalogue of each project.
    """

    registry: str
    commit: str
    published: str
    settings: Mapping[str, Any]
    projects: Mapping[str, Ref]

    def to_bytes(self) -> bytes:
        """Write the head."""
        return dump(
            {
                "format": FORMAT,
                "registry": self.registry,
                "commit": self.commit,
                "published": self.published,
                "settings": self.settings,
                "projects": {name: self.projects[name].to_data() for name in sorted(self.projects)},
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a head; IntegrityError where it is none, InvalidError where a newer gitreg wrote it."""
        found = mapping(parse_json(data, HEAD), HEAD)
        check_format(found, HEAD)
        registry, commit, published = (found.get(key) for key in ("registry", "commit", "published"))
        if not isinstance(registry, str) or not isinstance(commit, str) or not isinstance(published, str):
            raise IntegrityError(f"{HEAD} lacks registry, commit or published")
        if not _COMMIT.fullmatch(commit) or not _TIME.fullmatch(published):
            raise IntegrityError(f"{HEAD} names no commit, or no time: {commit[:80]!r}, {published[:80]!r}")
        projects = mapping(found.get("projects"), "projects")
        odd = next((name for name in projects if not _PROJECT.fullmatch(name)), None)
        if odd is not None:
            raise IntegrityError(f"{HEAD} names {odd[:80]!r}, which is no project")
        return cls(
            registry=registry,
            commit=commit,
            published=published,
            settings=mapping(found.get("settings"), "settings"),
            projects={name: Ref.from_data(ref) for name, ref in projects.items()},
        )


def is_head(data: bytes) -> bool:
    """Whether bytes are the head of an index, of whichever version."""
    try:
        found = parse_json(data, HEAD)
    except IntegrityError:
        return False
    return isinstance(found, dict) and str(found.get("format")).startswith(FAMILY)


def check_format(found: Mapping[str, Any], what: str) -> None:
    """Raise InvalidError for a format that this gitreg does not read."""
    said = found.get("format")
    if said == FORMAT:
        return
    if isinstance(said, str) and said.startswith(FAMILY):
        raise InvalidError(
            f"the index is {said[:40]!r}, and this gitreg reads {FORMAT!r}",
            hint="use the gitreg that published it, or publish it again: gitreg index publish --anew",
        )
    raise IntegrityError(f"{what} is no file of a gitreg index")


def dump(data: Mapping[str, Any]) -> bytes:
    """Write JSON in the one form whose bytes depend on what it says alone."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def parse_json(data: bytes, what: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read JSON of the index; IntegrityError for what is no JSON, or holds numbers that are none."""
    try:
        return json.loads(data, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{what} of the index is damaged: {str(error)[:200]}") from error


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is no finite number")
    return value


def mapping(value: object, what: str) -> dict[str, Any]:
    """Take a JSON object; IntegrityError for anything else."""
    if isinstance(value, dict):
        return value
    raise IntegrityError(f"{what} of the index is {type(value).__name__}, not an object")


def check_depth(value: object, what: str) -> None:
    """Raise IntegrityError where lists and mappings lie deeper in each other than a file of the registry may."""
    level: list[object] = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise IntegrityError(f"{what} of the index is nested deeper than {MAX_DEPTH} levels")


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
