"""SSH keys of people, and commits that they sign, to the last byte as a test wants them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gitreg.git import Repository, Signature, write_commit
from gitreg.layout import MAIN
from tests.gate_hooks.support import Pushed, Server, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.gate.support import Edits

DAY = 24 * 3600


@dataclass(frozen=True)
class People:
    """The keys of some people, one each, made when first asked for."""

    folder: Path

    def key(self, name: str, kind: str = "ed25519") -> Path:
        """Name a private key file."""
        path = self.folder / f"{name}-{kind}"
        if not path.exists():
            bits = {"rsa": ["-b", "2048"], "ecdsa": ["-b", "256"]}.get(kind, [])
            run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", "", "-C", name, "-f", str(path)], self.folder)
        return path

    def line(self, user: str, options: str = "", *, key: str | None = None, kind: str = "ed25519") -> str:
        """Write a line of allowed_signers."""
        public = self.key(key or user, kind).with_name(f"{key or user}-{kind}.pub").read_text().split()
        return " ".join([user, *([options] if options else []), *public[:2]]) + "\n"

    def lines(self, *users: str) -> str:
        return "".join(map(self.line, users))

    def sign(self, name: str, payload: bytes, *, namespace: str = "git", kind: str = "ed25519") -> bytes:
        """Sign bytes; the armored signature."""
        file = self.folder / "payload"
        file.write_bytes(payload)
        file.with_name("payload.sig").unlink(missing_ok=True)
        run(
            ["ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", str(self.key(name, kind)), str(file)], self.folder
        )
        return file.with_name("payload.sig").read_bytes()


def header(armor: bytes, name: bytes = b"gpgsig") -> bytes:
    """Write a signature as a commit's header."""
    return name + b" " + armor.rstrip(b"\n").replace(b"\n", b"\n ") + b"\n"


@dataclass(frozen=True)
class SignedServer(Server):
    """A registry whose actors are who signed, and people with keys."""

    people: People = field(kw_only=True)

    @property
    def header_name(self) -> bytes:
        return b"gpgsig" if self.client.object_format == "sha1" else b"gpgsig-sha256"

    def unsigned(
        self, edits: Edits, *, parent: str | None = None, at: int | None = None, more: tuple[str, ...] = ()
    ) -> bytes:
        """Give the raw bytes of a commit: made `at` seconds since 1970, by default now; `more` are other parents."""
        above = parent or self.tip()
        when = Signature("Some Body", "somebody@example.org", int(time.time()) if at is None else at)
        oid = write_commit(self.client, parent=above, edits=edits, message="Change", author=when, committer=when)
        data = self.client.objects.read(oid).data
        others = b"".join(f"parent {other}\n".encode() for other in more)
        return data.replace(b"\nauthor ", b"\n" + others + b"author ", 1)

    def store(self, data: bytes, kind: str = "commit") -> str:
        """Write a raw object in the client."""
        args = ["hash-object", "-t", kind, "--literally", "-w", "--stdin"]
        return self.client.run(args, input=data).decode().strip()

    def with_header(self, data: bytes, *headers: bytes) -> str:
        """Put headers at the end of a raw commit's, and store it."""
        head, _, message = data.partition(b"\n\n")
        return self.store(head + b"\n" + b"".join(headers) + b"\n" + message)

    def signed(
        self,
        who: str,
        edits: Edits,
        *,
        parent: str | None = None,
        at: int | None = None,
        more: tuple[str, ...] = (),
        namespace: str = "git",
        kind: str = "ed25519",
    ) -> str:
        """Write a commit that somebody signs."""
        data = self.unsigned(edits, parent=parent, at=at, more=more)
        return self.with_header(
            data, header(self.people.sign(who, data, namespace=namespace, kind=kind), self.header_name)
        )

    def offer(self, oid: str, *, who: str | None = None) -> Pushed:
        """Push a commit to main."""
        return self.send(who, f"{oid}:{MAIN}")

    def configured(self, who: str) -> Mapping[str, str]:
        """Give the git configuration of somebody who signs, as an environment."""
        pairs = {"gpg.format": "ssh", "user.signingKey": str(self.people.key(who)) + ".pub"}
        found = {"GIT_CONFIG_COUNT": str(len(pairs))}
        for index, (key, value) in enumerate(pairs.items()):
            found |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
        return found


def opened(folder: Path, people: People) -> SignedServer:
    """Use a registry and its client in a folder."""
    return SignedServer(folder / "registry.git", Repository.open(folder / "client.git"), people=people)
