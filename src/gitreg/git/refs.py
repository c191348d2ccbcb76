"""Read refs, and move them only from the value they are expected to have."""

from __future__ import annotations

import re
import subprocess
import time
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, IntegrityError, InvalidError, UnavailableError
from gitreg.git.loose import read_ref
from gitreg.git.process import Answers, CutOffError, Drain, failure, stop, useful_line
from gitreg.git.values import Oid, Signature, is_oid, parse_tag, subject_of, trailers_of
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from gitreg.git.repository import Repository

_GLOB = frozenset("*?[\\")
_PATIENCE = 30.0  # seconds for git to give up its locks
_LONG = 5.0
_TOGETHER = 2_000  # tags that are read at once
_SIGNATURE = re.compile(r"^-----BEGIN (?:PGP SIGNATURE|PGP MESSAGE|SIGNED MESSAGE|SSH SIGNATURE)-----", re.MULTILINE)
_STEPS = [b"start: ok", b"prepare: ok", b"commit: ok"]


@dataclass(frozen=True, slots=True)
class RefEdit:
    """One ref's move: to `new`, or away where None; from `old`, or from not existing where None."""

    ref: str
    new: Oid | None
    old: Oid | None


@dataclass(frozen=True, slots=True)
class TagRef:
    """A ref under refs/tags, and what it marks; message and tagger only where the tag is annotated."""

    ref: str
    oid: Oid
    type: str
    target: Oid
    target_type: str
    tagger: Signature | None
    message: str

    @property
    def subject(self) -> str:
        """The first paragraph of the message, on one line."""
        return subject_of(self.message)

    @property
    def trailers(self) -> dict[str, str]:
        """The trailers of the message."""
        return trailers_of(self.message)


def resolve(repository: Repository, ref: str) -> Oid | None:
    """Give the value of exactly this full ref; None where it does not exist.

    Mostly without a process: a reader asks at each question whether main is still where it was.
    """
    _check_ref(ref)
    return read_ref(repository, ref) or resolve_all(repository, [ref]).get(ref)


def resolve_all(repository: Repository, refs: Iterable[str]) -> dict[str, Oid]:
    """Give the values of exactly these full refs; those that do not exist are left out."""
    wanted = list(refs)
    for ref in wanted:
        _check_ref(ref)
    if not wanted:
        return {}
    known = set(wanted)
    return {ref: oid for ref, oid in _for_each(repository, wanted) if ref in known}


def list_refs(repository: Repository, prefix: str) -> list[tuple[str, Oid]]:
    """Give the refs below a prefix such as `refs/heads/`, sorted by name; costs nothing for refs elsewhere."""
    _check_prefix(prefix)
    return list(_for_each(repository, [prefix]))


def list_beside(repository: Repository, commit: Oid) -> list[tuple[str, Oid]]:
    """Give the refs that lead to commits which a commit does not; IntegrityError where any ref names nothing."""
    for _ in _ask(repository, "%(objecttype)", ["refs/"]):  # below, git passes over a ref that names nothing
        pass
    return list(_for_each(repository, ["refs/"], f"--no-merged={commit}"))


def _for_each(repository: Repository, patterns: list[str], *options: str) -> Iterator[tuple[str, Oid]]:
    for line in _ask(repository, "%(objectname) %(refname)", patterns, *options):
        oid, _, ref = line.decode("utf-8", "surrogateescape").partition(" ")
        yield ref, oid


def _ask(repository: Repository, shape: str, patterns: list[str], *options: str) -> Iterator[bytes]:
    return repository.lines(["for-each-ref", f"--format={shape}", *options, "--", *patterns], hear=_refuse_broken)


def _refuse_broken(errors: str) -> None:
    # git warns of a garbled ref and goes on as if there were none.
    if "broken ref" in errors:
        raise IntegrityError(f"git found {useful_line(errors)}", hint="run `git fsck`")


_TAG_FIELDS = (
    "objectname",
    "objecttype",
    "*objectname",
    "*objecttype",
    "refname",
    "taggername",
    "taggeremail",
    "taggerdate:raw",
    "contents",
    "contents:signature",
)


