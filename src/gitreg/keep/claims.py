"""Note in a store which registries use it, so that none takes the weights of another.

A claim is an empty object, `registries/<name>/<commit of main>`: whoever keeps weights here for a registry says up to
which commit. A copy of a registry, or one that was restored from a backup, has the name and not the commit.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, cast

from gitreg.errors import ConflictError, GitregError, UnavailableError
from gitreg.objects import Stores
from gitreg.objects.faults import reading
from gitreg.reader.snapshot import VersionFile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from gitreg.objects import LocalStore, Store
    from gitreg.objects.bucket import Bucket
    from gitreg.reader import RegistryFiles

_PREFIX = "registries/"
# A file was all that there was at first: it names the registry, and no commit.
_KEY = re.compile(r"registries/([a-z0-9][a-z0-9_-]{0,62})(?:\.json|/([0-9a-f]{40}|[0-9a-f]{64}))")
_SHOWN = 5
# What a store in a folder has from its first day; of a disk that is not mounted there is nothing, or an empty folder.
_BEGUN = ("blobs", "registries")


class Claim(NamedTuple):
    """A registry that keeps weights in a store, and a commit that its main had then; None where it is not known."""

    key: str
    registry: str
    commit: str | None

    def __str__(self) -> str:
        """Write `name`, and `name at 0123abcd…` where a commit is known."""
        return f"{self.registry} at {self.commit[:12]}" if self.commit else self.registry


def check_begun(store: Store, at: RegistryFiles) -> None:
    """Refuse to begin a store in a folder anew where the registry keeps weights already (UnavailableError).

    Their disk is not mounted, or the folder is another: what is written now would be found by nobody. A mirror that is
    gone so is not written to, and is behind.
    """
    primary, *mirrors = _each(store)
    is_begun, gone = _is_begun(primary), [each for each in mirrors if _is_away(each)]
    if (is_begun and not gone) or not any(_has_weights(at)):
        return
    if not is_begun:
        raise _gone(primary, at)
    if isinstance(store, Stores):
        store.away = {each.uri: f"its folder is not there: mount its disk, or {_begin(each)}" for each in gone}


def check_mirrors_begun(store: Store, at: RegistryFiles) -> None:
    """Refuse to go on where a mirror in a folder is not there, as `check_begun` does where it is the store."""
    check_begun(store, at)
    for each in _each(store):
        if isinstance(store, Stores) and each.uri in store.away:
            raise _gone(each, at)


def is_empty_folder(store: Store) -> bool:
    """Whether a store is an empty folder, as a mount point is whose disk is away."""
    folder: Path | None = getattr(store, "folder", None)
    return folder is not None and folder.is_dir() and not _is_begun(store)


def _each(store: Store) -> tuple[Store, ...]:
    return getattr(store, "all", (store,))


def _is_begun(store: Store) -> bool:
    """Whether there is something of a store in a store's folder; what is elsewhere is not asked."""
    folder: Path | None = getattr(store, "folder", None)
    if folder is None:
        return True
    with reading(folder):
        return any((folder / each).is_dir() for each in _BEGUN)


def _is_away(mirror: Store) -> bool:
    try:
        return not _is_begun(mirror)
    except GitregError:  # whoever writes there is told
        return False


def _gone(store: Store, at: RegistryFiles) -> UnavailableError:
    return UnavailableError(
        f"the object store '{_folder(store)}' is not there, and {at.settings.name} has versions with weights in it",
        hint="nothing was written: mount its disk, or check `store` in registry.yaml and gitreg.store in git's"
        f" configuration; {_begin(store)}",
    )


def _begin(store: Store) -> str:
    return f"to begin a new one all the same: mkdir -p {_folder(store) / _BEGUN[0]}"


def _folder(store: Store) -> Path:
    return cast("LocalStore", store).folder


def _has_weights(at: RegistryFiles) -> Iterator[bool]:
    for name in at.models():
        for each in at.every_version(name):
            yield isinstance(each, VersionFile) and bool(each.manifest.artifacts)


def claim(store: Store, registry: str, commit: str) -> None:
    """Say that a registry keeps weights in a store and its mirrors, by a commit of its main."""
    primary, *mirrors = _each(store)
    claim_in(primary.bucket, registry, commit)
    for mirror in mirrors:
        with suppress(GitregError):  # it lacks the weights as well; `gitreg store sync` brings both
            if _is_begun(mirror):
                claim_in(mirror.bucket, registry, commit)


def claim_in(bucket: Bucket, registry: str, commit: str) -> None:
    """Say so in one bucket."""
    bucket.put(f"{_PREFIX}{registry}/{commit}", b"")


def claims_in(bucket: Bucket) -> list[Claim]:
    """List the claims of a bucket."""
    matches = (_KEY.fullmatch(found.key) for found in bucket.list(_PREFIX))
    return [Claim(match[0], match[1], match[2]) for match in matches if match]


def check_alone(
    bucket: Bucket, registries: Collection[str], unknown: Callable[[Iterable[str]], Collection[str]]
) -> None:
    """Refuse to judge what is unneeded where registries use a store that are not looked at (ConflictError).

    `registries` are the names of those that are, `unknown` finds the commits that none of them has.
    """
    claims = claims_in(bucket)
    others = sorted({each.registry for each in claims if each.registry not in registries})
    if others:
        raise ConflictError(
            f"the store {bucket.uri!r} is used by other registries too: {', '.join(others)}",
            hint="name each with --also PATH; of one that is gone for good, remove what is under registries/ of it",
        )
    strange = set(unknown(each.commit for each in claims if each.commit))
    unmet = sorted(each for each in claims if each.commit in strange)
    if unmet:
        named = ", ".join(map(str, unmet[:_SHOWN])) + (f" and {len(unmet) - _SHOWN} more" if unmet[_SHOWN:] else "")
        raise ConflictError(
            f"the store {bucket.uri!r} has weights of commits that no registry here knows: {named}",
            hint="a registry of the same name uses it, a copy of this one or what this one was before it was restored:"
            " name it with --also PATH; where that is gone for good, remove these files under registries/",
        )


def begin(bucket: Bucket, registry: str, commit: str) -> bool:
    """Claim a bucket before weights are taken out of it, and say whether the registry had claimed it before."""
    is_known = any(each.registry == registry for each in claims_in(bucket))
    claim_in(bucket, registry, commit)
    return is_known


def renew(bucket: Bucket, registry: str, commit: str, unknown: Callable[[Iterable[str]], Collection[str]]) -> None:
    """Leave of a registry's claims the newest, `commit`, and those whose commit is `unknown`."""
    old = [each for each in claims_in(bucket) if each.registry == registry and each.commit != commit]
    strange = set(unknown(each.commit for each in old if each.commit))
    for each in old:
        if each.commit not in strange:
            bucket.delete(each.key)
