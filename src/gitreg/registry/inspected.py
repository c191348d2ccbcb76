"""Look into the files of a new version before they are stored: refuse what is damaged or dangerous, report the rest."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from gitreg.errors import ConflictError, InvalidError, Problem
from gitreg.records import dataclass, field
from gitreg.scan import PICKLES, Format

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from gitreg.scan import Inspection, Inspector, Tensor

MAX_TENSORS = 512  # in a manifest, which every reader of the version reads; more are only counted
_MAX_FEATURES = 1_000
_MAX_IMPORTS = 100
_MAX_LINE = 500
_PLAIN = frozenset({Format.JSON, Format.YAML, Format.TEXT})
_CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What was found in the files of a version, by path, and how the files looked on the disk then."""

    reports: Mapping[str, Inspection] = field(default_factory=dict)
    stamps: Mapping[str, tuple[Path, tuple[int, ...]]] = field(default_factory=dict)

    def check_unchanged(self) -> None:
        """Refuse files that have changed since: the report would be of other bytes than the digest."""
        for path, (file, stamp) in self.stamps.items():
            if _stamp(file) != stamp:
                raise ConflictError(
                    f"{path!r} changed while it was registered", hint="wait until it is written, and register again"
                )

    def format(self, path: str) -> str:
        """Name the format of a file; ConflictError for one that was not there then."""
        if path not in self.reports:
            raise ConflictError(f"{path!r} appeared while it was registered", hint="register again")
        return self.reports[path].format

    def report(self, path: str) -> dict[str, Any]:
        """Give what a manifest says about an artifact; empty where there is nothing to say."""
        found = self.reports.get(path)
        return _report(found) if found else {}

    def signature(self) -> dict[str, Any]:
        """Give inputs, outputs, tensors and their number, where the files say them and agree."""
        graphs = [each for each in self.reports.values() if each.inputs is not None]
        data: dict[str, Any] = {}
        sides = {(each.inputs, each.outputs) for each in graphs}
        if len(sides) == 1:
            for name, tensors in (("inputs", graphs[0].inputs), ("outputs", graphs[0].outputs)):
                rows = [_feature(tensor) for tensor in tensors or ()]
                if rows and len(rows) <= _MAX_FEATURES and all(rows):
                    data[name] = rows
        # The same weights in two formats are counted once: those of the files that are weights alone.
        weights = [each for each in self.reports.values() if each.inputs is None and each.tensor_count] or graphs
        parameters = sum(each.parameters for each in weights)
        if parameters:
            data |= _tensors(weights) | {"parameters": parameters}
        return data


def inspect(
    files: Sequence[tuple[str, Path]], allowed: tuple[str, ...] | None, inspector: Inspector | None = None
) -> Inspected:
    """Inspect files, each its name in the version and its place; InvalidError says what is wrong.

    `allowed` are the settings' formats. A format that they refuse is left to the gate, which says so.
    """
    from gitreg.scan import inspect_files

    look = inspector.inspect if inspector else inspect_files
    stamps = {name: (file, _stamp(file)) for name, file in files}
    reports = {each.path: each for each in look((file, name) for name, file in files)}
    sizes = {name: stamp[0] for name, (_, stamp) in stamps.items()}
    problems = [
        Problem(f"{name}: {complaint}")
        for name, report in reports.items()
        for complaint in _complaints(report, allowed, sizes)
    ]
    if problems:
        raise InvalidError(
            "the files cannot be registered as they are" if len(problems) > 1 else str(problems[0]),
            problems=problems if len(problems) > 1 else (),
            hint="`gitreg inspect FILE` says what is in a file; write it anew, or save it in another format",
        )
    return Inspected(reports, stamps)


def _complaints(report: Inspection, allowed: tuple[str, ...] | None, sizes: Mapping[str, int]) -> Iterable[str]:
    if not _is_allowed(report.format, allowed):
        return  # the gate's business, and its words
    if report.problem:
        yield f"{report.format}: {report.problem}"
    if report.dangers:
        shown = ", ".join(report.dangers[:5]) + (", …" if len(report.dangers) > 5 else "")  # noqa: PLR2004
        yield f"loading it would run code: {shown}"
    for each in report.holds:
        if each in PICKLES and not _is_allowed(Format(each), allowed):
            yield f"holds {each}, which runs code when it is loaded, and registry.yaml does not allow it"
    for name, size in needed(report).items():
        if name not in sizes:
            yield f"its tensors lie in {name!r}, which is not among the files: register the folder"
        elif sizes[name] < size:
            yield f"its tensors need {size:,} bytes of {name!r}, which has {sizes[name]:,}: truncated"


def needed(report: Inspection) -> dict[str, int]:
    """Name the files that a file needs beside it, with the bytes that it expects there."""
    folder, base = posixpath.split(report.path)
    stem = posixpath.splitext(base)[0]
    return {
        posixpath.normpath(posixpath.join(folder, f"{stem}.bin" if name == ".bin" else name)): size
        for name, size in report.files.items()
    }


def _is_allowed(named: Format, allowed: tuple[str, ...] | None) -> bool:
    return named not in PICKLES if allowed is None else named in allowed or named in _PLAIN


def _stamp(file: Path) -> tuple[int, ...]:
    found = file.stat()
    return (found.st_size, found.st_mtime_ns, found.st_ino)


def _report(found: Inspection) -> dict[str, Any]:
    data: dict[str, Any] = {
        "tensors": found.tensor_count or None,
        "parameters": found.parameters or None,
        "dtypes": {_line(name): count for name, count in found.dtypes.items()},
        "details": {
            name: _line(value, 255) if isinstance(value, str) else value for name, value in found.details.items()
        },
        "imports": [_line(name) for name in found.imports[:_MAX_IMPORTS]],
        "import_count": len(found.imports) if len(found.imports) > _MAX_IMPORTS else None,
        "holds": list(found.holds),
        "notes": [_line(note) for note in found.notes[:20]],
    }
    return {name: value for name, value in data.items() if value not in (None, [], {})}


def _line(text: str, limit: int = _MAX_LINE) -> str:
    """Make text fit for a line of a manifest, whatever a file says."""
    return _CONTROL.sub("\ufffd", text)[:limit]


def _feature(tensor: Tensor) -> dict[str, Any] | None:
    """Describe an input or output; None where its name cannot stand in a manifest."""
    if not tensor.name or tensor.name != _line(tensor.name) or len(tensor.shape) > 32:  # noqa: PLR2004 - the schema's
        return None
    return {"name": tensor.name, "dtype": _line(tensor.dtype), "shape": [_size(each) for each in tensor.shape]}


def _size(size: int | str | None) -> int | str | None:
    return size if not isinstance(size, str) or (0 < len(size) < 64 and size == _line(size)) else None  # noqa: PLR2004


def _tensors(reports: Iterable[Inspection]) -> dict[str, Any]:
    """List tensors by name: none where they are too many, have one name, or a name that cannot stand in a manifest."""
    rows: dict[str, str] = {}
    count = 0
    for report in reports:
        count += report.tensor_count
        if count > MAX_TENSORS:
            return {}
        for tensor in report.tensors:
            if not tensor.name or tensor.name != _line(tensor.name):
                return {}
            rows[tensor.name] = f"{_line(tensor.dtype, 60)}[{', '.join(map(str, tensor.shape))}]"
    return {"tensors": dict(sorted(rows.items()))} if len(rows) == count else {}