def list_tags(repository: Repository, prefix: str = "refs/tags/") -> list[TagRef]:
    """Give the tags below a prefix with all they say, by one call to git, which holds as much as it tells."""
    _check_prefix(prefix)
    shape = "".join(f"%({field})%00" for field in _TAG_FIELDS)
    # git ends each record with a line end, which so opens the next one's first field.
    fields = b"\n".join(_ask(repository, shape, [prefix])).decode("utf-8", "surrogateescape").split("\0")
    width = len(_TAG_FIELDS)
    return [_tag_ref(fields[start : start + width]) for start in range(0, len(fields) - width, width)]


def each_tag(repository: Repository, prefix: str) -> Iterator[TagRef]:
    """Give the annotated and other tags below a prefix as they come: a server may have a million of them."""
    _check_prefix(prefix)
    lines = _ask(repository, "%(objectname) %(objecttype) %(refname)", [prefix])
    while part := [line.decode("utf-8", "surrogateescape").split(" ", 2) for line in islice(lines, _TOGETHER)]:
        contents = dict(repository.objects.read_many([oid for oid, kind, _ in part if kind == "tag"]))
        for oid, kind, ref in part:
            if kind != "tag":
                yield TagRef(ref, oid, kind, oid, kind, None, "")
                continue
            tag = parse_tag(oid, contents[oid])
            message = _SIGNATURE.split(tag.message, maxsplit=1)[0]
            yield TagRef(ref, oid, kind, tag.target, tag.target_type, tag.tagger, message)


def _tag_ref(fields: list[str]) -> TagRef:
    oid, kind, target, target_kind, ref, name, email, moment, contents, signature = fields
    oid = oid.lstrip("\n")
    if kind != "tag":
        return TagRef(ref, oid, kind, oid, kind, None, "")
    tagger = Signature.parse(f"{name} {email} {moment}".encode()) if moment else None
    message = contents.removesuffix(signature) if signature else contents
    return TagRef(ref, oid, kind, target, target_kind, tagger, message)


def update(repository: Repository, ref: str, new: Oid, old: Oid | None, *, reason: str = "gitreg") -> None:
    """Move a ref from `old` (None: it must not exist) to `new`; raise ConflictError where it has moved meanwhile."""
    update_all(repository, [RefEdit(ref, new, old)], reason=reason)


def delete(repository: Repository, ref: str, old: Oid, *, reason: str = "gitreg") -> None:
    """Delete a ref that has the value `old`; raise ConflictError where it has moved meanwhile."""
    update_all(repository, [RefEdit(ref, None, old)], reason=reason)


def update_all(repository: Repository, edits: Iterable[RefEdit], *, reason: str = "gitreg") -> None:
    """Move several refs, all of them or none."""
    commands = b"".join(_command(repository, edit) for edit in edits)
    if not commands:
        return
    args = ["update-ref", "-m", " ".join(reason.split()) or "gitreg", "--stdin", "-z"]
    finished = repository.finish(args, input=commands)
    if finished.code != 0:
        raise _lost(finished.errors) or failure(args, finished.code, finished.errors)


@contextmanager
def prepared(repository: Repository, edits: Iterable[RefEdit], *, reason: str = "gitreg") -> Iterator[None]:
    """Hold several refs as they are, all checked and locked, and move them at the end of the block, if that is reached.

    ConflictError before the block where one has moved meanwhile.
    """
    args = ["update-ref", "-m", reason, "--stdin", "-z"]
    process = repository.runner.start(args, stdin=True)
    answers, errors = process.stdout, Drain(process.stderr)

    def say(words: bytes, command: str) -> None:
        with suppress(BrokenPipeError):
            process.stdin.write(words + command.encode() + b"\0")  # type: ignore[union-attr] # it has pipes
            process.stdin.flush()  # type: ignore[union-attr]
        answer = answers.readline()  # type: ignore[union-attr]
        if answer != f"{command}: ok\n".encode():
            process.wait()
            said = errors.text()
            raise _lost(said) or failure(args, process.returncode, said)

    try:
        say(b"", "start")
        say(b"".join(_command(repository, edit) for edit in edits), "prepare")
        yield
        say(b"", "commit")
    finally:
        # At the end of its input git takes back what was prepared; one that is killed leaves its locks.
        with suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        stop(process)
        errors.close()


