"""Bring the index up to a commit, by what differs from the commit that it tells of."""

from __future__ import annotations

import sqlite3
from collections import deque
from contextlib import closing, suppress
from functools import cached_property, lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

from gitreg.errors import InvalidError, UnavailableError
from gitreg.git import changed_paths
from gitreg.git import history as git_history
from gitreg.git.lookup import files_below
from gitreg.git.pointers import steps
from gitreg.git.trees import FILE
from gitreg.index import INDEX
from gitreg.index.content import Content
from gitreg.index.file import DamagedError, IndexFile
from gitreg.index.rows import CARD, MAX_WHOLE, MODEL, POINTER, VERSION, Rows, rows_of
from gitreg.index.workers import FEW, read_all
from gitreg.layout import DEPLOYMENTS, MODELS, Kind
from gitreg.layout import place as place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from gitreg.git import Repository
    from gitreg.git.pointers import Step
    from gitreg.index.rows import Row
    from gitreg.index.worker import Answer
    from gitreg.layout import Place
    from gitreg.reader.snapshot import Snapshot

T = TypeVar("T")

Change = tuple["Place", "str | None"]
"""A file under models/ with its blob; None where it is gone, or is no plain file any more."""

Where = tuple[str, str]
"""An environment, and a model in it."""

_DONE = object()
_AT_ONCE = 512
_TOGETHER = 2_000
_PART = 5_000
_MOST_PATHS = 10_000_000
_KINDS = {Kind.VERSION: VERSION, Kind.MODEL: MODEL, Kind.CARD: CARD}


def index_file(repository: Repository) -> IndexFile:
    """Name the index of a repository, which further work trees of it share."""
    return IndexFile(repository.common_dir / INDEX)


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


def at_hand(snapshot: Snapshot, question: Callable[[sqlite3.Connection], T]) -> T | None:
    """Have a question answered where the index is of a snapshot's commit already; None where it is not, or unusable."""
    try:
        found = _at(index_file(snapshot.repository), snapshot.commit, question)
    except UnavailableError:
        return None
    return found[0] if found else None


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
        content.forget_files()
    models = _Models(content, snapshot.repository)
    # While files are read in other processes, this one follows the deployments.
    _in_turns(models.bring_up(old, new), _Deployments(content, snapshot.repository).bring_up(old, new))
    content.sweep()
    content.set_environments([str(name) for name in snapshot.environments()])
    content.note("commit", new)
    return models.read


def _in_turns(*works: Generator[None, None, None]) -> None:
    """Do several works, a part of each after the other; what one holds open is closed where another fails."""
    left = deque(works)
    try:
        while left:
            if next(left[0], _DONE) is _DONE:
                left.popleft()
            else:
                left.rotate(-1)
    finally:
        for each in left:
            each.close()


