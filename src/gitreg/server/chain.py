"""Keep the order of main's commits, so that a page of events costs its own length and not the whole history."""

from __future__ import annotations

import hashlib
import logging
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

from gitreg.errors import GitregError, UnavailableError
from gitreg.git.history import first_parents, is_on_first_parent_chain, short_chain
from gitreg.objects.local import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.git import Oid, Repository

NAME = "events.chain"
PATIENCE = 20.0  # seconds that who asks waits for the first reading of a long history
_CHECKED = hashlib.sha256().digest_size
_WORTH = 200_000  # bytes that are new, from which on, if they are a tenth of all, the file is written anew
_LOG = logging.getLogger(__name__)


class _StillReadingError(UnavailableError):
    """The history is being read for the first time."""

    retry_after = 10


class Chain:
    """The first-parent chain up to the newest commit that was asked for: 20 bytes a commit, or 32 with SHA-256.

    A file keeps it for the next process. It is whole or not taken, and what came after it is read from git.
    """

    def __init__(self, path: Path | None = None, *, patience: float = PATIENCE) -> None:
        self._path = path
        self._patience = patience
        self._lock = threading.Lock()
        self._oids = bytearray()
        self._tip: Oid | None = None
        self._reading: Future[None] | None = None

    def after(self, repository: Repository, tip: Oid, oid: Oid | None, limit: int) -> list[Oid] | None:
        """Give the first commits behind one (None: from the beginning), oldest first; None where it is not of main.

        UnavailableError where it takes long to know them; they are read on, for whoever asks again.
        """
        if oid is not None and self._tip is None and (few := _few(repository, tip, oid)) is not None:
            return few[:limit]
        self._await_first(repository, tip)
        width = len(tip) // 2
        with self._lock:
            self._follow(repository, tip)
            end = self._place(tip) + width
            start = 0 if oid is None else self._place(oid) + width
            if (oid is not None and start < width) or start > end:
                return None
            chosen = bytes(self._oids[start : min(end, start + limit * width)])
        return [chosen[place : place + width].hex() for place in range(0, len(chosen), width)]

    def _await_first(self, repository: Repository, tip: Oid) -> None:
        """Have the chain read once, in a thread of its own: nobody who asks something else has to wait."""
        with self._lock:
            if self._tip is not None:
                return
            if self._reading is None:
                self._reading = Future()
                threading.Thread(target=self._read, args=(repository, tip, self._reading), daemon=True).start()
            reading = self._reading
        try:
            reading.result(self._patience)
        except TimeoutError as error:
            raise _StillReadingError(
                "the order of all events is being read for the first time", hint="ask again in a while"
            ) from error

    def _read(self, repository: Repository, tip: Oid, reading: Future[None]) -> None:
        try:
            kept = self._kept(repository, tip)
            known = kept[-(len(tip) // 2) :].hex() or None
            oids = kept + _between(repository, tip, known)
        except BaseException as error:  # noqa: BLE001 - a thread's end: who waits is told
            with self._lock:
                self._reading = None
            reading.set_exception(error)
            return
        with self._lock:
            self._oids, self._tip, self._reading = oids, tip, None
        reading.set_result(None)
        self._keep(oids, len(oids) - len(kept))

    def _follow(self, repository: Repository, tip: Oid) -> None:
        """Read what is new; all of it where main was moved back."""
        if self._place(tip) >= 0:
            return
        known = self._tip
        if known is not None and not is_on_first_parent_chain(repository, known, tip):
            known = None
        found = _between(repository, tip, known)
        self._oids = self._oids + found if known is not None else found
        self._tip = tip

    def _place(self, oid: Oid) -> int:
        """Find where a commit stands; -1 where it does not."""
        wanted = bytes.fromhex(oid)
        place = self._oids.find(wanted)
        while place > 0 and place % len(wanted):  # a match across the border of two
            place = self._oids.find(wanted, place + 1)
        return place

    # The file: the SHA-256 of the rest, and the chain

    def _kept(self, repository: Repository, tip: Oid) -> bytearray:
        """Give what an earlier process read, as far as main still follows it; nothing where that cannot be known."""
        if self._path is None:
            return bytearray()
        with suppress(GitregError, OSError):
            data = bytearray(self._path.read_bytes())
            oids, width = data[_CHECKED:], len(tip) // 2
            is_whole = len(oids) % width == 0 and hashlib.sha256(oids).digest() == data[:_CHECKED]
            if oids and is_whole and is_on_first_parent_chain(repository, oids[-width:].hex(), tip):
                return oids
        return bytearray()

    def _keep(self, oids: bytearray, new: int) -> None:
        """Write the file anew where much came since; it may as well not be written."""
        if self._path is None or new < max(len(oids) // 10, _WORTH):
            return
        try:
            self._path.parent.mkdir(exist_ok=True)
            write_whole(self._path, hashlib.sha256(oids).digest() + oids)
        except (GitregError, OSError) as error:
            _LOG.warning("the order of events is not kept for the next start: %s", error)


def _few(repository: Repository, tip: Oid, oid: Oid) -> list[Oid] | None:
    """Give the few commits behind one, oldest first; None where they are many, or it is not of main."""
    if oid == tip:
        return []
    return [each.oid for each in reversed(short_chain(repository, oid, tip))] or None


def _between(repository: Repository, tip: Oid, known: Oid | None) -> bytearray:
    """Read the chain behind a commit of it, oldest first; each id is turned round with the whole."""
    found = bytearray().join(bytes.fromhex(each)[::-1] for each in first_parents(repository, tip, since=known))
    found.reverse()
    return found
