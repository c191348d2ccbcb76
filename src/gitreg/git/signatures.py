"""Read the SSH signature of a commit or a tag, and have ssh-keygen verify it.

What is signed is the object without the signature, as git has it (commit.c, parse_buffer_signed_by_header; tag.c,
parse_signature). The signature is an armored SSHSIG (OpenSSH's PROTOCOL.sshsig), which names its own public key.
"""

from __future__ import annotations

import binascii
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError, UnavailableError
from gitreg.git.values import parse_tag
from gitreg.keys import NAMESPACE, decode_base64, key_type, strings
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitreg.git.repository import Repository
    from gitreg.git.values import Oid, Signature, Tag
    from gitreg.keys import Key

PROGRAM = "ssh-keygen"
TIME_LIMIT = 10.0
"""Seconds that one verification may take; it takes some milliseconds."""

MAX_ARMOR = 8 * 1024
MAX_OBJECT = 1 << 20
_WORKERS = 4
_COMMIT_HEADERS = {"sha1": b"gpgsig", "sha256": b"gpgsig-sha256"}
_HEADER = b"gpgsig"
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----"
_ARMOR = re.compile(_BEGIN + rb"((?:[A-Za-z0-9+/=]+\n)+)" + _END + rb"\n?")
# The first lines by which git knows a signature at the end of a tag (gpg-interface.c).
_OF_TAG = re.compile(rb"^-----BEGIN (?:PGP SIGNATURE|PGP MESSAGE|SIGNED MESSAGE|SSH SIGNATURE)-----", re.MULTILINE)
_MAGIC = b"SSHSIG"
_VERSION = (1).to_bytes(4, "big")
_HASHES = frozenset({b"sha256", b"sha512"})
_ALGORITHMS = {"ssh-rsa": (b"rsa-sha2-256", b"rsa-sha2-512")}
_FLAGS_AND_COUNTER = 5
_LINE = 70


@dataclass(frozen=True, slots=True)
class SshSignature:
    """A signature, taken apart: the public key inside, and the whole of it as it was."""

    key: bytes
    blob: bytes

    @classmethod
    def parse(cls, armor: bytes, namespace: str = NAMESPACE) -> SshSignature:
        """Read an armored SSHSIG for a namespace, strictly; InvalidError says what is wrong with it."""
        if len(armor) > MAX_ARMOR:
            raise InvalidError(f"the signature has {len(armor)} bytes; at most {MAX_ARMOR} are read")
        if armor.startswith((b"-----BEGIN PGP ", b"-----BEGIN SIGNED MESSAGE")):
            raise InvalidError("it is an OpenPGP or X.509 signature; only SSH signatures count")
        match = _ARMOR.fullmatch(armor)
        if not match:
            raise InvalidError("it is no armored SSH signature, or something stands around it")
        blob = decode_base64(match[1].replace(b"\n", b"").decode("ascii"))
        start = len(_MAGIC) + len(_VERSION)
        if blob[:start] != _MAGIC + _VERSION:
            raise InvalidError("it is no SSHSIG of version 1")
        (key, named, reserved, hashed, signature), rest = strings(blob[start:], 5)
        if named != namespace.encode():
            raise InvalidError(f"it is for the namespace {named[:80]!r}, not for {namespace!r}")
        if reserved or hashed not in _HASHES or rest:
            raise InvalidError("it is no SSHSIG of a kind that is known")
        _check_signature(key_type(key), signature)
        return cls(key, blob)

    def armor(self) -> bytes:
        """Write it as ssh-keygen reads it."""
        text = binascii.b2a_base64(self.blob, newline=False)
        lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
        return b"".join([_BEGIN, *(line + b"\n" for line in lines), _END, b"\n"])


def _check_signature(kind: str, signature: bytes) -> None:
    """Check that the inner signature is of the key's kind, and nothing follows it."""
    (algorithm, _), rest = strings(signature, 2)
    if algorithm not in _ALGORITHMS.get(kind, (kind.encode(),)):
        raise InvalidError(f"its algorithm {algorithm[:80]!r} does not fit a key of type {kind}")
    if len(rest) != (_FLAGS_AND_COUNTER if kind.startswith("sk-") else 0):
        raise InvalidError("bytes follow the signature")


class Signed(NamedTuple):
    """An object, split: what was signed, and the armored signature; None where there is none."""

    payload: bytes
    armor: bytes | None


