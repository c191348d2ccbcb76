"""Keep model files out of ordinary repositories."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from gitreg.scan.content import detect, unreadable
from gitreg.scan.formats import PICKLES, Format

if TYPE_CHECKING:
    from pathlib import Path

# What holds weights. Plain NumPy arrays are left out: they are as often a test's data, and size finds the large ones.
_MODELS = PICKLES | {
    Format.SAFETENSORS,
    Format.ONNX,
    Format.GGUF,
    Format.NPZ,
    Format.KERAS,
    Format.HDF5,
    Format.TFLITE,
    Format.COREML,
    Format.OPENVINO,
}
_MODEL_SUFFIXES = frozenset(
    {".safetensors", ".onnx", ".gguf", ".ggml", ".keras", ".h5", ".hdf5", ".tflite", ".mlmodel", ".npz", ".nemo"}
    | {".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".engine", ".pdparams", ".pdiparams"}
)
_TEXTS = frozenset({Format.JSON, Format.YAML, Format.TEXT})


def is_model_file(path: Path, max_bytes: int) -> str | None:
    """Say why a file looks like a model that should be registered rather than committed, or None.

    It does by its content, by an extension of model files (unless it is text, such as a pointer or a template), or by
    having more than `max_bytes`. A symlink or what is not a file never does.
    """
    try:
        found = path.lstat()
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        return None
    kind = detect(path)
    if kind in _MODELS:
        what = f"is a model file ({kind}, {_megabytes(found.st_size)})"
    elif path.suffix.lower() in _MODEL_SUFFIXES and kind not in _TEXTS and found.st_size:
        what = f"has the extension of a model file ({path.suffix})"
    elif found.st_size > max_bytes:
        what = f"has {_megabytes(found.st_size)}, more than the {_megabytes(max_bytes)} allowed here"
    else:
        return None
    return f"{path} {what}; {_way_out(path)}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size:,} bytes"  # noqa: PLR2004


def _way_out(path: Path) -> str:
    import shlex

    name = shlex.quote(str(path))
    return (
        f"take it out with `git rm --cached -- {name}` and register it: "
        f"`gitreg register PROJECT/MODEL {name} --bump minor`"
    )
