"""Find every blob that some state of a registry needs, and which versions need it."""

from __future__ import annotations

import re
import sys
from itertools import accumulate, islice
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError
from gitreg.layout import MAIN, MODELS
from gitreg.records import dataclass
from gitreg.wire import load_plain
from gitreg.wire.limits import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from gitreg.git import Repository

_ANY = re.compile(rb"sha256:([0-9a-f]{64})")
# The artifacts as gitreg writes them; whatever looks otherwise is read by the parser, which takes fifty times as long.
_BLOCK = re.compile(
    rb"\nartifacts:\n((?:  - path: [A-Za-z0-9_.][A-Za-z0-9_./-]*\n    digest: sha256:[0-9a-f]{64}\n"
    rb"    size: (?:0|[1-9][0-9]{0,18})\n(?:     *[^ #\n][^\n]*\n)*)+)(?=[a-z])"
)
_ENTRY = re.compile(rb"  - path: ([^\n]+)\n    digest: sha256:([0-9a-f]{64})\n    size: ([0-9]+)\n")
_PRESENT = "main"
_TOGETHER = 2_000  # files that are read at once
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


class File(NamedTuple):
    """A version's file, its blob, and where it lies: see `Need`."""

    path: str
    oid: str
    where: str


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
    collected = _Collected(repository)
    return collected.result(collected.take(_files_at(repository, commit)))


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
    others = {oid: ref for ref, oid in refs.items() if oid != tip}
    collected = _Collected(repository)
    versions = collected.take(_files_at(repository, tip))
    deleted = _deletions(repository, tip, collected.tombstones) if release else {}

    def is_freed(path: str) -> bool:
        version = _version_of(path)
        return version is not None and release is not None and release.frees(version[0], deleted.get(path))

    # What a file of today says is known, wherever it once lay.
    earlier = (each for each in files_written(repository, [tip], MODELS) if each.oid not in collected)
    collected.take((File(each.path, each.oid, "history") for each in earlier), is_freed)
    beside = files_written(repository, list(others), MODELS, since=[tip]) if others else ()
    collected.take(File(each.path, each.oid, others.get(each.commit, "a tag or a proposal")) for each in beside)
    return collected.result(versions)


def added(repository: Repository, refs: Mapping[str, str], known: Collection[str]) -> frozenset[str]:
    """Name the blobs that commits below some refs need, and not below `known` object ids, in hex."""
    from gitreg.git.history import files_written

    written = files_written(repository, list(refs.values()), MODELS, since=list(known))
    collected = _Collected(repository)
    collected.take(File(each.path, each.oid, "added") for each in written)
    return frozenset(collected.result(0).needs)


def _deletions(repository: Repository, tip: str, tombstones: Mapping[str, str]) -> dict[str, int]:
    """Tell when each version that is a tombstone now was deleted: at its commit, or later by one before that."""
    from gitreg.git.history import files_written

    places: dict[str, int] = {}
    latest: list[int] = []  # of the commits from one deletion back to the one before it
    for each in files_written(repository, [tip], MODELS, ordered=True) if tombstones else ():
        if tombstones.get(each.path) == each.oid and each.path not in places:
            places[each.path] = len(latest)
            latest.append(each.time)
        elif latest:
            latest[-1] = max(latest[-1], each.time)
    times = list(accumulate(reversed(latest), max))[::-1]
    return {path: times[place] for path, place in places.items()}


class _Collected:
    """What files say that name blobs; they are read as they come, and of each only what it needs stays."""

    def __init__(self, repository: Repository) -> None:
        self._objects = repository.objects
        self._present: set[bytes] = set()
        self._needs: dict[str, list[Need]] = {}
        self._freed: dict[str, list[Need]] = {}
        self.tombstones: dict[str, str] = {}

    def __contains__(self, oid: str) -> bool:
        """Whether a file of the present has these bytes."""
        return bytes.fromhex(oid) in self._present

    def take(self, files: Iterable[File], is_freed: Callable[[str], bool] | None = None) -> int:
        """Read files and note what they need, or that it is free; give how many there were."""
        files, count = iter(files), 0
        while part := list(islice(files, _TOGETHER)):
            count += len(part)
            contents = dict(self._objects.read_many(self._small(dict.fromkeys(file.oid for file in part))))
            for file in part:
                if file.where == _PRESENT:
                    self._present.add(bytes.fromhex(file.oid))
                if file.oid in contents:
                    into = self._freed if is_freed is not None and is_freed(file.path) else self._needs
                    self._add(into, file, contents[file.oid])
        return count

    def _small(self, wanted: Iterable[str]) -> list[str]:
        """Leave out what is too large for a manifest; the gate lets no such file onto main."""
        oids = list(wanted)
        infos = zip(oids, self._objects.infos(oids), strict=True)
        return [oid for oid, info in infos if info is None or info.size <= MAX_BYTES]

    def _add(self, into: dict[str, list[Need]], file: File, data: bytes) -> None:
        listed = artifacts_in(data)
        version = _version_of(file.path)
        if version is not None:
            model, number = map(sys.intern, version)
            for each in listed:
                need = Need(model, number, sys.intern(each.path), each.size, file.where)
                into.setdefault(each.digest, []).append(need)
        if file.where == _PRESENT and not listed and _TOMBSTONE in data:
            self.tombstones[file.path] = file.oid

    def result(self, versions: int) -> Reachable:
        """Give what was noted."""
        released = {digest: found for digest, found in self._freed.items() if digest not in self._needs}
        return Reachable(_once(self._needs), _once(released), versions)


def _once(noted: dict[str, list[Need]]) -> dict[str, tuple[Need, ...]]:
    return {digest: tuple(dict.fromkeys(found)) for digest, found in noted.items()}


def _version_of(path: str) -> tuple[str, str] | None:
    """Name the model and the version that a path stands for; None for the path of another file."""
    folder, _, name = path.removeprefix(f"{MODELS}/").rpartition("/")
    if not name.endswith(".yaml") or name == "model.yaml":
        return None
    return folder, name.removesuffix(".yaml")


def _files_at(repository: Repository, commit: str) -> Iterator[File]:
    """Name the versions' files of a commit, and their blobs."""
    args = ["ls-tree", "-r", "--full-tree", "--format=%(objectmode) %(objectname) %(path)", commit, "--", MODELS]
    for line in repository.lines(args):
        mode, oid, path = line.split(b" ", 2)
        name = path.decode("utf-8", "surrogateescape")
        if mode.startswith(b"100") and _version_of(name) is not None:
            yield File(name, oid.decode("ascii"), _PRESENT)
