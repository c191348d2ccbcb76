"""Write commits and tags without a work tree, an index or a ref."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError, UnavailableError
from gitreg.git.process import failure
from gitreg.git.trees import path_fault
from gitreg.git.values import Oid, Signature, is_oid
from gitreg.records import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitreg.git.repository import Repository


# core.ignoreCase would make two paths that differ in case one; hooks would be told of a ref that never is.
_SETTINGS = ("-c", "core.ignoreCase=false", "-c", f"core.hooksPath={os.devnull}")
_PLAIN = re.compile(r"[\w./ @+-]+", re.ASCII)
FAST_IMPORT = (*_SETTINGS, "fast-import", "--quiet", "--done", "--date-format=raw")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A commit to be written: what each path shall hold (None: nothing), the message, who wrote it.

    Without an author or a committer it is who git's configuration says, now.
    """

    edits: Mapping[str, bytes | None]
    message: str
    author: Signature | None = None
    committer: Signature | None = None


def write_commit(  # noqa: PLR0913 - the parts of a commit, which a Draft bundles for a series
    repository: Repository,
    *,
    parent: Oid | None,
    edits: Mapping[str, bytes | None],
    message: str,
    author: Signature | None = None,
    committer: Signature | None = None,
    sign: bool | None = None,
) -> Oid:
    """Write one commit on a parent (None: a first commit) and give its id; no ref moves.

    Only the folders on the way to the edited paths are read. `sign` is commit.gpgSign where it is None.
    """
    draft = Draft(edits=edits, message=message, author=author, committer=committer)
    return write_commits(repository, parent, [draft], sign=sign)[0]


def write_commits(
    repository: Repository,
    parent: Oid | None,
    drafts: Sequence[Draft],
    *,
    sign: bool | None = None,
) -> list[Oid]:
    """Write commits one upon the other by one `git fast-import`, and give their ids, oldest first."""
    if parent is not None and not is_oid(parent):
        raise InvalidError(f"{parent[:80]!r} is no object id", hint="resolve the ref first")
    if not drafts:
        return []
    complete = _complete(repository, drafts)
    oids = _import(repository, b"".join(_stream(parent, complete)), len(complete))
    if sign if sign is not None else repository.config_flag("commit.gpgSign"):
        return _signed(repository, parent, complete, oids)
    return oids


def write_tag(repository: Repository, name: str, target: Oid, message: str, tagger: Signature) -> Oid:
    """Write an annotated tag object of a commit, checked strictly by git, and give its id; no ref moves."""
    if not is_oid(target):
        raise InvalidError(f"{target[:80]!r} is no object id", hint="resolve the ref first")
    head = f"object {target}\ntype commit\ntag {name}\ntagger ".encode()
    if any(mark <= " " for mark in name):
        raise InvalidError(f"{name[:80]!r} cannot be the name of a tag")
    data = head + tagger.line() + b"\n\n" + _message(message)
    return repository.run(["mktag", "--strict"], input=data).decode("ascii").strip()


def _complete(repository: Repository, drafts: Sequence[Draft]) -> list[Draft]:
    """Fill in who and when, asking git at most once for each."""
    from gitreg.git.checkout import identity

    author = committer = None
    complete = []
    for draft in drafts:
        if draft.author is None:
            author = author or identity(repository)
        if draft.committer is None:
            committer = committer or identity(repository, committer=True)
        complete.append(replace(draft, author=draft.author or author, committer=draft.committer or committer))
    return complete


def _stream(parent: Oid | None, drafts: Sequence[Draft]) -> Iterator[bytes]:
    """Make the whole input of fast-import."""
    yield b"feature done\n"
    yield from commands(parent, drafts)
    yield b"done\n"


