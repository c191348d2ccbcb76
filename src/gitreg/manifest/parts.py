"""The parts of a version's manifest, as frozen values."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from gitreg.digest import Digest
from gitreg.names import ModelName, Version
from gitreg.parsing import in_order, without_empty
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitreg.parsing import Data

MANIFEST = "ModelVersion"
TOMBSTONE = "Tombstone"


class Lifecycle(StrEnum):
    """How far a version may still be used."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    YANKED = "yanked"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who made a version, as git would name them."""

    name: str
    email: str

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data."""
        return cls(name=data["name"], email=data["email"])

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return {"name": self.name, "email": self.email}

    def __str__(self) -> str:
        """Write `Name <email>`."""
        return f"{self.name} <{self.email}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A named file of a version: its relative POSIX path, the digest and size in bytes of its blob.

    `inspection` is what was found in the file before it was stored, as it is written.
    """

    path: str
    digest: Digest
    size: int
    format: str | None = None
    inspection: Mapping[str, Any] | None = None

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data."""
        return cls(
            path=data["path"],
            digest=Digest.parse(data["digest"]),
            size=int(data["size"]),
            format=data.get("format"),
            inspection=data.get("inspection") or None,
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return without_empty(
            {
                "path": self.path,
                "digest": str(self.digest),
                "size": self.size,
                "format": self.format,
                "inspection": self.inspection,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What a version was trained or evaluated on."""

    name: str
    version: str | None = None
    digest: Digest | None = None
    uri: str | None = None

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data."""
        digest = data.get("digest")
        return cls(
            name=data["name"],
            version=data.get("version"),
            digest=Digest.parse(digest) if digest is not None else None,
            uri=data.get("uri"),
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        digest = str(self.digest) if self.digest is not None else None
        return without_empty({"name": self.name, "version": self.version, "digest": digest, "uri": self.uri})


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """The library that a version was trained with."""

    name: str
    version: str | None = None

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data."""
        return cls(name=data["name"], version=data.get("version"))

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return without_empty({"name": self.name, "version": self.version})


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The commit of the code that trained a version, and whether the checkout held changes beside it."""

    commit: str
    repository: str | None = None
    dirty: bool | None = None

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data."""
        return cls(repository=data.get("repository"), commit=data["commit"], dirty=data.get("dirty"))

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return without_empty({"repository": self.repository, "commit": self.commit, "dirty": self.dirty})


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a version came to be."""

    datasets: tuple[Dataset, ...] = ()
    framework: Framework | None = None
    code: Code | None = None
    hyperparameters: Mapping[str, Any] | None = None

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data."""
        framework, code = data.get("framework"), data.get("code")
        return cls(
            datasets=tuple(map(Dataset.from_data, data.get("datasets", ()))),
            framework=Framework.from_data(framework) if framework else None,
            code=Code.from_data(code) if code else None,
            hyperparameters=data.get("hyperparameters") or None,
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return without_empty(
            {
                "datasets": [dataset.to_data() for dataset in self.datasets],
                "framework": self.framework.to_data() if self.framework else None,
                "code": self.code.to_data() if self.code else None,
                "hyperparameters": in_order(self.hyperparameters or {}),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was measured on one data set."""

    dataset: Dataset
    metrics: Mapping[str, float]
    split: str | None = None

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data."""
        return cls(dataset=Dataset.from_data(data["dataset"]), split=data.get("split"), metrics=data["metrics"])

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        place = without_empty({"dataset": self.dataset.to_data(), "split": self.split})
        return {**place, "metrics": in_order(self.metrics)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A version of the registry that this one came from, and how, such as `finetuned-from`."""

    model: ModelName
    version: Version
    relation: str

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data."""
        return cls(model=ModelName.parse(data["model"]), version=Version(data["version"]), relation=data["relation"])

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return {"model": str(self.model), "version": str(self.version), "relation": self.relation}

    def __str__(self) -> str:
        """Write `project/name@version`."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """A model behind somebody's API, in place of artifacts."""

    provider: str
    id: str
    endpoint: str | None = None

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data."""
        return cls(provider=data["provider"], id=data["id"], endpoint=data.get("endpoint"))

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return without_empty({"provider": self.provider, "id": self.id, "endpoint": self.endpoint})
