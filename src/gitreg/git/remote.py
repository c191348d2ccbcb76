"""Talk to other repositories: clone, fetch, push, list their refs."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import ConflictError, DeniedError, GitregError, InvalidError, NotFoundError, UnavailableError
from gitreg.git.checkout import without_credentials
from gitreg.git.create import create
from gitreg.git.environment import sealed_environment, with_config
from gitreg.git.process import Runner, git_version
from gitreg.git.repository import Repository
from gitreg.git.temporary import scratch
from gitreg.git.values import Oid, is_oid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gitreg.git.progress import Report

__all__ = ["PushResult", "RefResult", "clone", "fetch", "init_bare", "ls_remote", "push", "scratch"]
SERVED_AT = "/registry.git"
"""Where git finds the repository of a gitreg server, below the server's URL."""

_SHOWN = 300
_SHA1 = 40


class RefResult(NamedTuple):
    """What became of one ref of a push; `reason` is git's, and None where it was accepted."""

    ref: str
    reason: str | None


class PushResult(NamedTuple):
    """What became of a push.

    `stale`: somebody else was first, or another push is under way; build on the new tip and push again. `refused`: the
    server does not want it, and `message` says why, in the lines that its hooks printed.
    """

    accepted: bool
    stale: bool
    refused: bool
    message: str
    refs: tuple[RefResult, ...]


class _Talk(NamedTuple):
    """What a command that talked to another repository said."""

    code: int
    output: tuple[str, ...]
    errors: tuple[str, ...]
    remote: tuple[str, ...]


def fetch(
    repository: Repository,
    url: str,
    refspecs: Sequence[str],
    *,
    report: Report | None = None,
    timeout: float | None = None,
) -> None:
    """Fetch exactly these refspecs, as in `+refs/heads/main:refs/remotes/registry/main`; no tags, no pruning.

    Raises NotFoundError where the repository or a ref is not there, ConflictError where a local ref would not move
    forward, UnavailableError where the server cannot be reached.
    """
    args = [
        "fetch",
        "--progress",
        "--atomic",
        "--no-tags",
        "--no-prune",
        "--no-recurse-submodules",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--refmap=",
        "--",
        *_location(url),
        *refspecs,
    ]
    talk = _talk(repository.runner, args, url, report, timeout)
    if talk.code == 0:
        return
    rejected = next((line for line in talk.errors if line.lstrip().startswith("! [rejected]")), None)
    if rejected:
        raise ConflictError(f"a local ref is not behind the fetched one: {rejected.strip()[:_SHOWN]}")
    raise _unreachable(url, talk)


def ls_remote(
    url: str,
    patterns: Sequence[str] = (),
    *,
    repository: Repository | None = None,
    timeout: float | None = None,
) -> dict[str, Oid]:
    """Give the refs of another repository: all, or those with exactly these names (`*` matches within a pattern)."""
    runner = repository.runner if repository else _nowhere()
    args = ["ls-remote", "--refs", "--quiet", "--", *_location(url), *patterns]
    talk = _talk(runner, args, url, None, timeout)
    if talk.code != 0:
        raise _unreachable(url, talk)
    pairs = (line.rstrip("\n").partition("\t")[::2] for line in talk.output)
    exact = {pattern for pattern in patterns if "*" not in pattern}
    # git matches a name at the end of others, too: refs/heads/main in refs/x/refs/heads/main.
    return {ref: oid for oid, ref in pairs if is_oid(oid) and (len(exact) < len(patterns) or not exact or ref in exact)}


def push(
    repository: Repository,
    url: str,
    updates: Mapping[str, tuple[Oid | None, Oid | None]],
    *,
    report: Report | None = None,
    timeout: float | None = None,
) -> PushResult:
    """Push refs as `{ref: (old, new)}`: each moves from exactly `old` (None: it must not exist) to `new` (None: away).

    Nothing else is pushed, whatever the user's configuration says. With several refs all move or none. Raises
    UnavailableError where the server cannot be reached or breaks off; then the push may yet have been accepted, which
    `ls_remote` tells.
    """
    args = [
        "push",
        "--porcelain",
        "--progress",
        "--no-verify",
        "--no-follow-tags",
        "--no-signed",
        "--no-force-if-includes",
        "--recurse-submodules=no",
        *(["--atomic"] if len(updates) > 1 else []),
        *(f"--force-with-lease={_checked(ref)}:{old or ''}" for ref, (old, _) in updates.items()),
        "--",
        *_location(url),
        *(f"{new or ''}:{ref}" for ref, (_, new) in updates.items()),
    ]
    if not updates:
        return PushResult(accepted=True, stale=False, refused=False, message="", refs=())
    talk = _talk(repository.runner, args, url, report, timeout)
    results = tuple(_results(talk.output))
    if not results:
        error = _unreachable(url, talk)
        if isinstance(error, UnavailableError):
            raise UnavailableError(error.message, hint=_UNCERTAIN)
        raise error
    return _judged(url, talk, results)


