"""Serve git to one user over ssh, and nothing else: the forced command of a key."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError, NotFoundError, UnavailableError
from gitreg.gate_hooks.receiving import SESSION, VARIABLE, limits, log_refused, require_gate
from gitreg.names import UserName
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


RECEIVE, UPLOAD = "receive-pack", "upload-pack"
_MAX_COMMAND = 4096
MAX_KEY = 16_384
_SHOWN = 200
# As sq_quote_buf of git's quote.c writes one argument, and nothing else of a shell's language.
_COMMAND = re.compile(r"git[ -](receive-pack|upload-pack) '((?:[^'\\]|'\\['!]')*)'")
_QUOTED = re.compile(r"'\\(['!])'")
# One folder of a path: no option, no `~`, no hidden one, nothing that a shell or a terminal would notice.
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]*", re.ASCII)
_PROTOCOL = re.compile(r"version=[0-2]")
# All that a session keeps of its environment; what ssh(1) sets, and no client can.
_KEPT = ("HOME", "LOGNAME", "USER", "SSH_CLIENT", "SSH_CONNECTION")
_OTHERWISE = "git clone, fetch and push are all that this account serves"


@dataclass(frozen=True, slots=True)
class Request:
    """What the client asks for: to fetch from or to push to a path."""

    service: str
    path: str


def serve(user: str, root: Path, environ: Mapping[str, str]) -> int:
    """Do what `SSH_ORIGINAL_COMMAND` asks for, as a user, on the registries below a folder; give the exit code.

    Raises InvalidError for another command, NotFoundError where there is no such registry, DeniedError where the
    gate is not in force for a push. A fetch replaces this process.
    """
    who = UserName(user)
    root = root.absolute()
    if not root.is_dir():
        raise NotFoundError(f"{root} is not a folder", hint="tell the server's owner: --root names none")
    request = parse(environ.get("SSH_ORIGINAL_COMMAND", ""))
    git_dir = find(root, request.path)
    clean = environment(environ, who)
    if request.service == UPLOAD:
        from gitreg.git.serve import Limits, upload

        upload(git_dir, clean, idle=Limits().idle)
    return _receive(git_dir, clean)


def greeting(user: str) -> str:
    """Answer somebody who asked for no command at all."""
    return f"Hello {UserName(user)}: there is no shell here; {_OTHERWISE}."


def parse(command: str) -> Request:
    """Read a command as git's clients write it; InvalidError for any other."""
    match = _COMMAND.fullmatch(command) if len(command) <= _MAX_COMMAND else None
    if not match:
        shown = command if len(command) <= _SHOWN else f"{command[:_SHOWN]}…"
        raise InvalidError(f"{shown!r} is not served here", hint=_OTHERWISE)
    return Request(match[1], _QUOTED.sub(r"\1", match[2]))


def find(root: Path, path: str) -> Path:
    """Find the git directory of the registry that a client means; it lies below the root, or is the root.

    A path counts from the root, or is the whole path on this machine. `.git` may be left out. Links that lead
    elsewhere, `..` and hidden folders lead to nothing: NotFoundError, which does not tell what there is.
    """
    missing = NotFoundError(
        f"{path[:_SHOWN]!r} is no registry here", hint="check the address, or ask the server's owner"
    )
    real = Path(os.path.realpath(root))
    for folder in _candidates(root, path, missing):
        git_dir = Path(os.path.realpath(folder))
        if git_dir.is_relative_to(real) and _is_git_dir(git_dir):
            return git_dir
    raise missing


def _candidates(root: Path, path: str, missing: NotFoundError) -> list[Path]:
    """Give the folders that a path may mean."""
    names = path.strip("/")
    whole = str(root).strip("/")
    if f"{names}/".startswith(f"{whole}/"):
        names = names[len(whole) :].lstrip("/")
    elif _is_git_dir(root) and names in {root.name, root.name.removesuffix(".git")}:
        names = ""
    folders = names.split("/") if names else []
    if not all(_FOLDER.fullmatch(each) and ".." not in each for each in folders):
        raise missing
    found = root.joinpath(*folders)
    return [found, found / ".git", *([found.with_name(f"{found.name}.git")] if folders else [])]


def _is_git_dir(folder: Path) -> bool:
    # os.path, which takes a name that is too long for one that is not there.
    return os.path.isfile(folder / "HEAD") and all(os.path.isdir(folder / name) for name in ("objects", "refs"))  # noqa: PTH112, PTH113


def environment(environ: Mapping[str, str], who: UserName) -> dict[str, str]:
    """Make the environment of a session: nothing of the client's but the protocol's version, and who it is."""
    kept = {name: environ[name] for name in _KEPT if name in environ}
    folders = [each for each in environ.get("PATH", "").split(os.pathsep) if each.startswith("/")]
    protocol = environ.get("GIT_PROTOCOL", "")
    return {
        **kept,
        **({"GIT_PROTOCOL": protocol} if _PROTOCOL.fullmatch(protocol) else {}),
        "PATH": os.pathsep.join(folders) or os.defpath,
        "LANG": "C",
        "LC_ALL": "C",
        VARIABLE: str(who),
        SESSION: os.urandom(16).hex(),
    }


def _receive(git_dir: Path, clean: Mapping[str, str]) -> int:
    """Let git take a push where the gate is in force, and log what git itself refuses."""
    from gitreg.gate_hooks import audit
    from gitreg.git import Repository
    from gitreg.git.serve import receive

    with Repository.open(git_dir, environment=clean) as repository:
        require_gate(repository, "ssh")
        allowed = limits(repository)
    since = audit.position(git_dir)
    served = receive(git_dir, clean, allowed)
    log_refused(git_dir, clean, served, since)
    if served.stopped:
        raise UnavailableError(f"the push was ended: {served.stopped}")
    return served.code if served.code >= 0 else 128 - served.code


def authorized_key(user: str, key: str, root: Path, interpreter: str | None = None) -> str:
    """Write the line of authorized_keys that lets a key serve git as a user; InvalidError where it is no public key."""
    from gitreg.gate_hooks.install import absolute

    words = [absolute(interpreter or sys.executable), "-I", "-m", "gitreg", "server", "shell", str(UserName(user))]
    command = shlex.join([*words, "--root", str(root.absolute())])
    if not command.isprintable():
        raise InvalidError(f"{command!r} holds what no line of authorized_keys can", hint="move the folder")
    quoted = command.replace('"', '\\"')  # all that sshd takes back (opt_dequote in its misc.c)
    return f'command="{quoted}",restrict {public_key(key)}'


_KEY = re.compile(
    r"([a-z0-9@.-]{1,64}) ([A-Za-z0-9+/]{32,16384}={0,2})(?: [ -~]{0,255})?",
    re.ASCII,
)


def public_key(text: str) -> str:
    """Check the text of a public key file, and give its one line; InvalidError where it is anything else."""
    from gitreg.keys import decode_base64, key_type

    match = _KEY.fullmatch(text.strip())
    if not match or key_type(decode_base64(match[2])) != match[1]:
        raise InvalidError("that is not one SSH public key", hint="give the .pub file that ssh-keygen wrote")
    return text.strip()
