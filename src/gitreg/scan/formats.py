"""Name the formats of files, and say which run code when they are loaded."""

from __future__ import annotations

from enum import StrEnum
from typing import BinaryIO

from gitreg.records import dataclass


class Format(StrEnum):
    """What a file is, in the words of the manifest's schema."""

    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    GGUF = "gguf"
    NUMPY = "numpy"
    NPZ = "npz"
    KERAS = "keras"
    HDF5 = "hdf5"
    TFLITE = "tflite"
    COREML = "coreml"
    OPENVINO = "openvino"
    TORCHSCRIPT = "torchscript"
    PICKLE = "pickle"
    TORCH = "torch"
    JOBLIB = "joblib"
    ZIP = "zip"
    TAR = "tar"
    JSON = "json"
    YAML = "yaml"
    TEXT = "text"
    OTHER = "other"


# What runs its author's code when it is loaded. TorchScript is here: its unpickler builds only known types, but a
# module's `__setstate__` is a program in the archive, which runs while it loads and can write files. Keras and HDF5 are
# not: today's loaders refuse the functions that they may hold unless told otherwise. A NumPy file of Python objects is
# reported as a pickle, which it is.
PICKLES = frozenset({Format.PICKLE, Format.TORCH, Format.JOBLIB, Format.TORCHSCRIPT})

HEAD = 64 * 1024  # bytes that most formats are told by


_MAX_LISTS = 700_000  # lists and mappings: three for each of 200,000 tensors, and brackets in names
_MAX_ITEMS = 4_000_000


def is_bounded_json(data: bytes) -> bool:
    """Whether JSON has so few lists, mappings and items that what is read of it fits into 200 MB; to ask before."""
    return data.count(b"[") + data.count(b"{") <= _MAX_LISTS and data.count(b",") <= _MAX_ITEMS


@dataclass(frozen=True, slots=True)
class Sample:
    """An open file with its first bytes, its size and its extension (`.pt`, in lower case)."""

    file: BinaryIO
    head: bytes
    size: int
    suffix: str

    def read(self, start: int, count: int) -> bytes:
        """Read up to `count` bytes from a place in the file."""
        self.file.seek(start)
        return self.file.read(count)
