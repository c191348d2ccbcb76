"""Remember what was pulled where, so that a folder can be verified later; kept in the cache, and as disposable."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.errors import GitregError, NotFoundError
from gitreg.names import ModelName, Version
from gitreg.objects.checking import FileState, check_files, others_in
from gitreg.objects.faults import reading
from gitreg.records import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gitreg.objects import Cache, Progress
    from gitreg.objects.checking import CheckedFile
    from gitreg.objects.download import Wanted

_FOLDER = "pulled"
_LIMIT = 16 << 20  # bytes of one record
_FORMAT = "gitreg/pulled/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledFile:
    """A file that was pulled."""

    path: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledFiles:
    """A version's files that were pulled into a folder."""

    model: ModelName
    version: Version
    files: tuple[PulledFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """How a pulled folder is found; `others` are files in it that are not of the version, `key` is who signed it."""

    model: ModelName
    version: Version
    folder: Path
    files: tuple[CheckedFile, ...]
    others: tuple[str, ...]
    key: Path | None = None

    @property
    def fine(self) -> bool:
        """Whether every file of the version is there with every byte right."""
        return all(file.state is FileState.OK for file in self.files)


def note(cache: Cache, folder: Path, model: ModelName, version: Version, files: Sequence[Wanted]) -> None:
    """Remember files that were pulled into a folder, beside those of the same version that were before."""
    earlier = find(cache, folder)
    rows = {file.path: {"digest": str(file.digest), "size": file.size} for file in files}
    if earlier is not None and (earlier.model, earlier.version) == (model, version):
        before = {file.path: {"digest": str(file.digest), "size": file.size} for file in earlier.files}
        rows = before | rows
        if rows == before:
            return
    data = {"format": _FORMAT, "folder": _name(folder), "model": str(model), "version": str(version), "files": rows}
    path = _path(cache, folder)
    new = path.with_name(f".{os.urandom(8).hex()}")
    # Without it `verify` has to be told what the folder holds: nothing that a pull should fail for.
    with suppress(OSError, UnicodeEncodeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            new.write_bytes(json.dumps(data).encode())
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)


def find(cache: Cache, folder: Path) -> PulledFiles | None:
    """Tell what was last pulled into a folder; None where nobody remembers."""
    try:
        with _path(cache, folder).open("rb") as file:
            data = json.loads(file.read(_LIMIT))
        if data["format"] != _FORMAT or data["folder"] != _name(folder):
            return None
        files = (
            PulledFile(path=path, digest=Digest.parse(each["digest"]), size=int(each["size"]))
            for path, each in data["files"].items()
        )
        return PulledFiles(model=ModelName.parse(data["model"]), version=Version(data["version"]), files=tuple(files))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, GitregError):
        return None


def remembered(cache: Cache, folder: Path) -> PulledFiles:
    """Tell what was last pulled into a folder; NotFoundError where nobody remembers."""
    if not folder.is_dir():
        raise NotFoundError(f"there is no folder {str(folder)!r}")
    found = find(cache, folder)
    if found is None:
        raise NotFoundError(
            f"nothing is known to have been pulled into {str(folder)!r} from here",
            hint=f"say what it should hold: gitreg verify {folder} MODEL@VERSION",
        )
    return found


def verify_remembered(
    cache: Cache, folder: Path, *, only: str | None = None, progress: Progress | None = None
) -> Verified:
    """Read every byte of what was last pulled into a folder; NotFoundError where nobody remembers."""
    from gitreg.objects import select

    known = remembered(cache, folder)
    checked = check_files(select(known.files, only), folder, progress)
    others = others_in(folder, (file.path for file in known.files))
    return Verified(model=known.model, version=known.version, folder=folder, files=tuple(checked), others=tuple(others))


def with_signature(found: Verified, keys: Sequence[Path]) -> Verified:
    """Verify the signature in a folder whose files are fine, and tell which key made it; needs no network.

    NotFoundError where there is none, IntegrityError where it is by none of the keys, or of other files.
    """
    from gitreg.keep import signing
    from gitreg.layout import MODEL_SIGNATURE

    digests = {file.path: file.digest for file in found.files}
    if MODEL_SIGNATURE not in digests:
        raise NotFoundError(
            f"{found.model}@{found.version} has no {MODEL_SIGNATURE} in {str(found.folder)!r}",
            hint="pull all of its files; one that was registered without a signature has none",
        )
    with reading(found.folder / MODEL_SIGNATURE), (found.folder / MODEL_SIGNATURE).open("rb") as file:
        data = file.read(signing.MAX_SIGNATURE + 1)
    return replace(found, key=signing.verify(digests, data, keys))


def _path(cache: Cache, folder: Path) -> Path:
    return cache.folder / _FOLDER / f"{Digest.of(os.fsencode(folder.resolve())).hex}.json"


def _name(folder: Path) -> str:
    return os.fsencode(folder.resolve()).decode("utf-8", "backslashreplace")
