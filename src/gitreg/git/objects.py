"""Read git objects through one long-lived `git cat-file`."""

from __future__ import annotations

import threading
import weakref
from itertools import islice
from typing import TYPE_CHECKING

from gitreg.errors import IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.git.kept import MOST_BYTES, Bounded, Folders
from gitreg.git.process import Answers, CutOffError, Drain, git_version, stop, useful_line
from gitreg.git.trees import FOLDER_MODES, TreeEntry, lenient_entry_of, parse_tree
from gitreg.git.values import Object, ObjectInfo, is_oid, parse_commit, parse_tag

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from gitreg.git.process import Runner
    from gitreg.git.trees import RawEntry
    from gitreg.git.values import Commit, Oid, Tag

MAX_BLOB = 8 * 1024 * 1024
MAX_TREE = 16 * 1024 * 1024
MAX_COMMIT = 1024 * 1024
_CHUNK = 512
_PORTION = 8 * 1024 * 1024
_MOST_INFOS = 20_000
# What is read before it is asked for: small files, a mebibyte of them at once; folders of a usual size.
_SMALL = 16 * 1024
_AHEAD = 1024 * 1024
_USUAL_TREE = 512 * 1024
# Of a clone whose server has to be asked for what it lacks.
PARTIAL = "this clone is partial, and its server did not give what it lacks"
WHOLE = "try again when the server can be reached, or make a whole clone: gitreg clone"
# Seconds without a byte from git: a partial clone may be fetching an object.
_PATIENCE = 60.0