def locks_of(common_dir: Path, branch: str) -> list[Path]:
    """Name the locks that whoever moves a branch takes which HEAD names: HEAD is locked as well."""
    return [common_dir / f"{name}.lock" for name in (branch, "HEAD")]


def long_held(common_dir: Path, branch: str) -> Iterator[tuple[str, float]]:
    """Find the locks of such a branch that are older than any git at work holds one: their names, ages in seconds."""
    for lock in locks_of(common_dir, branch):
        with suppress(OSError):
            age = time.time() - lock.stat().st_mtime
            if age > _LONG:
                yield str(lock.relative_to(common_dir)), age


class KilledError(UnavailableError):
    """Git was killed in the middle of a move, and may have left its locks."""


class Mover:
    """Move refs one after the other through one `git update-ref` that stays open; not shared between threads."""

    def __init__(self, repository: Repository, *, reason: str, held: int | None = None) -> None:
        """Say why, for the reflogs; `held` is an open file that git is to hold open as well while it can move refs."""
        self._repository = repository
        self._held = () if held is None else (held,)
        self._args = ["update-ref", "-m", reason, "--stdin", "-z"]
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: Answers | None = None

    def move(self, edit: RefEdit) -> None:
        """Move a ref, as `update` does."""
        words = b"start\0" + _command(self._repository, edit) + b"prepare\0commit\0"
        process, answers = self._started()
        errors = Drain(process.stderr)
        with suppress(CutOffError, OSError):
            process.stdin.write(words)  # type: ignore[union-attr] # it has pipes
            process.stdin.flush()  # type: ignore[union-attr]
            if [answers.line() for _ in _STEPS] == _STEPS:
                return
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)  # it ends at the first thing that fails
        said = errors.text()
        self.close()
        if process.returncode < 0:
            raise KilledError(f"git update-ref was killed by signal {-process.returncode}", hint="try again")
        raise _lost(said) or failure(self._args, process.returncode, said)

    def _started(self) -> tuple[subprocess.Popen[bytes], Answers]:
        if self._process is None or self._answers is None or self._process.poll() is not None:
            self.close()
            self._process = self._repository.runner.start(self._args, stdin=True, held=self._held)
            self._answers = Answers(self._process.stdout, _PATIENCE)  # type: ignore[arg-type] # it has pipes
        return self._process, self._answers

    def close(self) -> None:
        """End the process; the next move starts another."""
        process, self._process, self._answers = self._process, None, None
        if process is None:
            return
        with suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr] # it has pipes
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        stop(process)
        process.stderr.close()  # type: ignore[union-attr]


def _command(repository: Repository, edit: RefEdit) -> bytes:
    _check_ref(edit.ref)
    for oid in (edit.new, edit.old):
        if oid is not None and (not is_oid(oid) or len(oid) != repository.oid_length):
            raise InvalidError(f"{oid[:80]!r} is no object id of this repository")
    ref, old = edit.ref.encode("utf-8", "surrogateescape"), (edit.old or repository.null_oid).encode()
    if edit.new is None or edit.new == repository.null_oid:
        if edit.old is None:
            raise InvalidError(f"{edit.ref} is to be deleted, but not from which value")
        return b"option no-deref\0delete " + ref + b"\0" + old + b"\0"
    return b"option no-deref\0update " + ref + b"\0" + edit.new.encode() + b"\0" + old + b"\0"


def _lost(errors: str) -> ConflictError | UnavailableError | IntegrityError | None:
    said = useful_line(errors)
    if ".lock'" in errors:
        return UnavailableError(f"a ref is locked: {said}", hint="try again; another process may be writing")
    if "nonexistent object" in errors or "non-commit object" in errors:
        return IntegrityError(f"git refused to move a ref: {said}")
    lost = ("but expected", "already exists", "unable to resolve reference", "reference is missing", "cannot create")
    if any(words in errors for words in lost):
        return ConflictError(f"a ref has moved meanwhile: {said}", hint="read it again, then retry")
    return None


def _check_ref(ref: str) -> None:
    if not ref.startswith("refs/") or _GLOB & set(ref) or any(mark <= " " or mark == "\x7f" for mark in ref):
        raise InvalidError(f"{ref[:80]!r} is not a full ref", hint="write it as in refs/heads/main")


def _check_prefix(prefix: str) -> None:
    _check_ref(prefix)
