"""What the rules of one commit look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gitreg.changes import Change, Event
from gitreg.manifest import Manifest
from gitreg.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitreg.access import Access
    from gitreg.changes import PathEdit, State
    from gitreg.deployment import Deployment
    from gitreg.digest import Digest
    from gitreg.names import EnvironmentName, ModelName
    from gitreg.settings import Settings


class Facts(Protocol):
    """What two states cannot tell."""

    @property
    def now(self) -> int:
        """The server's clock, in seconds since 1970-01-01T00:00:00Z."""

    def earlier(self, environment: EnvironmentName, model: ModelName) -> Sequence[Deployment | None]:
        """Give every state the pointer has had up to now, oldest first; None where it was undeployed."""

    def blob_size(self, digest: Digest) -> int | None:
        """Give a stored blob's size in bytes, or None where the store has none; UnavailableError fails closed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one push may bring."""

    paths: int = 10_000
    file_bytes: int = 1 << 20
    depth: int = 16
    commits: int = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules from before the push: who may do what, what the registry demands."""

    access: Access
    settings: Settings


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit on the first-parent chain: its edits against its first parent, and both states."""

    oid: str
    edits: tuple[PathEdit, ...]
    before: State
    after: State


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that the rules of one commit look at.

    `transition` is false where a whole state is checked as it stands: rules about how it came to be do not apply.
    """

    commit: Commit
    policy: Policy
    facts: Facts
    changes: tuple[Change, ...]
    transition: bool = True
    _pointers: dict[tuple[object, ...], tuple[Deployment | None, ...]] = field(default_factory=dict)
    _registered: dict[tuple[object, ...], Manifest] = field(default_factory=dict)

    @property
    def after(self) -> State:
        """The state after the commit."""
        return self.commit.after

    def earlier(self, environment: EnvironmentName, model: ModelName) -> tuple[Deployment | None, ...]:
        """Ask for the earlier states of a pointer, once."""
        key = (environment, model)
        if key not in self._pointers:
            self._pointers[key] = tuple(self.facts.earlier(environment, model))
        return self._pointers[key]

    def registered(self) -> Mapping[tuple[object, ...], Manifest]:
        """Give the manifests that the commit adds, by model and version."""
        if not self._registered:
            for change in self.changes:
                if change.event is Event.REGISTERED and isinstance(change.after, Manifest):
                    self._registered[change.place.model, change.place.version] = change.after
        return self._registered

    def restores(self, change: Change) -> bool:
        """Whether a pointer goes back to a state that it had before; each began as none at all."""
        environment, model = change.place.environment, change.place.model
        if change.event is not Event.POINTER or environment is None or model is None:
            return False
        _, after = change.pointer
        return after is None or after in self.earlier(environment, model)