class Objects:
    """The objects of one repository; may be shared between threads, and is started when first asked.

    An expression is `<oid>`, `<oid>:<path>` or `<oid>^{tree}`. Refs are not taken here: `refs.resolve` finds exactly
    the ref that one names, where git's own guessing might find another.
    """

    __slots__ = (
        "__weakref__",
        "_answers",
        "_bring",
        "_drain",
        "_end",
        "_expected",
        "_folders",
        "_infos",
        "_kept",
        "_lock",
        "_places",
        "_process",
        "_runner",
        "oid_bytes",
    )

    def __init__(self, runner: Runner, oid_bytes: int, bring: Callable[[Sequence[Oid]], None] | None = None) -> None:
        self.oid_bytes = oid_bytes
        self._runner = runner
        self._bring = bring
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._drain: Drain | None = None
        self._answers: Answers | None = None
        self._end: Callable[[], object] | None = None
        # What was read stays true: an expression begins with an object id.
        self._infos: Bounded[ObjectInfo] = Bounded(_MOST_INFOS, lambda _: 1)
        self._kept: Bounded[Object] = Bounded(MOST_BYTES, lambda found: len(found.data))
        self._folders = Folders(self._kept, oid_bytes)
        self._expected: tuple[Oid, ...] = ()
        self._places: dict[Oid, int] = {}

    def close(self) -> None:
        """End the process; the next question starts another."""
        end, self._end = self._end, None
        self._process = self._drain = None
        self._infos.clear()
        self._kept.clear()
        self._folders.clear()
        if end:
            end()

    # Questions about one object

    def info(self, expression: str) -> ObjectInfo | None:
        """Give id, type and size of an object without reading it; None where there is no such object."""
        found = self._infos.get(expression)
        if found is None:
            _check_expression(expression)
            found = self._ask([expression])[0]
            self._remember([expression], [found])
        return found

    def start(self) -> None:
        """Start the process ahead of the first question, so that nobody waits for it then."""
        with self._lock:
            self.started()

    def prefetch(self, expressions: Iterable[str]) -> None:
        """Read what will be asked for next in two round trips: ids, types, sizes, and what is of a usual size."""
        known = {info.oid: info for info in self.infos(list(dict.fromkeys(expressions))) if info}
        infos = [info for info in known.values() if _is_usual(info) and info.oid not in self._kept]
        for part in islice(_portions(infos), 1):
            self._contents(part)

    def bring(self, oids: Iterable[str]) -> None:
        """Say what will be read, so that a partial clone fetches at once what it lacks; elsewhere nothing is to do."""
        if self._bring is None:
            return
        lacking = [each for each in oids if is_oid(each) and self._infos.get(each) is None]
        if len(lacking) > 1:  # of a single one git takes care itself
            self._bring(lacking)

    def expect(self, oids: Iterable[Oid]) -> None:
        """Say which blobs will be asked for, in their order, so that one question brings the next small ones too."""
        self._expected = tuple(dict.fromkeys(oids))
        self._places = {oid: place for place, oid in enumerate(self._expected)}

    def _with_next(self, info: ObjectInfo) -> list[ObjectInfo]:
        """Give an object that is needed, and those expected after it."""
        place = self._places.get(info.oid)
        if place is None or info.size > _SMALL:
            return [info]
        found, total = [info], info.size
        for oid in self._expected[place + 1 : place + _CHUNK]:
            later = self._infos.get(oid)
            if later is None or later.size > _SMALL or oid in self._kept:
                continue
            total += later.size
            if total > _AHEAD:
                break
            found.append(later)
        return found

    def _remember(self, expressions: Sequence[str], found: Sequence[ObjectInfo | None]) -> None:
        for expression, info in zip(expressions, found, strict=True):
            if info is not None:
                self._infos.add(expression, info)
                self._infos.add(info.oid, info)

    def _one(self, info: ObjectInfo) -> Object:
        found = self._kept.get(info.oid)
        return self._contents(self._with_next(info))[0] if found is None else found

    def infos(self, expressions: Sequence[str]) -> list[ObjectInfo | None]:
        """Answer `info` for many objects, in their order, with few round trips."""
        for expression in expressions:
            _check_expression(expression)
        self.bring(expressions)
        found = [self._infos.get(expression) for expression in expressions]
        missing = [place for place, info in enumerate(found) if info is None]
        for start in range(0, len(missing), _CHUNK):
            part = missing[start : start + _CHUNK]
            asked = [expressions[place] for place in part]
            answers = self._ask(asked)
            self._remember(asked, answers)
            for place, info in zip(part, answers, strict=True):
                found[place] = info
        return found

    def size(self, expression: str) -> int:
        """Give the size of an object in bytes; raise NotFoundError where there is none."""
        return self._known(expression).size

    def read(self, expression: str, *, limit: int = MAX_BLOB) -> Object:
        """Read an object of at most `limit` bytes; raise NotFoundError or, for a bigger one, InvalidError."""
        info = self._known(expression)
        if info.size > limit:
            raise InvalidError(f"{expression} has {info.size} bytes; at most {limit} are read")
        return self._one(info)

    def blob(self, rev: Oid, path: str, *, limit: int = MAX_BLOB) -> bytes | None:
        """Read a file of a commit or a tree; None where the path names none.

        A symbolic link reads as its target's name; `entry` tells the mode. A file whose object is missing raises
        IntegrityError: it is not the same as no file.
        """
        if not _is_plain(path):
            return None
        at = self._place(rev, path)
        if at is None:
            return None
        info = self.info(at)
        if info is None:
            self._check_absent(rev, path)
            return None
        if info.type != "blob":
            return None
        if info.size > limit:
            raise InvalidError(f"{path!r} has {info.size} bytes; at most {limit} are read")
        return self._one(info).data

    def _place(self, rev: Oid, path: str) -> str | None:
        """Find a path in the folders that were read: give its object id; None where it is not there.

        Where one of them was not read, give the expression by which git finds it.
        """
        expression = f"{rev}:{path}"
        top = self._infos.get(f"{rev}^{{tree}}")
        oid, mode = (top.oid, FOLDER_MODES[0]) if top else (None, b"")
        for name in path.encode("utf-8", "surrogateescape").split(b"/"):
            named = self._folders.named(oid) if oid and mode in FOLDER_MODES else None
            if named is None:
                return expression
            if name not in named:
                return None
            mode, _, raw_oid = named[name]
            oid = raw_oid.hex()
        return oid

    def entry(self, rev: Oid, path: str) -> TreeEntry | None:
        """Give the tree entry of a path in a commit or a tree, with its mode; None where there is none."""
        _check_oid(rev)
        if not _is_plain(path):
            return None
        tree, folder = rev, ""
        *above, name = path.split("/")
        for part in above:
            found = self._entry_in(tree, folder, part)
            if found is None or found.type != "tree":
                return None
            tree, folder = found.oid, f"{folder}/{part}" if folder else part
        return self._entry_in(tree, folder, name)

    def _entry_in(self, tree: Oid, folder: str, name: str) -> TreeEntry | None:
        info = self.info(f"{tree}^{{tree}}")
        if info is None:
            raise IntegrityError(f"the tree of {folder!r} is missing or unreadable" if folder else f"no tree at {tree}")
        wanted = name.encode("utf-8", "surrogateescape")
        raws = self.raws(info, folder)
        return next((lenient_entry_of(raw) for raw in raws if raw[1] == wanted), None)

    def entries(self, rev: Oid, folder: str = "") -> list[TreeEntry]:
        """List what lies directly in a folder of a commit or a tree, in git's order; empty where it is no folder."""
        if folder and not _is_plain(folder):
            return []
        info = self.info(f"{rev}:{folder}" if folder else f"{rev}^{{tree}}")
        if info is None:
            self._check_absent(rev, folder)
            return []
        if info.type != "tree":
            return []
        return parse_tree(self._tree(info, folder), self.oid_bytes, folder)

    def tree(self, rev: Oid, *, limit: int = MAX_TREE) -> bytes:
        """Read the tree object of a commit or a tree as it is stored."""
        info = self._known(f"{rev}^{{tree}}")
        return self._tree(info, rev, limit)

    def raws(self, info: ObjectInfo, shown: str) -> list[RawEntry]:
        """Cut a tree into its entries, not judged yet; `shown` is its path, for messages."""
        return self._folders.raws(self._whole(info, shown), shown)

    def commit(self, oid: Oid) -> Commit:
        """Read a commit; raise InvalidError where the object is something else."""
        return parse_commit(oid, self._of_type(oid, "commit"))

    def tag(self, oid: Oid) -> Tag:
        """Read an annotated tag; raise InvalidError where the object is something else."""
        return parse_tag(oid, self._of_type(oid, "tag"))

    # Questions about many

    def read_many(self, oids: Iterable[Oid], *, limit: int = MAX_BLOB) -> Generator[tuple[Oid, bytes], None, None]:
        """Read many objects in their order, a few hundred in one round trip.

        Raises NotFoundError for a missing one, and InvalidError, before its contents are read, for one of more than
        `limit` bytes.
        """
        wanted = list(oids)
        self.bring(wanted)
        for start in range(0, len(wanted), _CHUNK):
            infos = []
            for oid, info in zip(chunk := wanted[start : start + _CHUNK], self.infos(chunk), strict=True):
                if info is None:
                    raise NotFoundError(f"there is no object {oid}")
                if info.size > limit:
                    raise InvalidError(f"{oid} has {info.size} bytes; at most {limit} are read")
                infos.append(info)
            for part in _portions(infos):
                for found in self._contents(part):
                    yield found.oid, found.data

    # The process

    def _known(self, expression: str) -> ObjectInfo:
        info = self.info(expression)
        if info is None:
            raise NotFoundError(f"there is no object {expression}")
        return info

    def _of_type(self, oid: Oid, kind: str) -> bytes:
        _check_oid(oid)
        info = self._known(oid)
        if info.type != kind:
            raise InvalidError(f"{oid} is a {info.type}, not a {kind}")
        if info.size > MAX_COMMIT:
            raise InvalidError(f"the {kind} {oid} has {info.size} bytes; at most {MAX_COMMIT} are read")
        return self._one(info).data

    def _tree(self, info: ObjectInfo, shown: str, limit: int = MAX_TREE) -> bytes:
        return self._whole(info, shown, limit).data

    def _whole(self, info: ObjectInfo, shown: str, limit: int = MAX_TREE) -> Object:
        if info.size > limit:
            raise InvalidError(f"the tree of {shown!r} has {info.size} bytes; at most {limit} are read")
        return self._one(info)

    def _check_absent(self, rev: Oid, path: str) -> None:
        """Tell a path that is not there from one whose object is missing; git's answer is the same for both."""
        if self.entry(rev, path) if path else True:
            raise IntegrityError(f"the object of {path or 'the top tree'!r} at {rev} is missing or unreadable")

    def _ask(self, expressions: Sequence[str]) -> list[ObjectInfo | None]:
        with self._lock, _Exchange(self) as stream:
            self._send(f"info {expression}\n" for expression in expressions)
            return [_read_header(stream, expression) for expression in expressions]

    def _contents(self, infos: Sequence[ObjectInfo]) -> list[Object]:
        found = []
        with self._lock, _Exchange(self) as stream:
            self._send(f"contents {info.oid}\n" for info in infos)
            for info in infos:
                if _read_header(stream, info.oid) != info:
                    raise IntegrityError(f"the object {info.oid} changed while it was read")
                found.append(Object(info.oid, info.type, _read_contents(stream, info)))
        for info, each in zip(infos, found, strict=True):
            if _is_usual(info):
                self._kept.add(each.oid, each)
        return found

    def _send(self, commands: Iterable[str]) -> None:
        """Ask several things at once: git reads them all before it answers any, so neither blocks the other."""
        process = self._process
        if process and process.stdin:
            process.stdin.write("".join([*commands, "flush\n"]).encode("utf-8", "surrogateescape"))
            process.stdin.flush()
        if self._drain:
            self._drain.poll()

    def started(self) -> Answers:
        """Give the answers' stream of the running process, started where there is none."""
        if self._process is None:
            self._process = self._runner.start(["cat-file", "--batch-command", "--buffer"], stdin=True)
            self._drain = Drain(self._process.stderr)
            self._answers = None
            # Nobody has to close: a `__del__` would come after that of the process where both are part of a cycle.
            self._end = weakref.finalize(self, _end, self._process, self._drain)
        if self._answers is None:
            if self._process.stdout is None:
                raise CutOffError("it has no output")
            self._answers = Answers(self._process.stdout, _PATIENCE)
        return self._answers

    def died(self, how: Exception) -> IntegrityError | UnavailableError:
        """End the process after it broke off, and say why it did."""
        if self._process:
            stop(self._process)
        text = self._drain.text() if self._drain else ""
        said = useful_line(text)
        self.close()
        if "promisor remote" in text:
            return UnavailableError(f"{PARTIAL}: {said}", hint=WHOLE)
        if "unknown option" in said:
            git_version(self._runner.environment.get("PATH"))
        if said:
            return IntegrityError(f"git could not read an object: {said}", hint="run `git fsck`")
        return UnavailableError(f"git cat-file did not answer: {how}", hint="try again, or run `git fsck`")


