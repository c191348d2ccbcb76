"""Bring the index up to a commit, by what differs from the commit that it tells of."""

from __future__ import annotations

import sqlite3
from collections import deque
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from gitreg.errors import InvalidError, UnavailableError
from gitreg.git import changed_paths
from gitreg.git import history as git_history
from gitreg.git.pointers import steps
from gitreg.git.trees import FILE
from gitreg.index.content import Content
from gitreg.index.file import NAME, DamagedError, IndexFile
from gitreg.index.rows import CARD, MODEL, POINTER, VERSION, Rows, rows_of
from gitreg.index.workers import FEW, read_all
from gitreg.layout import DEPLOYMENTS, MODELS, Kind
from gitreg.layout import place as place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from gitreg.git import PathChange, Repository
    from gitreg.index.worker import Answer
    from gitreg.layout import Place
    from gitreg.reader.snapshot import Snapshot

T = TypeVar("T")

_AT_ONCE = 512
_TOGETHER = 2_000
_PART = 20_000
_MOST_PATHS = 10_000_000
_KINDS = {Kind.VERSION: VERSION, Kind.MODEL: MODEL, Kind.CARD: CARD}


def index_file(repository: Repository) -> IndexFile:
    """Name the index of a repository, which further work trees of it share."""
    return IndexFile(repository.common_dir / "gitreg" / NAME)


def ask(snapshot: Snapshot, question: Callable[[sqlite3.Connection], T], *, now: bool) -> tuple[T, list[str]]:
    """Have a question answered by the index as it is at a snapshot's commit; give what must be said about how, too.

    With `now` the index is brought up to the commit, and stays there; otherwise a copy is, which goes. Where the index
    cannot be written, or another process holds it up, the answer comes from a copy as well.
    """
    file, notes = index_file(snapshot.repository), list[str]()
    try:
        if now and (found := _at(file, snapshot.commit, question) or _after_update(file, snapshot, question)):
            return found[0], notes
    except UnavailableError as error:
        notes.append(f"{error.message}; answered from git, which takes longer")
    try:
        return _by_copy(file, snapshot, question, anew=False), notes
    except sqlite3.DatabaseError:  # what was copied is damaged
        return _by_copy(file, snapshot, question, anew=True), notes


def _at(file: IndexFile, commit: str, question: Callable[[sqlite3.Connection], T]) -> tuple[T] | None:
    """Ask what there is; None where it is of another commit, or unusable, and then it is thrown away."""
    try:
        with file.reading() as connection:
            found = connection.execute("SELECT value FROM meta WHERE key = 'commit'").fetchone()
            return (question(connection),) if found == (commit,) else None
    except DamagedError:
        return None
    except sqlite3.DatabaseError:
        file.discard()
        return None


def _after_update(file: IndexFile, snapshot: Snapshot, question: Callable[[sqlite3.Connection], T]) -> tuple[T] | None:
    update(snapshot)
    if found := _at(file, snapshot.commit, question):
        return found
    update(snapshot)  # it was thrown away, or another process followed main further
    return _at(file, snapshot.commit, question)


def _by_copy(file: IndexFile, snapshot: Snapshot, question: Callable[[sqlite3.Connection], T], *, anew: bool) -> T:
    with file.copied(lambda connection: _bring_up(Content(connection), snapshot), anew=anew) as connection:
        return question(connection)


def update(snapshot: Snapshot) -> int:
    """Bring the index up to a snapshot's commit, from nothing where there is none; give how many files were read.

    Damage that is met on the way has it built from nothing. UnavailableError where it cannot be written.
    """
    file = index_file(snapshot.repository)
    try:
        return _write(file, snapshot)
    except sqlite3.DatabaseError:
        file.discard()
        return _write(file, snapshot)


def _write(file: IndexFile, snapshot: Snapshot) -> int:
    with file.writing() as connection:
        return _bring_up(Content(connection), snapshot)


def _bring_up(content: Content, snapshot: Snapshot) -> int:
    old, new = content.commit, snapshot.commit
    if old == new:
        return 0
    if old is not None and snapshot.repository.objects.info(old) is None:
        old = None  # it was thrown away together with a branch
        _forget(content)
    read = _Models(content, snapshot.repository).bring_up(old, new)
    _Deployments(content, snapshot.repository).bring_up(old, new)
    content.set_environments([str(name) for name in snapshot.environments()])
    content.note("commit", new)
    return read


def _forget(content: Content) -> None:
    for table in ("versions", "models", "owners", "model_labels", "aliases", "model_texts", "problems"):
        content.connection.execute(f"DELETE FROM {table}")
    content.forget_deployments()