def split_commit(data: bytes, object_format: str) -> Signed:
    """Take the signature out of a raw commit; InvalidError where there are several, or one that git would overlook.

    A second signature, or one for the other hash, is covered by nothing: whoever passes the commit on could change it.
    """
    head, blank, message = data.partition(b"\n\n")
    if not blank:
        raise InvalidError("the commit has no end of its headers")
    kept: list[bytes] = []
    found: list[bytes] = []
    inside = False
    for line in head.split(b"\n"):
        if line.startswith(_HEADER):
            inside = True
            found.append(line)
        elif inside and line.startswith(b" "):
            found[-1] += b"\n" + line[1:]
        else:
            inside = False
            kept.append(line)
    if len(found) > 1:
        raise InvalidError(f"the commit has {len(found)} signatures; one belongs")
    payload = b"\n".join(kept) + blank + message
    if not found:
        return Signed(payload, None)
    name, space, armor = found[0].partition(b" ")
    if name != _COMMIT_HEADERS[object_format] or not space:
        raise InvalidError(
            f"the signature is in the header {name[:80].decode('ascii', 'replace')!r}; "
            f"in a {object_format} repository it is {_COMMIT_HEADERS[object_format].decode()!r}"
        )
    return Signed(payload, armor)


def split_tag(data: bytes) -> Signed:
    """Take the signature off the end of a raw tag; InvalidError where there are several."""
    head, _, message = data.partition(b"\n\n")
    if any(line.startswith(_HEADER) for line in head.split(b"\n")):
        raise InvalidError("the tag has a signature in a header, which belongs at its end")
    starts = [match.start() for match in _OF_TAG.finditer(message)]
    if len(starts) > 1:
        raise InvalidError(f"the tag has {len(starts)} signatures; one belongs")
    if not starts:
        return Signed(data, None)
    at = len(data) - len(message) + starts[0]
    return Signed(data[:at], data[at:])


def unsigned_tag(repository: Repository, oid: Oid) -> Tag:
    """Read an annotated tag, its message without the signature below it.

    Raises InvalidError where something in the message only looks like a signature: git would show what stands below.
    """
    payload = read_signed(repository, oid).payload
    found = parse_tag(oid, payload)
    if any(line.startswith("-----BEGIN ") for line in found.message.split("\n")):
        raise InvalidError("its message holds something like a signature that is none")
    return found


def read_signed(repository: Repository, oid: Oid) -> Signed:
    """Read a commit or an annotated tag and split it."""
    found = repository.objects.read(oid, limit=MAX_OBJECT)
    if found.type == "commit":
        return split_commit(found.data, repository.object_format)
    if found.type == "tag":
        return split_tag(found.data)
    raise InvalidError(f"{oid} is a {found.type}, which nobody signs")


@dataclass(frozen=True, slots=True)
class Job:
    """One signature to verify: the object that carries it, the signature, and the listed key that it names."""

    oid: Oid
    signature: SshSignature
    key: Key


def verify(repository: Repository, jobs: Sequence[Job]) -> list[str | None]:
    """Have ssh-keygen verify signatures, a few at a time; give for each what is wrong, or None.

    What is signed is read again for each: many big commits do not lie in memory together.

    Only bytes and key are looked at: when a key counts is not ssh-keygen's to say. Raises UnavailableError where there
    is no ssh-keygen, or where it does not answer within `TIME_LIMIT`.
    """
    if not jobs:
        return []
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gitreg-") as folder:
        verifier = _Verifier(repository, Path(folder))
        if len(jobs) == 1:
            return [verifier.verify(0, jobs[0])]
        pool = ThreadPoolExecutor(min(_WORKERS, len(jobs)))
        try:
            return list(pool.map(verifier.verify, range(len(jobs)), jobs))
        finally:
            pool.shutdown(cancel_futures=True)


def verify_bytes(payload: bytes, signature: SshSignature, key: Key, namespace: str) -> str | None:
    """Have ssh-keygen verify the signature of bytes that are no object of git's; say what is wrong, or None."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gitreg-") as folder:
        return _Keygen(Path(folder)).verify("it", payload, (signature, key, namespace))


def sign_bytes(payload: bytes, key: Path, namespace: str) -> bytes:
    """Sign bytes with an SSH key, or by the agent that holds it where the file is the public half; give the armor."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "SSH_AUTH_SOCK") if name in os.environ}
    args = ["-Y", "sign", "-f", str(key.absolute()), "-n", namespace]
    done = _run_keygen(args, payload, Path(os.sep), {**environment, "LC_ALL": "C"})
    if done.returncode or not _ARMOR.fullmatch(done.stdout):
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise InvalidError(
            f"{PROGRAM} cannot sign with {str(key)!r}: {said[:200] or f'exit code {done.returncode}'}",
            hint="name a private SSH key without a passphrase, or the public half of one that ssh-agent holds",
        )
    return done.stdout


