"""Read and write the index of a bundle, which names all that the bundle holds with its digest and size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.errors import InvalidError
from gitreg.git.values import is_oid
from gitreg.names import ModelName, Version
from gitreg.objects.streams import Blob
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = "gitreg/bundle/v1"
INDEX, HISTORY = "gitreg-bundle.json", "history.bundle"
MAX_INDEX = 24 << 20  # bytes
MAX_BLOBS = 200_000
# What JSON holds of values is no more than it has of these: counted before a parser makes objects of them.
_VALUES = b",[{"
_MAX_VALUES = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What a bundle holds: main at `commit`, its history from `since` on (None: all), and the blobs of some versions.

    `versions` are those whose weights are complete where the bundle is taken in, by model. Of their blobs, those that
    an earlier bundle brought are not among `blobs`.
    """

    registry: str
    commit: str
    since: str | None
    versions: Mapping[str, tuple[str, ...]]
    history: Blob
    blobs: tuple[Blob, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """The models of these versions, sorted."""
        return tuple(sorted(self.versions))

    @property
    def names(self) -> frozenset[str]:
        """The versions as `project/name@version`."""
        return frozenset(f"{model}@{version}" for model, versions in self.versions.items() for version in versions)

    def to_bytes(self) -> bytes:
        """Write it as it stands in the bundle; InvalidError where it holds more than is read."""
        data = {
            "format": FORMAT,
            "registry": self.registry,
            "commit": self.commit,
            "since": self.since,
            "models": {model: list(self.versions[model]) for model in self.models},
            "history": {"digest": str(self.history.digest), "size": self.history.size},
            "blobs": {str(blob.digest): blob.size for blob in self.blobs},
        }
        written = json.dumps(data, indent=1).encode("ascii") + b"\n"
        if complaint := _too_much(written, len(self.blobs)):
            raise InvalidError(f"a bundle of {complaint} is not read", hint="put the models into several bundles")
        return written

    @classmethod
    def parse(cls, data: bytes) -> Index:
        """Read it; InvalidError for anything that is not one, or that would need more memory than an index may."""
        if complaint := _too_much(data):
            raise InvalidError(f"the bundle's {INDEX} has {complaint}")
        try:
            found = json.loads(data)
            if found["format"] != FORMAT:
                raise InvalidError(f"its format is {str(found['format'])[:80]}", hint="a newer gitreg may read it")
            index = cls(
                registry=str(found["registry"]),
                commit=_oid(found["commit"]),
                since=None if found["since"] is None else _oid(found["since"]),
                versions={str(ModelName.parse(model)): _versions(names) for model, names in found["models"].items()},
                history=_blob(found["history"]["digest"], found["history"]["size"]),
                blobs=tuple(_blob(digest, size) for digest, size in found["blobs"].items()),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidError(f"the bundle's {INDEX} is no index of one: {error}") from error
        if complaint := _too_much(b"", len(index.blobs)):
            raise InvalidError(f"the bundle's {INDEX} has {complaint}")
        return index


def _too_much(data: bytes, blobs: int = 0) -> str | None:
    """Say what an index has too much of, before it is parsed; None where it may be read."""
    if len(data) > MAX_INDEX:
        return f"more than {MAX_INDEX} bytes"
    if not data.isascii():
        return "characters that gitreg does not write there"
    if sum(map(data.count, (bytes([each]) for each in _VALUES))) > _MAX_VALUES:
        return f"more than {_MAX_VALUES} values"
    return f"{blobs} blobs, more than {MAX_BLOBS}" if blobs > MAX_BLOBS else None


def _versions(names: object) -> tuple[str, ...]:
    if not isinstance(names, list):
        raise InvalidError("the versions of a model are not a list")
    return tuple(str(Version(name)) for name in names)


def _blob(digest: object, size: object) -> Blob:
    if not isinstance(digest, str) or type(size) is not int or size < 0:
        raise InvalidError("a blob is not a digest and a size")
    return Blob(Digest.parse(digest), size)


def _oid(value: object) -> str:
    if not isinstance(value, str) or not is_oid(value):
        raise InvalidError(f"{str(value)[:80]!r} is no object id")
    return value
