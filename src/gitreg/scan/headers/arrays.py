"""Read NumPy's array headers (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html)."""

from __future__ import annotations

import re
from typing import cast

from gitreg.scan.headers.source import Facts, Source, Tensor, checked_shape, name_of, refuse

MAGIC = b"\x93NUMPY"
_MAX_HEADER = 65_536
_MAX_ARRAYS = 1_000  # one after the other in one file
_MAX_FIELDS = 10_000
_KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float", "c": "complex", "M": "datetime", "m": "timedelta"}
_TEXTS = {"S": "bytes", "a": "bytes", "U": "str", "V": "void"}


def read(source: Source, name: str = "array") -> Facts:
    """Check that the arrays fill the file exactly."""
    tensors: list[Tensor] = []
    position = 0
    while position < source.size or not tensors:
        if len(tensors) >= _MAX_ARRAYS:
            refuse(f"more than {_MAX_ARRAYS:,} arrays in one file")
        tensor, start, size = array_at(source, position, name if not tensors else f"{name}.{len(tensors)}")
        if start + size > source.size:
            refuse(f"array {name!r} would end at byte {start + size} of {source.size}: truncated")
        tensors.append(tensor)
        position = start + size
    return Facts(tensors=tuple(tensors))


def array_at(source: Source, position: int, name: str) -> tuple[Tensor, int, int]:
    """Read the header of an array: the array, where its data starts, and how many bytes they are."""
    magic = source.read(position, 8, "an array's header")
    if not magic.startswith(MAGIC):
        refuse(f"byte {position}: {source.size - position:,} bytes that are no array")
    if magic[6] not in {1, 2, 3} or magic[7]:
        refuse(f"byte {position}: an array of format {magic[6]}.{magic[7]}")
    wide = magic[6] > 1
    length = source.number(position + 8, "I" if wide else "H", "the length of an array's header")
    if length > _MAX_HEADER:
        refuse(f"an array's header of {length:,} bytes, at most {_MAX_HEADER:,} are read")
    start = position + (12 if wide else 10)
    return (*_described(source.read(start, length, "an array's header"), name, start + length),)


def _described(data: bytes, name: str, start: int) -> tuple[Tensor, int, int]:
    import ast

    name_of(name.encode("utf-8", "replace"), "an array")
    try:
        header = ast.literal_eval(data.decode("utf-8").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        refuse(f"the header of array {name!r} is no description of an array")
    if not isinstance(header, dict) or header.keys() != {"descr", "fortran_order", "shape"}:
        refuse(f"the header of array {name!r} is no description of an array")
    if not isinstance(header["shape"], tuple) or not isinstance(header["fortran_order"], bool):
        refuse(f"the header of array {name!r} has no shape and order")
    shape = checked_shape(name, header["shape"])
    dtype, size = dtype_of(header["descr"])
    tensor = Tensor(name, dtype, shape)
    return tensor, start, tensor.elements * size


def dtype_of(descr: object, depth: int = 0) -> tuple[str, int]:
    """Name a dtype and count its bytes; HeaderError where it holds Python objects or makes no sense."""
    if isinstance(descr, str):
        return _simple(descr)
    if isinstance(descr, tuple) and len(descr) == 2 and depth:  # noqa: PLR2004 - a dtype and a shape
        base, size = dtype_of(descr[0], depth + 1)
        sizes = descr[1] if isinstance(descr[1], tuple) else (descr[1],)
        return base, size * Tensor("", base, checked_shape("", sizes)).elements
    if not isinstance(descr, list) or depth > 8 or len(descr) > _MAX_FIELDS:  # noqa: PLR2004 - records in records
        refuse("a dtype that is none")
    return "record", sum(_field_size(each, depth) for each in descr)


def _field_size(entry: object, depth: int) -> int:
    if not isinstance(entry, tuple) or len(entry) not in {2, 3}:
        refuse("a record's field without a name and a dtype")
    kind = entry[1] if len(entry) == 2 else (entry[1], cast("tuple[object, ...]", entry)[2])  # noqa: PLR2004
    return dtype_of(kind, depth + 1)[1]


def _simple(text: str) -> tuple[str, int]:
    if re.fullmatch(r"[|<>=]?(?:O[0-9]*|object_?)", text):
        refuse("an array of Python objects, which is a pickle")
    found = re.fullmatch(r"[|<>=]?([biufcmMSaUV?])([0-9]{0,9})(?:\[[0-9A-Za-z/]{1,16}\])?", text)
    if not found or (not found[2] and found[1] not in "?SaUV"):
        refuse(f"the unknown dtype {text[:40]!r}")
    kind, count = found[1], int(found[2] or ("1" if found[1] == "?" else "0"))
    if kind in _TEXTS:
        return _TEXTS[kind], count * (4 if kind == "U" else 1)
    if count not in {1, 2, 4, 8, 12, 16, 24, 32}:
        refuse(f"the unknown dtype {text[:40]!r}")
    word = _KINDS.get(kind, "bool")
    return (word if word == "bool" else f"{word}{count * 8}"), count
