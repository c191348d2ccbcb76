"""Look into what runs code when it is loaded: pickles, alone, in PyTorch's archives, compressed, or in arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.records import replace
from gitreg.scan.archives import holds_objects
from gitreg.scan.compressed import MAX_UNPACKED, is_compressed, unpack, unread_packing
from gitreg.scan.formats import Format
from gitreg.scan.headers import zips
from gitreg.scan.headers.source import BreaksOffError, Facts, HeaderError, Source, TooMuchError, TwoWaysError, refuse
from gitreg.scan.imports import dangerous
from gitreg.scan.pickles import is_pickle
from gitreg.scan.torch_tensors import tensors_in
from gitreg.scan.tracing import Trace

if TYPE_CHECKING:
    from gitreg.scan.headers.source import Tensor

_MAX_PICKLES = 1_000  # one after the other in one file
_LEGACY_PICKLES = 5  # of PyTorch before 1.6: magic number, protocol, machine, object, keys of the storages


def read(source: Source, found: Format) -> Facts:
    """Follow every pickle of a file; HeaderError where one cannot be followed to its end."""
    head = source.peek(0, 16)
    if head.startswith(b"PK\3\4"):
        return _torch(source, found)
    if found is Format.JOBLIB and (is_compressed(source.peek(0, 4096)) or unread_packing(source.peek(0, 32))):
        source = unpack(source)
    if head.startswith(b"\x93NUMPY"):
        return _objects(source)
    if found is Format.TORCH:  # the tensors' bytes follow
        return replace(pickles(source, most=_LEGACY_PICKLES), notes=())
    return pickles(source)


def pickles(source: Source, start: int = 0, *, most: int = 0) -> Facts:
    """Follow the pickles that a file begins with: `most` of them, or all."""
    trace = Trace(source, start, is_joblib=True)
    try:
        tensors = _followed(trace, most)
        if trace.arrays:
            _follow_plainly(trace, start, most)
    except HeaderError as error:
        bad = [*dict.fromkeys((*trace.dangers, *trace.doubts)), *dangerous(trace.imports.values())]
        also = f"; before that it imports {', '.join(bad[:3])}" if bad else ""
        raise HeaderError(f"{error}{also}") from error
    left = source.size - trace.position
    return _told(trace, tensors, (f"{left:,} bytes follow the last pickle",) if left else ())


def _followed(trace: Trace, most: int) -> list[Tensor]:
    """Follow pickles one after the other; the tensors of what they build."""
    tensors: list[Tensor] = []
    for count in range(1, _MAX_PICKLES + 1):
        tensors += tensors_in(trace.run())
        if count == most:
            return tensors
        rest = trace.source.part(trace.position, trace.source.size - trace.position)
        if not _starts_as_pickle(rest.peek(0, 4096), rest.size) and not may_be_pickle(rest):
            return tensors
    raise TooMuchError(f"more than {_MAX_PICKLES:,} pickles in one file")


def _follow_plainly(trace: Trace, start: int, most: int) -> None:
    """Follow it as plain `pickle` as well, which runs as opcodes what joblib's unpickler reads as an array.

    What it imports on the way counts, also where it breaks off, as it does in the first array of an honest file. One of
    objects takes it further: it reads its pickle with the wrong memo, and imports the `dtype` of whatever lies there.
    """
    plain = Trace(trace.source, start)
    try:
        _followed(plain, most)
    except (TooMuchError, TwoWaysError):
        raise
    except HeaderError:
        pass
    finally:
        trace.imports |= {name: found for name, found in plain.imports.items() if found.name != "dtype"}
        trace.dangers += plain.dangers


def may_be_pickle(source: Source) -> bool | None:
    """Whether plain `pickle` may call or change something before it breaks off; None where more bytes have to tell.

    Detection looks at the beginning of a file; this goes on for as long as an unpickler would.
    """
    if source.peek(0, 2) == b"PK":  # an object elsewhere, to an unpickler that nobody told where
        return False
    trace = Trace(source)
    try:
        trace.run()
    except TooMuchError:
        if not trace.has_called:
            raise
    except TwoWaysError:
        return True
    except BreaksOffError:
        return trace.has_called or None
    except HeaderError:
        pass
    return trace.has_called


def _told(trace: Trace, tensors: list[Tensor], notes: tuple[str, ...] = ()) -> Facts:
    return Facts(
        tensors=tuple(tensors),
        imports=tuple(sorted(trace.imports)),
        dangers=(*dict.fromkeys((*trace.dangers, *trace.doubts)), *dangerous(trace.imports.values())),
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
            inner = zips.opened(source, entry, MAX_UNPACKED)
            if inner.size < entry.size:
                refuse(f"{entry.name[:100]!r} has {entry.size:,} bytes, more than is read of a pickle")
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
