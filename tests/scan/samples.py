"""Small model files of every format, made by hand where no package writes them."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save

from gitreg.scan import inspect_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitreg.scan import Inspection

FILES = Path(__file__).parent / "files"


def inspected(data: bytes, name: str = "file") -> Inspection:
    return inspect_file(io.BytesIO(data), name)


def problem_of(data: bytes, name: str = "file") -> str:
    found = inspected(data, name)
    assert found.problem is not None, found
    return found.problem


# --- safetensors ---


def safetensors(header: object, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def tensor(start: object, end: object, dtype: str = "U8", shape: object = None) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape if shape is not None else [4], "data_offsets": [start, end]}


SAFETENSORS = save({"w": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.zeros(3, dtype=np.float16)})

# --- protobuf ---


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def onnx_tensor(name: str, dims: list[int], raw: bytes, kind: int = 1, more: bytes = b"") -> bytes:
    return (
        b"".join(field(1, dim) for dim in dims)
        + field(2, kind)
        + field(8, name)
        + (field(9, raw) if raw else b"")
        + more
    )


def onnx_value(name: str, kind: int, dims: list[int | str | None]) -> bytes:
    shape = b"".join(
        field(1, b"" if dim is None else field(1, dim) if isinstance(dim, int) else field(2, dim)) for dim in dims
    )
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def onnx(*tensors: bytes, graph: bytes = b"") -> bytes:
    inner = (
        b"".join(field(5, each) for each in tensors)
        + field(11, onnx_value("x", 1, ["batch", 3, None]))
        + field(11, onnx_value("w", 1, [2, 3]))
        + field(12, onnx_value("y", 7, ["batch", 2]))
        + graph
    )
    opset = field(8, field(1, "") + field(2, 18))
    return field(1, 10) + field(2, "by hand") + opset + field(7, field(2, "g") + inner)


ONNX = onnx(onnx_tensor("w", [2, 3], bytes(24)))


def external(location: str, *, offset: str = "0", length: str = "24") -> bytes:
    rows = {"location": location, "offset": offset, "length": length}
    entries = b"".join(field(13, field(1, key) + field(2, value)) for key, value in rows.items())
    return onnx(onnx_tensor("w", [2, 3], b"", more=entries + field(14, 1)))


def coreml() -> bytes:
    array = field(1, varint(1) + varint(224)) + field(2, 65568)
    feature = field(1, "image") + field(3, field(5, array))
    output = field(1, "label") + field(3, field(3, b""))
    return field(1, 7) + field(2, field(1, feature) + field(10, output)) + field(500, bytes(40))


# --- GGUF ---


def gguf_text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf(
    tensors: list[tuple[str, list[int], int, int]] | None = None,
    data: int = 64,
    *,
    version: int = 3,
    count: int | None = None,
    keys: int | None = None,
    pairs: bytes = b"",
) -> bytes:
    rows = [("w", [4, 2], 0, 0), ("q", [32], 8, 32)] if tensors is None else tensors
    own = gguf_text("general.architecture") + struct.pack("<I", 8) + gguf_text("llama")
    own += gguf_text("tokens") + struct.pack("<IIQ", 9, 8, 2) + gguf_text("a") + gguf_text("b")
    head = b"GGUF" + struct.pack("<IQQ", version, len(rows) if count is None else count, 2 if keys is None else keys)
    head += own + pairs
    for name, sizes, kind, offset in rows:
        head += gguf_text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)
    return head + bytes(-len(head) % 32) + bytes(data)


GGUF = gguf(data=32 + 34)

# --- arrays and archives ---


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(members: Mapping[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload] # a mode that is no literal
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


# --- OpenVINO ---

OPENVINO = b"""<?xml version="1.0"?>
<net name="m" version="11"><layers>
<layer id="0" name="x" type="Parameter"><data shape="?,3" element_type="f32"/>
<output><port id="0" precision="FP32" names="x"><dim>-1</dim><dim>3</dim></port></output></layer>
<layer id="1" name="w" type="Const"><data element_type="f16" shape="2,3" offset="0" size="12"/>
<output><port id="0" precision="FP16"><dim>2</dim><dim>3</dim></port></output></layer>
<layer id="2" name="y/sink" type="Result"><input><port id="0"><dim>-1</dim><dim>2</dim></port></input></layer>
</layers><edges><edge from-layer="0" from-port="0" to-layer="2" to-port="0"/></edges></net>
"""

GOOD: dict[str, bytes] = {
    "model.safetensors": SAFETENSORS,
    "model.onnx": ONNX,
    "model.gguf": GGUF,
    "model.mlmodel": coreml(),
    "model.xml": OPENVINO,
    "array.npy": npy(np.zeros((2, 3), dtype=np.float32)),
    "record.npy": npy(np.zeros(3, dtype=[("a", "f4"), ("b", "i8", (2,))])),
    "weights.npz": npz(w=np.zeros((2, 3)), b=np.zeros(3)),
    "model.tar": tarred({"a/model.onnx": ONNX, "card.md": b"# card\n"}),
    "model.tar.gz": tarred({"model.gguf": GGUF}, "w:gz"),
    "model.zip": zipped({"model.safetensors": SAFETENSORS}, zipfile.ZIP_DEFLATED),
    "tiny.tflite": (FILES / "tiny.tflite").read_bytes(),
    "old.h5": (FILES / "old.h5").read_bytes(),
    "new.h5": (FILES / "new.h5").read_bytes(),
    "model.keras": zipped(
        {"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": (FILES / "new.h5").read_bytes()}
    ),
}