_STALE = (
    "stale info",
    "fetch first",
    "non-fast-forward",
    "needs force",
    "already exists",
    "cannot lock ref",
    "failed to lock",
    "failed to update ref",
    "incorrect old value provided",
    "reference is missing",
    "remote ref updated since checkout",
)
_UNOFFERED = ("git-http-push failed", "Cannot access URL", "service not enabled")
_BROKEN = ("remote failed to report status", "unpacker error", "missing necessary objects", "failed to write")
_ATOMIC = ("atomic push fail", "atomic transaction fail", "transaction failed")


_UNCERTAIN = "it may have been accepted all the same; look before you try again"


def _judged(url: str, talk: _Talk, results: tuple[RefResult, ...]) -> PushResult:
    reasons = [result.reason for result in results if result.reason is not None]
    unoffered = next((line for line in talk.errors if any(words in line for words in _UNOFFERED)), None)
    if unoffered and reasons:
        raise UnavailableError(
            f"{without_credentials(url)} does not take pushes: {_clean(unoffered)}", hint="name a URL that does"
        )
    broken = next((reason for reason in reasons if any(words in reason for words in _BROKEN)), None)
    if broken:
        said = "; ".join((broken, *(line for line in (*talk.errors, *talk.remote)[:3])))
        raise UnavailableError(f"pushing to {without_credentials(url)} failed: {_clean(said)}", hint=_UNCERTAIN)
    stale = any(any(words in reason for words in _STALE) for reason in reasons)
    # With --atomic the refs beside the one that failed only say that another one did.
    others = [reason for reason in reasons if not any(words in reason for words in (*_STALE, *_ATOMIC))]
    message = "\n".join(talk.remote) or "\n".join(dict.fromkeys(others))
    return PushResult(
        accepted=not reasons,
        stale=stale and not others,
        refused=bool(others) or bool(reasons and not stale),
        message=message,
        refs=results,
    )


def _results(lines: Iterable[str]) -> Iterable[RefResult]:
    r"""Read `git push --porcelain`: a flag, tab, `from:to`, tab, summary, reason in parentheses."""
    for line in lines:
        flag, tab, rest = line.rstrip("\n").partition("\t")
        names, second, summary = rest.partition("\t")
        if tab and second and len(flag) == 1:
            reason = re.search(r"\((.*)\)\Z", summary, re.DOTALL)
            yield RefResult(names.rpartition(":")[2], (reason[1] if reason else summary) if flag == "!" else None)


def clone(  # noqa: PLR0913 - the options of a clone, none of which travels with another
    url: str,
    path: str | os.PathLike[str],
    *,
    bare: bool = False,
    branch: str | None = None,
    report: Report | None = None,
    timeout: float | None = None,
) -> Repository:
    """Clone one branch, by default the server's own, without tags; the path must not exist, or be an empty folder."""
    target = Path(path).absolute()
    args = [
        "clone",
        "--progress",
        "--origin=origin",
        "--no-tags",
        "--single-branch",
        "--no-recurse-submodules",
        *(["--bare"] if bare else []),
        *([f"--branch={branch}"] if branch else []),
        "--",
        *_location(url),
        str(target),
    ]
    if target.is_dir() and any(target.iterdir()):
        raise ConflictError(f"{target} exists and is not empty", hint="name a folder that does not exist")
    runner = Runner(Path.cwd(), sealed_environment())
    git_version(runner.environment.get("PATH"))
    talk = _talk(runner, args, url, report, timeout)
    if talk.code != 0:
        raise _unreachable(url, talk)
    return Repository.open(target)


