"""Look into archives: NumPy's and Keras' own, and plain zip and tar files, which may hold anything."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from gitreg.scan.content import detect_file
from gitreg.scan.formats import PICKLES, Format
from gitreg.scan.headers import arrays, tars, zips
from gitreg.scan.headers.keras import code_in_layers
from gitreg.scan.headers.source import Facts, HeaderError, Source, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_LOOKED = 10_000  # files in an archive whose beginning is looked at
_HEAD = 64 * 1024
_MAX_CONFIG = 64 * 1024 * 1024


def read(source: Source, found: Format) -> Facts:
    """Check an archive's directory, and tell what is inside."""
    if found is Format.TAR:
        return _tar(source)
    entries = zips.entries(source)
    if found is Format.NPZ:
        return _npz(source, entries)
    if found is Format.KERAS:
        return _keras(source, entries)
    return _plain((entry.name, _opener(source, entry)) for entry in entries if not entry.name.endswith("/"))


def _opener(source: Source, entry: zips.Entry) -> Callable[[int], bytes]:
    return lambda limit: zips.unpacked(source, entry, limit)


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
            config = zips.unpacked(source, entry, _MAX_CONFIG)
            dangers = code_in_layers(Source(io.BytesIO(config), len(config)))
        elif entry.name.endswith(".weights.h5"):
            limit = 1 << 30
            if entry.size > limit:
                continue
            data = zips.unpacked(source, entry, limit)
            facts = hdf5.read(Source(io.BytesIO(data), len(data)))
    inside = _plain((entry.name, _opener(source, entry)) for entry in entries if not entry.name.endswith("/"))
    holds = tuple(each for each in inside.holds if each in PICKLES)
    return Facts(tensors=facts.tensors, dangers=(*dangers, *inside.dangers), holds=holds, notes=facts.notes)


def _plain(files: Iterator[tuple[str, Callable[[int], bytes]]]) -> Facts:
    """Tell the formats of the files inside by their beginnings; pickles are followed."""
    from gitreg.scan import loaded

    holds: dict[str, None] = {}
    imports: set[str] = set()
    dangers: dict[str, None] = {}
    for count, (name, take) in enumerate(files):
        if count >= _MAX_LOOKED:
            refuse(f"more than {_MAX_LOOKED:,} files in the archive")
        head = take(_HEAD)
        data = take(loaded.MAX_UNPACKED) if head.startswith(b"PK\3\4") else head
        found = detect_file(io.BytesIO(data), name)
        holds.setdefault(found)
        if found in PICKLES:
            data = take(loaded.MAX_UNPACKED)
            try:
                facts = loaded.read(Source(io.BytesIO(data), len(data)), found)
            except HeaderError as error:
                raise HeaderError(f"{name[:100]!r} in the archive: {error}") from error
            imports.update(facts.imports)
            dangers |= dict.fromkeys(f"{each} (in {name[:100]})" for each in facts.dangers)
    return Facts(imports=tuple(sorted(imports)), dangers=tuple(dangers), holds=tuple(sorted(holds)))


def _tar(source: Source) -> Facts:
    from gitreg.scan import loaded

    head = source.peek(0, 6)
    if not tars.is_header(source.peek(0, 512)) and head:
        data = loaded.unpack(source)
        source = Source(io.BytesIO(data), len(data))
    return _plain((entry.name, _tar_opener(source, entry)) for entry in tars.entries(source))


def _tar_opener(source: Source, entry: tars.Entry) -> Callable[[int], bytes]:
    return lambda limit: source.peek(entry.start, min(entry.size, limit))
