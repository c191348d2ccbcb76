"""Read a safetensors header (https://github.com/huggingface/safetensors#format)."""

from __future__ import annotations

from typing import Any

from gitreg.scan.formats import is_bounded_json
from gitreg.scan.headers.source import (
    MAX_TENSORS,
    Facts,
    Source,
    Tensor,
    bytes_of,
    check_spans,
    checked_shape,
    name_of,
    refuse,
)

MAX_JSON = 100_000_000  # bytes of the header, as the library's own limit
_DTYPES = {
    "BOOL": ("bool", 8),
    "F4": ("float4", 4),
    "F6_E2M3": ("float6_e2m3", 6),
    "F6_E3M2": ("float6_e3m2", 6),
    "U8": ("uint8", 8),
    "I8": ("int8", 8),
    "F8_E5M2": ("float8_e5m2", 8),
    "F8_E4M3": ("float8_e4m3", 8),
    "F8_E8M0": ("float8_e8m0", 8),
    "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8),
    "I16": ("int16", 16),
    "U16": ("uint16", 16),
    "F16": ("float16", 16),
    "BF16": ("bfloat16", 16),
    "I32": ("int32", 32),
    "U32": ("uint32", 32),
    "F32": ("float32", 32),
    "C64": ("complex64", 64),
    "F64": ("float64", 64),
    "I64": ("int64", 64),
    "U64": ("uint64", 64),
}
_KEYS = {"dtype", "shape", "data_offsets"}


def read(source: Source) -> Facts:
    """Check that the tensors are what the header says and fill the rest of the file, without gap or overlap."""
    length = source.number(0, "Q", "the header's length")
    if length > MAX_JSON:
        refuse(f"the header says that it has {length:,} bytes, at most {MAX_JSON:,} are read")
    header = _parse(source.read(8, length, "the header"))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        refuse("__metadata__ is not a mapping of text to text")
    if len(header) > MAX_TENSORS:
        refuse(f"{len(header):,} tensors, at most {MAX_TENSORS:,} are read")
    data = source.size - 8 - length
    spans = []
    tensors = []
    for name, entry in header.items():
        tensor, start, end = _tensor(name, entry)
        tensors.append(tensor)
        spans.append((start, end, name))
    check_spans(spans, data)
    if (named := sum(end - start for start, end, _ in spans)) != data:
        refuse(f"the tensors have {named:,} bytes, but {data:,} follow the header")
    details: dict[str, str | int] = {"framework": metadata["format"][:40]} if metadata.get("format") else {}
    return Facts(tensors=tuple(tensors), details=details)


def _parse(data: bytes) -> dict[str, Any]:
    import json

    if not data.startswith(b"{"):
        refuse("the header does not begin with {")
    if not is_bounded_json(data):
        refuse(f"the header has more lists and items than {MAX_TENSORS:,} tensors need")
    try:
        header = json.loads(data.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        refuse(f"the header is not JSON: {str(error)[:100]}")
    return header if isinstance(header, dict) else refuse("the header is not a mapping")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            refuse(f"{name[:80]!r} is there twice")
        found[name] = value
    return found


def _tensor(name: str, entry: object) -> tuple[Tensor, int, int]:
    name_of(name.encode("utf-8", "surrogatepass"), "a tensor")
    if not isinstance(entry, dict) or entry.keys() != _KEYS or not isinstance(entry["shape"], list):
        refuse(f"tensor {name!r} is not described by dtype, shape and data_offsets")
    shape = checked_shape(name, entry["shape"])
    dtype, bits = _DTYPES.get(str(entry["dtype"]), ("", 0))
    if not bits:
        refuse(f"tensor {name!r} has the unknown dtype {str(entry['dtype'])[:40]!r}")
    offsets = entry["data_offsets"]
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(each) is int for each in offsets)):  # noqa: PLR2004
        refuse(f"tensor {name!r} has no data_offsets of a start and an end")
    start, end = offsets
    tensor = Tensor(name, dtype, shape)
    if not 0 <= start <= end or end - start != bytes_of(tensor.elements, bits):
        refuse(f"tensor {name!r} of {tensor.elements:,} {dtype} cannot have the bytes {start} to {end}")
    return tensor, start, end