class _Models:
    """What lies under models/: versions, models, cards."""

    def __init__(self, content: Content, repository: Repository) -> None:
        self.content = content
        self.objects = repository.objects
        self.read = 0

    def bring_up(self, old: str | None, new: str) -> int:
        """Take in what differs between two commits; give how many files were read for it."""
        changes = self._changes(old, new)
        first = list(islice(changes, FEW))
        waiting: deque[tuple[Place, str]] = deque()
        since = new if old is not None else None
        answers = read_all(self._tasks(chain(first, changes), waiting, since), len(first))
        while part := list(islice(answers, _TOGETHER)):
            self._put([(*waiting.popleft(), answer) for answer in part])
            self.read += len(part)
        return self.read

    def _folders(self, commit: str | None) -> dict[str, str]:
        entries = self.objects.entries(commit, MODELS) if commit else []
        return {entry.name: entry.oid for entry in entries if entry.type == "tree"}

    def _cards(self, changed: Sequence[tuple[Place, str]], commit: str) -> Iterator[tuple[Place, str]]:
        """Give the cards of models that the index did not know before: they may have been there for long."""
        there = {place.path for place, _ in changed}
        models = [str(place.model) for place, _ in changed if place.kind is Kind.MODEL]
        for model in models:
            path = f"{MODELS}/{model}/README.md"
            if path in there or self.content.has_model(model):
                continue
            entry = self.objects.entry(commit, path)
            if entry and entry.mode == FILE:
                yield place_of(path), entry.oid

    def _changes(self, old: str | None, new: str) -> Iterator[tuple[Place, PathChange]]:
        """Give what differs, project by project, so that no registry is too large to be looked at."""
        before, after = self._folders(old), self._folders(new)
        for project in sorted({*before, *after}):
            one, other = before.get(project), after.get(project)
            if one == other:
                continue
            for change in changed_paths(self.objects, one, other, budget=_MOST_PATHS):
                try:
                    yield place_of(f"{MODELS}/{project}/{change.path}"), change
                except InvalidError:
                    continue  # a file that the gate would refuse

    def _tasks(
        self, changes: Iterator[tuple[Place, PathChange]], waiting: deque[tuple[Place, str]], commit: str | None
    ) -> Iterator[tuple[str, bytes]]:
        """Give the files to be read, and note in `waiting` which they are; what needs no reading is done at once.

        With a commit, which the index follows from another, cards that did not change may be read as well.
        """
        while part := list(islice(changes, _AT_ONCE)):
            new = [(place, after.oid) for place, change in part if (after := change.after) and after.mode == FILE]
            for place, change in part:
                self._clear(place, gone=change.after is None or change.after.mode != FILE)
            known = self.content.known(oid for place, oid in new if place.kind is Kind.VERSION)
            self._stand_for((place, known[oid]) for place, oid in new if oid in known)
            wanted = [(place, oid) for place, oid in new if oid not in known and place.kind in _KINDS]
            wanted += self._cards(wanted, commit) if commit else ()
            wanted.sort(key=lambda each: each[0].kind is Kind.CARD)  # a card belongs to a model that is there
            for each, (_, data) in zip(wanted, self.objects.read_many([oid for _, oid in wanted]), strict=True):
                waiting.append(each)
                yield _KINDS[each[0].kind], data

    def _clear(self, place: Place, *, gone: bool) -> None:
        self.content.set_problem(place.path, None)
        if not gone:
            return
        model = str(place.model)
        if place.kind is Kind.VERSION:
            self.content.drop_version(model, str(place.version))
        elif place.kind is Kind.MODEL:
            self.content.set_model(model, None)
        elif place.kind is Kind.CARD:
            self.content.set_card(model, None)

    def _stand_for(self, found: Iterable[tuple[Place, int]]) -> None:
        self.content.set_versions((str(place.model), str(place.version), manifest) for place, manifest in found)

    def _put(self, read: Sequence[tuple[Place, str, Answer]]) -> None:
        fresh: dict[str, Rows] = {}
        for place, oid, answer in read:
            if isinstance(answer, str):
                self._unreadable(place, answer)
            elif place.kind is Kind.VERSION:
                fresh[oid] = answer
            elif place.kind is Kind.MODEL:
                self.content.set_model(str(place.model), answer)
        known = self.content.known(fresh)
        ids = known | self.content.put_manifests([each for each in fresh.items() if each[0] not in known])
        self._stand_for((place, ids[oid]) for place, oid, _ in read if place.kind is Kind.VERSION and oid in ids)
        for place, _, answer in read:
            if place.kind is Kind.CARD and not isinstance(answer, str):
                self.content.set_card(str(place.model), answer)

    def _unreadable(self, place: Place, message: str) -> None:
        self._clear(place, gone=True)
        self.content.set_problem(place.path, message)


class _Deployments:
    """What every commit of the first-parent chain made of the pointers."""

    def __init__(self, content: Content, repository: Repository) -> None:
        self.content = content
        self.repository = repository

    def bring_up(self, old: str | None, new: str) -> None:
        """Take in the commits that are new; where the index is ahead of them, take those that follow out again."""
        on_chain = git_history.is_on_first_parent_chain
        if old is not None and on_chain(self.repository, old, new):
            self._continue(new, old)
        elif old is None or not (on_chain(self.repository, new, old) and self._go_back(old, new)):
            self.content.forget_deployments()
            self._continue(new, None)

    def _continue(self, tip: str, since: str | None) -> None:
        found, no_later = list[tuple[str, str | None, tuple[str, int, int]]](), None
        for step in steps(self.repository, tip, DEPLOYMENTS, since):
            no_later = step.time if no_later is None else min(no_later, step.time)
            found += [(path, oid, (step.commit, step.time, no_later)) for path, oid in step.written.items()]
        if no_later is not None and since is not None:
            self.content.no_later_than(no_later)
        found.reverse()
        while found:
            part, found = found[:_PART], found[_PART:]
            self._take(part)

    def _take(self, part: Sequence[tuple[str, str | None, tuple[str, int, int]]]) -> None:
        wanted = list(dict.fromkeys(oid for _, oid, _ in part if oid))
        blobs = dict(self.repository.objects.read_many(wanted))
        for path, oid, what in part:
            try:
                at = place_of(path)
                row = rows_of(POINTER, blobs[oid])[0] if oid else (None, None, None)
            except InvalidError:
                continue  # the gate would have refused it
            self.content.deployed(str(at.environment), str(at.model), row, what)

    def _go_back(self, old: str, new: str) -> bool:
        """Take out what followed a commit; False where the clocks of the commits went backwards."""
        later = list(steps(self.repository, old, DEPLOYMENTS, new))
        return self.content.take_back([step.commit for step in later if step.written], min(s.time for s in later))
