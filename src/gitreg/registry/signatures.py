"""Sign the files of a model, and verify the signature of a registered version."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from gitreg.errors import GitregError, IntegrityError, InvalidError, NotFoundError
from gitreg.layout import MODEL_SIGNATURE
from gitreg.names import Selector
from gitreg.objects.faults import writing
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gitreg.manifest import Artifact
    from gitreg.objects import Store
    from gitreg.reader import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signature that was written or verified: of how many files, and by which key."""

    signature: Path | None
    files: int
    key: Path


def sign(paths: Sequence[Path], key: Path, output: Path | None = None, password: str | None = None) -> Signed:
    """Sign a folder, or files, as they would be registered; the signature goes beside them as `model.sig`."""
    from gitreg.keep import signing
    from gitreg.objects import collect, hash_file

    sources = [source for source in collect(paths) if source.path != MODEL_SIGNATURE]
    digests = {source.path: hash_file(source.file).digest for source in sources}
    first = paths[0]
    written = output or (first if first.is_dir() else first.parent) / MODEL_SIGNATURE
    data = signing.sign(digests, (first if first.is_dir() else first.absolute().parent).resolve().name, key, password)
    draft = written.with_name(f".{written.name}.{secrets.token_hex(4)}")
    with writing(written.parent):
        try:
            draft.write_bytes(data)
            draft.replace(written)
        finally:
            draft.unlink(missing_ok=True)
    return Signed(signature=written, files=len(digests), key=key)


def verify_signature(snapshot: Snapshot, store: Store, selector: str, keys: Sequence[Path]) -> Signed:
    """Verify the signature of a registered version by its manifest; no weights are read.

    NotFoundError where it has none, IntegrityError where it is not by one of the keys, or of other files.
    """
    from gitreg.keep import signing
    from gitreg.registry import reads

    manifest = reads.found(snapshot, Selector.parse(selector)).manifest
    listed = {artifact.path: artifact for artifact in manifest.artifacts}
    name = f"{manifest.model}@{manifest.version}"
    if MODEL_SIGNATURE not in listed:
        raise NotFoundError(f"{name} has no signature", hint="sign the files and register them as a new version")
    signature = listed[MODEL_SIGNATURE]
    if signature.size > signing.MAX_SIGNATURE:
        raise InvalidError(f"the {MODEL_SIGNATURE} of {name} has {signature.size} bytes: it is none")
    data = _bytes_of(signature, store, name)
    digests = {path: artifact.digest for path, artifact in listed.items()}
    return Signed(signature=None, files=len(digests) - 1, key=signing.verify(digests, data, keys))


def _bytes_of(signature: Artifact, store: Store, name: str) -> bytes:
    """Read a signature from the first store that has it sound; never more of it than its manifest says."""
    from gitreg.objects.mirrors import ELSEWHERE

    failed: GitregError = NotFoundError(f"the {MODEL_SIGNATURE} of {name} is in no store")
    for number, each in enumerate(getattr(store, "all", (store,))):
        try:
            return _read(signature, each)
        except ELSEWHERE as error:
            failed = failed if number else error
    raise type(failed)(f"the {MODEL_SIGNATURE} of {name}: {failed.message}", hint=failed.hint) from failed


def _read(signature: Artifact, store: Store) -> bytes:
    data = bytearray()
    with store.open(signature.digest) as source:
        while piece := source.read(min(1 << 20, signature.size + 1 - len(data))):
            data += piece
    if len(data) != signature.size:
        fault = "more" if len(data) > signature.size else "fewer"
        raise IntegrityError(
            f"the blob {signature.digest} has {fault} than {signature.size} bytes in {store.uri!r}",
            hint="gitreg fsck --repair brings it back",
        )
    return bytes(data)
