"""Say what a commit changed in the registry's own words: the typed difference of two states."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, cast

from gitreg.access import Action
from gitreg.deployment import Approval, Deployment, Status
from gitreg.errors import InvalidError, Problem
from gitreg.layout import ACCESS, GOVERNED, SETTINGS, Kind, Place, place
from gitreg.manifest import Lifecycle, Manifest, Model, Tombstone, changed_fields, parse_version
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence


class State(Protocol):
    """The files of a registry at one commit; read only as far as a question needs."""

    def read(self, path: str) -> bytes | None:
        """Give a file's bytes, or None where there is no such file."""

    def names(self, folder: str) -> Sequence[str]:
        """Give the names directly inside a folder, empty where there is none."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file as git's tree names it: octal mode, object id, size in bytes."""

    mode: str
    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class PathEdit:
    """A path whose entry differs between two states; None on the side where it does not exist."""

    path: str
    before: FileEntry | None
    after: FileEntry | None


class Event(StrEnum):
    """What happened, in the words of the audit trail."""

    MODEL_CREATED = "model created"
    MODEL_UPDATED = "model updated"
    MODEL_REMOVED = "model removed"
    ALIASES_MOVED = "aliases moved"
    CARD_CHANGED = "model card changed"
    REGISTERED = "registered"
    RESTORED = "restored"
    UPDATED = "updated"
    LIFECYCLE = "lifecycle"
    DELETED = "deleted"
    REMOVED = "removed"
    TOMBSTONE_EDITED = "tombstone edited"
    POINTER = "pointer"
    APPROVAL = "approval"
    STATUS = "status"
    ACCESS = "access rules"
    SETTINGS = "settings"
    KEYS = "keys"
    FREE = "other file"


@dataclass(frozen=True, slots=True)
class Change:
    """One event at one place, with the parsed value of each side where there is one.

    `actions` are the actions any one of which allows the change (`deploy` or `rollback`, say).
    """

    event: Event
    place: Place
    actions: tuple[Action, ...]
    before: object = None
    after: object = None
    fields: tuple[str, ...] = ()

    @property
    def pointer(self) -> tuple[Deployment | None, Deployment | None]:
        """The pointer before and after, of a POINTER event."""
        return cast("Deployment | None", self.before), cast("Deployment | None", self.after)

    def __str__(self) -> str:
        """Describe the change in a few words for the log."""
        where = self.place
        if self.event is Event.POINTER:
            old, new = (str(side) if side else "nothing" for side in map(_pointer_words, self.pointer))
            return f"{where.environment}: {where.model} {old} → {new}"
        subject = where.path
        if where.model and where.version:
            subject = f"{where.model}@{where.version}"
        elif where.model:
            subject = str(where.model)
        detail = f" ({', '.join(self.fields)})" if self.fields else ""
        if where.environment:
            detail = f" for {where.environment}" + (f" by {where.user}" if where.user else "") + detail
        return f"{self.event} {subject}{detail}"


