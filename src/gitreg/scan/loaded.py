"""Look into what runs code when it is loaded: pickles, alone, in PyTorch's archives, compressed, or in arrays."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from gitreg.records import replace
from gitreg.scan.archives import holds_objects
from gitreg.scan.formats import Format
from gitreg.scan.headers import zips
from gitreg.scan.headers.source import Facts, HeaderError, Source, refuse
from gitreg.scan.imports import dangerous
from gitreg.scan.pickles import is_pickle
from gitreg.scan.torch_tensors import tensors_in
from gitreg.scan.tracing import Trace

if TYPE_CHECKING:
    from gitreg.scan.headers.source import Tensor

MAX_UNPACKED = 512 * 1024 * 1024  # bytes of a compressed pickle
_MAX_PICKLES = 1_000  # one after the other in one file
_LEGACY_PICKLES = 5  # of PyTorch before 1.6: magic number, protocol, machine, object, keys of the storages


def read(source: Source, found: Format) -> Facts:
    """Follow every pickle of a file; HeaderError where one cannot be followed to its end."""
    head = source.peek(0, 16)
    if head.startswith(b"PK\3\4"):
        return _torch(source, found)
    if found is Format.JOBLIB and not head.startswith(b"\x80") and _is_packed(head):
        data = unpack(source)
        source = Source(io.BytesIO(data), len(data))
    if head.startswith(b"\x93NUMPY"):
        return _objects(source)
    if found is Format.TORCH:  # the tensors' bytes follow
        return replace(pickles(source, most=_LEGACY_PICKLES), notes=())
    return pickles(source)


def pickles(source: Source, start: int = 0, *, most: int = 0) -> Facts:
    """Follow the pickles that a file begins with: `most` of them, or all."""
    trace = Trace(source, start)
    tensors: list[Tensor] = []
    notes: tuple[str, ...] = ()
    try:
        for count in range(1, _MAX_PICKLES + 1):
            tensors += tensors_in(trace.run())
            if count == most:
                break
            rest = source.peek(trace.position, 4096)
            if not is_pickle(rest, likely=False, whole=trace.position + len(rest) == source.size):
                break
            if count == _MAX_PICKLES:
                refuse(f"more than {_MAX_PICKLES:,} pickles in one file")
    except HeaderError as error:
        bad = [*dict.fromkeys(trace.dangers), *dangerous(trace.imports.values())]
        also = f"; before that it imports {', '.join(bad[:3])}" if bad else ""
        raise HeaderError(f"{error}{also}") from error
    if trace.position < source.size:
        notes = (f"{source.size - trace.position:,} bytes follow the last pickle",)
    return _told(trace, tensors, notes)


def _told(trace: Trace, tensors: list[Tensor], notes: tuple[str, ...] = ()) -> Facts:
    return Facts(
        tensors=tuple(tensors),
        imports=tuple(sorted(trace.imports)),
        dangers=(*dict.fromkeys(trace.dangers), *dangerous(trace.imports.values())),
        details={"arrays": trace.arrays} if trace.arrays else {},
        notes=notes,
    )


def _torch(source: Source, found: Format) -> Facts:
    """Follow the pickles in a zip of PyTorch's, or of arrays of objects; tensors' bytes are files beside them."""
    facts: list[Facts] = []
    entries = zips.entries(source)
    for entry in entries:
        base = entry.name.rpartition("/")[2]
        head = zips.unpacked(source, entry, 4096)
        is_numbers = "/data/" in f"/{entry.name}" and not base.endswith(".pkl")
        is_objects = head.startswith(b"\x93NUMPY") and holds_objects(head)
        if is_objects or base.endswith((".pkl", ".pickle")) or (not is_numbers and _starts_as_pickle(head, entry.size)):
            data = zips.unpacked(source, entry, MAX_UNPACKED)
            if len(data) < entry.size:
                refuse(f"{entry.name[:100]!r} has {entry.size:,} bytes, more than is read of a pickle")
            inner = Source(io.BytesIO(data), len(data))
            facts.append(_objects(inner) if is_objects else pickles(inner))
    if not facts:
        refuse("no pickle in it")
    code = [entry.name for entry in entries if "/code/" in f"/{entry.name}" and entry.name.endswith(".py")]
    details: dict[str, str | int] = {"code_files": len(code)} if found is Format.TORCHSCRIPT else {}
    return Facts(
        tensors=tuple(tensor for each in facts for tensor in each.tensors),
        imports=tuple(sorted({name for each in facts for name in each.imports})),
        dangers=tuple(dict.fromkeys(name for each in facts for name in each.dangers)),
        details=details,
        notes=tuple(note for each in facts for note in each.notes),
    )


def _starts_as_pickle(head: bytes, size: int) -> bool:
    return is_pickle(head, likely=False, whole=len(head) == size)


def _objects(source: Source) -> Facts:
    """Follow the pickle behind the header of an array of Python objects."""
    wide = source.peek(6, 1) != b"\1"
    length = source.number(8, "I" if wide else "H", "the length of an array's header")
    return pickles(source, (12 if wide else 10) + length)


def _is_packed(head: bytes) -> bool:
    return head.startswith(
        (b"\x78", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x5d\0\0", b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd")
    )


def unpack(source: Source, limit: int = MAX_UNPACKED) -> bytes:
    """Unpack a compressed file whole; HeaderError where it is damaged, larger than the limit, or of another method."""
    import bz2
    import lzma
    import zlib

    head = source.peek(0, 16)
    packed = source.peek(0, min(source.size, limit))
    if len(packed) < source.size:
        refuse(f"{source.size:,} compressed bytes, more than is unpacked to look into them")
    unpacker: Any
    if head.startswith((b"\x1f\x8b", b"\x78")):
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    elif head.startswith(b"BZh"):
        unpacker = bz2.BZ2Decompressor()
    elif head.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        unpacker = lzma.LZMADecompressor(memlimit=1 << 28)
    else:
        refuse("packed by a method that is not read here: pack it with zlib, gzip, bz2 or xz, or not at all")
    try:
        data: bytes = unpacker.decompress(packed, limit + 1)
    except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
        refuse(f"the compressed data is damaged: {error}")
    if len(data) > limit:
        refuse(f"it unpacks to more than {limit:,} bytes")
    if not unpacker.eof:
        refuse("the compressed data breaks off: truncated")
    return data
