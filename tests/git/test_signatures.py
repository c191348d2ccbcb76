"""Signatures of commits and tags, taken apart and verified."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import InvalidError
from gitreg.git import Repository, refs
from gitreg.git.signatures import (
    Job,
    SshSignature,
    check_can_sign,
    read_signed,
    signing_key,
    split_commit,
    split_tag,
    unsigned_tag,
    verify,
    write_signed_tag,
)
from gitreg.keys import Key
from gitreg.names import UserName
from tests.git.support import ALICE, MAIN, advance, git
from tests.test_keys import ED25519, RSA, SK, number, packed

if TYPE_CHECKING:
    from pathlib import Path

HEAD = b"tree " + b"1" * 40 + b"\nauthor A <a@b.c> 1 +0000\ncommitter A <a@b.c> 1 +0000"
ARMOR = b"-----BEGIN SSH SIGNATURE-----\nU1NI\n-----END SSH SIGNATURE-----"
FOLDED = ARMOR.replace(b"\n", b"\n ")


def blob(
    key: bytes = ED25519,
    algorithm: bytes = b"ssh-ed25519",
    *,
    namespace: bytes = b"git",
    hashed: bytes = b"sha512",
    tail: bytes = b"",
) -> bytes:
    signature = packed(algorithm, b"s" * 64) + tail
    return b"SSHSIG\0\0\0\1" + packed(key, namespace, b"", hashed, signature)


def parsed(data: bytes) -> SshSignature:
    return SshSignature.parse(SshSignature(b"", data).armor())


# Splitting


def test_what_is_signed_is_the_commit_without_its_signature() -> None:
    data = HEAD + b"\ngpgsig " + FOLDED + b"\nencoding UTF-8\n\nSubject\n\ngpgsig no header\n"

    found = split_commit(data, "sha1")

    assert found.armor == ARMOR
    assert found.payload == HEAD + b"\nencoding UTF-8\n\nSubject\n\ngpgsig no header\n"


def test_a_merged_tags_own_signature_is_none_of_the_commit() -> None:
    merged = b"mergetag object 1\n type commit\n tag x\n tagger T\n \n x\n " + FOLDED
    data = HEAD + b"\n" + merged + b"\n\nMerge\n"

    assert split_commit(data, "sha1").armor is None
    assert split_commit(data, "sha1").payload == data


@pytest.mark.parametrize(
    "headers",
    [
        b"gpgsig " + FOLDED + b"\ngpgsig " + FOLDED,
        b"gpgsig " + FOLDED + b"\nencoding UTF-8\ngpgsig " + FOLDED,
        b"gpgsig " + FOLDED + b"\ngpgsig-sha256 " + FOLDED,
        b"gpgsig-sha256 " + FOLDED,
        b"gpgsigs " + FOLDED,
        b"gpgsig\n " + FOLDED,
        b"gpgsig",
    ],
)
def test_a_second_signature_or_one_in_another_place_is_refused(headers: bytes) -> None:
    with pytest.raises(InvalidError):
        split_commit(HEAD + b"\n" + headers + b"\n\nSubject\n", "sha1")


def test_each_hash_has_its_header() -> None:
    data = HEAD + b"\ngpgsig-sha256 " + FOLDED + b"\n\nSubject\n"

    assert split_commit(data, "sha256").armor == ARMOR
    with pytest.raises(InvalidError):
        split_commit(HEAD + b"\ngpgsig " + FOLDED + b"\n\nSubject\n", "sha256")


def test_a_commit_without_an_end_of_its_headers_is_refused() -> None:
    with pytest.raises(InvalidError, match="end of its headers"):
        split_commit(HEAD + b"\ngpgsig " + FOLDED + b"\n", "sha1")


TAG = b"object " + b"1" * 40 + b"\ntype commit\ntag v1\ntagger A <a@b.c> 1 +0000\n\nSubject\n"


def test_a_tags_signature_stands_at_its_end() -> None:
    found = split_tag(TAG + ARMOR + b"\n")

    assert found == (TAG, ARMOR + b"\n")
    assert split_tag(TAG) == (TAG, None)


@pytest.mark.parametrize(
    "data",
    [
        TAG + ARMOR + b"\n" + ARMOR + b"\n",
        TAG + b"-----BEGIN PGP SIGNATURE-----\n" + ARMOR + b"\n",
        TAG.replace(b"\n\n", b"\ngpgsig-sha256 " + FOLDED + b"\n\n", 1),
    ],
)
def test_a_tag_with_several_signatures_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidError):
        split_tag(data)


def test_a_tags_message_ends_where_its_signature_begins(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})

    def tag(message: bytes) -> str:
        data = TAG.replace(b"1" * 40, tip.encode()) + message
        return repository.run(["hash-object", "-t", "tag", "-w", "--stdin"], input=data).decode().strip()

    assert unsigned_tag(repository, tag(ARMOR + b"\n")).message == "Subject\n"
    with pytest.raises(InvalidError, match="something like a signature"):
        unsigned_tag(repository, tag(b"-----BEGIN JUNK-----\nVersion: 6.6.6\n"))
    with pytest.raises(InvalidError, match="nobody signs"):
        read_signed(repository, repository.objects.commit(tip).tree)


# Taking apart


def test_a_signature_names_its_key() -> None:
    for key, algorithm, tail in (
        (ED25519, b"ssh-ed25519", b""),
        (RSA, b"rsa-sha2-256", b""),
        (RSA, b"rsa-sha2-512", b""),
        (SK, b"sk-ssh-ed25519@openssh.com", b"\1\0\0\0\7"),
    ):
        assert parsed(blob(key, algorithm, tail=tail)).key == key


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no armored"),
        (b"SSHSIG", "no SSHSIG of version 1"),
        (b"SSHSIG\0\0\0\1", "cut off"),
        (b"SSHSIX" + blob()[6:], "no SSHSIG of version 1"),
        (b"SSHSIG\0\0\0\0" + blob()[10:], "no SSHSIG of version 1"),
        (blob() + b"\0", "of a kind that is known"),
        (blob(namespace=b"file"), "namespace b'file'"),
        (blob(namespace=b"git\0"), "namespace"),
        (blob(namespace=b""), "namespace"),
        (blob(hashed=b"sha1"), "of a kind that is known"),
        (blob(hashed=b"md5"), "of a kind that is known"),
        (blob().replace(packed(b""), packed(b"reserved"), 1), "of a kind that is known"),
        (blob(algorithm=b"ssh-rsa"), "does not fit"),
        (blob(RSA, b"ssh-rsa"), "does not fit"),
        (blob(RSA, b"ssh-ed25519"), "does not fit"),
        (blob(tail=b"\1\0\0\0\7"), "bytes follow"),
        (blob(SK, b"sk-ssh-ed25519@openssh.com"), "bytes follow"),
        (blob(packed(b"ssh-rsa", number(3), number((1 << 1023) + 1)), b"rsa-sha2-256"), "1024 bits"),
        (blob(packed(b"ssh-ed25519-cert-v01@openssh.com", b"x")), "no type of key"),
        (blob(key=b""), "cut off"),
    ],
)
def test_another_blob_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        parsed(data)


@pytest.mark.parametrize(
    "armor",
    [
        b"",
        b"\n" + ARMOR,
        ARMOR + b"\n\n",
        ARMOR + b" ",
        ARMOR.replace(b"\n", b"\r\n"),
        ARMOR.replace(b"U1NI", b"U1 NI"),
        ARMOR.replace(b"U1NI", b"U1NI\n"),
        ARMOR.replace(b"END", b"end"),
        b"-----BEGIN PGP SIGNATURE-----\nU1NI\n-----END PGP SIGNATURE-----",
        b"A" * 9000,
    ],
)
def test_another_armor_is_refused(armor: bytes) -> None:
    with pytest.raises(InvalidError):
        SshSignature.parse(armor)


def test_what_is_written_is_what_was_read() -> None:
    found = parsed(blob())

    assert SshSignature.parse(found.armor()) == found
    assert found.blob == blob()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_signature_or_refused(data: bytes) -> None:
    for armor in (data, SshSignature(b"", data).armor(), SshSignature(b"", b"SSHSIG\0\0\0\1" + data).armor()):
        with pytest.raises(InvalidError):
            SshSignature.parse(armor)


# Verifying


def made(folder: Path, *kind: str) -> Path:
    path = folder / "-".join(kind)
    subprocess.run(["ssh-keygen", "-q", "-t", *kind, "-N", "", "-f", str(path)], check=True)
    return path


def signed(repository: Repository, key: Path, message: str = "Change") -> str:
    settings = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={key}"]
    tree = repository.objects.commit(refs.resolve(repository, MAIN) or "").tree
    return git(repository.git_dir, *settings, "commit-tree", "-S", "-m", message, tree)


def job(repository: Repository, oid: str, user: str = "alice") -> Job:
    signature = SshSignature.parse(read_signed(repository, oid).armor or b"")
    return Job(oid, signature, Key(user=UserName(user), type="ssh-ed25519", blob=signature.key, line=1))


@pytest.mark.parametrize("kind", [("ed25519",), ("ecdsa", "-b", "384"), ("ecdsa", "-b", "521"), ("rsa", "-b", "3072")])
def test_what_git_signs_holds(repository: Repository, tmp_path: Path, kind: tuple[str, ...]) -> None:
    advance(repository, {"a": b"1"})
    found = job(repository, signed(repository, made(tmp_path, *kind)))
    named = Key(user=UserName("alice"), type=found.key.blob[4:].split(b"\0")[0].decode(), blob=found.key.blob, line=1)

    assert verify(repository, [Job(found.oid, found.signature, named)]) == [None]


def test_many_are_verified_each_for_itself(repository: Repository, tmp_path: Path) -> None:
    advance(repository, {"a": b"1"})
    key, other = made(tmp_path, "ed25519"), made(tmp_path / ".", "ecdsa")
    jobs = [job(repository, signed(repository, key, f"Change {number}"), f"user{number}") for number in range(7)]
    strange = job(repository, signed(repository, other)).signature
    jobs[2] = Job(jobs[2].oid, jobs[3].signature, jobs[2].key)
    jobs[5] = Job(jobs[5].oid, strange, jobs[5].key)

    found = verify(repository, jobs)

    assert [fault is None for fault in found] == [True, True, False, True, True, False, True]
    assert verify(repository, []) == []


def test_a_key_in_hardware_signs_as_well(repository: Repository, tmp_path: Path) -> None:
    """The token signs hashes of its application and of the message, with flags and a counter (PROTOCOL.u2f)."""
    advance(repository, {"a": b"1"})
    private = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)], check=True)
    shown = ["openssl", "pkey", "-in", str(private), "-pubout", "-outform", "DER"]
    point = subprocess.run(shown, check=True, capture_output=True).stdout[-32:]
    key = packed(b"sk-ssh-ed25519@openssh.com", point, b"ssh:")
    tree = repository.objects.commit(refs.resolve(repository, MAIN) or "").tree
    payload = HEAD.replace(b"1" * 40, tree.encode()) + b"\n\nSubject\n"
    to_sign = b"SSHSIG" + packed(b"git", b"", b"sha512", hashlib.sha512(payload).digest())
    counted = b"\1\0\0\0\7"
    (tmp_path / "message").write_bytes(hashlib.sha256(b"ssh:").digest() + counted + hashlib.sha256(to_sign).digest())
    sign = ["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", str(private), "-in", str(tmp_path / "message")]
    raw = subprocess.run(sign, check=True, capture_output=True).stdout
    inner = packed(b"sk-ssh-ed25519@openssh.com", raw) + counted
    armor = SshSignature(key, b"SSHSIG\0\0\0\1" + packed(key, b"git", b"", b"sha512", inner)).armor()
    folded = armor.rstrip().replace(b"\n", b"\n ")
    data = payload.replace(b"\n\n", b"\ngpgsig " + folded + b"\n\n", 1)
    oid = repository.run(["hash-object", "-t", "commit", "-w", "--stdin"], input=data).decode().strip()
    found = Job(
        oid, SshSignature.parse(armor), Key(user=UserName("alice"), type="sk-ssh-ed25519@openssh.com", blob=key, line=1)
    )

    assert verify(repository, [found]) == [None]


# Signing


def test_git_has_to_be_told_to_sign_with_an_ssh_key(repository: Repository, home: Path) -> None:
    with pytest.raises(InvalidError, match=r"no key is named.*git config --global gpg\.format ssh"):
        check_can_sign(repository)
    repository.run(["config", "user.signingKey", str(home / "key.pub")])
    with pytest.raises(InvalidError, match=r"gpg\.format is not set"):
        check_can_sign(repository)
    repository.run(["config", "gpg.format", "x509"])
    with pytest.raises(InvalidError, match=r"gpg\.format is x509"):
        check_can_sign(repository)
    repository.run(["config", "gpg.format", "ssh"])
    check_can_sign(repository)
    repository.run(["config", "--unset", "user.signingKey"])
    repository.run(["config", "gpg.ssh.defaultKeyCommand", "ssh-add -L"])
    check_can_sign(repository)


def test_the_key_that_git_signs_with_is_known_beforehand(repository: Repository, home: Path) -> None:
    key = made(home, "ed25519")
    public = (home / "ed25519.pub").read_text()
    assert signing_key(repository) is None

    for named in (str(key), f"{key}.pub", "~/ed25519", "~/ed25519.pub", f"key::{public}", public):
        repository.run(["config", "user.signingKey", named])
        found = signing_key(repository)
        assert found is not None
        assert found.startswith(b"\0\0\0\x0bssh-ed25519")
    for named in ("~/elsewhere.pub", "key::", "key::ssh-ed25519", "ABCDEF0123", "ssh-ed25519 %%%"):
        repository.run(["config", "user.signingKey", named])
        assert signing_key(repository) is None


def test_a_tag_is_signed_by_git_and_moves_no_ref(repository: Repository, home: Path) -> None:
    tip = advance(repository, {"a": b"1"})
    key = made(home, "ed25519")
    with pytest.raises(InvalidError, match=r"user\.signingKey"):
        write_signed_tag(repository, "deploy/prod/risk/fraud/1", tip, "Deploy\n\nModel: risk/fraud\n", ALICE)
    repository.run(["config", "gpg.format", "ssh"])
    repository.run(["config", "user.signingKey", str(key)])

    oid = write_signed_tag(repository, "deploy/prod/risk/fraud/1", tip, "Deploy\n\nModel: risk/fraud\n", ALICE)

    assert git(repository.git_dir, "for-each-ref", "refs/tags/") == ""
    found = unsigned_tag(repository, oid)
    assert (found.name, found.target, found.tagger) == ("deploy/prod/risk/fraud/1", tip, ALICE)
    assert found.message == "Deploy\n\nModel: risk/fraud\n"
    assert verify(repository, [job(repository, oid)]) == [None]
