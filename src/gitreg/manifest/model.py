"""A model's file: what all its versions have in common, and the aliases that point at some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from gitreg.names import AliasName, ModelName, Version
from gitreg.parsing import API_VERSION, in_order, without_empty
from gitreg.records import dataclass, field
from gitreg.wire import dump, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitreg.parsing import Data


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model: what it does, who owns it, and its aliases."""

    model: ModelName
    description: str | None = None
    owners: tuple[str, ...] = ()
    task: str | None = None
    aliases: Mapping[AliasName, Version] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes, path: str | None = None) -> Self:
        """Read a model's file; raise InvalidError with everything that is wrong."""
        from gitreg.manifest.rules import accept_model

        return cls.from_data(accept_model(load(data, path)))

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data, without checking it again."""
        return cls(
            model=ModelName.parse(data["model"]),
            description=data.get("description"),
            owners=tuple(data.get("owners", ())),
            task=data.get("task"),
            aliases={AliasName(name): Version(version) for name, version in data.get("aliases", {}).items()},
            labels=data.get("labels", {}),
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order, without what is empty."""
        return without_empty(
            {
                "api_version": API_VERSION,
                "kind": "Model",
                "model": str(self.model),
                "description": self.description,
                "owners": list(self.owners),
                "task": self.task,
                "aliases": {name: str(version) for name, version in in_order(self.aliases).items()},
                "labels": in_order(self.labels),
            }
        )

    def to_bytes(self) -> bytes:
        """Write the canonical file."""
        return dump(self.to_data())