class _Models:
    """What lies under models/: versions, models, cards."""

    def __init__(self, content: Content, repository: Repository) -> None:
        self.content = content
        self.repository = repository
        self.objects = repository.objects
        self.read = 0
        self._cards: list[Change] = []
        self._new_models: list[str] = []
        self._nothing_known = not content.has_manifests()

    def bring_up(self, old: str | None, new: str) -> Generator[None, None, None]:
        """Take in what differs between two commits, part by part; `read` counts the files that were read for it."""
        changes = self._without_cards(self._changes(old, new) if old else self._all(new))
        first = list(islice(changes, FEW))
        yield from self._take_in(chain(first, changes), len(first), anew=old is None)
        # A card belongs to a model, which is there by now.
        cards = [*self._cards, *self._other_cards(new)]
        yield from self._take_in(iter(cards), len(cards), anew=old is None)

    def _take_in(self, changes: Iterator[Change], count: int, *, anew: bool) -> Generator[None, None, None]:
        waiting: deque[tuple[Place, str]] = deque()
        with closing(read_all(self._tasks(changes, waiting, anew=anew), count)) as answers:
            while part := list(islice(answers, _TOGETHER)):
                self._put([(*waiting.popleft(), answer) for answer in part])
                self.read += len(part)
                yield

    def _without_cards(self, changes: Iterator[Change]) -> Iterator[Change]:
        for place, oid in changes:
            if place.kind is Kind.CARD:
                self._cards.append((place, oid))
            else:
                yield place, oid

    def _all(self, commit: str) -> Iterator[Change]:
        """Give every file there is."""
        for path, oid in files_below(self.repository, commit, MODELS):
            with suppress(InvalidError):  # a file that the gate would refuse
                yield place_of(path), oid

    def _folders(self, commit: str) -> dict[str, str]:
        return {entry.name: entry.oid for entry in self.objects.entries(commit, MODELS) if entry.type == "tree"}

    def _changes(self, old: str, new: str) -> Iterator[Change]:
        """Give what differs, project by project, so that no registry is too large to be looked at."""
        before, after = self._folders(old), self._folders(new)
        for project in sorted({*before, *after}):
            one, other = before.get(project), after.get(project)
            if one == other:
                continue
            for change in changed_paths(self.objects, one, other, budget=_MOST_PATHS):
                plain = change.after if change.after and change.after.mode == FILE else None
                with suppress(InvalidError):
                    yield place_of(f"{MODELS}/{project}/{change.path}"), plain.oid if plain else None

    def _other_cards(self, commit: str) -> Iterator[Change]:
        """Give the cards of models that the index did not know before: they may have been there for long."""
        there = {place.path for place, _ in self._cards}
        for path in (f"{MODELS}/{model}/README.md" for model in self._new_models):
            entry = self.objects.entry(commit, path) if path not in there else None
            if entry and entry.mode == FILE:
                yield place_of(path), entry.oid

    def _tasks(
        self, changes: Iterator[Change], waiting: deque[tuple[Place, str]], *, anew: bool
    ) -> Iterator[tuple[str, bytes]]:
        """Give the files to be read, and note in `waiting` which they are; what needs no reading is done at once."""
        while part := list(islice(changes, _AT_ONCE)):
            if not anew:
                for place, oid in part:
                    self._clear(place, gone=oid is None)
                    if oid and place.kind is Kind.MODEL and not self.content.has_model(str(place.model)):
                        self._new_models.append(str(place.model))
            wanted = [(place, oid) for place, oid in part if oid is not None and place.kind in _KINDS]
            if not self._nothing_known:
                known = self.content.known(oid for place, oid in wanted if place.kind is Kind.VERSION)
                self._stand_for((place, known[oid]) for place, oid in wanted if oid in known)
                wanted = [each for each in wanted if each[1] not in known]
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

    def bring_up(self, old: str | None, new: str) -> Generator[None, None, None]:
        """Take in the commits that are new; where the index is ahead of them, take those that follow out again."""
        on_chain = git_history.is_on_first_parent_chain
        if old is not None and on_chain(self.repository, old, new):
            yield from self._continue(new, old)
        elif old is None or not (on_chain(self.repository, new, old) and self._go_back(old, new)):
            self.content.forget_deployments()
            yield from self._continue(new, None)

    def _continue(self, tip: str, since: str | None) -> Iterator[None]:
        """Go from the newest commit to the oldest: what a pointer was made of ran until the pointer changed again."""
        found, last, position = steps(self.repository, tip, DEPLOYMENTS, since), 0, self.content.after_all(None)
        if since is not None:
            new = list(found)
            self.content.no_later_than(min(step.time for step in new))
            last = self.content.after_all(0)
            found, position = iter(new), last + sum(len(step.written) for step in new)
        until: dict[Where, int] = {}
        for part in self._parts(found):
            rows = []
            for where, row, step, began in part:
                rows.append((position, *where, *row, step.commit, step.time, began, until.get(where)))
                until[where] = began
                position -= 1
            self.content.deployed(rows[::-1])
            yield
        if since is not None:
            self.content.over(until, last)

    def _parts(self, found: Iterator[Step]) -> Iterator[Iterator[tuple[Where, Row, Step, int]]]:
        """Give what was written to pointers, newest first, each with a time that no later commit comes before."""
        no_later = MAX_WHOLE
        while part := list(islice(found, _PART)):
            written = []
            for step in part:
                no_later = min(no_later, step.time)
                written += [(path, oid, step, no_later) for path, oid in step.written.items()]
            yield self._read(written)

    def _read(self, written: Sequence[tuple[str, str | None, Step, int]]) -> Iterator[tuple[Where, Row, Step, int]]:
        """Say which pointers were written, and what they say; one that the gate would have refused is left out."""
        blobs = dict(self.repository.objects.read_many({oid for _, oid, *_ in written if oid}))
        for path, oid, step, began in written:
            where = self._where(path)
            with suppress(InvalidError):
                if where:
                    yield where, rows_of(POINTER, blobs[oid])[0] if oid else (None, None, None), step, began

    @cached_property
    def _where(self) -> Callable[[str], Where | None]:
        @lru_cache(_PART)
        def where(path: str) -> Where | None:
            try:
                at = place_of(path)
            except InvalidError:
                return None
            return str(at.environment), str(at.model)

        return where

    def _go_back(self, old: str, new: str) -> bool:
        """Take out what followed a commit; False where the clocks of the commits went backwards."""
        later = list(steps(self.repository, old, DEPLOYMENTS, new))
        return self.content.take_back([step.commit for step in later if step.written], min(s.time for s in later))
