"""Set up a real gitolite behind a real sshd, as docs/servers/gitolite.md says."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.gate_hooks.support import run
from tests.servers.clients import Clone, make_registry
from tests.servers.programs import program
from tests.servers.sshd import running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence

    from tests.gate_hooks.support import Pushed
    from tests.servers.sshd import Sshd

PAGE = Path(__file__).parents[2] / "docs" / "servers" / "gitolite.md"
PEOPLE = ("root", "alice", "bob")


@dataclass
class Gitolite:
    """gitolite in a home of its own, a clone of its admin's repository, and the ssh server before it."""

    home: Path
    sshd: Sshd
    admin: Clone

    @property
    def registry(self) -> Path:
        """The registry's repository."""
        return self.home / "repositories" / "models.git"

    def url(self, name: str = "models") -> str:
        """Name a repository as gitolite does."""
        return self.sshd.url(name)

    def clone(self, user: str, folder: Path, *options: str) -> Clone:
        """Clone the registry over ssh as a user."""
        return Clone.of(self.url(), folder, self.sshd.environment(user, *options))

    def server(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on the server, as gitolite's account at its prompt."""
        return run(words, self.home, environment=_account(self.home), check=check)

    def configure(self, conf: str, keys: Sequence[str] = ()) -> None:
        """Push a configuration and people's keys to gitolite's admin repository."""
        files = {f"keydir/{name}.pub": f"{self.sshd.public_key(name)}\n".encode() for name in keys}
        self.admin.commit({"conf/gitolite.conf": conf.encode(), **files})
        pushed = self.push_admin()
        assert pushed.accepted, pushed.said

    def push_admin(self) -> Pushed:
        """Push gitolite's admin repository, whose one branch that counts is master."""
        return self.admin.push("origin", "HEAD:refs/heads/master")

    def keep(self) -> None:
        """Keep a copy of gitolite's home and of its admin's clone."""
        for folder in (self.home, self.admin.path):
            shutil.copytree(folder, folder.with_name(f"{folder.name}.kept"), symlinks=True)

    def restore(self) -> None:
        """Put everything back as it was kept."""
        for folder in (self.home, self.admin.path):
            shutil.rmtree(folder)
            shutil.copytree(folder.with_name(f"{folder.name}.kept"), folder, symlinks=True)

    def settings(self, text: str) -> None:
        """Add lines to the %RC of ~/.gitolite.rc."""
        path = self.home / ".gitolite.rc"
        found = path.read_text()
        assert "%RC = (\n" in found
        path.write_text(found.replace("%RC = (\n", f"%RC = (\n{text}\n", 1))


def _account(home: Path) -> Mapping[str, str]:
    """Give the variables of gitolite's account; the tests' own say nothing here."""
    return {"HOME": str(home), "USER": "gitolite3", "GIT_CONFIG_GLOBAL": str(home / ".gitconfig")}


def block(language: str) -> str:
    """Give the one block of the page in this language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) == 1, f"{PAGE} has {len(found)} blocks of {language}"
    return str(found[0])


def configuration() -> str:
    """Give the page's gitolite.conf, below what gitolite itself begins it with."""
    return f"repo gitolite-admin\n    RW+     =   root\n\n{block('text')}"


@contextmanager
def gitolite(folder: Path, accept_env: Sequence[str] = ()) -> Iterator[Gitolite]:
    """Run gitolite with the page's configuration and a registry in it, until the end of the block."""
    program("gitolite", "gitolite3")
    home = folder / "gitolite3"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    identity = "[user]\n\tname = Model registry\n\temail = models@example.org\n"
    (home / ".gitconfig").write_text(identity)
    with running(folder / "sshd", accept_env=accept_env, set_env={"HOME": str(home)}) as sshd:
        # gitolite writes who may come in where its account's sshd looks.
        sshd.authorized_keys.unlink()
        sshd.authorized_keys.symlink_to(home / ".ssh" / "authorized_keys")
        sshd.key("root")
        key = folder / "root.pub"
        key.write_text(f"{sshd.public_key('root')}\n")
        run(["gitolite", "setup", "-pk", str(key)], home, environment=_account(home))
        admin = Clone.of(sshd.url("gitolite-admin"), folder / "gitolite-admin", sshd.environment("root"))
        made = Gitolite(home, sshd, admin)
        made.configure(configuration(), PEOPLE)
        old = os.umask(0o077)  # as gitolite's account has it in a session
        try:
            make_registry(made.registry, "GL_USER", store=folder / "store")
        finally:
            os.umask(old)
        yield made
