"""Keep one verified copy of each pulled blob on this machine, shared between registries and processes."""

from __future__ import annotations

import io
import os
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from gitreg.digest import Digest
from gitreg.errors import GitregError, IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.objects.eviction import SIZE_VARIABLE, Keeper, parse_size
from gitreg.objects.faults import reading, writing
from gitreg.objects.partial import FOLDER as PARTIAL
from gitreg.objects.partial import SMALL, partial, write_small
from gitreg.objects.settling import is_unwritten, settle
from gitreg.objects.stamps import WORTH, Stamps
from gitreg.objects.streams import copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gitreg.objects.chunks import Chunk
    from gitreg.objects.eviction import Pruned, Usage
    from gitreg.objects.partial import Partial
    from gitreg.objects.recipes import Layout
    from gitreg.objects.store import Store

_MODE = 0o444
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOOK = 0.05  # seconds between looks at a blob that another process fetches
_STUCK = 60  # seconds without a byte, after which it is fetched here as well
_LARGE = 16 << 20  # bytes
_SHOWN = 3


class Cache:
    """A folder of blobs, laid out as a store is, that can be deleted at any time.

    `limit`, in bytes, is kept to by `using`: at its end what was used longest ago goes.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        """Name the folder; nothing is touched before the first use."""
        self.folder = folder
        self.limit = limit
        self.stamps = Stamps(folder)
        self._keeper = Keeper(folder, self.stamps)
        self._verified: dict[Digest, os.stat_result] = {}  # as each blob's file was found when it was right

    @classmethod
    def of_user(cls, environment: Mapping[str, str]) -> Self:
        """Open the cache at $GITREG_CACHE, $XDG_CACHE_HOME/gitreg or ~/.cache/gitreg, the first that is set.

        $GITREG_CACHE_SIZE is its limit, such as 50GiB.
        """
        size = environment.get(SIZE_VARIABLE)
        try:
            limit = parse_size(size) if size else None
        except InvalidError as error:
            raise InvalidError(f"{SIZE_VARIABLE}: {error.message}", hint=error.hint) from error
        named = environment.get("GITREG_CACHE")
        if named:
            return cls(Path(named).absolute(), limit)
        base = Path(environment.get("XDG_CACHE_HOME") or "")
        if not base.is_absolute():  # the XDG specification: a relative path is to be ignored
            home = environment.get("HOME")
            base = Path(home) / ".cache" if home else _home() / ".cache"
        return cls(base / "gitreg", limit)

    @contextmanager
    def using(self) -> Iterator[None]:
        """Keep what is found or fetched in the block until its end, whatever the limit and other processes."""
        try:
            with self._keeper.using():
                yield
        finally:
            if self.limit is not None:
                self._keeper.shrink(self.limit)

    def path_of(self, digest: Digest) -> Path:
        """Name the file of a blob, whether it is there or not."""
        return Path(self._name(digest))

    def _name(self, digest: Digest) -> str:
        return f"{self.folder}/blobs/sha256/{digest.hex[:2]}/{digest.hex}"  # a Path would take ten times longer

    def lacks(self, digest: Digest) -> bool:
        """Whether nothing is there of a blob; what is there may still be damaged."""
        return not os.path.exists(self._name(digest))  # noqa: PTH110 - for each of many files

    def find(self, digest: Digest) -> Path | None:
        """Name the file of a blob that is here with every byte right; None where it is not."""
        file = self.open(digest)
        if file is None:
            return None
        file.close()
        return self.path_of(digest)

    def open(self, digest: Digest, *, noted: bool = False) -> io.FileIO | None:
        """Open the file of a blob that is here with every byte right, at its beginning; None where it is not.

        It is read unless it was since this machine started, or by this cache, and nothing has touched it. It is `noted`
        as used where that was found or fetched before, inside the same `using`.
        """
        path = self._name(digest)
        file = self._opened(path) if noted else self._opened_and_noted(path, digest)
        if file is None:
            return None
        try:
            with reading(self.folder):
                sound = self._is_sound(digest, file)
        except BaseException:
            file.close()
            raise
        if not sound:
            file.close()
        return file if sound else None

    def is_still_right(self, digest: Digest, found: os.stat_result) -> bool:
        """Whether the file of a blob, as it is found now, was not written to since this cache knew it to be right."""
        known = self._verified.get(digest)
        return known is not None and is_unwritten(known, found)

    def _opened_and_noted(self, path: str, digest: Digest) -> io.FileIO | None:
        if self.lacks(digest):  # the common case, and nothing is to be made for it
            return None
        with writing(self.folder), self._keeper.noting():
            file = self._opened(path)
            if file is not None:
                self.stamps.touch(digest)
            return file

    def _opened(self, path: str) -> io.FileIO | None:
        try:
            return io.FileIO(path, opener=lambda name, _: os.open(name, _OPEN))
        except OSError:  # removed meanwhile, or no file at all
            return None

    def fetch(
        self,
        digest: Digest,
        store: Store,
        *,
        size: int | None = None,
        moved: Callable[[int], None] | None = None,
    ) -> Path:
        """Bring a blob in where it is not there or is damaged, and name its read-only file, every byte verified.

        What another process fetches is waited for, what an earlier one left is gone on with. `moved` hears of all its
        bytes, `size` is how many the manifest says it has (IntegrityError where the store has other). Inside `using`
        it stays.
        """
        told = _Told(moved)
        while True:
            path = self.find(digest)
            if path is not None:
                found = path.stat().st_size
                if size is not None and found != size:
                    raise _lie(digest, size, found, str(self.folder))
                told.rest(found)
                return path
            if self._bring(digest, store, size, told):
                return self.path_of(digest)

    def make_room(self, size: int) -> None:
        """Remove what has to go so that `size` more bytes keep within the limit, where there is one."""
        if self.limit is not None:
            self._keeper.shrink(max(0, self.limit - size))

    def usage(self) -> Usage:
        """Count what is there."""
        with reading(self.folder):
            return self._keeper.usage(self.limit)

    def prune(self, limit: int, *, dry_run: bool = False) -> Pruned:
        """Remove what was used longest ago until at most `limit` bytes are left; what is in use stays."""
        return self._keeper.prune(limit, dry_run=dry_run)

    def _is_sound(self, digest: Digest, file: io.FileIO) -> bool:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            return False
        if self.is_still_right(digest, found):
            return True
        if self.stamps.is_verified(digest, found):
            self._verified[digest] = found
            return True
        # A small one is read again in less time than it takes to make sure of what its times tell.
        settled = found.st_size >= WORTH and settle(file.fileno(), found)
        if copy(file).digest != digest:
            return False
        file.seek(0)
        if settled:
            self._verified[digest] = found
            self.stamps.note([(digest, file.fileno(), found)])
        return True

    def _bring(self, digest: Digest, stores: Store, size: int | None, told: _Told) -> bool:
        """Fetch a blob from the first store that has it right; False where another process did, or may have."""
        from gitreg.objects.mirrors import ELSEWHERE

        failed: GitregError | None = None
        for store in _each(stores):
            try:
                layout = store.layout(digest)
                if size is not None and layout.size != size:
                    raise _lie(digest, size, layout.size, store.uri)
                if layout.size <= SMALL:
                    self._fetch_small(layout, store, told)
                    return True
                return self._fetch(layout, store, told)
            except ELSEWHERE as error:
                failed = _worse(failed, error)
        raise failed or NotFoundError(f"there is no store to fetch the blob {digest} from")

    def _fetch(self, layout: Layout, store: Store, told: _Told) -> bool:
        watched = _Watch(self.folder / PARTIAL / layout.digest.hex)
        while True:
            with partial(self.folder, layout.digest, layout.size, own=watched.is_stuck()) as into:
                if into is not None:
                    # Who held it before may have finished it since this process looked.
                    if self.path_of(layout.digest).exists() and self.find(layout.digest):
                        return False
                    self._fill(into, layout, store, told)
                    return True
            watched.wait()
            if self.path_of(layout.digest).exists() and self.find(layout.digest):
                return False

    def _fetch_small(self, layout: Layout, store: Store, told: _Told) -> None:
        """Fetch a blob that is fetched again in less time than it takes to note what came of it, or to wait for it."""
        from gitreg.objects.ranges import Ranges

        told.begin(layout.size)
        pieces = []
        for _, piece in Ranges(layout, store.bucket).read(0, layout.size):
            pieces.append(bytes(piece))
            told(len(pieces[-1]))
        data = b"".join(pieces)
        found = Digest.of(data)
        if found != layout.digest:
            raise _damaged(layout, store, found, [])
        self.stamps.renew(layout.digest)  # before it is there: so that nobody takes it for one used long ago
        with writing(self.folder):
            self._verified[layout.digest] = write_small(self.folder, self._name(layout.digest), data, _MODE)

    def _fill(self, into: Partial, layout: Layout, store: Store, told: _Told) -> None:
        self._need_room(sum(end - begin for begin, end in into.missing()))
        with writing(self.folder):
            self._verify(into, layout, store, told)
            final = self.path_of(layout.digest)
            with self._keeper.noting():
                found = into.publish(final, _MODE)
                self.stamps.touch(layout.digest)
            self._verified[layout.digest] = found  # nobody else had a name for it
            if layout.size >= _LARGE:  # who waits for it need not read it all again
                self.stamps.note([(layout.digest, final, found)])

    def _verify(self, into: Partial, layout: Layout, store: Store, told: _Told) -> None:
        """Fetch what is missing until the whole is right; what is not is forgotten, and the rest of it kept."""
        from gitreg.objects.parallel import damaged_chunks

        resumed = into.resumed
        for again in (True, False):
            digest = _run(into, layout, store, told)
            if digest == layout.digest:
                return
            damaged = damaged_chunks(layout, into)
            if damaged:
                into.forget((chunk.offset, chunk.offset + chunk.size) for chunk in damaged)
            else:
                into.reset()
            # What an earlier run left may have been spoilt since, by a power cut for one; or a wire has spoilt it now.
            if not (again and (damaged or resumed)):
                raise _damaged(layout, store, digest, damaged)

    def _need_room(self, size: int) -> None:
        """Refuse what the disk has no room for before its first byte."""
        with writing(self.folder):
            free = os.statvfs(self.folder)
        if size > free.f_bavail * free.f_frsize:
            raise UnavailableError(
                f"no room left in {str(self.folder)!r}: {size:,} bytes are to come,"
                f" {free.f_bavail * free.f_frsize:,} are free",
                hint="free some space (gitreg cache prune), or put the cache elsewhere: GITREG_CACHE",
            )


class _Told:
    """What was told of a blob's bytes, so that each is told once however often it is fetched."""

    def __init__(self, moved: Callable[[int], None] | None) -> None:
        self._moved = moved
        self._told = 0
        self._again = 0
        self._size = 0

    def begin(self, size: int) -> None:
        """Begin a run, which tells of all bytes of a blob, and of some of them perhaps twice."""
        self._again, self._size = self._told, size

    def __call__(self, count: int) -> None:
        """Hear of more bytes of a run."""
        repeated = min(count, self._again)
        self._again -= repeated
        fresh = min(count - repeated, self._size - self._told)
        self._told += fresh
        # A call for nothing still lets an interrupt through.
        if self._moved is not None:
            self._moved(fresh)

    def rest(self, size: int) -> None:
        """Tell of all that was not told."""
        self.begin(size)
        self(size)


