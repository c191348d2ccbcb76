"""Signatures of models: made and checked without a network, and the same as the library's own tool makes and checks."""

from __future__ import annotations

import base64
import io
import json
import runpy
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.digest import Digest
from gitreg.errors import ConflictError, DeniedError, GitregError, IntegrityError, InvalidError, NotFoundError
from gitreg.keep.signing import sign, signed_files, verify
from gitreg.objects.mirrors import Stores
from gitreg.objects.sync import sync
from gitreg.registry import signatures
from tests.keep.conftest import Shelf, change_settings
from tests.registries import request

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.registry import Registry
    from tests.registries import Forge

pytest.importorskip("model_signing")
FILES = {"weights.bin": b"weights", "config.json": b"{}", "sub/vocab.txt": b"a\nb\n"}
DIGESTS = {path: Digest.of(data) for path, data in FILES.items()}


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make three keys: a.pem and b.pem on P-256, c.pem by ssh-keygen on P-384, each with its public half."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("a", "b"):
        _run(folder, "openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{name}.pem")
        _run(folder, "openssl", "ec", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub")
    _run(folder, "openssl", "ec", "-in", "a.pem", "-aes128", "-passout", "pass:secret", "-out", "locked.pem")
    _run(folder, "ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-m", "PKCS8", "-N", "", "-f", "c.pem")
    exported = _run(folder, "ssh-keygen", "-e", "-m", "PKCS8", "-f", "c.pem.pub")
    (folder / "c.pub").write_bytes(exported)
    _run(folder, "openssl", "genrsa", "-out", "rsa.pem", "2048")
    return folder


def _run(folder: Path, *args: str) -> bytes:
    return subprocess.run(args, cwd=folder, check=True, capture_output=True).stdout


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for path, data in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@pytest.mark.parametrize("name", ["a", "c"])
def test_a_signature_is_verified_by_digests_alone(keys: Path, name: str) -> None:
    signature = sign(DIGESTS, "model", keys / f"{name}.pem")
    assert signed_files(signature) == DIGESTS
    assert verify(DIGESTS, signature, [keys / "b.pub", keys / f"{name}.pub"]) == keys / f"{name}.pub"


def test_a_locked_key_wants_its_password(keys: Path) -> None:
    signature = sign(DIGESTS, "model", keys / "locked.pem", "secret")
    verify(DIGESTS, signature, [keys / "a.pub"])
    for password in (None, "wrong"):
        with pytest.raises(InvalidError, match="cannot sign"):
            sign(DIGESTS, "model", keys / "locked.pem", password)


def test_another_key_does_not_fit(keys: Path) -> None:
    with pytest.raises(IntegrityError, match="by none of the keys"):
        verify(DIGESTS, sign(DIGESTS, "model", keys / "a.pem"), [keys / "b.pub", keys / "c.pub"])


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (DIGESTS | {"more.bin": Digest.of(b"x")}, "not signed: 'more.bin'"),
        ({"weights.bin": DIGESTS["weights.bin"]}, "signed, but not there: 'config.json', 'sub/vocab.txt'"),
        (DIGESTS | {"weights.bin": Digest.of(b"other")}, "changed since: 'weights.bin'"),
    ],
)
def test_other_files_are_named(keys: Path, files: dict[str, Digest], words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        verify(files, sign(DIGESTS, "model", keys / "a.pem"), [keys / "a.pub"])


def _forged(signature: bytes, change: Any) -> bytes:  # noqa: ANN401 - a function of the statement
    bundle = json.loads(signature)
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    change(statement)
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(bundle).encode()


def test_a_list_that_was_changed_after_signing_is_refused(keys: Path) -> None:
    other = DIGESTS | {"weights.bin": Digest.of(b"evil")}

    def change(statement: dict[str, Any]) -> None:
        for each in statement["predicate"]["resources"]:
            each["digest"] = other[each["name"]].hex

    forged = _forged(sign(DIGESTS, "model", keys / "a.pem"), change)
    assert signed_files(forged) == other
    with pytest.raises(IntegrityError, match="by none of the keys"):
        verify(other, forged, [keys / "a.pub"])


def test_no_flip_of_a_signature_passes(keys: Path) -> None:
    signature = sign(DIGESTS, "model", keys / "a.pem")
    payload = json.loads(signature)["dsseEnvelope"]["payload"].encode()
    start = signature.index(payload)
    for at in range(start, start + len(payload), 61):
        flipped = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
        with pytest.raises((IntegrityError, InvalidError)):
            verify(DIGESTS, flipped, [keys / "a.pub"])


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"dsseEnvelope": {"payload": "!"}}']
)
def test_what_is_no_signature_is_told_so(keys: Path, data: bytes) -> None:
    with pytest.raises(InvalidError, match=r"model\.sig is no signature"):
        verify(DIGESTS, data, [keys / "a.pub"])


