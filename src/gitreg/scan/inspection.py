"""Read a file's headers as its format defines them, and tell what it holds and whether all of it is true.

For files that nobody vouches for: call `inspect_files` of `gitreg.scan`, which does this in a process with limits.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

from gitreg.records import dataclass, field
from gitreg.scan.claims import check_name
from gitreg.scan.content import detect_file
from gitreg.scan.formats import PICKLES, Format
from gitreg.scan.headers import arrays, coreml, gguf, onnx, openvino, safetensors, tflite
from gitreg.scan.headers.source import Facts, HeaderError, Source, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LISTED = 10_000  # tensors that a report lists; all are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a file is and holds; `problem` says why it cannot be what it claims to be, or None.

    `dtypes` counts tensors by their type; `tensors` are the first 10,000 of `tensor_count`. `parameters` are the
    elements of all tensors. `dangers` is what would run when it is loaded; `holds` the formats inside an archive.
    """

    path: str
    format: Format
    size: int
    problem: str | None = None
    tensor_count: int = 0
    parameters: int = 0
    dtypes: dict[str, int] = field(default_factory=dict)
    tensors: tuple[Tensor, ...] = ()
    inputs: tuple[Tensor, ...] | None = None
    outputs: tuple[Tensor, ...] | None = None
    details: dict[str, str | int] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    dangers: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    files: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def runs_code(self) -> bool:
        """Whether loading it runs its author's code."""
        return self.format in PICKLES or bool(set(self.holds) & PICKLES)

    def to_data(self) -> dict[str, Any]:
        """Give plain data, without what is empty."""
        data: dict[str, Any] = {
            "path": self.path,
            "format": str(self.format),
            "size": self.size,
            "problem": self.problem,
            "tensor_count": self.tensor_count,
            "parameters": self.parameters,
            "dtypes": self.dtypes,
            "inputs": _rows(self.inputs),
            "outputs": _rows(self.outputs),
            "details": self.details,
            "imports": list(self.imports),
            "dangers": list(self.dangers),
            "holds": list(self.holds),
            "files": self.files,
            "notes": list(self.notes),
            "tensors": _rows(self.tensors),
        }
        empty = {key for key, value in data.items() if value in (None, 0, [], {})} - {"size"}
        graph = {"inputs", "outputs"} if self.inputs is not None else set()  # one that takes nothing says so
        return {key: value for key, value in data.items() if key not in empty - graph}

    @classmethod
    def from_data(cls, data: object) -> Inspection:
        """Build from what `to_data` gave; ValueError where it is anything else."""
        rows = _mapping(data)
        if unknown := rows.keys() - _FIELDS.keys():
            raise ValueError(f"an inspection has no {min(unknown)[:40]!r}")
        try:
            return cls(**{name: _FIELDS[name](value) for name, value in rows.items()})
        except TypeError as error:  # path, format or size is missing
            raise ValueError(str(error)) from error


def _rows(tensors: tuple[Tensor, ...] | None) -> list[dict[str, Any]] | None:
    if tensors is None:
        return None
    return [{"name": each.name, "dtype": each.dtype, "shape": list(each.shape)} for each in tensors]


def _tensors(rows: object) -> tuple[Tensor, ...]:
    found = []
    for row in _list(rows):
        match row:
            case {"name": str(name), "dtype": str(dtype), "shape": list(shape)} if len(row) == 3:  # noqa: PLR2004
                found.append(Tensor(name, dtype, tuple(_any_of(each, int, str, type(None)) for each in shape)))
            case _:
                raise ValueError("not a tensor")
    return tuple(found)


def _any_of(value: Any, *kinds: type) -> Any:  # noqa: ANN401 - of one of the kinds
    if type(value) not in kinds:
        raise ValueError(f"a {type(value).__name__} in the wrong place")
    return value


def _list(value: object) -> list[Any]:
    found: list[Any] = _any_of(value, list)
    return found


def _mapping(value: object) -> dict[str, Any]:
    found: dict[str, Any] = _any_of(value, dict)
    return found


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_any_of(each, str) for each in _list(value))


def _counts(value: object) -> dict[str, int]:
    return {key: _any_of(count, int) for key, count in _mapping(value).items()}


_FIELDS: dict[str, Callable[[object], Any]] = {
    "path": lambda value: _any_of(value, str),
    "format": lambda value: Format(_any_of(value, str)),
    "size": lambda value: _any_of(value, int),
    "problem": lambda value: _any_of(value, str),
    "tensor_count": lambda value: _any_of(value, int),
    "parameters": lambda value: _any_of(value, int),
    "dtypes": _counts,
    "tensors": _tensors,
    "inputs": _tensors,
    "outputs": _tensors,
    "details": lambda value: {key: _any_of(each, str, int) for key, each in _mapping(value).items()},
    "imports": _texts,
    "dangers": _texts,
    "holds": _texts,
    "files": _counts,
    "notes": _texts,
}


def inspect_file(file: BinaryIO, name: str, told: Callable[[Format], None] | None = None) -> Inspection:
    """Inspect an open file; raises nothing for what is in it. `told` hears its format before it is looked into."""
    size = file.seek(0, os.SEEK_END)
    suffix = PurePath(name).suffix.lower()
    source = Source(file, size)
    found = _claimed(source, suffix) or detect_file(file, name)
    if told is not None:
        told(found)
    from gitreg.scan import loaded

    try:
        if found not in PICKLES and loaded.may_be_pickle(source):  # whatever else it is
            found, facts = Format.PICKLE, loaded.pickles(source)
        else:
            facts = _facts(source, found)
        check_name(source, found, name)
    except HeaderError as error:
        return Inspection(path=name, format=found, size=size, problem=str(error))
    return Inspection(
        path=name,
        format=found,
        size=size,
        tensor_count=len(facts.tensors),
        parameters=sum(tensor.elements for tensor in facts.tensors),
        dtypes=dict(Counter(tensor.dtype for tensor in facts.tensors).most_common(50)),
        tensors=facts.tensors[:MAX_LISTED],
        inputs=facts.inputs,
        outputs=facts.outputs,
        details=facts.details,
        imports=facts.imports,
        dangers=facts.dangers,
        holds=facts.holds,
        files=facts.files,
        notes=facts.notes,
    )


def _claimed(source: Source, suffix: str) -> Format | None:
    """Tell what a file claims to be where detection would give up on its damage."""
    head = source.peek(0, 4096)
    if suffix == ".safetensors" and head[8:9] == b"{":
        return Format.SAFETENSORS
    if head.startswith(b"GGUF") and suffix == ".gguf":
        return Format.GGUF
    return None


def _facts(source: Source, found: Format) -> Facts:
    from gitreg.scan import loaded, packed

    if found in PICKLES:
        return loaded.read(source, found)
    if packed.is_archive(source, found):
        return packed.read(source, found)
    if found is Format.HDF5:
        from gitreg.scan.headers import hdf5

        return packed.behind(source, hdf5.read(source))
    reader = _READERS.get(found)
    return packed.behind(source, reader(source) if reader else Facts())


_READERS: dict[Format, Callable[[Source], Facts]] = {
    Format.SAFETENSORS: safetensors.read,
    Format.ONNX: onnx.read,
    Format.GGUF: gguf.read,
    Format.NUMPY: arrays.read,
    Format.TFLITE: tflite.read,
    Format.COREML: coreml.read,
    Format.OPENVINO: openvino.read,
}