class _Watch:
    """Whether a blob that another process fetches still grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = time.monotonic()
        self._seen: object = None

    def wait(self) -> None:
        """Wait a moment, and look."""
        time.sleep(_LOOK)
        try:
            found = self._path.stat()
            seen: object = (found.st_ino, found.st_mtime_ns)
        except OSError:
            seen = None
        if seen != self._seen:
            self._seen, self._changed = seen, time.monotonic()

    def is_stuck(self) -> bool:
        """Whether nothing has come for too long."""
        return time.monotonic() - self._changed > _STUCK


def _each(store: Store) -> tuple[Store, ...]:
    """List the stores that a blob may be read from, the primary first."""
    from gitreg.objects.mirrors import Stores

    return store.all if isinstance(store, Stores) else (store,)


def _run(into: Partial, layout: Layout, store: Store, told: _Told) -> Digest:
    from gitreg.objects.parallel import fetch

    told.begin(layout.size)
    near = bool(layout.parts) and store.bucket.path_of(layout.parts[0].key) is not None
    return fetch(layout, store.bucket, into, told, near=near)


def _worse(first: GitregError | None, second: GitregError) -> GitregError:
    """Choose which failure to tell: damage before what is out of reach before what is not there."""
    order = (IntegrityError, UnavailableError, GitregError)
    return next(error for kind in order for error in (first, second) if isinstance(error, kind))


def _lie(digest: Digest, said: int, found: int, where: str) -> IntegrityError:
    return IntegrityError(
        f"the manifest says {said} bytes, its blob {digest} has {found} in {where!r}",
        hint="gitreg fsck tells what else is wrong there, and --repair brings back what a mirror or a cache has",
    )


def _damaged(layout: Layout, store: Store, found: Digest, damaged: Sequence[Chunk]) -> IntegrityError:
    places = [
        f"bytes {chunk.offset:,} to {chunk.offset + chunk.size:,} ({part.key} at {part.offset:,})"
        for chunk in damaged[:_SHOWN]
        for part in [next(iter(layout.within(chunk.offset, chunk.size)))]
    ]
    if len(damaged) > _SHOWN:
        places.append(f"{len(damaged) - _SHOWN} more")
    where = f"; wrong are {', '.join(places)}" if places else ""
    return IntegrityError(
        f"the stored blob {layout.digest} is damaged: expected {layout.digest}, found {found} in {store.uri!r}{where}",
        hint="gitreg fsck --deep finds what else is, and --repair takes it from a mirror or a cache; or restore it from"
        " a copy of the store",
    )


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise InvalidError("there is no home folder to keep the cache in", hint="set GITREG_CACHE") from error
