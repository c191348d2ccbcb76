"""A registry on a server, and people who push to it with plain git."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gitreg.gate_hooks import audit
from gitreg.git import Repository, Signature, refs, write_commit
from gitreg.layout import MAIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gitreg.git import Oid
    from tests.gate.support import Edits

SOMEBODY = Signature("Some Body", "somebody@example.org", 1_767_225_600, 60)
ZERO = "0" * 40


@dataclass(frozen=True)
class Pushed:
    """How a push ended, and what the pusher saw."""

    accepted: bool
    said: str

    @property
    def codes(self) -> list[str]:
        """The codes of the violations, in the order they were told."""
        lines = [line.removeprefix("remote:").strip() for line in self.said.splitlines()]
        return [line[1:].partition("]")[0] for line in lines if line.startswith("[")]


@dataclass(frozen=True)
class Server:
    """A bare registry with its hooks, and a client that has its objects."""

    path: Path
    client: Repository

    def tip(self) -> Oid:
        return self.ref(MAIN) or ""

    def ref(self, name: str) -> Oid | None:
        found = self.git("for-each-ref", "--format=%(objectname)", name)
        return found or None

    def refs(self, prefix: str = "refs/") -> list[str]:
        return self.git("for-each-ref", "--format=%(refname)", prefix).split()

    def tag(self, name: str) -> str:
        return self.git("for-each-ref", "--format=%(contents)", f"refs/tags/{name}")

    def trailers(self, name: str) -> dict[str, str]:
        lines = self.tag(name).strip().split("\n\n")[-1].splitlines()
        return dict(line.split(": ", 1) for line in lines)

    def git(self, *args: str) -> str:
        return run(["git", *args], self.path).stdout.strip()

    def commit(self, edits: Edits, message: str = "Change", parent: Oid | None = None) -> Oid:
        """Write a commit in the client, on the server's main or on a parent."""
        above = parent or self.tip()
        return write_commit(
            self.client, parent=above, edits=edits, message=message, author=SOMEBODY, committer=SOMEBODY
        )

    def commits(self, *edits: Edits) -> Oid:
        """Write one commit upon the other."""
        parent = self.tip()
        for each in edits:
            parent = self.commit(each, parent=parent)
        return parent

    def send(self, who: str | None, *specs: str, options: Sequence[str] = ()) -> Pushed:
        """Push refspecs as a user."""
        environment = {"GL_USER": who} if who is not None else {}
        done = run(
            ["git", "push", *options, str(self.path), *specs], self.client.git_dir, environment=environment, check=False
        )
        return Pushed(done.returncode == 0, done.stderr)

    def push(self, who: str | None, edits: Edits, message: str = "Change") -> Pushed:
        """Push one commit to main as a user."""
        return self.send(who, f"{self.commit(edits, message)}:{MAIN}")

    def fetch(self) -> None:
        """Bring the client up to date with what others pushed."""
        self.client.run(["fetch", "--quiet", str(self.path), f"+{MAIN}:{MAIN}"])

    def hook(self, data: bytes, who: str | None = "root", name: str = "pre-receive") -> Pushed:
        """Feed a hook directly, as git would."""
        environment = {"GL_USER": who} if who is not None else {}
        done = run([str(self.path / "hooks" / name)], self.path, environment=environment, data=data, check=False)
        return Pushed(done.returncode == 0, done.stderr)

    def log(self) -> list[dict[str, Any]]:
        """Read the audit log, without the entry that began it."""
        return [json.loads(line) for line in audit.audit_path(self.path).read_text().splitlines()][1:]

    def move(self, ref: str, new: Oid) -> None:
        """Move a ref on the server past its hooks."""
        with Repository.open(self.path) as repository:
            refs.update(repository, ref, new, refs.resolve(repository, ref))


def run(
    command: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    data: bytes | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, input=data, env={**os.environ, **(environment or {})}, capture_output=True, check=False
    )
    text = subprocess.CompletedProcess(
        command, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )
    assert not check or done.returncode == 0, text.stderr
    return text
