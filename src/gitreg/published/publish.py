"""Publish the registry at one commit: write the shards that changed, then switch the head to them."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitreg.digest import Digest
from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError
from gitreg.git import history as git_history
from gitreg.git.signatures import sign_bytes
from gitreg.layout import APPROVALS, DEPLOYMENTS, MODELS, SETTINGS, STATUS
from gitreg.names import ModelName, Selector
from gitreg.objects.local import LocalBucket
from gitreg.objects.locks import locked
from gitreg.published.notes import Memory, Notes
from gitreg.published.shape import (
    FORMAT,
    HEAD,
    MAX_HEAD,
    MAX_SHARD,
    NAMESPACE,
    SHARDS,
    SIGNATURES,
    Head,
    Part,
    Ref,
    dump,
)
from gitreg.reader.history import iso
from gitreg.records import dataclass
from gitreg.wire import load_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from gitreg.objects import Store
    from gitreg.objects.bucket import Bucket
    from gitreg.reader import Snapshot

GRACE = 24 * 60 * 60
"""Seconds that a shard stays after no head names it any more: readers and caches may still hold the old head."""

IN_STORE = "store"
STATE = "gitreg/published"
MOST_TOGETHER = 8_000
"""Files of a model that are in one shard, of about 1.5 KB each; what has more is cut into several shards."""

_FILES, _MOST_FILES = 4_000, 20_000  # of such a shard, on average and at most
_TOPS = (DEPLOYMENTS, STATUS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What a publication did: where, of which commit, files written and removed; `changed` False: it was current."""

    to: str
    commit: str
    changed: bool
    signed: bool
    models: int
    files_written: int
    bytes_written: int
    files_removed: int
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where an index goes: a bucket, and what its keys begin with there."""

    bucket: Bucket
    prefix: str = ""

    @property
    def uri(self) -> str:
        """The place as people write it."""
        return f"{self.bucket.uri}/{self.prefix}".rstrip("/")


def destination(to: str, base: Path, store: Callable[[], Store]) -> Destination:
    """Find where an index goes: a folder, which counts from `base`, a URI, or `store` for below index/ in the store."""
    from gitreg.objects.addresses import open_bucket

    if to == IN_STORE:
        return Destination(bucket=store().bucket, prefix="index/")
    if to.startswith("file:") or "://" in to:
        return Destination(bucket=open_bucket(to, base))
    return Destination(bucket=LocalBucket((base / Path(to).expanduser()).absolute()))


def publish(
    snapshot: Callable[[], Snapshot],
    to: Destination,
    *,
    key: Path | None = None,
    anew: bool = False,
    grace: float = GRACE,
) -> Publication:
    """Bring an index up to main; `key` signs the head, `anew` writes every file again.

    Another process of this repository that publishes to the same place is waited for. ConflictError where what is
    published is newer than main is known to be here.
    """
    first = snapshot()
    folder = first.repository.common_dir / STATE
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(to.uri.encode()).hexdigest()[:32]
    with locked(folder / f"{name}.lock"):
        notes = Notes(LocalBucket(folder), f"{name}.json")
        return _Publisher(snapshot(), to, notes, key).run(anew=anew, grace=grace)


class _Publisher:
    """One publication."""

    def __init__(self, snapshot: Snapshot, to: Destination, notes: Notes, key: Path | None) -> None:
        self._snapshot = snapshot
        self._to = to
        self._notes = notes
        self._key = key
        self._memory = Memory()
        self._there: dict[str, int] = {}
        self._folders: dict[str, dict[str, str]] = {}
        self._written = self._bytes = 0
        self._damaged: list[str] = []

    def run(self, *, anew: bool, grace: float) -> Publication:
        """Write what changed, switch the head, then remove what has been unused for longer than `grace` seconds."""
        before = self._head_there()
        self._refuse_older(before)
        if not anew:
            self._memory = self._notes.read()
            self._there = {found.key: found.size for found in self._listing()}
        memory = Memory()
        projects = {project: self._project(project, memory) for project in self._oids(MODELS)}
        head = Head(
            registry=self._snapshot.settings.name,
            commit=self._snapshot.commit,
            published=_after(before.published if before else None),
            settings=_entry(self._snapshot.read(SETTINGS) or b"", SETTINGS, self._damaged),
            projects=projects,
        )
        data = head.to_bytes()
        changed = anew or before is None or _said(before) != _said(head) or not self._is_signed(before)
        if before is not None and not changed:
            data = before.to_bytes()
        if len(data) > MAX_HEAD:
            raise InvalidError(f"the head of the index has {len(data)} bytes; at most {MAX_HEAD} are read")
        if changed:
            self._switch(data)
        removed = self._remove(self._named(memory, data), memory, grace)
        self._notes.write(memory)
        return Publication(
            to=self._to.uri,
            commit=head.commit,
            changed=changed,
            signed=self._key is not None,
            models=len(memory.models),
            files_written=self._written,
            bytes_written=self._bytes,
            files_removed=removed,
            damaged=tuple(self._damaged),
        )

    # What is there

    def _head_there(self) -> Head | None:
        try:
            data = self._to.bucket.get(self._to.prefix + HEAD, limit=MAX_HEAD)
            return Head.parse(data) if data is not None else None
        except (NotFoundError, InvalidError, IntegrityError):
            return None  # no place yet, another format, damage: it is written anew

    def _refuse_older(self, before: Head | None) -> None:
        """Refuse to go back: another process, or another machine, may have published a newer commit."""
        ours = self._snapshot.commit
        repository = self._snapshot.repository
        if before is None or before.commit == ours or repository.objects.info(before.commit) is None:
            return
        if git_history.is_on_first_parent_chain(repository, ours, before.commit):
            raise ConflictError(
                f"the index {self._to.uri} holds {before.commit[:10]}, which is newer than {ours[:10]}",
                hint="fetch main first",
            )

    def _listing(self) -> Iterable[Any]:
        with suppress(NotFoundError):
            for prefix in (SHARDS, SIGNATURES):
                yield from self._to.bucket.list(self._to.prefix + prefix)

    def _is_signed(self, head: Head) -> bool:
        name = f"{SIGNATURES}{hashlib.sha256(head.to_bytes()).hexdigest()}.sig"
        return self._key is None or self._to.prefix + name in self._there

    # What is written

    def _put(self, key: str, data: bytes) -> None:
        """Write a file, unless one of that name and size is there."""
        if self._there.get(self._to.prefix + key) == len(data):
            return
        self._to.bucket.put(self._to.prefix + key, data, replace=True)
        self._written += 1
        self._bytes += len(data)

    def _shard(self, data: Mapping[str, Any], what: str) -> Ref:
        content = dump(data)
        if len(content) > MAX_SHARD:
            raise InvalidError(f"{what} has {len(content)} bytes in the index; at most {MAX_SHARD} are read")
        ref = Ref.of(content)
        self._put(ref.key, content)
        return ref

    def _switch(self, data: bytes) -> None:
        """Make the head the new one; its signature is there before it."""
        if self._key is not None:
            name = f"{SIGNATURES}{hashlib.sha256(data).hexdigest()}.sig"
            self._put(name, sign_bytes(data, self._key, NAMESPACE))
        self._to.bucket.put(self._to.prefix + HEAD, data, replace=True)
        self._written += 1
        self._bytes += len(data)

    def _project(self, project: str, memory: Memory) -> Ref:
        """Give the catalogue of a project, written where anything below it changed."""
        made_of = self._made_of(project)
        known = self._memory.projects.get(project)
        if known and known["of"] == made_of and self._is_there(known["models"].values(), known):
            memory.projects[project] = known
            memory.models.update({each: self._memory.models[each] for each in known["models"]})
            return Ref.from_data(known["ref"])
        files: dict[str, Any] = {}
        rows: dict[str, Any] = {}
        for name in self._oids(f"{MODELS}/{project}"):
            model = ModelName(project, name)
            noted = self._model(model)
            memory.models[str(model)] = noted
            rows[name] = noted["row"]
            files |= noted["files"]
        ref = self._shard({"format": FORMAT, "project": project, "files": files, "models": rows}, f"project {project}")
        shards = {f"{project}/{name}": _shards(row) for name, row in rows.items()}
        memory.projects[project] = {"of": made_of, "ref": ref.to_data(), "models": shards}
        return ref

    def _is_there(self, rows: Iterable[Any], known: Mapping[str, Any]) -> bool:
        refs = [Ref.from_data(known["ref"]), *(part.ref for row in rows for part in Part.all_of(row))]
        return all(self._there.get(self._to.prefix + ref.key) == ref.size for ref in refs)

    def _model(self, model: ModelName) -> dict[str, Any]:
        """Give what the catalogue says of a model, and write its shard where it changed."""
        made_of = self._made_of(str(model))
        known = self._memory.models.get(str(model))
        if known and known["of"] == made_of:
            refs = [part.ref for part in Part.all_of(known["row"])]
            if all(self._there.get(self._to.prefix + ref.key) == ref.size for ref in refs):
                return dict(known)
        folder = f"{MODELS}/{model}"
        oids = {f"{folder}/{name}": oid for name, oid in self._oids(folder).items()}
        versions = [path for path in oids if path.endswith(".yaml") and path != f"{folder}/model.yaml"]
        entries = self._read({path: oids[path] for path in versions})
        entries |= self._read(dict(self._approvals(f"{APPROVALS}/{model}")))
        card = self._snapshot.card(model)
        parts: list[Part] = []
        for first, files in _cut(entries):
            shard: dict[str, Any] = {"format": FORMAT, "model": str(model), "files": files}
            if card is not None and not parts:
                shard["card"] = card
            parts.append(Part(first, self._shard(shard, f"model {model}")))
        row = {
            "versions": [path.removeprefix(f"{folder}/").removesuffix(".yaml") for path in versions],
            "latest": self._latest(model),
            **Part.row(parts),
        }
        return {"of": made_of, "row": row, "files": self._read(self._catalogued(model))}

    def _latest(self, model: ModelName) -> str | None:
        try:
            return str(self._snapshot.resolve(Selector(model, "latest")))
        except (NotFoundError, IntegrityError):
            return None

    def _read(self, oids: Mapping[str, str]) -> dict[str, Any]:
        contents = self._snapshot.repository.objects.read_many(oids.values())
        return {path: _entry(data, path, self._damaged) for path, (_, data) in zip(oids, contents, strict=True)}

    # What git has

    def _oids(self, folder: str) -> dict[str, str]:
        found = self._folders.get(folder)
        if found is None:
            entries = self._snapshot.repository.objects.entries(self._snapshot.commit, folder)
            found = self._folders[folder] = {entry.name: entry.oid for entry in entries}
        return found

    def _catalogued(self, model: ModelName) -> dict[str, str]:
        found = {f"{MODELS}/{model}/model.yaml": self._oids(f"{MODELS}/{model}").get("model.yaml")}
        for top in _TOPS:
            for environment in self._oids(top):
                oids = self._oids(f"{top}/{environment}/{model.project}")
                found[f"{top}/{environment}/{model}.yaml"] = oids.get(f"{model.name}.yaml")
        return {path: oid for path, oid in found.items() if oid is not None}

    def _approvals(self, folder: str) -> Iterable[tuple[str, str]]:
        for name, oid in self._oids(folder).items():
            path = f"{folder}/{name}"
            if name.endswith(".yaml") and path.count("/") == _APPROVAL_DEPTH:
                yield path, oid
            else:
                yield from self._approvals(path)

    def _made_of(self, below: str) -> str:
        """Name all that a project's or a model's files are made of, by git's own ids."""
        parts = [self._oid(f"{MODELS}/{below}"), self._oid(f"{APPROVALS}/{below}")]
        ending = ".yaml" if "/" in below else ""
        for top in _TOPS:
            for environment in self._oids(top):
                parts += [environment, self._oid(f"{top}/{environment}/{below}{ending}")]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _oid(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        return self._oids(folder).get(name, "-")

    # What is not needed any more

    def _named(self, memory: Memory, head: bytes) -> set[str]:
        """Name every file that the head leads to."""
        refs = [known["ref"] for known in memory.projects.values()]
        keys = {part.ref.key for noted in memory.models.values() for part in Part.all_of(noted["row"])}
        return keys | {Ref.from_data(ref).key for ref in refs} | {f"{SIGNATURES}{hashlib.sha256(head).hexdigest()}.sig"}

    def _remove(self, named: set[str], memory: Memory, grace: float) -> int:
        now = time.time()
        removed = 0
        for key in [found.key.removeprefix(self._to.prefix) for found in self._listing()]:
            if key in named:
                continue
            since = min(self._memory.left.get(key, now), now)
            if now - since >= grace:
                self._to.bucket.delete(self._to.prefix + key)
                removed += 1
            else:
                memory.left[key] = since
        return removed


_APPROVAL_DEPTH = len(("approvals", "project", "model", "version", "environment"))


def _shards(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("shard", "shards") if key in row}


def _cut(entries: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Cut the files of a model, by their paths, into what shards can hold: one, or for very many files several.

    Whether a cut is before a path depends on that path alone, so a new version changes one shard.
    """
    if len(entries) <= MOST_TOGETHER:
        yield "", dict(entries)
        return
    first, files = "", dict[str, Any]()
    for path in sorted(entries):
        cuts = int.from_bytes(hashlib.sha256(path.encode()).digest()[:4]) % _FILES == 0
        if files and (cuts or len(files) == _MOST_FILES):
            yield first, files
            first, files = path, {}
        files[path] = entries[path]
    yield first, files


def _entry(data: bytes, path: str, damaged: list[str]) -> dict[str, Any]:
    """Give a file as the index says it; one that cannot be read is published as that, and told."""
    try:
        return {"digest": str(Digest.of(data)), "data": load_plain(data, path)}
    except InvalidError as error:
        damaged.append(path)
        return {"damaged": str(error)[:500]}


def _after(earlier: str | None) -> str:
    """Give the time of this publication, later than the one before by any clock."""
    from gitreg.reader.history import parse_time

    now = int(time.time())
    return iso(now if earlier is None else max(now, parse_time(earlier) + 1))


def _said(head: Head) -> tuple[object, ...]:
    return head.registry, head.commit, head.settings, head.projects
