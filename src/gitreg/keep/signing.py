"""Sign the files of a version with OpenSSF model-signing, and verify such a signature by digests alone.

A signature is a Sigstore bundle whose in-toto statement lists every file with its SHA-256. A manifest lists the same,
so neither signing nor verifying has to read the weights; `model_signing verify key` reads them and finds the same.
"""

from __future__ import annotations

import base64
import binascii
import json
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.layout import MODEL_SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from model_signing.hashing import Config
    from model_signing.manifest import Manifest

MAX_SIGNATURE = 16 << 20  # bytes
_MAX_KEY = 64 << 10
_INSTALL = "pip install 'gitreg[signing]'"


def sign(files: Mapping[str, Digest], name: str, key: Path, password: str | None = None) -> bytes:
    """Sign files, given by path with their digests, with a private key in PEM, and give the contents of `model.sig`.

    `name` is what the signature calls the model. InvalidError for a key that is none, or not on P-256, P-384 or P-521.
    """
    signing, _ = _library()
    signed = {path: digest for path, digest in files.items() if path != MODEL_SIGNATURE}
    if not signed:
        raise InvalidError("there is nothing to sign")
    config = signing.Config().set_hashing_config(_known_digests(signed, name))
    _key_text(key)
    try:
        # The library takes bytes where it says text.
        config.use_elliptic_key_signer(private_key=key, password=password.encode() if password else None)
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidError(
            f"{str(key)!r} cannot sign: {_first_line(error)}",
            hint="make a key: openssl ecparam -name prime256v1 -genkey -noout -out key.pem",
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / MODEL_SIGNATURE
        config.sign(Path(folder) / name, written)
        return written.read_bytes()


def verify(files: Mapping[str, Digest], signature: bytes, keys: Sequence[Path]) -> Path:
    """Verify that one of some public keys made the signature, and of exactly these files; give that key's file.

    IntegrityError where no key fits, or where the files that were signed are others.
    """
    if not keys:
        raise InvalidError("no key is known to verify with", hint="give --key PUBLIC.pem")
    _, verifying = _library()
    expected = {path: digest for path, digest in files.items() if path != MODEL_SIGNATURE}
    signed = signed_files(signature)
    if wrong := _differences(expected, signed):
        raise IntegrityError(f"the signature is of other files: {wrong}", hint="sign the files as they are now")
    reasons = []
    for key in keys:
        _key_text(key)
        config = verifying.Config().set_hashing_config(_known_digests(expected, MODEL_SIGNATURE))
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / MODEL_SIGNATURE
            copy.write_bytes(signature)
            try:
                with redirect_stdout(StringIO()):  # it prints warnings
                    config.use_elliptic_key_verifier(public_key=key).verify(Path(folder), copy)
            except Exception as error:  # noqa: BLE001 - the library lets out whatever its parsers raise; all mean no
                reasons.append(f"{key.name}: {_first_line(error)}")
                continue
        return key
    raise IntegrityError(
        f"the signature is by none of the keys that were given ({'; '.join(reasons)[:500]})",
        hint="ask who signed it for the public key",
    )


def signed_files(signature: bytes) -> dict[str, Digest]:
    """List the files that a signature speaks of, with their digests, unverified; InvalidError if it is none."""
    if len(signature) > MAX_SIGNATURE:
        raise InvalidError(f"the signature has {len(signature)} bytes; at most {MAX_SIGNATURE} are read")
    try:
        envelope = json.loads(signature)["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"], validate=True))
        found = statement["predicate"]
        if found["serialization"]["method"] != "files":
            raise InvalidError("the signature is of pieces of files, not of files", hint="sign with `gitreg sign`")
        return {_name(each["name"]): _digest(each) for each in found["resources"]}
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise InvalidError(
            f"{MODEL_SIGNATURE} is no signature of files: {_first_line(error)}", hint="make one: gitreg sign FOLDER"
        ) from error


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError("a file without a name")
    return name


def _digest(resource: Mapping[str, Any]) -> Digest:
    if resource["algorithm"] != "sha256":
        raise InvalidError(f"the signature names files by {str(resource['algorithm'])[:40]}, not by SHA-256")
    return Digest(resource["digest"])


def _differences(expected: Mapping[str, Digest], signed: Mapping[str, Digest]) -> str:
    """Say in a few words how two lists of files differ; empty where they are the same."""
    parts = [
        ("not signed", sorted(expected.keys() - signed.keys())),
        ("signed, but not there", sorted(signed.keys() - expected.keys())),
        ("changed since", sorted(path for path in expected.keys() & signed.keys() if expected[path] != signed[path])),
    ]
    return "; ".join(f"{what}: {', '.join(map(repr, paths[:5]))}" for what, paths in parts if paths)


def _library() -> tuple[Any, Any]:
    try:
        from model_signing import signing, verifying
    except ImportError as error:
        raise UnavailableError("signing models needs the package model-signing", hint=_INSTALL) from error
    return signing, verifying


def _known_digests(files: Mapping[str, Digest], name: str) -> Config:
    """Make what the library asks for digests: it is told them, and reads no file."""
    from model_signing import hashing, manifest
    from model_signing._hashing.hashing import Digest as FileDigest

    class Known(hashing.Config):
        def hash(self, model_path: object, *, files_to_hash: object = None) -> Manifest:  # noqa: ARG002 - its signature
            kind = {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [MODEL_SIGNATURE],
            }
            serialization = manifest.SerializationType.from_args(kind)
            items = [
                serialization.new_item(path, FileDigest("sha256", bytes.fromhex(files[path].hex))) for path in files
            ]
            return manifest.Manifest(name, items, serialization)

    made: Any = Known
    found: Config = made()
    return found


def _key_text(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_KEY + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no key {str(path)!r}") from error
    except OSError as error:
        raise InvalidError(f"the key {str(path)!r} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_KEY or b"-----BEGIN" not in data:
        raise InvalidError(f"{str(path)!r} is no key in PEM", hint="it begins with -----BEGIN")
    return data


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