@pytest.mark.parametrize("name", ["rsa.pem", "a.pub", "missing.pem"])
def test_what_is_no_key_to_sign_with_is_told_so(keys: Path, name: str) -> None:
    with pytest.raises((InvalidError, NotFoundError)) as caught:
        sign(DIGESTS, "model", keys / name)
    assert name in str(caught.value)


def test_the_library_s_own_tool_verifies_what_gitreg_signs_and_the_other_way_round(
    keys: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(verb: str, *key: str) -> object:
        """Run `python -m model_signing` in this process, which has loaded the most of it."""
        arguments = [verb, "key", "--signature", str(model / "model.sig"), *key, str(model)]
        monkeypatch.setattr(sys, "argv", ["model_signing", *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_module("model_signing", run_name="__main__")
        return end.value.code

    signed = signatures.sign([model], keys / "a.pem")
    assert (signed.signature, signed.files) == (model / "model.sig", 3)
    assert ended("verify", "--public_key", str(keys / "a.pub")) == 0
    (model / "weights.bin").write_bytes(b"other")
    assert ended("verify", "--public_key", str(keys / "a.pub")) != 0
    (model / "weights.bin").write_bytes(FILES["weights.bin"])
    assert ended("sign", "--private_key", str(keys / "b.pem")) == 0
    verify(DIGESTS, (model / "model.sig").read_bytes(), [keys / "b.pub"])


def test_a_signed_folder_is_registered_and_verified_without_its_weights(
    bare: Registry, forge: Forge, keys: Path, model: Path
) -> None:
    signatures.sign([model], keys / "a.pem")
    bare.register(request("risk/signed", "1.0.0", paths=(model,)))
    for path in (forge.folder / "store").rglob("*"):
        if path.name == DIGESTS["weights.bin"].hex:
            path.unlink()
    signed = bare.verify_signature("risk/signed@1.0.0", [keys / "b.pub", keys / "a.pub"])
    assert (signed.files, signed.key) == (3, keys / "a.pub")
    with pytest.raises(NotFoundError, match="has no signature"):
        bare.verify_signature("risk/fraud@1.0.0", [keys / "a.pub"])


class _Endless(io.RawIOBase):
    """What a store gives out that does not stop where its blob ends."""

    def __init__(self) -> None:
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - a buffer
        self.given += len(buffer)
        return len(buffer)


def test_no_more_of_a_signature_is_read_than_its_manifest_says(
    bare: Registry, keys: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures.sign([model], keys / "a.pem")
    bare.register(request("risk/signed", "1.0.0", paths=(model,)))
    endless = _Endless()
    store = bare.store
    monkeypatch.setattr(store, "open", lambda _: endless)
    with pytest.raises(IntegrityError, match=r"the model\.sig of risk/signed@1\.0\.0: the blob .* has more than"):
        signatures.verify_signature(bare.snapshot(), store, "risk/signed", [keys / "a.pub"])
    assert endless.given == (model / "model.sig").stat().st_size + 1


def test_a_mirror_stands_in_for_a_damaged_signature(bare: Registry, forge: Forge, keys: Path, model: Path) -> None:
    signatures.sign([model], keys / "a.pem")
    bare.register(request("risk/signed", "1.0.0", paths=(model,)))
    primary, mirror = Shelf(forge.folder / "store"), Shelf(forge.folder / "mirror")
    sync(primary.store.bucket, mirror.store.bucket)
    primary.flip(Digest.of((model / "model.sig").read_bytes()))
    stores = Stores(primary.store, (mirror.store,))
    assert signatures.verify_signature(bare.snapshot(), stores, "risk/signed", [keys / "a.pub"]).files == len(FILES)
    with pytest.raises(IntegrityError, match="is damaged"):
        signatures.verify_signature(bare.snapshot(), primary.store, "risk/signed", [keys / "a.pub"])


def test_the_gate_refuses_an_unsigned_version_where_signatures_are_required(
    bare: Registry, forge: Forge, keys: Path, model: Path
) -> None:
    change_settings(forge, "required:", "signatures: required\nrequired:")
    with pytest.raises((InvalidError, DeniedError, ConflictError), match="model-unsigned"):
        bare.register(request("risk/signed", "1.0.0", paths=(model,)))
    signatures.sign([model], keys / "a.pem")
    bare.register(request("risk/signed", "1.0.0", paths=(model,)))
    bare.register(request("risk/outside", "1.0.0", external={"provider": "openai", "id": "gpt"}))


def test_without_the_package_the_extra_is_named(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(GitregError, match=r"pip install 'gitreg\[signing\]'"):
        sign(DIGESTS, "model", keys / "a.pem")
