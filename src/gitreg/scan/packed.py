"""Look into archives, and the archives in them: NumPy's and Keras' own, zip and tar files, what is compressed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

from gitreg.records import replace
from gitreg.scan import loaded
from gitreg.scan.claims import check_name
from gitreg.scan.compressed import MAX_UNPACKED, beginning, ending, is_compressed, unpack, unread_packing
from gitreg.scan.content import detect_file
from gitreg.scan.formats import PICKLES, Format
from gitreg.scan.headers import arrays, tars, zips
from gitreg.scan.headers.keras import code_in_layers
from gitreg.scan.headers.source import Facts, HeaderError, Source, TooMuchError, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

# Of all archives in a file together.
MAX_DEPTH = 4  # archives in archives
MAX_FILES = 10_000
MAX_BYTES = 2 * 1024**3  # that are unpacked
ARCHIVES = frozenset({Format.ZIP, Format.TAR, Format.NPZ, Format.KERAS})
_WHOLE = PICKLES | {Format.HDF5}  # formats that are looked into, besides archives
_WEIGHTS = ".weights.h5"
_HEAD = 64 * 1024
_MAX_CONFIG = 64 * 1024 * 1024
_UNKNOWN_SIZE = 1 << 62


class _Member(NamedTuple):
    """A file in an archive: its name, its bytes, and what opens at least the first so many of them.

    `may_end_as_zip` is asked where that were not all of them.
    """

    name: str
    size: int
    open: Callable[[int], Source]
    may_end_as_zip: Callable[[], bool] = lambda: False


def is_archive(source: Source, found: Format) -> bool:
    """Whether a file of a format holds others: an archive, or what is compressed and no known format's own."""
    if found is not Format.OTHER:
        return found in ARCHIVES
    return is_compressed(source.peek(0, _HEAD)) or bool(unread_packing(source.peek(0, 32)))


def read(source: Source, found: Format) -> Facts:
    """Check an archive, and tell what is inside; also a compressed file of no known format."""
    look = _Look()
    facts = look.into(source, found)
    holds = tuple(sorted(look.holds))
    if found in {Format.NPZ, Format.KERAS}:  # their own files go without saying
        holds = tuple(each for each in holds if each in PICKLES)
    dangers = (*facts.dangers, *look.dangers)
    return replace(facts, imports=tuple(sorted(look.imports)), dangers=dangers, holds=holds)


def behind(source: Source, facts: Facts) -> Facts:
    """Add to the facts of a file what is in the zip that it ends with: TFLite's metadata, or what nobody expects."""
    inner = zips.behind(source)
    if inner is None:
        return facts
    look = _Look()
    look.into(inner, Format.ZIP)
    return replace(
        facts,
        imports=tuple(sorted({*facts.imports, *look.imports})),
        dangers=(*facts.dangers, *look.dangers),
        holds=tuple(sorted({*facts.holds, *look.holds})),
    )


