"""Hold the name of a file against its content."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from gitreg.scan.formats import Format
from gitreg.scan.headers.source import refuse

if TYPE_CHECKING:
    from gitreg.scan.headers.source import Source

_NAMED = {
    ".safetensors": {Format.SAFETENSORS},
    ".onnx": {Format.ONNX},
    ".gguf": {Format.GGUF},
    ".npy": {Format.NUMPY},
    ".npz": {Format.NPZ},
    ".keras": {Format.KERAS},
    ".h5": {Format.HDF5},
    ".hdf5": {Format.HDF5},
    ".tflite": {Format.TFLITE},
    ".mlmodel": {Format.COREML},
    ".pt": {Format.TORCH, Format.TORCHSCRIPT},
    ".pth": {Format.TORCH, Format.TORCHSCRIPT},
    ".zip": {Format.ZIP},
    ".tar": {Format.TAR},
}
_LFS = b"version https://git-lfs.github.com/spec/"
_DAMAGED = {Format.OTHER, Format.TEXT, Format.ZIP}


def check_name(source: Source, found: Format, name: str) -> None:
    """Refuse a file that is nothing, where its name says what it was; one that is something else is what it is."""
    if source.peek(0, len(_LFS)) == _LFS:
        refuse("this is Git LFS's pointer to the file, not the file: run `git lfs pull`")
    wanted = _NAMED.get(PurePath(name).suffix.lower(), {found})
    if found not in wanted and found in _DAMAGED:
        words = " or ".join(sorted(wanted))
        refuse(f"its name says {words}, its content does not: truncated, damaged or something else")
