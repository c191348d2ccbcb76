"""What the rules of one commit look at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from gitreg.access import may, outside
from gitreg.changes import Change, Event
from gitreg.errors import InvalidError
from gitreg.gate.violation import Code, Violation
from gitreg.layout import version_path
from gitreg.manifest import Manifest, Tombstone, parse_version
from gitreg.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitreg.access import Access, Action, Decision
    from gitreg.changes import PathEdit, State
    from gitreg.deployment import Deployment
    from gitreg.digest import Digest
    from gitreg.keys import AllowedSigners
    from gitreg.names import EnvironmentName, ModelName, Version
    from gitreg.settings import Settings

CLOCK_SKEW = 24 * 3600

VersionKey = tuple["ModelName | None", "Version | None"]
Coming = dict[VersionKey, tuple[VersionKey, ...]]
"""The parents of new versions, by model and version."""


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
    """How much one push may bring; `push_bytes` are those of all governed files that it changes, before and after."""

    paths: int = 10_000
    file_bytes: int = 1 << 20
    push_bytes: int = 32 << 20
    depth: int = 16
    commits: int = 10_000


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules from before the push: who may do what, what the registry demands, whose keys sign.

    `signers` is None where the settings ask for no signatures. `scopes` are the actions that the actor's token was
    made for; None, where it is bound to none, leaves it to the access rules alone.
    """

    access: Access
    settings: Settings
    signers: AllowedSigners | None = None
    scopes: frozenset[Action] | None = None

    def may(
        self, user: str, action: Action, model: ModelName | None, environment: EnvironmentName | None = None
    ) -> Decision:
        """Decide whether the actor may, by the access rules and the scopes of its token."""
        return outside(self.scopes, action) or may(self.access, user, action, model, environment)


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
    `coming` are the parents of the versions that come with the commit.
    """

    commit: Commit
    policy: Policy
    facts: Facts
    changes: tuple[Change, ...]
    transition: bool = True
    coming: Coming = field(default_factory=dict)
    _pointers: dict[tuple[object, ...], tuple[Deployment | None, ...]] = field(default_factory=dict)

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

    def restores(self, change: Change) -> bool:
        """Whether a pointer goes back to a state that it had before; each began as none at all."""
        environment, model = change.place.environment, change.place.model
        if change.event is not Event.POINTER or environment is None or model is None:
            return False
        _, after = change.pointer
        return after is None or after in self.earlier(environment, model)


def at(change: Change, code: Code, message: str, remedy: str | None = None, field: str | None = None) -> Violation:
    """Make a violation at the place of a change."""
    return Violation(code, message, remedy, path=change.place.path, field=field)


def version_in(state: State, model: ModelName, version: Version) -> Manifest | Tombstone | None:
    """Read a version in a state; None where there is none, or where its file is not valid."""
    path = version_path(model, version)
    data = state.read(path)
    if data is None:
        return None
    try:
        return parse_version(data, path)
    except InvalidError:
        # The file's own problems are reported where it is judged.
        return None


def mismatch(change: Change, **said: object) -> Iterator[Violation]:
    """Say what in a file differs from its path."""
    for name, value in said.items():
        expected = getattr(change.place, name)
        if value != expected:
            yield at(
                change,
                Code.PATH_MISMATCH,
                f"found {str(value)!r}, the path says {str(expected)!r}",
                "move the file or correct the field",
                name,
            )


def not_in_future(case: Case, change: Change, field: str, text: str) -> Iterator[Violation]:
    """Say that a time is later than the server's clock, give or take a day."""
    moment = datetime.fromisoformat(text)
    if moment.timestamp() > case.facts.now + CLOCK_SKEW:
        now = datetime.fromtimestamp(case.facts.now, UTC).isoformat(timespec="seconds")
        yield at(change, Code.TIME_IN_FUTURE, f"{text} is in the future; the server's clock says {now}", field=field)