class _Verifier:
    """Verify the signatures of a repository's objects."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self._repository = repository
        self._keygen = _Keygen(folder)

    def verify(self, number: int, job: Job) -> str | None:
        """Verify one signature: this key alone is allowed to have made it, under its user's name."""
        payload = read_signed(self._repository, job.oid).payload
        return self._keygen.verify(str(number), payload, (job.signature, job.key, NAMESPACE))


class _Keygen:
    """Run ssh-keygen on files of a private folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Neither the user's configuration nor an agent has a say.
        self._environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "LC_ALL": "C"}

    def verify(self, name: str, payload: bytes, by: tuple[SshSignature, Key, str]) -> str | None:
        """Verify one signature of a key for a namespace; `name` is what its files are called."""
        made, key, namespace = by
        allowed = self._folder / f"{name}.allowed"
        signature = self._folder / f"{name}.sig"
        allowed.write_text(f"{key.user} {key.public_line()}\n", "ascii")
        signature.write_bytes(made.armor())
        args = ["-Y", "verify", "-f", str(allowed), "-I", key.user, "-n", namespace, "-s", str(signature)]
        done = _run_keygen(args, payload, self._folder, self._environment)
        allowed.unlink()
        signature.unlink()
        if done.returncode == 0 and done.stdout.startswith(f'Good "{namespace}" signature for {key.user} '.encode()):
            return None
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        return f"{PROGRAM} says: {said[:200] or f'exit code {done.returncode}'}"


def _run_keygen(
    args: Sequence[str], data: bytes, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen, which nobody can be asked for a passphrase by."""
    try:
        return subprocess.run(
            [PROGRAM, *args],
            input=data,
            capture_output=True,
            check=False,
            cwd=folder,
            env={**environment},
            start_new_session=True,
            timeout=TIME_LIMIT,
        )
    except FileNotFoundError as error:
        raise UnavailableError(
            f"{PROGRAM} is not installed, so no signature can be made or verified", hint="install OpenSSH's client"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{PROGRAM} took longer than {TIME_LIMIT:g} s") from error
    except OSError as error:
        raise UnavailableError(f"{PROGRAM} cannot be started: {error.strerror}") from error


# Signing


def check_can_sign(repository: Repository) -> None:
    """Raise InvalidError, which says what to run, where git is not told to sign with an SSH key."""
    form = repository.config("gpg.format")
    named = repository.config("user.signingKey") or repository.config("gpg.ssh.defaultKeyCommand")
    if form == "ssh" and named:
        return
    missing = f"gpg.format is {form}" if named and form else "gpg.format is not set" if named else "no key is named"
    raise InvalidError(
        f"a signature is needed, and git is not told here to sign with an SSH key: {missing}",
        hint="git config --global gpg.format ssh; git config --global user.signingKey ~/.ssh/id_ed25519.pub; and an "
        "admin lists that key in keys/allowed_signers",
    )


def write_signed_tag(repository: Repository, name: str, target: Oid, message: str, tagger: Signature) -> Oid:
    """Write an annotated tag object with the signature that git's configuration says, and give its id; no ref moves.

    `git tag` alone signs a tag, and moves a ref: it does so in a repository that is thrown away.
    """
    from gitreg.git.refs import resolve
    from gitreg.git.temporary import scratch

    check_can_sign(repository)
    environment = {
        "GIT_COMMITTER_NAME": tagger.name,
        "GIT_COMMITTER_EMAIL": tagger.email,
        "GIT_COMMITTER_DATE": f"@{tagger.moment}",
    }
    with scratch(repository) as beside:
        args = ["tag", "--sign", "--cleanup=verbatim", "--file=-", "--", name, target]
        beside.run(args, input=message.rstrip().encode("utf-8", "replace") + b"\n", environment=environment)
        made = resolve(beside, f"refs/tags/{name}")
        if made is None:
            raise UnavailableError(f"git tag wrote no tag {name}")
        data = beside.objects.read(made, limit=MAX_OBJECT).data
    return repository.run(["mktag", "--strict"], input=data).decode("ascii").strip()


def signing_key(repository: Repository) -> bytes | None:
    """Give the public key that git is told to sign with, as far as configuration and `.pub` files tell."""
    named = repository.config("user.signingKey")
    if not named:
        return None
    text = named.removeprefix("key::")
    if text == named and not named.startswith("ssh-"):
        path = Path(named).expanduser()
        public = path if path.suffix == ".pub" else path.with_name(path.name + ".pub")
        try:
            text = public.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None
    try:
        return decode_base64(text.split()[1])
    except (IndexError, InvalidError):
        return None
