"""Register a version through a server: its files go to the store behind it, then what is said of them to REST."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, DeniedError
from gitreg.reader import VersionFile
from gitreg.records import replace
from gitreg.registry import reads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitreg.names import ModelName
    from gitreg.objects import Store, StoredFile
    from gitreg.reader import RegistryFiles
    from gitreg.registry.inspected import Inspected
    from gitreg.registry.register import RegisterRequest
    from gitreg.writer import Mode, Written

_SAME = (
    "model",
    "version",
    "bump",
    "description",
    "metrics",
    "hyperparameters",
    "datasets",
    "framework",
    "labels",
    "license",
    "parents",
    "base",
    "external",
    "evaluations",
    "signature",
    "created",
    "model_description",
    "task",
    "owners",
)


def register(
    request: RegisterRequest,
    read: Callable[[], RegistryFiles],
    store: Store,
    send: Callable[[Mapping[str, object], Mode], Written],
    mode: Mode,
) -> Written:
    """Send what is missing of the files, then the metadata; what the gate would refuse is refused before that.

    `send` has a registration done in a mode.
    """
    from gitreg.registry.register import check_parents, check_request, claimed, hashed, inspector, looked_into, upload

    name = check_request(request)
    with inspector(request) as inspecting:  # its process starts while the rest is looked up
        code, notes = _code(request)
        files = read()
        _check_free(files, name, request)
        check_parents(files, request)
        inspected = looked_into(request, files.settings.formats, inspecting)

    def body(files: Sequence[StoredFile]) -> dict[str, object]:
        return {**_of_files(files, inspected), **_metadata(request), "code": code}

    if request.paths and not mode.dry_run:
        check_accepted(send(body(claimed(request, inspected)), replace(mode, dry_run=True)))
    stored = hashed(request, inspected) if mode.dry_run else upload(store, request, inspected)
    if inspected:
        inspected.check_unchanged()
    written = send(body(stored), mode)
    return replace(without_missing(written) if stored else written, notes=(*written.notes, *notes))


def _check_free(files: RegistryFiles, name: ModelName, request: RegisterRequest) -> None:
    """Refuse a number that is taken, before anything is uploaded; who may not read that is told by the dry run."""
    from gitreg.names import Version

    found = None
    with suppress(DeniedError):
        found = files.find(name, Version(request.version)) if request.version else None
    if found is not None:
        what = "exists" if isinstance(found, VersionFile) else "was deleted and keeps its number"
        raise ConflictError(f"{name}@{request.version} {what}", hint="take the next one (bump patch)")


def _code(request: RegisterRequest) -> tuple[dict[str, object] | None, tuple[str, ...]]:
    """Find the commit of the code one stands in, where this machine has git."""
    from shutil import which

    return reads.code(request.code) if which("git") else (None, ())


def _metadata(request: RegisterRequest) -> dict[str, object]:
    """Say of a version what its files do not."""
    found = {name: getattr(request, name) for name in _SAME}
    return {name: value for name, value in found.items() if value not in (None, "", {}, (), [])}


def _of_files(stored: Sequence[StoredFile], inspected: Inspected | None) -> dict[str, object]:
    """Say what the files are, and what was found in them."""
    rows = []
    for file in stored:
        row: dict[str, object] = {"path": file.path, "digest": str(file.digest), "size": file.size}
        if file.format:
            row["format"] = file.format
        if inspected and (report := inspected.report(file.path)):
            row["inspection"] = dict(report)
        rows.append(row)
    signature = inspected.signature() if inspected else None
    return {"artifacts": rows, **({"signature": signature} if signature else {})} if rows else {}


def check_accepted(judged: Written) -> None:
    """Raise what the gate would refuse, before a byte of the files is sent."""
    from gitreg.gate import refusal

    if violations := without_missing(judged).violations:
        raise refusal(violations, "the registry would refuse this")


def without_missing(written: Written) -> Written:
    """Take out of a dry run's verdict that the files are not in the store: they would be sent before."""
    from gitreg.gate import Code

    if not written.dry_run:
        return written
    kept = tuple(each for each in written.violations if each.code is not Code.BLOB_MISSING)
    return replace(written, violations=kept)
