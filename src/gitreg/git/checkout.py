"""Read the checkout one stands in: who one is, and which commit of the code this is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError, NotFoundError
from gitreg.git.environment import sealed_environment, with_config
from gitreg.git.process import Runner, failure
from gitreg.git.repository import Repository
from gitreg.git.values import Oid, Signature

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

IDENTITY_HINT = 'run `git config --global user.name "Your Name"` and `git config --global user.email you@example.org`'
_UNKNOWN = ("Please tell me who you are", "ident name", "was given and auto-detection is disabled")


class CodeCommit(NamedTuple):
    """The commit that code was at: its repository's URL without credentials, its id, whether files differ from it."""

    repository: str | None
    commit: Oid
    dirty: bool


def identity(
    repository: Repository | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    committer: bool = False,
) -> Signature:
    """Give who git's configuration says writes commits, now; InvalidError where it does not say.

    GIT_AUTHOR_NAME and the like count, as they do for git. With `committer` it is who commits.
    """
    runner = repository.runner if repository else Runner(Path.cwd(), sealed_environment(environment))
    # Without useConfigOnly git makes up an address from the machine's name.
    strict = Runner(runner.folder, with_config(runner.environment, [("user.useConfigOnly", "true")]))
    args = ["var", "GIT_COMMITTER_IDENT" if committer else "GIT_AUTHOR_IDENT"]
    finished = strict.run(args)
    if finished.code != 0:
        if any(words in finished.errors for words in _UNKNOWN):
            raise InvalidError("git does not know who you are", hint=IDENTITY_HINT)
        raise failure(args, finished.code, finished.errors)
    return Signature.parse(finished.output.removesuffix(b"\n"))


def code_commit(
    folder: str | os.PathLike[str],
    *,
    environment: Mapping[str, str] | None = None,
) -> CodeCommit | None:
    """Give the commit of the checkout around a folder; None outside any, and before its first commit.

    Changes of tracked files make it dirty; untracked files do not. The checkout's index is not written.
    """
    try:
        checkout = Repository.open(folder, environment=environment)
    except NotFoundError:
        return None
    with checkout:
        if checkout.work_tree is None:
            return None
        output = checkout.run(["rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD^{commit}"], codes=(0, 1))
        # Older git repeats --end-of-options in its answer.
        commit = output.decode("ascii").strip().rpartition("\n")[2]
        return CodeCommit(_remote_url(checkout), commit, _is_dirty(checkout)) if commit else None


def _remote_url(checkout: Repository) -> str | None:
    """Prefer the remote that the branch follows, then `origin`."""
    branch = (checkout.head_ref() or "").removeprefix("refs/heads/")
    followed = checkout.config(f"branch.{branch}.remote") if branch else None
    for name in (followed, "origin"):
        url = checkout.config(f"remote.{name}.url") if name else None
        if url:
            return without_credentials(url)
    return None


def without_credentials(url: str) -> str:
    """Take user, password and query out of a URL; the user of an ssh URL stays, since it names the account."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:([^/?#]*)@)?([^?#]*)", url, re.DOTALL)
    if not match:
        return url
    scheme, user, rest = match[1], match[2], match[3]
    if user and "ssh" in scheme.lower():
        return f"{scheme}{user.partition(':')[0]}@{rest}"
    return f"{scheme}{rest}"


def _is_dirty(checkout: Repository) -> bool:
    return bool(checkout.run(["status", "--porcelain", "-z", "--untracked-files=no", "--no-renames"]))
