"""Read TensorFlow Lite models, which are flatbuffers (https://flatbuffers.dev/internals/)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.scan.headers.source import (
    MAX_RANK,
    MAX_TENSORS,
    Facts,
    Source,
    Tensor,
    bytes_of,
    checked_shape,
    name_of,
    refuse,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

# TensorType of tensorflow/compiler/mlir/lite/schema/schema.fbs → name, bits of an element (0: no fixed size).
_DTYPES = {
    0: ("float32", 32),
    1: ("float16", 16),
    2: ("int32", 32),
    3: ("uint8", 8),
    4: ("int64", 64),
    5: ("string", 0),
    6: ("bool", 8),
    7: ("int16", 16),
    8: ("complex64", 64),
    9: ("int8", 8),
    10: ("float64", 64),
    11: ("complex128", 128),
    12: ("uint64", 64),
    13: ("resource", 0),
    14: ("variant", 0),
    15: ("uint32", 32),
    16: ("uint16", 16),
    17: ("int4", 4),
    18: ("bfloat16", 16),
    19: ("int2", 2),
}
_MAX_VECTOR = 2_000_000  # entries of a list of tables or numbers
_MAX_GRAPHS = 10_000


def read(source: Source) -> Facts:
    """Read the tensors of all subgraphs, and the inputs and outputs of the first."""
    if source.size > 1 << 31:
        refuse("a flatbuffer of more than 2 GiB, which offsets of 32 bits cannot reach")
    if source.read(4, 4, "the identifier") != b"TFL3":
        refuse("no TFL3 at byte 4")
    model = _Table(source, source.number(0, "I", "the root"))
    buffers = model.tables(4)
    sizes = [_Buffer(source, buffer) for buffer in buffers]
    graphs = model.tables(2)
    if not graphs or len(graphs) > _MAX_GRAPHS:
        refuse(f"{len(graphs):,} subgraphs, want 1 to {_MAX_GRAPHS:,}")
    tensors: list[Tensor] = []
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    for index, graph in enumerate(graphs):
        named = [_tensor(source, table, sizes) for table in graph.tables(0)]
        if not index:
            inputs, outputs = (_chosen(named, graph.numbers(slot)) for slot in (1, 2))
        tensors += [tensor for tensor, is_stored in named if is_stored]
        if len(tensors) > MAX_TENSORS:
            refuse(f"more than {MAX_TENSORS:,} tensors")
    details: dict[str, str | int] = {"schema_version": model.scalar(0, "I", 0), "subgraphs": len(graphs)}
    return Facts(tensors=tuple(tensors), inputs=inputs, outputs=outputs, details=details)


class _Table:
    """A table of a flatbuffer: fields found through its table of offsets."""

    def __init__(self, source: Source, position: int) -> None:
        self.source = source
        self.position = position
        back: int = source.number(position, "i", "a table")
        offsets = position - back
        length = source.number(offsets, "H", "a table's offsets")
        if length < 4 or length % 2 or length > 1024:  # noqa: PLR2004 - a model has at most a dozen fields
            refuse(f"byte {offsets}: a table's offsets of {length} bytes")
        self._offsets = source.read(offsets, length, "a table's offsets")

    def field(self, slot: int) -> int | None:
        """Say where a field lies, or None where the table leaves it out."""
        at = 4 + 2 * slot
        offset = int.from_bytes(self._offsets[at : at + 2], "little")
        return self.position + offset if offset else None

    def scalar(self, slot: int, kind: str, default: int) -> int:
        at = self.field(slot)
        return default if at is None else self.source.number(at, kind, "a table's field")

    def vector(self, slot: int, width: int) -> tuple[int, int] | None:
        """Say where a vector's entries begin, and how many there are; all lie in the file."""
        at = self.field(slot)
        if at is None:
            return None
        start = at + self.source.number(at, "I", "a vector")
        count = self.source.number(start, "I", "a vector's length")
        if start + 4 + count * width > self.source.size:
            refuse(f"the vector at byte {start} would end at byte {start + 4 + count * width} of {self.source.size}")
        return start + 4, count

    def tables(self, slot: int) -> list[_Table]:
        start, count = self._bounded(slot)
        positions = (start + 4 * index for index in range(count))
        return [_Table(self.source, at + self.source.number(at, "I", "a table")) for at in positions]

    def numbers(self, slot: int) -> Sequence[int]:
        import struct

        start, count = self._bounded(slot)
        return struct.unpack(f"<{count}i", self.source.read(start, count * 4, "a vector"))

    def _bounded(self, slot: int) -> tuple[int, int]:
        start, count = self.vector(slot, 4) or (0, 0)
        if count > _MAX_VECTOR:
            refuse(f"the vector at byte {start} has {count:,} entries, at most {_MAX_VECTOR:,} are read")
        return start, count


class _Buffer:
    """How many bytes a buffer holds, in the flatbuffer or behind it."""

    def __init__(self, source: Source, table: _Table) -> None:
        offset, size = table.scalar(1, "Q", 0), table.scalar(2, "Q", 0)
        if offset > 1:  # written after the flatbuffer; 1 is a placeholder
            if offset + size > source.size:
                refuse(f"a buffer would end at byte {offset + size} of {source.size}: truncated")
            self.size = size
        else:
            self.size = (table.vector(0, 1) or (0, 0))[1]


def _tensor(source: Source, table: _Table, buffers: list[_Buffer]) -> tuple[Tensor, bool]:
    """Read a tensor, and whether the file holds its numbers; their bytes are checked, unless they are packed."""
    start, count = table.vector(3, 1) or (0, 0)
    name = name_of(source.read(start, min(count, 2_000), "a tensor's name"), "a tensor")
    dtype, bits = _DTYPES.get(table.scalar(1, "B", 0), ("", 0))
    if not dtype:
        refuse(f"tensor {name!r} has the unknown type {table.scalar(1, 'B', 0)}")
    sizes: Sequence[int] = table.numbers(0)
    free = table.numbers(7) or sizes
    if len(sizes) > MAX_RANK:
        refuse(f"tensor {name!r} has {len(sizes)} dimensions, at most {MAX_RANK} are read")
    index = table.scalar(2, "I", 0)
    if index >= max(len(buffers), 1):
        refuse(f"tensor {name!r} lies in buffer {index} of {len(buffers)}")
    held = buffers[index].size if buffers else 0
    if not held:
        return Tensor(name, dtype, tuple(size if size >= 0 else None for size in free)), False
    tensor = Tensor(name, dtype, checked_shape(name, sizes))
    is_sparse = table.field(6) is not None
    if bits and not is_sparse and held != bytes_of(tensor.elements, bits):
        refuse(f"tensor {name!r} of {tensor.elements:,} {dtype} has {held:,} bytes")
    return tensor, True


def _chosen(tensors: list[tuple[Tensor, bool]], indices: Sequence[int]) -> tuple[Tensor, ...]:
    if any(not 0 <= index < len(tensors) for index in indices):
        refuse(f"an input or output is none of the {len(tensors):,} tensors")
    return tuple(tensors[index][0] for index in indices)
