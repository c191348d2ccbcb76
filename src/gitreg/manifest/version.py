"""A version's file: the manifest, or the tombstone that takes its place."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from gitreg.digest import Digest
from gitreg.manifest.parts import (
    MANIFEST,
    TOMBSTONE,
    Artifact,
    Evaluation,
    External,
    Lifecycle,
    Parent,
    Person,
    Training,
)
from gitreg.names import ModelName, Version
from gitreg.parsing import API_VERSION, in_order, without_empty
from gitreg.records import dataclass, field
from gitreg.wire import dump, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitreg.parsing import Data

HEADER = "yaml-language-server: $schema=../../../.gitreg/schemas/manifest.schema.json"
# Whoever plans a version reads its file, and right behind them the gate does. Nobody changes what was read.
_AGAIN = lru_cache(maxsize=4)
_read = _AGAIN(load)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One version of a model: who it is, what it consists of, where it came from, how good it is.

    `created` is a time in RFC 3339, in UTC (`…Z`); `base` is the URI of a parent outside the registry; `signature`
    holds the inputs and outputs as they were written.
    """

    model: ModelName
    version: Version
    created: str
    author: Person
    description: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    external: External | None = None
    training: Training | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluations: tuple[Evaluation, ...] = ()
    signature: Mapping[str, Any] | None = None
    parents: tuple[Parent, ...] = ()
    base: str | None = None
    license: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    lifecycle: Lifecycle = Lifecycle.ACTIVE

    @classmethod
    def parse(cls, data: bytes, path: str | None = None) -> Self:
        """Read a manifest's file; raise InvalidError with everything that is wrong."""
        return cls.from_data(_accepted(data, path))

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data, without checking it again."""
        external, training, base = data.get("external"), data.get("training"), data.get("base")
        return cls(
            model=ModelName.parse(data["model"]),
            version=Version(data["version"]),
            created=data["created"],
            author=Person.from_data(data["author"]),
            description=data.get("description"),
            artifacts=tuple(map(Artifact.from_data, data.get("artifacts", ()))),
            external=External.from_data(external) if external else None,
            training=Training.from_data(training) if training and any(training.values()) else None,
            metrics=data.get("metrics", {}),
            evaluations=tuple(map(Evaluation.from_data, data.get("evaluations", ()))),
            signature=data.get("signature") or None,
            parents=tuple(map(Parent.from_data, data.get("parents", ()))),
            base=base["uri"] if base else None,
            license=data.get("license"),
            labels=data.get("labels", {}),
            lifecycle=Lifecycle(data.get("lifecycle", "active")),
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order, without what is empty."""
        return without_empty(
            {
                "api_version": API_VERSION,
                "kind": MANIFEST,
                "model": str(self.model),
                "version": str(self.version),
                "created": self.created,
                "author": self.author.to_data(),
                "description": self.description,
                "artifacts": [artifact.to_data() for artifact in self.artifacts],
                "external": self.external.to_data() if self.external else None,
                "training": self.training.to_data() if self.training else None,
                "metrics": in_order(self.metrics),
                "evaluations": [evaluation.to_data() for evaluation in self.evaluations],
                "signature": self.signature,
                "parents": [parent.to_data() for parent in self.parents],
                "base": {"uri": self.base} if self.base is not None else None,
                "license": self.license,
                "labels": in_order(self.labels),
                "lifecycle": str(self.lifecycle),
            }
        )

    def to_bytes(self) -> bytes:
        """Write the canonical file."""
        return dump(self.to_data(), header=HEADER)

    @property
    def total_size(self) -> int:
        """The bytes of all artifacts together."""
        return sum(artifact.size for artifact in self.artifacts)

    def __str__(self) -> str:
        """Write `project/name@version`."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What stays of a deleted version: its number, the digest of its manifest file's bytes, and why it went."""

    model: ModelName
    version: Version
    manifest_digest: Digest
    reason: str

    @classmethod
    def parse(cls, data: bytes, path: str | None = None) -> Self:
        """Read a tombstone's file; raise InvalidError with everything that is wrong."""
        from gitreg.manifest.rules import accept_tombstone

        return cls.from_data(accept_tombstone(load(data, path)))

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data, without checking it again."""
        return cls(
            model=ModelName.parse(data["model"]),
            version=Version(data["version"]),
            manifest_digest=Digest.parse(data["manifest_digest"]),
            reason=data["reason"],
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return {
            "api_version": API_VERSION,
            "kind": TOMBSTONE,
            "model": str(self.model),
            "version": str(self.version),
            "manifest_digest": str(self.manifest_digest),
            "reason": self.reason,
        }

    def to_bytes(self) -> bytes:
        """Write the canonical file."""
        return dump(self.to_data())


def parse_version(data: bytes, path: str | None = None) -> Manifest | Tombstone:
    """Read a version's file, whichever of the two its `kind` says it is.

    Raises InvalidError with everything that is wrong.
    """
    from gitreg.manifest.rules import accept_version

    document = _read(data, path)
    if document.value.get("kind") == MANIFEST:
        return Manifest.parse(data, path)
    return version_from_data(accept_version(document))


@_AGAIN
def _accepted(data: bytes, path: str | None) -> Data:
    from gitreg.manifest.rules import accept_manifest

    return accept_manifest(_read(data, path))


def version_from_data(data: Data) -> Manifest | Tombstone:
    """Build from the accepted data of a version's file, whichever of the two it is."""
    return Tombstone.from_data(data) if data["kind"] == TOMBSTONE else Manifest.from_data(data)
