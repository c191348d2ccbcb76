"""Bring a group of judged changes onto main: its commits and the log, then main."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from gitreg.errors import GitregError, UnavailableError
from gitreg.gate import RefUpdate
from gitreg.gate_hooks import audit
from gitreg.git import history, refs
from gitreg.git.grown import grown
from gitreg.git.importing import Importer, sync_folder
from gitreg.layout import MAIN
from gitreg.reader.history import iso
from gitreg.records import dataclass
from gitreg.writer.locks import Locks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gitreg.git import Oid, Repository
    from gitreg.git.importing import Series
    from gitreg.git.values import Object
    from gitreg.writer.staging import Staged

_LOCK_PAUSES = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Wrote:
    """A commit that was written, and the objects of its tree that are new, the tree itself last."""

    commit: Oid
    objects: Sequence[Object]


class Landing:
    """Who writes for a group writer: one thread at a time.

    `wrote` is told what main is about to become, so that who reads it then need not ask git.
    """

    def __init__(self, repository: Repository, wrote: Callable[[Wrote], object]) -> None:
        self._repository = repository
        self._wrote = wrote
        self._importer = Importer(repository)
        self._locks = Locks(repository.git_dir, repository.common_dir)
        self._locks.break_left()
        self._mover = refs.Mover(repository, reason="gitreg: group", held=self._locks.fd)

    def land(self, tip: Oid, staged: Sequence[Staged], refusals: Sequence[audit.Entry]) -> list[Oid] | None:
        """Write commits upon main's tip and move main there; None where somebody else has moved it first.

        As with the hooks, what the log says was accepted need not have landed, and nothing lands unlogged. Killed
        before main moves, nothing has happened but that objects lie about which nothing names. `refusals` are logged
        in any case.
        """
        if not staged:
            self._log(refusals)
            return []
        written = self._importer.begin(tip, [each.draft for each in staged])
        try:  # while git syncs what it has written
            self._tell(tip, staged, written)
            is_first = refs.resolve(self._repository, MAIN) == tip
            self._log([*refusals, *(_entries(tip, staged, written.oids) if is_first else ())])
        finally:
            self._importer.finish()
        return written.oids if is_first and self._move(written.oids[-1], tip) else None

    def _tell(self, tip: Oid, staged: Sequence[Staged], written: Series) -> None:
        """Tell what was written, as far as it is known without asking git, and keep it for the next group."""
        objects = self._repository.objects
        edits = {path: data for each in staged for path, data in each.plan.edits.items()}
        below = objects.known_tree(tip)
        found = grown(objects, below, edits) if below else None
        if found and found[-1].oid == written.tree:
            objects.learn(written.oids[-1], found)
            self._wrote(Wrote(written.oids[-1], found))

    def rest(self) -> None:
        """End git's processes until they are needed again."""
        self._importer.close()
        self._mover.close()

    def close(self) -> None:
        """End for good."""
        self.rest()
        self._locks.close()

    def _log(self, entries: Sequence[audit.Entry]) -> None:
        if entries:
            audit.append_all(self._repository.git_dir, entries)

    def _move(self, new: Oid, old: Oid) -> bool:
        """Move main, and see what became of it: whoever asked may have been cut off behind the move."""
        for pause in (*_LOCK_PAUSES, None):
            try:
                with self._locks.moving():
                    self._mover.move(refs.RefEdit(MAIN, new, old))
            except GitregError as error:
                now = refs.resolve(self._repository, MAIN)
                if now != old:
                    if now is None or not history.is_on_first_parent_chain(self._repository, new, now):
                        return False
                    break
                if pause is None or not isinstance(error, UnavailableError):
                    raise
                self._locks.break_left()
                time.sleep(pause)
            else:
                break
        self._sync()
        return True

    def _sync(self) -> None:
        """Sync the folder of main too, into which its file was renamed."""
        try:
            with contextlib.suppress(FileNotFoundError):
                sync_folder((self._repository.common_dir / MAIN).parent)
        except OSError as error:
            raise UnavailableError(
                f"main has moved, and the disk does not confirm it: {error.strerror}",
                hint="look whether it is there before you try again",
            ) from error


def _entries(tip: Oid, staged: Sequence[Staged], oids: Sequence[Oid]) -> Iterator[audit.Entry]:
    now, before = iso(int(time.time())), tip
    for each, oid in zip(staged, oids, strict=True):
        change, update = each.change, RefUpdate(before, oid, MAIN)
        base = None if before == tip else tip
        yield audit.Entry(now, str(change.actor), (update,), (), change.source, each.models, base=base)
        before = oid