class _Look:
    """What is found in a file's archives, and how much more may be looked into."""

    def __init__(self) -> None:
        self.holds: dict[Format, None] = {}
        self.imports: set[str] = set()
        self.dangers: dict[str, None] = {}
        self._inside: list[str] = []  # the names that lead to where it is
        self._files = MAX_FILES
        self._bytes = MAX_BYTES
        self._tails = MAX_BYTES  # that are unpacked to see how they end

    def into(self, source: Source, found: Format) -> Facts:
        """Look into an archive; what it says of itself alone."""
        if len(self._inside) > MAX_DEPTH:
            raise TooMuchError(f"archives are nested more than {MAX_DEPTH} deep")
        if found is Format.TAR:
            is_plain = tars.is_header(source.peek(0, 512)) or not source.peek(0, 1)
            self._tar(source if is_plain else self._unpacked(source))
            return Facts()
        if found not in ARCHIVES:
            self._compressed(source)
            return Facts()
        entries = zips.entries(source)
        if found is Format.NPZ:
            return _npz(source, entries)
        facts = _keras(source, entries) if found is Format.KERAS else Facts()
        for entry in entries:
            is_known = found is Format.KERAS and entry.name.endswith(_WEIGHTS)
            if not entry.name.endswith("/") and not is_known:
                self._member(_Member(entry.name, entry.size, self._opener(source, entry), self._ending(source, entry)))
        return facts

    def _opener(self, source: Source, entry: zips.Entry) -> Callable[[int], Source]:
        def opened(limit: int) -> Source:
            found = zips.opened(source, entry, limit)
            self._count(0 if entry.method == 0 else found.size)
            return found

        return opened

    def _ending(self, source: Source, entry: zips.Entry) -> Callable[[], bool]:
        def may_end_as_zip() -> bool:
            self._tails -= entry.size
            return self._tails >= 0 and zips.may_end_as_zip(source, entry)

        return may_end_as_zip

    def _tar(self, source: Source) -> None:
        for entry in tars.entries(source):
            self._member(_Member(entry.name, entry.size, _in_place(source.part(entry.start, entry.size))))

    def _compressed(self, source: Source) -> None:
        """Look into one compressed file, which has no name of its own."""
        inner, _ = beginning(source.peek(0, 1 << 20), _HEAD)
        head = Source(io.BytesIO(inner), len(inner))

        def opened(limit: int) -> Source:
            return head if limit <= _HEAD else self._unpacked(source)

        def may_end_as_zip() -> bool:
            self._tails -= MAX_UNPACKED
            try:
                return self._tails >= 0 and zips.END in ending(source, zips.TAIL, MAX_UNPACKED)
            except HeaderError:  # nor do its readers come to its end, but for what is larger
                return False

        self._member(_Member("", _UNKNOWN_SIZE, opened, may_end_as_zip))

    def _unpacked(self, source: Source) -> Source:
        found = unpack(source)
        self._count(found.size)
        return found

    def _count(self, unpacked: int) -> None:
        self._bytes -= unpacked
        if self._bytes < 0:
            raise TooMuchError(f"more than {MAX_BYTES:,} bytes to unpack, in all archives together")

    # --- files inside ---

    def _member(self, member: _Member) -> None:
        """Tell the format of a file by its beginning; look into it where something may run or hide."""
        self._files -= 1
        if self._files < 0:
            raise TooMuchError(f"more than {MAX_FILES:,} files in all archives together")
        self._inside.append(member.name)
        try:
            self._look(member)
        except HeaderError as error:
            what = f"{member.name[:100]!r} in the archive" if member.name else "what is compressed"
            raise type(error)(f"{what}: {error}") from error
        self._inside.pop()

    def _look(self, member: _Member) -> None:
        source = member.open(_HEAD)
        found = detect_file(source.file, member.name, member.size)
        if found in _WHOLE or is_archive(source, found) or loaded.may_be_pickle(source) is not False:
            source = _whole(member, source)
            found = detect_file(source.file, member.name)
        if found in PICKLES:
            self._pickle(loaded.read(source, found), found)
        elif loaded.may_be_pickle(source):
            found = Format.PICKLE  # whatever else it is
            self._pickle(loaded.pickles(source), found)
        elif found is Format.HDF5:
            self._note(code_in_layers(source))
        elif is_archive(source, found):
            self._note(self.into(source, found).dangers)
        elif source.size == member.size or member.may_end_as_zip():
            inner = zips.behind(_whole(member, source))
            if inner is not None:
                self._note(self.into(inner, Format.ZIP).dangers)
        if source.size == member.size:
            check_name(source, found, member.name)
        if member.name or found in ARCHIVES:
            self.holds.setdefault(found)

    def _pickle(self, facts: Facts, found: Format) -> None:
        self.holds.setdefault(found)
        self.imports.update(facts.imports)
        self._note(facts.dangers)

    def _note(self, dangers: tuple[str, ...]) -> None:
        place = "/".join(name for name in self._inside if name)[:200]
        self.dangers |= dict.fromkeys(f"{each} (in {place})" if place else each for each in dangers)


def _whole(member: _Member, source: Source) -> Source:
    if source.size == member.size:
        return source
    source = member.open(MAX_UNPACKED)
    if source.size != member.size != _UNKNOWN_SIZE:
        raise TooMuchError(f"it has {member.size:,} bytes, more than is unpacked to look into it")
    return source


def _in_place(source: Source) -> Callable[[int], Source]:
    return lambda _limit: source


# --- formats that are archives ---------------------------------------------------------------------------------------


def _npz(source: Source, entries: list[zips.Entry]) -> Facts:
    tensors = []
    for entry in entries:
        name = entry.name.removesuffix(".npy")
        head = zips.unpacked(source, entry, 70_000)
        tensor, start, size = arrays.array_at(Source(io.BytesIO(head), len(head)), 0, name)
        if start + size != entry.size:
            refuse(f"array {name!r} needs {start + size:,} bytes, the zip has {entry.size:,}")
        tensors.append(tensor)
    return Facts(tensors=tuple(tensors))


def _keras(source: Source, entries: list[zips.Entry]) -> Facts:
    from gitreg.scan.headers import hdf5

    facts = Facts()
    dangers: tuple[str, ...] = ()
    for entry in entries:
        if entry.name == "config.json":
            if entry.size > _MAX_CONFIG:
                refuse(f"config.json of {entry.size:,} bytes, at most {_MAX_CONFIG:,} are read")
            dangers = code_in_layers(zips.opened(source, entry, _MAX_CONFIG))
        elif entry.name.endswith(_WEIGHTS):
            weights = zips.opened(source, entry, MAX_UNPACKED)
            if weights.size == entry.size:
                facts = hdf5.read(weights)
            elif weights.peek(0, 8) == hdf5.MAGIC:
                facts = Facts(notes=(f"{entry.name[:100]}: more than is unpacked to list its datasets",))
            else:
                refuse(f"{entry.name[:100]!r} is no HDF5")
    return replace(facts, dangers=(*dangers, *facts.dangers))
