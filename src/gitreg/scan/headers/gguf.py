"""Read GGUF headers (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""

from __future__ import annotations

from gitreg.scan.headers.source import MAX_TENSORS, Facts, Source, Tensor, check_spans, checked_shape, name_of, refuse

# ggml_type → name, elements in a block, bytes of a block.
_DTYPES = {
    0: ("float32", 1, 4),
    1: ("float16", 1, 2),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34),
    9: ("q8_1", 32, 40),
    10: ("q2_k", 256, 84),
    11: ("q3_k", 256, 110),
    12: ("q4_k", 256, 144),
    13: ("q5_k", 256, 176),
    14: ("q6_k", 256, 210),
    15: ("q8_k", 256, 292),
    16: ("iq2_xxs", 256, 66),
    17: ("iq2_xs", 256, 74),
    18: ("iq3_xxs", 256, 98),
    19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18),
    21: ("iq3_s", 256, 110),
    22: ("iq2_s", 256, 82),
    23: ("iq4_xs", 256, 136),
    24: ("int8", 1, 1),
    25: ("int16", 1, 2),
    26: ("int32", 1, 4),
    27: ("int64", 1, 8),
    28: ("float64", 1, 8),
    29: ("iq1_m", 256, 56),
    30: ("bfloat16", 1, 2),
    34: ("tq1_0", 256, 54),
    35: ("tq2_0", 256, 66),
    39: ("mxfp4", 32, 17),
    40: ("nvfp4", 64, 36),
    41: ("q1_0", 128, 18),
}
_KNOWN_TYPES = 256  # a larger number is no type that ggml may yet get
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_MAX_KEYS = 65_536
_MAX_ARRAY = 16_000_000  # elements
_MAX_TEXT = 64 * 1024 * 1024  # bytes of a value, such as a chat template
_MAX_RANK = 4
_SHOWN = {"general.architecture": "architecture", "general.name": "name", "general.file_type": "file_type"}


def read(source: Source) -> Facts:
    """Check that the tensors lie in the file, aligned, without overlap."""
    reader = _Reader(source)
    if source.read(0, 4, "the magic") != b"GGUF":
        refuse("no GGUF at byte 0")
    version = source.number(4, "I", "the version")
    if version not in {2, 3}:
        refuse(f"version {version} of GGUF, want 2 or 3 with the bytes of a number in little-endian order")
    count, keys = source.number(8, "Q", "the number of tensors"), source.number(16, "Q", "the number of keys")
    if count > MAX_TENSORS or keys > _MAX_KEYS:
        refuse(f"{count:,} tensors and {keys:,} keys, at most {MAX_TENSORS:,} and {_MAX_KEYS:,} are read")
    reader.position = 24
    reader.pairs(keys)
    found = [reader.tensor() for _ in range(count)]
    if len({tensor.name for tensor, _, _ in found}) != count:
        refuse("two tensors have one name")
    _check_places(reader, found)
    details = {"gguf_version": version, **reader.details}
    return Facts(tensors=tuple(tensor for tensor, _, _ in found), details=details, notes=reader.notes(found))


def _check_places(reader: _Reader, found: list[tuple[Tensor, int, int | None]]) -> None:
    source, alignment = reader.source, reader.alignment
    data = -(-reader.position // alignment) * alignment
    if found and data > source.size:
        refuse(f"the tensors would begin at byte {data} of {source.size}: truncated")
    spans = []
    for tensor, offset, size in found:
        if offset % alignment:
            refuse(f"tensor {tensor.name!r} is not aligned to {alignment} bytes")
        spans.append((offset, offset + (size or 0), tensor.name))
    check_spans(spans, max(source.size - data, 0))


class _Reader:
    """A place in the header, and what was read so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.position = 0
        self.alignment = 32
        self.details: dict[str, str | int] = {}

    def number(self, kind: str, width: int, what: str) -> int:
        found = self.source.number(self.position, kind, what)
        self.position += width
        return found

    def text(self, what: str, limit: int = _MAX_TEXT) -> bytes:
        length = self.number("Q", 8, what)
        if length > limit:
            refuse(f"{what} of {length:,} bytes, at most {limit:,} are read")
        data = self.source.read(self.position, length, what)
        self.position += length
        return data

    def pairs(self, count: int) -> None:
        """Read the keys and values; few of them matter, but each tells where the next begins."""
        seen = set()
        for _ in range(count):
            key = name_of(self.text("a key", 65_535), "a key")
            if key in seen:
                refuse(f"the key {key!r} is there twice")
            seen.add(key)
            kind = self.number("I", 4, f"the type of {key}")
            value = self.value(kind, key, 0)
            if key == "general.alignment":
                self.alignment = value if isinstance(value, int) else 0
            elif key in _SHOWN and isinstance(value, str | int):
                self.details[_SHOWN[key]] = value[:80] if isinstance(value, str) else value
        if self.alignment < 8 or self.alignment % 8 or self.alignment > 1 << 20:  # noqa: PLR2004 - as the format asks
            refuse(f"general.alignment is {self.alignment}, want a multiple of 8")

    def value(self, kind: int, key: str, depth: int) -> str | int | None:
        if kind == _STRING:
            return self.text(f"the value of {key}").decode("utf-8", "replace")
        if kind == _ARRAY:
            self.array(key, depth)
            return None
        width = _SIZES.get(kind)
        if width is None:
            refuse(f"{key} has the unknown type {kind}")
        raw = self.source.read(self.position, width, f"the value of {key}")
        self.position += width
        return int.from_bytes(raw, "little") if kind not in {6, 12} else None

    def array(self, key: str, depth: int) -> None:
        kind = self.number("I", 4, f"the type of {key}")
        count = self.number("Q", 8, f"the length of {key}")
        if count > _MAX_ARRAY or depth > _MAX_RANK:
            refuse(f"{key} is a list of {count:,} values, {depth + 1} deep: more than is read")
        if kind in _SIZES:
            self.position += count * _SIZES[kind]
            if self.position > self.source.size:
                refuse(f"{key} would end at byte {self.position} of {self.source.size}: truncated")
            return
        for _ in range(count):
            if kind == _STRING:
                self.text(f"a value of {key}")
            else:
                self.value(kind, key, depth + 1)

    def tensor(self) -> tuple[Tensor, int, int | None]:
        """Read a tensor, its offset, and its bytes where its type is known."""
        name = name_of(self.text("a tensor's name", 1_024), "a tensor")
        rank = self.number("I", 4, f"the rank of {name}")
        if rank > _MAX_RANK:
            refuse(f"tensor {name!r} has {rank} dimensions, at most {_MAX_RANK} are read")
        sizes = [self.number("Q", 8, f"the shape of {name}") for _ in range(rank)]
        shape = checked_shape(name, reversed(sizes))  # ggml counts the innermost dimension first
        kind = self.number("I", 4, f"the type of {name}")
        offset = self.number("Q", 8, f"the offset of {name}")
        if kind not in _DTYPES:
            if kind >= _KNOWN_TYPES:
                refuse(f"tensor {name!r} has the unknown type {kind}")
            return Tensor(name, f"ggml type {kind}", shape), offset, None
        dtype, block, width = _DTYPES[kind]
        if sizes and sizes[0] % block:
            refuse(f"tensor {name!r} has rows of {sizes[0]:,} elements, not whole blocks of {block}")
        tensor = Tensor(name, dtype, shape)
        return tensor, offset, tensor.elements // block * width

    def notes(self, found: list[tuple[Tensor, int, int | None]]) -> tuple[str, ...]:
        unknown = sorted({tensor.dtype for tensor, _, size in found if size is None})
        return (f"{', '.join(unknown)}: sizes are not checked",) if unknown else ()