def _pointer_words(deployment: Deployment | None) -> str | None:
    if deployment is None:
        return None
    if deployment.canary_version is None:
        return str(deployment.version)
    return f"{deployment.version} (+{deployment.canary_percent} % {deployment.canary_version})"


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed, and what could not be understood."""

    changes: tuple[Change, ...]
    problems: tuple[Problem, ...]


def volume(edits: Iterable[PathEdit], most: int) -> int:
    """Sum up the bytes that `difference` may read, of files of at most `most` bytes: others are refused unread."""
    governed = (edit for edit in edits if edit.path.partition("/")[0] in GOVERNED or edit.path in {SETTINGS, ACCESS})
    sides = (side for edit in governed for side in (edit.before, edit.after))
    return sum(side.size for side in sides if side and side.size <= most)


def difference(edits: Iterable[PathEdit], before: State, after: State) -> Difference:
    """Understand the edits between two states; problems are the files that are not valid.

    Reads only the edited files.
    """
    changes: list[Change] = []
    problems: list[Problem] = []
    for edit in edits:
        try:
            where = place(edit.path)
            changes += _understand(where, edit, before, after)
        except InvalidError as error:
            problems += error.problems or [Problem(str(error), edit.path)]
    return Difference(tuple(changes), tuple(problems))


def _understand(where: Place, edit: PathEdit, before: State, after: State) -> Iterator[Change]:
    if where.kind is Kind.CARD:
        return iter([Change(Event.CARD_CHANGED, where, (Action.UPDATE,))])
    if where.kind in _UNREAD:
        return iter([Change(_UNREAD[where.kind], where, (Action.ADMIN,))])
    old = before.read(edit.path) if edit.before else None
    new = after.read(edit.path) if edit.after else None
    if where.kind is Kind.VERSION:
        return _version_changes(where, old, new)
    if where.kind is Kind.MODEL:
        return _model_changes(where, old, new)
    if where.kind is Kind.DEPLOYMENT:
        return _pointer_changes(where, old, new)
    if where.kind is Kind.APPROVAL:
        return _parsed(Event.APPROVAL, Approval, where, (old, new), Action.APPROVE)
    return _parsed(Event.STATUS, Status, where, (old, new), Action.REPORT)


# What is judged elsewhere, or by its path alone.
_UNREAD = {
    Kind.ACCESS: Event.ACCESS,
    Kind.SETTINGS: Event.SETTINGS,
    Kind.KEYS: Event.KEYS,
    Kind.FREE: Event.FREE,
}


def _parsed(
    event: Event,
    kind: type[Approval | Status],
    where: Place,
    sides: tuple[bytes | None, bytes | None],
    action: Action,
) -> Iterator[Change]:
    old, new = sides
    # The old side was judged when it came in: what it says does not matter any more.
    after = kind.parse(new, where.path) if new is not None else None
    yield Change(event, where, (action,), old, after)


def _pointer_changes(where: Place, old: bytes | None, new: bytes | None) -> Iterator[Change]:
    before = Deployment.parse(old, where.path) if old is not None else None
    after = Deployment.parse(new, where.path) if new is not None else None
    actions = (Action.ROLLBACK, Action.DEPLOY) if after is None else (Action.DEPLOY,)
    if before != after:
        yield Change(Event.POINTER, where, actions, before, after)
    else:
        yield Change(Event.FREE, where, (Action.DEPLOY,))


def _model_changes(where: Place, old: bytes | None, new: bytes | None) -> Iterator[Change]:
    if new is None:
        yield Change(Event.MODEL_REMOVED, where, (Action.UPDATE,))
        return
    after = Model.parse(new, where.path)
    if old is None:
        yield Change(Event.MODEL_CREATED, where, (Action.REGISTER,), None, after)
        if after.aliases:
            yield Change(Event.ALIASES_MOVED, where, (Action.ALIAS,), None, after, tuple(sorted(after.aliases)))
        return
    before = Model.parse(old, where.path)
    moved = tuple(
        sorted(
            name for name in {*before.aliases, *after.aliases} if before.aliases.get(name) != after.aliases.get(name)
        )
    )
    if moved:
        yield Change(Event.ALIASES_MOVED, where, (Action.ALIAS,), before, after, moved)
    fields = tuple(
        field
        for field in ("model", "description", "owners", "task", "labels")
        if getattr(before, field) != getattr(after, field)
    )
    if fields or not moved:
        yield Change(Event.MODEL_UPDATED, where, (Action.UPDATE,), before, after, fields)


def _version_changes(where: Place, old: bytes | None, new: bytes | None) -> Iterator[Change]:
    before = parse_version(old, where.path) if old is not None else None
    if new is None:
        yield Change(Event.REMOVED, where, (Action.DELETE,), before)
        return
    after = parse_version(new, where.path)
    if isinstance(before, Tombstone):
        event = Event.RESTORED if isinstance(after, Manifest) else Event.TOMBSTONE_EDITED
        yield Change(event, where, (Action.REGISTER,), before, after)
    elif isinstance(after, Tombstone):
        yield Change(Event.DELETED, where, (Action.DELETE,), before, after)
    elif before is None:
        yield Change(Event.REGISTERED, where, (Action.REGISTER,), None, after)
    else:
        yield from _edited(where, before, after)


def _edited(where: Place, before: Manifest, after: Manifest) -> Iterator[Change]:
    for lifecycle, action in ((Lifecycle.YANKED, Action.YANK), (Lifecycle.ARCHIVED, Action.ARCHIVE)):
        if (before.lifecycle is lifecycle) != (after.lifecycle is lifecycle):
            yield Change(Event.LIFECYCLE, where, (action,), before, after, (f"{before.lifecycle} → {after.lifecycle}",))
    fields = changed_fields(before, after)
    special = {Lifecycle.YANKED, Lifecycle.ARCHIVED}
    if "lifecycle" in fields and (before.lifecycle in special or after.lifecycle in special):
        fields = tuple(field for field in fields if field != "lifecycle")
        if not fields:
            return
    yield Change(Event.UPDATED, where, (Action.UPDATE,), before, after, fields)


def pointer_action(earlier: Container[Deployment | None], after: Deployment | None, claimed: str | None) -> str:
    """Name what a pointer change was: `deploy`, `promote`, `rollback` or `undeploy`.

    History decides; only `promote` is the commit's own claim, by an `Action:` trailer.
    """
    if after is None:
        return "undeploy"
    if after in earlier:
        return "rollback"
    return "promote" if claimed == "promote" else "deploy"
