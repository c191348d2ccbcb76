"""Run a real OpenSSH server on a free loopback port, as the user who runs the tests."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.programs import program

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

HOST = "127.0.0.1"
_PRIVILEGE_SEPARATION = Path("/run/sshd")  # where Debian's sshd locks itself in; its start script would make it
_PATIENCE = 20.0
_TRIES = 5
_CONFIG = """\
ListenAddress {host}:{port}
HostKey {host_key}
PidFile none
AuthorizedKeysFile {authorized_keys}
StrictModes no
UsePAM {pam}
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PermitUserEnvironment no
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 100
LogLevel VERBOSE
"""


@dataclass
class Sshd:
    """A running server, the keys of its users, and how their git reaches it."""

    folder: Path
    port: int
    user: str = field(default_factory=getpass.getuser)

    @property
    def authorized_keys(self) -> Path:
        """The file that says which key runs what; read anew at each login."""
        return self.folder / "authorized_keys"

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return (self.folder / "sshd.log").read_text(errors="replace")

    def key(self, name: str) -> Path:
        """Give the private key of a user, made at the first call."""
        path = self.folder / f"key-{name}"
        if not path.exists():
            make_key(path)
        return path

    def public_key(self, name: str) -> str:
        """Give the public key of a user: kind, key, comment."""
        self.key(name)
        return (self.folder / f"key-{name}.pub").read_text().strip()

    def authorize(self, commands: Mapping[str, str], options: str = "restrict") -> None:
        """Write authorized_keys: each user's key runs this forced command (a line of shell) alone."""
        lines = []
        for name, command in commands.items():
            quoted = command.replace('"', '\\"')
            lines.append(f'command="{quoted}",{options} {self.public_key(name)}\n')
        self.authorized_keys.write_text("".join(lines))

    def ssh(self, name: str, *options: str) -> list[str]:
        """Give the words of an ssh call as a user, without the host and with nothing of this machine's."""
        return [
            program("ssh", "openssh-client"),
            *("-F", "none", "-p", str(self.port), "-i", str(self.key(name))),
            *("-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}", "-o", "GlobalKnownHostsFile=/dev/null"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"),
            *options,
        ]

    def environment(self, name: str, *options: str) -> dict[str, str]:
        """Give the variable that lets git reach the server as a user."""
        return {"GIT_SSH_COMMAND": shlex.join(self.ssh(name, *options))}

    def run(
        self, name: str, command: str | None = None, *options: str, data: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the server as a user, or ask for a shell."""
        words = [*self.ssh(name, *options), f"{self.user}@{HOST}", *([] if command is None else ["--", command])]
        return subprocess.run(words, input=data, capture_output=True, check=False, timeout=120)

    def url(self, path: str | Path) -> str:
        """Name a repository on the server by its path."""
        return f"ssh://{self.user}@{HOST}:{self.port}/{str(path).lstrip('/')}"


def make_key(path: Path) -> None:
    """Make a key pair without a passphrase."""
    words = [program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)


@contextmanager
def running(
    folder: Path, *, accept_env: Sequence[str] = (), set_env: Mapping[str, str] | None = None, extra: Iterable[str] = ()
) -> Iterator[Sshd]:
    """Run a server, with its files in a new folder, until the end of the block.

    `accept_env` are the client's variables that it takes over, `set_env` those that it gives each session, `extra`
    further lines of its configuration.
    """
    sshd = program("sshd", "openssh-server")
    if os.geteuid() == 0:
        _PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    make_key(folder / "host_key")
    (folder / "authorized_keys").touch()
    lines = [f"AcceptEnv {name}" for name in accept_env]
    if set_env:
        lines.append("SetEnv " + " ".join(f'"{key}={value}"' for key, value in set_env.items()))
    process, port = _start(sshd, folder, "\n".join([*lines, *extra]))
    try:
        kind, key = (folder / "host_key.pub").read_text().split()[:2]
        (folder / "known_hosts").write_text(f"[{HOST}]:{port} {kind} {key}\n")
        yield Sshd(folder, port)
    finally:
        _stop(process)


def _start(sshd: str, folder: Path, extra: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server; another port where somebody was faster."""
    for _ in range(_TRIES):
        port = free_port()
        text = _CONFIG.format(
            host=HOST,
            port=port,
            host_key=folder / "host_key",
            authorized_keys=folder / "authorized_keys",
            pam="yes" if _is_locked() else "no",
        )
        (folder / "sshd_config").write_text(f"{text}{extra}\n")
        with (folder / "sshd.log").open("wb") as log:
            process = subprocess.Popen(
                [sshd, "-D", "-e", "-f", str(folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if _is_ready(process, port):
            return process, port
        _stop(process)
    raise AssertionError(f"sshd does not start: {(folder / 'sshd.log').read_text(errors='replace')}")


def _is_locked() -> bool:
    """Whether root's account is locked: such a one sshd admits only where PAM is asked."""
    if os.geteuid() != 0:
        return False
    for line in Path("/etc/shadow").read_text().splitlines():
        if line.startswith("root:"):
            return line.split(":")[1].startswith("!")
    return False


def free_port() -> int:
    """Give a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection((HOST, port), timeout=1) as connection:
                connection.settimeout(5)
                if connection.recv(4) == b"SSH-":
                    return process.poll() is None
        except OSError:
            time.sleep(0.02)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and the sessions that are left of it: they are of its process group, which is its own."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