class _Exchange:
    """One question and its answer; whatever interrupts it ends the process, since the rest would answer others."""

    __slots__ = ("objects",)

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    def __enter__(self) -> Answers:
        return self.objects.started()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (CutOffError, BrokenPipeError)):
            raise self.objects.died(error) from error
        if error is not None:
            self.objects.close()


def _end(process: subprocess.Popen[bytes], drain: Drain) -> None:
    stop(process)
    drain.close()


def _read_header(stream: Answers, expression: str) -> ObjectInfo | None:
    line = stream.line()
    if line == f"{expression} missing".encode("utf-8", "surrogateescape"):
        return None
    try:
        oid, kind, size = line.decode("ascii").split()
        return ObjectInfo(oid, kind, int(size))
    except ValueError as error:
        raise IntegrityError(f"git answered {line[:80]!r} where it was asked for {expression!r}") from error


def _read_contents(stream: Answers, info: ObjectInfo) -> bytes:
    data = stream.exactly(info.size)
    if stream.exactly(1) != b"\n":
        raise IntegrityError(f"the object {info.oid} is not as long as git said", hint="run `git fsck`")
    return data


def _portions(infos: Sequence[ObjectInfo]) -> Iterator[list[ObjectInfo]]:
    """Cut a list so that no part but a single object holds more than `_PORTION` bytes."""
    part: list[ObjectInfo] = []
    total = 0
    for info in infos:
        if part and total + info.size > _PORTION:
            yield part
            part, total = [], 0
        part.append(info)
        total += info.size
    if part:
        yield part


def _is_usual(info: ObjectInfo) -> bool:
    """Whether an object is worth keeping, and reading before it is asked for."""
    return info.size <= (_USUAL_TREE if info.type == "tree" else _SMALL)


def _is_plain(path: str) -> bool:
    """Whether git can look a path up; others cannot be in a tree, or are refused by the gate."""
    return not any(part in {"", ".", ".."} for part in path.split("/")) and not set(path) & {"\n", "\0"}


def _check_oid(oid: Oid) -> None:
    if not is_oid(oid):
        raise InvalidError(f"{oid[:80]!r} is no object id", hint="resolve the ref first")


def _check_expression(expression: str) -> None:
    rev, colon, path = expression.partition(":")
    _check_oid(rev.removesuffix("^{tree}"))
    if colon and not _is_plain(path):
        raise InvalidError(f"{path[:80]!r} is no path in a tree")
