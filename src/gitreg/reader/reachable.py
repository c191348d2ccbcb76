"""Find every blob that some state of a registry needs, and which versions need it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError
from gitreg.layout import MAIN, MODELS
from gitreg.records import dataclass
from gitreg.wire import load_plain
from gitreg.wire.limits import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from gitreg.git import Repository
    from gitreg.git.history import Written

_ANY = re.compile(rb"sha256:([0-9a-f]{64})")
# The artifacts as gitreg writes them; whatever looks otherwise is read by the parser, which takes fifty times as long.
_BLOCK = re.compile(
    rb"\nartifacts:\n((?:  - path: [A-Za-z0-9_.][A-Za-z0-9_./-]*\n    digest: sha256:[0-9a-f]{64}\n"
    rb"    size: (?:0|[1-9][0-9]{0,18})\n(?:     *[^ #\n][^\n]*\n)*)+)(?=[a-z])"
)
_ENTRY = re.compile(rb"  - path: ([^\n]+)\n    digest: sha256:([0-9a-f]{64})\n    size: ([0-9]+)\n")
_TOMBSTONE = b"kind: Tombstone"
# Plain words that YAML does not read as strings; a file may be called so.
_NOT_STRINGS = re.compile(rb"(?i)\.?(?:true|false|null|inf|nan|0[xo][0-9a-f]+|[0-9.]+(?:e[0-9]+)?)")


class Listed(NamedTuple):
    """An artifact as a manifest lists it; `size` in bytes, `digest` in hex."""

    path: str
    digest: str
    size: int


class Need(NamedTuple):
    """A version that needs a blob: under which name, of which size, and the ref or state that holds the version.

    `where` is `main` for the present, `history` for a commit below it, otherwise a tag or a proposal. A file that is no
    manifest has the version it is named after, and the size -1.
    """

    model: str
    version: str
    path: str
    size: int
    where: str

    def __str__(self) -> str:
        """Write `project/name@version (file)`."""
        return f"{self.model}@{self.version} ({self.path})"


@dataclass(frozen=True, slots=True)
class Release:
    """Which versions need their blobs no longer: those deleted before `before`, in seconds since 1970, but for `hold`.

    `hold` are patterns of models, as in `access.yaml`, whose versions keep their blobs all the same.
    """

    before: int
    hold: tuple[str, ...] = ()

    def frees(self, model: str, deleted: int | None) -> bool:
        """Whether a version that was deleted then is one of them."""
        from fnmatch import fnmatchcase

        return deleted is not None and deleted < self.before and not any(fnmatchcase(model, each) for each in self.hold)


@dataclass(frozen=True, slots=True)
class Reachable:
    """Who needs which blob: by digest in hex. `released` are those that a retention rule frees."""

    needs: Mapping[str, tuple[Need, ...]]
    released: Mapping[str, tuple[Need, ...]]
    versions: int

    def __contains__(self, digest: str) -> bool:
        """Whether a blob is needed."""
        return digest in self.needs


def artifacts_in(data: bytes) -> list[Listed]:
    """List the artifacts of a manifest's file; a file that is none lists every digest in it, without names."""
    # One mention, and nothing that an escape could hide: then the block is the field.
    if data.count(b"artifacts") <= 1 and b"\\" not in data and b"\r" not in data:
        if data.count(b"artifacts") == 0 and (_TOMBSTONE in data or not _ANY.search(data)):
            return []
        block = _BLOCK.search(data)
        if block is not None:
            found = _ENTRY.findall(block[1])
            if not any(_NOT_STRINGS.fullmatch(path) for path, _, _ in found):
                return [Listed(path.decode(), digest.decode(), int(size)) for path, digest, size in found]
    return _parsed(data)


def _parsed(data: bytes) -> list[Listed]:
    try:
        value = load_plain(data, "")
        if value.get("kind") == "Tombstone":
            return []
        listed = [(each["path"], each["digest"], each["size"]) for each in value.get("artifacts", ())]
        if all(_is_artifact(*each) for each in listed):
            return [Listed(path, digest.removeprefix("sha256:"), size) for path, digest, size in listed]
    except (InvalidError, AttributeError, KeyError, TypeError):
        pass
    # A proposal may hold anything. What looks like a digest is kept.
    return [Listed("?", digest.decode(), -1) for digest in dict.fromkeys(_ANY.findall(data))]


def _is_artifact(path: object, digest: object, size: object) -> bool:
    return (
        isinstance(path, str)
        and isinstance(digest, str)
        and _ANY.fullmatch(digest.encode("utf-8", "replace")) is not None
        and type(size) is int
    )


def present(repository: Repository, commit: str) -> Reachable:
    """Find what the versions of one commit need, by its tree alone."""
    files = _files_at(repository, commit)
    collected = _Collected(repository)
    collected.read(files.values())
    for path, oid in files.items():
        collected.add(path, oid, "main")
    return collected.result(len(files))