def commands(parent: Oid | None, drafts: Sequence[Draft]) -> Iterator[bytes]:
    """Tell fast-import to write commits on a branch, to name them, and to forget that branch.

    A branch that ends at no commit is never written, so nothing needs tidying up after a kill, and the objects, like
    those of any interrupted git command, are pruned one day where nothing comes to point at them. Named is always the
    same one: fast-import keeps all that it was told of, and goes through them at each checkpoint.
    """
    branch = b"refs/gitreg/pending"
    for number, draft in enumerate(drafts, 1):
        yield b"commit %s\nmark :%d\n" % (branch, number)
        yield b"author %s\ncommitter %s\n" % (_line(draft.author), _line(draft.committer))
        yield _data(_message(draft.message))
        if number > 1 or parent is not None:
            yield b"from %s\n" % (b":%d" % (number - 1) if number > 1 else str(parent).encode())
        yield from map(_edit, *_sides(draft))
        yield b"\n"
    yield b"".join(b"get-mark :%d\n" % number for number in range(1, len(drafts) + 1))
    yield b"reset %s\n\n" % branch


def _sides(draft: Draft) -> tuple[list[str], list[bytes | None]]:
    # What goes comes first: a file may give way to a folder of its name.
    order = sorted(draft.edits, key=lambda path: (draft.edits[path] is not None, path))
    return order, [draft.edits[path] for path in order]


def _edit(path: str, data: bytes | None) -> bytes:
    fault = path_fault(path)
    if fault:
        raise InvalidError(f"{path[:200]!r} cannot be written: {fault}")
    if data is None:
        return b"D %s\n" % quoted(path)
    return b"M 100644 inline %s\n" % quoted(path) + _data(data)


def quoted(path: str) -> bytes:
    """Quote a path as fast-import reads it: in C's style, bytes that are no printable ASCII in octal."""
    if _PLAIN.fullmatch(path):
        return f'"{path}"'.encode("ascii")
    marks = {ord('"'): b'\\"', ord("\\"): b"\\\\"}
    raw = path.encode("utf-8", "surrogateescape")
    printable = range(ord(" "), 0x7F)
    return b'"%s"' % b"".join(
        marks.get(byte) or (bytes([byte]) if byte in printable else b"\\%03o" % byte) for byte in raw
    )


def _data(data: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(data), data)


def _line(who: Signature | None) -> bytes:
    return who.line() if who else b""


def _message(message: str) -> bytes:
    if "\0" in message:
        raise InvalidError("a message may not hold a zero byte")
    return message.rstrip().encode("utf-8", "replace") + b"\n"


def _import(repository: Repository, stream: bytes, count: int) -> list[Oid]:
    process = repository.runner.start(FAST_IMPORT, stdin=True)
    try:
        output, said = process.communicate(stream)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    errors = said.decode("utf-8", "replace")
    if process.returncode != 0:
        (repository.git_dir / f"fast_import_crash_{process.pid}").unlink(missing_ok=True)
        raise failure(FAST_IMPORT, process.returncode, errors)
    oids = output.decode("ascii").split()
    if len(oids) != count:
        raise UnavailableError(f"git fast-import named {len(oids)} commits instead of {count}")
    return oids


def _signed(repository: Repository, parent: Oid | None, drafts: Sequence[Draft], oids: Sequence[Oid]) -> list[Oid]:
    """Write the commits again with the user's signature, as git's configuration says how."""
    signed: list[Oid] = []
    for draft, oid in zip(drafts, oids, strict=True):
        tree = repository.objects.commit(oid).tree
        above = signed[-1] if signed else parent
        args = ["commit-tree", "-S", *(["-p", above] if above else []), tree]
        environment = {**_identity("AUTHOR", draft.author), **_identity("COMMITTER", draft.committer)}
        output = repository.run(args, input=_message(draft.message), environment=environment)
        signed.append(output.decode("ascii").strip())
    return signed


def _identity(role: str, who: Signature | None) -> dict[str, str]:
    if who is None:
        return {}
    return {
        f"GIT_{role}_NAME": who.name,
        f"GIT_{role}_EMAIL": who.email,
        f"GIT_{role}_DATE": f"@{who.moment}",
    }