def init_bare(path: Path, *, like: str) -> None:
    """Make an empty bare repository with the object format of another one, at once or not at all."""
    import shutil
    import tempfile

    oids = ls_remote(like).values()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        create(draft, bare=True, object_format="sha256" if any(len(oid) > _SHA1 for oid in oids) else "sha1")
        try:
            draft.rename(path)
        except OSError as error:
            if not (path / "HEAD").is_file():  # else another process was first, with the same result
                raise UnavailableError(f"{path} cannot be made: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _nowhere() -> Runner:
    """Run git outside any repository, even where one lies around."""
    environment = sealed_environment()
    git_version(environment.get("PATH"))
    return Runner(Path.cwd(), {**environment, "GIT_DIR": os.devnull})


def _checked(ref: str) -> str:
    if not ref.startswith("refs/") or set(ref) & set(" :*?[\\^~\n"):
        raise InvalidError(f"{ref[:80]!r} is not a full ref", hint="write it as in refs/heads/main")
    return ref


def _location(url: str) -> tuple[str]:
    """Check a URL, and make a path independent of the folder that git runs in."""
    if not url or any(mark < " " or mark == "\x7f" for mark in url):
        raise InvalidError(f"{url[:80]!r} is no URL of a repository")
    if re.match(r"[A-Za-z0-9+.-]*::|ext:", url):
        raise InvalidError(f"{url[:80]!r} names a helper that git would run", hint="use ssh, https or a path")
    # git's own rule: a colon before any slash makes it host:path.
    is_path = "://" not in url and (":" not in url.partition("/")[0] or Path(url).exists())
    return (str(Path(url).expanduser().absolute()) if is_path else url,)


def _talk(runner: Runner, args: Sequence[str], url: str, report: Report | None, timeout: float | None) -> _Talk:
    """Run a command that talks to another repository, with GitPython reading along.

    The process is started here and not by GitPython, which adds to the environment but takes nothing out of it.
    """
    from git.cmd import handle_process_output

    from gitreg.git.progress import Listener

    listener = Listener(report)
    output: list[str] = []
    # A remote of that very name could mirror, and so push every ref.
    sealed = with_config(runner.environment, [(f"remote.{url}.mirror", "false"), *helpers(url)])
    process = runner.start_text(args, sealed)
    try:
        handle_process_output(
            process,
            output.append,
            listener.new_message_handler(),
            decode_streams=False,
            kill_after_timeout=timeout,
        )
        code = process.wait()
    except RuntimeError as error:
        process.kill()
        process.wait()
        raise UnavailableError(f"{without_credentials(url)} did not answer within {timeout:g} s") from error
    except BaseException:
        process.kill()
        process.wait()
        raise
    return _Talk(code, tuple(output), tuple(listener.errors), tuple(listener.remote))


def helpers(url: str) -> list[tuple[str, str]]:
    """Give the configuration by which git asks gitreg for the token, at the address that a gitreg server gives git.

    It comes after whatever else the user has set up. See gitcredentials(7).
    """
    server = url.removesuffix(SERVED_AT)
    if server == url or not server.startswith(("https://", "http://")) or "@" in server or not sys.executable:
        return []
    # -P: the folder that git runs in is not searched for modules.
    words = (sys.executable, "-P", "-m", "gitreg", "credential", "--server", server)
    origin = "/".join(server.split("/")[:3])
    return [(f"credential.{origin}.helper", f"!{shlex.join(words)}")]


_GENERIC = (
    "Could not read from remote repository",
    "Please make sure you have the correct access rights",
    "and the repository exists",
    "the remote end hung up",
    "early EOF",
    "failed to push some refs",
    "Permanently added",
)
_CHATTER = (
    r"(hint|[Ww]arning):|(Enumerating|Counting|Compressing|Writing|Receiving|Resolving|Unpacking|Updating|Filtering) "
    r"|Delta compression|Total [0-9]|Cloning into|From |To |POST |See "
)
_MISSING = (
    r"does not appear to be a git repository|repository .* (does not exist|not found)|[Rr]epository not found"
    r"|project you were looking for|[Nn]o such file or directory|couldn't find remote ref|[Rr]emote branch .* not found"
)
_UNKNOWN = r"could not read (Username|Password) for|Authentication failed for|returned error: 40[13]"
_KNOWN_BY = "for a gitreg server set GITREG_TOKEN; for others a credential helper of git's, or use ssh"
_UNUSABLE = (
    r"protocol .* is not supported|is not a git command|[Uu]nable to find remote helper|transport .* not allowed"
    r"|strange (host|path)name"
)


def _unreachable(url: str, talk: _Talk) -> GitregError:
    """Make the error of a command that came to nothing, from the first line that says something."""
    lines = [line for line in (*talk.errors, *talk.remote) if line.strip() and not re.match(_CHATTER, line)]
    useful = [line for line in lines if not any(words in line for words in _GENERIC)] or lines
    best = next((line for line in useful if line.startswith(("fatal:", "error:", "ERROR:"))), None)
    said = _clean(best or useful[0]) if useful else f"git ended with exit code {talk.code}"
    everything = "\n".join(lines)
    shown = without_credentials(url)
    if re.search(_UNUSABLE, everything):
        return InvalidError(f"{shown[:_SHOWN]!r} is no URL of a repository: {said}")
    if re.search(_UNKNOWN, everything):
        # What our own helper says (`helpers`), or the server's page; git's line says only that it could not ask.
        told = next((line.partition("gitreg: ")[2] for line in lines if "gitreg: " in line), None)
        return DeniedError(f"{shown} does not let you in: {_clean(told or said)}", hint=None if told else _KNOWN_BY)
    if re.search(_MISSING, everything):
        return NotFoundError(f"{shown}: {said}", hint="check the address, and that you may read it")
    return UnavailableError(f"{shown} cannot be reached: {said}", hint="try again later")


def _clean(line: str) -> str:
    """Take git's prefix and any credentials out of a line."""
    bare = re.sub(r"\A(?:(?:fatal|error|ERROR): )+", "", line.strip())
    return re.sub(r"://[^/@\s]+@", "://", bare)[:_SHOWN]