def reachable(
    repository: Repository, refs: Mapping[str, str], release: Release | None = None, main: str = MAIN
) -> Reachable:
    """Find what any commit below some refs needs: `refs` are object ids by name, with `main` among them.

    `release` frees versions that main has deleted; never what a tag or a proposal holds beside main's own history.
    The time of a deletion is that of its commit, or that of a commit before it where that one is later, since the clock
    of who committed is only a claim.
    """
    from gitreg.git.history import files_written

    if repository.is_shallow:
        raise InvalidError(
            "the history of this clone is cut off, so what it needs is not known",
            hint="run it on the server, or in a full clone: git fetch --unshallow",
        )
    tip = refs[main]
    current = _files_at(repository, tip)
    history = list(files_written(repository, [tip], MODELS))
    others = {oid: ref for ref, oid in refs.items() if oid != tip}
    beside = list(files_written(repository, list(others), MODELS, since=[tip])) if others else []
    collected = _Collected(repository)
    collected.read([*current.values(), *(each.oid for each in history), *(each.oid for each in beside)])
    deleted = _deletions(current, collected, history)
    for path, oid in current.items():
        collected.add(path, oid, "main")
    for each in history:
        version = _version_of(each.path)
        freed = version is not None and release is not None and release.frees(version[0], deleted.get(each.path))
        if current.get(each.path) != each.oid:
            collected.add(each.path, each.oid, "history", freed=freed)
    for each in beside:
        collected.add(each.path, each.oid, others.get(each.commit, "a tag or a proposal"))
    return collected.result(len(current))


def added(repository: Repository, refs: Mapping[str, str], known: Collection[str]) -> frozenset[str]:
    """Name the blobs that commits below some refs need, and not below `known` object ids, in hex."""
    from gitreg.git.history import files_written

    written = list(files_written(repository, list(refs.values()), MODELS, since=list(known)))
    collected = _Collected(repository)
    collected.read(each.oid for each in written)
    for each in written:
        collected.add(each.path, each.oid, "added")
    return frozenset(collected.result(0).needs)


def _deletions(current: Mapping[str, str], collected: _Collected, history: Sequence[Written]) -> dict[str, int]:
    """Tell when each version that is a tombstone now was deleted."""
    times: dict[str, int] = {}
    latest = 0
    for each in reversed(history):
        latest = max(latest, each.time)
        if collected.is_tombstone(each.oid) and current.get(each.path) == each.oid:
            times[each.path] = latest
    return times


class _Collected:
    """What the files say, each blob of git's read once."""

    def __init__(self, repository: Repository) -> None:
        self._objects = repository.objects
        self._listed: dict[str, list[Listed]] = {}
        self._tombstones: set[str] = set()
        self._needs: dict[str, dict[Need, None]] = {}
        self._freed: dict[str, dict[Need, None]] = {}

    def read(self, oids: Iterable[str]) -> None:
        """Read the files that were not read yet."""
        wanted = [oid for oid in dict.fromkeys(oids) if oid not in self._listed]
        for oid, data in self._objects.read_many(self._small(wanted)):
            self._listed[oid] = artifacts_in(data)
            if _TOMBSTONE in data and not self._listed[oid]:
                self._tombstones.add(oid)

    def _small(self, oids: Sequence[str]) -> list[str]:
        """Leave out what is too large for a manifest; the gate lets no such file onto main."""
        infos = zip(oids, self._objects.infos(oids), strict=True)
        return [oid for oid, info in infos if info is None or info.size <= MAX_BYTES]

    def is_tombstone(self, oid: str) -> bool:
        """Whether a file stands for a deleted version."""
        return oid in self._tombstones

    def add(self, path: str, oid: str, where: str, *, freed: bool = False) -> None:
        """Note what a file at a path needs."""
        listed = self._listed.get(oid)
        version = _version_of(path) if listed else None
        if not listed or version is None:
            return
        for each in listed:
            into = self._freed if freed else self._needs
            into.setdefault(each.digest, {})[Need(*version, each.path, each.size, where)] = None

    def result(self, versions: int) -> Reachable:
        """Give what was noted."""
        needs = {digest: tuple(found) for digest, found in self._needs.items()}
        released = {digest: tuple(found) for digest, found in self._freed.items() if digest not in needs}
        return Reachable(needs, released, versions)


def _version_of(path: str) -> tuple[str, str] | None:
    """Name the model and the version that a path stands for; None for the path of another file."""
    folder, _, name = path.removeprefix(f"{MODELS}/").rpartition("/")
    if not name.endswith(".yaml") or name == "model.yaml":
        return None
    return folder, name.removesuffix(".yaml")


def _files_at(repository: Repository, commit: str) -> dict[str, str]:
    """Name the versions' files of a commit, and their blobs."""
    args = ["ls-tree", "-r", "--full-tree", "--format=%(objectmode) %(objectname) %(path)", commit, "--", MODELS]
    return dict(_versions_among(repository.lines(args)))


def _versions_among(lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        mode, oid, path = line.split(b" ", 2)
        name = path.decode("utf-8", "surrogateescape")
        if mode.startswith(b"100") and _version_of(name) is not None:
            yield name, oid.decode("ascii")
