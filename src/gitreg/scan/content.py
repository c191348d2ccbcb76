"""Tell what a file is from its content.

Nothing is loaded and nothing is run: bounded parts of a file are read, whatever its headers claim. An extension only
breaks ties between formats that the content allows.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePath
from typing import BinaryIO, cast

from gitreg.errors import GitregError, InvalidError, NotFoundError, UnavailableError
from gitreg.scan.archives import numpy_format, packed_format, tar_format, zip_format
from gitreg.scan.formats import HEAD, Format, Sample, is_bounded_json
from gitreg.scan.pickles import pickle_format

_MAX_HEADER = 16 * 1024 * 1024  # bytes of a safetensors header: more than 100,000 tensors
_MAX_JSON = 4 * 1024 * 1024  # bytes that are parsed whole; a longer file is JSON by its extension
_MAX_FIELDS = 10_000  # at the top of an ONNX or Core ML file


def detect(path: Path) -> Format:
    """Tell the format of a file from its content.

    NotFoundError, UnavailableError: it cannot be read. InvalidError: it is no regular file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidError(f"{str(path)!r} is not a regular file")
        with path.open("rb") as file:
            return detect_file(file, path.name)
    except OSError as error:
        raise unreadable(path, error) from error


def detect_file(file: BinaryIO, name: str, size: int = -1) -> Format:
    """Tell the format of an open, seekable file; its position afterwards is anywhere.

    Of a file that was unpacked in part, `size` says how many bytes it has.
    """
    size = file.seek(0, os.SEEK_END) if size < 0 else size
    file.seek(0)
    sample = Sample(file, file.read(HEAD), size, PurePath(name).suffix.lower())
    return next((found for probe in _PROBES if (found := probe(sample))), Format.OTHER)


def unreadable(path: Path, error: OSError) -> GitregError:
    """Describe a failure to read a file."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFoundError(f"{str(path)!r} does not exist")
    return UnavailableError(f"cannot read {str(path)!r}: {error.strerror}")


def _safetensors(sample: Sample) -> Format | None:
    """Check the header's length, its JSON, and that its tensors fill the rest of the file exactly.

    https://github.com/huggingface/safetensors#format. It comes before the pickles: a header of 640 bytes begins as one.
    """
    length = int.from_bytes(sample.head[:8], "little")
    data = sample.size - 8 - length
    if sample.head[8:9] != b"{" or not 1 < length <= _MAX_HEADER or data < 0:
        return None
    header = _json(sample.read(8, length))
    if not isinstance(header, dict):
        return None
    header.pop("__metadata__", None)
    spans = [_span(tensor) for tensor in header.values()]
    known = [span for span in spans if span]
    whole = sum(end - start for start, end in known) == data == max((end for _, end in known), default=0)
    return Format.SAFETENSORS if whole and len(known) == len(spans) else None


def _span(tensor: object) -> tuple[int, int] | None:
    offsets = tensor.get("data_offsets") if isinstance(tensor, dict) and {"dtype", "shape"} <= tensor.keys() else None
    match offsets:
        case [int(start), int(end)] if 0 <= start <= end:
            return start, end
    return None


def _json(data: bytes) -> object:
    import json

    if not is_bounded_json(data):
        return None
    try:
        return cast("object", json.loads(data))
    except (ValueError, RecursionError):
        return None


def _magic(sample: Sample) -> Format | None:
    head = sample.head
    if head.startswith(b"GGUF") and 0 < int.from_bytes(head[4:8], "little") < 1 << 16:
        return Format.GGUF
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return Format.HDF5
    if head[4:8] == b"TFL3":
        return Format.TFLITE
    return None


def _protobuf(sample: Sample) -> Format | None:
    """Tell ONNX's ModelProto and Core ML's Model by the fields at their top, which must end with the file.

    https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, https://apple.github.io/coremltools/mlmodel/Format/Model.html
    """
    fields = _fields(sample) if sample.head[:1] == b"\x08" else {}
    if not 0 < fields.get(1, 0) < _MAX_FORMAT_VERSION:
        return None
    if 7 in fields and fields.keys() <= _ONNX_FIELDS:  # noqa: PLR2004 - ModelProto.graph
        return Format.ONNX
    others = fields.keys() - {1, 2, 10}
    if 2 in fields and others and all(number in _COREML_TYPES for number in others):  # noqa: PLR2004 - its description
        return Format.COREML
    return None


_MAX_FORMAT_VERSION = 100
_ONNX_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
_COREML_TYPES = range(200, 3001)


def _fields(sample: Sample) -> dict[int, int]:
    """Walk the fields at the top of a protobuf message: number → value or length; empty where it is none."""
    fields: dict[int, int] = {}
    position = 0
    for _ in range(_MAX_FIELDS):
        if position >= sample.size:
            return fields if position == sample.size else {}
        window = sample.read(position, 20)
        key, used = _varint(window, 0)
        value, after = _varint(window, used)
        wire = key & 7
        length = {0: after, 1: used + 8, 2: after + value, 5: used + 4}.get(wire)
        if not used or length is None or (wire in {0, 2} and not after):
            return {}
        fields[key >> 3] = value
        position += length
    return {}


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """Read a base-128 number and the place after it; 0, 0 where there is none."""
    value = 0
    for index, byte in enumerate(data[start : start + 10]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:  # noqa: PLR2004
            return value, start + index + 1
    return 0, 0


def _text(sample: Sample) -> Format | None:
    if not _is_text(sample):
        return None
    text = sample.head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _is_json(sample, text):
        return Format.JSON
    if text.startswith((b"<?xml", b"<net")) and _is_openvino(text):
        return Format.OPENVINO
    if sample.suffix in {".yaml", ".yml"} or text.startswith((b"---\n", b"%YAML")):
        return Format.YAML
    return Format.TEXT


def _is_text(sample: Sample) -> bool:
    """Whether the first bytes are UTF-8 without control characters that no text has."""
    head = sample.head
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if len(head) == sample.size or error.start < len(head) - 3:  # not a character that the sample cuts
            return False
    return bool(head) and not _CONTROLS.intersection(head)


_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1b") | {0x7F}


def _is_json(sample: Sample, text: bytes) -> bool:
    begins = text.startswith((b"{", b"["))
    if sample.size > _MAX_JSON:
        return begins and sample.suffix == ".json"
    return (begins or sample.suffix == ".json") and _json(sample.read(0, sample.size)) is not None


def _is_openvino(text: bytes) -> bool:
    import re

    # The root of OpenVINO's intermediate representation, after an XML declaration and comments.
    return bool(re.match(rb"(?:<\?xml[^>]*\?>\s*)?(?:<!--[^>]*-->\s*)*<net\s[^>]*version=", text[:4096]))


# In this order: a safetensors header can look like a pickle, and a file that a pickle hides in is a pickle.
_PROBES = (
    _safetensors,
    pickle_format,
    _magic,
    numpy_format,
    zip_format,
    packed_format,
    tar_format,
    _protobuf,
    _text,
)
