"""Look into archives, compressed files and NumPy arrays, for what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

from gitreg.scan.compressed import beginning, has_magic, unread_packing
from gitreg.scan.formats import HEAD, Format, Sample
from gitreg.scan.pickles import PICKLE_SUFFIXES, is_pickle

if TYPE_CHECKING:
    import zipfile

_MAX_DIRECTORY = 4 * 1024 * 1024  # bytes of a zip file: about 50,000 entries
_MAX_NPY_HEADER = 10_000  # bytes, as NumPy itself
_MAX_ARRAYS = 1_000  # of an npz file


def numpy_format(sample: Sample) -> Format | None:
    """Tell a NumPy array; one of Python objects is a pickle."""
    if not sample.head.startswith(b"\x93NUMPY"):
        return None
    return Format.PICKLE if holds_objects(sample.head) else Format.NUMPY


def holds_objects(head: bytes) -> bool:
    """Whether an array's header names Python objects, which NumPy pickles, or cannot be understood.

    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    import ast
    import re

    start = 10 if head[6:7] == b"\1" else 12
    length = int.from_bytes(head[8:start], "little")
    if length > _MAX_NPY_HEADER:
        return True
    try:
        header = ast.literal_eval(head[start : start + length].decode("utf-8").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return True
    kind = repr(header.get("descr")) if isinstance(header, dict) else ""
    return not kind or bool(re.search(r"'[|<>=]?(?:O[0-9]*|object_?)'", kind))


def zip_format(sample: Sample) -> Format | None:
    """Tell what a zip file holds: a PyTorch or Keras model, NumPy arrays, or something else."""
    if sample.head[:4] not in {b"PK\3\4", b"PK\5\6"}:
        return None
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(cast("BinaryIO", _Bounded(sample))) as archive:
            return _in_zip(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError):  # damaged, encrypted or too much
        return Format.TORCH if sample.suffix in {".pt", ".pth", ".ckpt"} else Format.ZIP


class _Bounded:
    """A file for `zipfile`, which would read a central directory of any size into memory."""

    def __init__(self, sample: Sample) -> None:
        self._file = sample.file
        self._size = sample.size
        self.seek = sample.file.seek
        self.tell = sample.file.tell
        self.seekable = sample.file.seekable

    def read(self, count: int = -1) -> bytes:
        """Read as a file does, but not more than a directory may have."""
        left = self._size - self._file.tell()
        if (left if count < 0 else min(count, left)) > _MAX_DIRECTORY:
            raise ValueError("more than is read of a zip file at once")
        return self._file.read(count)


def _in_zip(archive: zipfile.ZipFile) -> Format:
    names = archive.namelist()
    base = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in base:
        is_script = "constants.pkl" in base or any("/code/" in f"/{name}" for name in names)
        return Format.TORCHSCRIPT if is_script else Format.TORCH
    if {"metadata.json", "config.json"} <= set(names) and any(name.endswith(".weights.h5") for name in names):
        return Format.KERAS
    if not names or len(names) > _MAX_ARRAYS or not all(name.endswith(".npy") for name in names):
        return Format.ZIP
    return _in_npz(archive)


def _in_npz(archive: zipfile.ZipFile) -> Format:
    import zipfile

    for entry in archive.infolist():
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            return Format.ZIP
        with archive.open(entry) as array:
            head = array.read(_MAX_NPY_HEADER + 12)
        if not head.startswith(b"\x93NUMPY"):
            return Format.ZIP
        if holds_objects(head):
            return Format.PICKLE
    return Format.NPZ


def packed_format(sample: Sample) -> Format | None:
    """Look into what is compressed: joblib compresses its pickles, and everybody their tar files."""
    if unread := unread_packing(sample.head):
        return Format.JOBLIB if sample.suffix == ".joblib" or "joblib" in unread else Format.OTHER
    if not has_magic(sample.head):
        return None
    inner, is_sound = beginning(sample.read(0, 1 << 20), HEAD)  # a block of bzip2 is 900 kB
    if _is_tar(inner):
        return Format.TAR
    is_joblib = is_sound and sample.suffix == ".joblib"
    if is_joblib or (inner and is_pickle(inner, likely=sample.suffix in PICKLE_SUFFIXES, whole=False)):
        return Format.JOBLIB
    return None


def tar_format(sample: Sample) -> Format | None:
    """Tell a tar file."""
    return Format.TAR if _is_tar(sample.head) else None


def _is_tar(head: bytes) -> bool:
    """Check the first header by its checksum, as POSIX defines it."""
    header = head[:512]
    stored = header[148:156].strip(b" \0")
    if len(header) < 512 or not header[0] or not stored or stored.strip(b"01234567"):  # noqa: PLR2004
        return False
    return int(stored, 8) == sum(header) - sum(header[148:156]) + 8 * ord(" ")
