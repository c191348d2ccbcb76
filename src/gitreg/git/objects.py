"""Read git objects through one long-lived `git cat-file`."""

from __future__ import annotations

from itertools import accumulate, islice
from typing import TYPE_CHECKING

from gitreg.errors import IntegrityError, InvalidError, NotFoundError
from gitreg.git.catfile import SMALL, CatFile
from gitreg.git.kept import MOST_BYTES, Bounded, Folders
from gitreg.git.trees import FOLDER_MODES, TreeEntry, lenient_entry_of, parse_tree
from gitreg.git.values import Object, ObjectInfo, is_oid, parse_commit, parse_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

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
_AHEAD = 1024 * 1024
_USUAL_TREE = 512 * 1024


class Objects:
    """The objects of one repository; may be shared between threads, and is started when first asked.

    An expression is `<oid>`, `<oid>:<path>` or `<oid>^{tree}`. Refs are not taken here: `refs.resolve` finds exactly
    the ref that one names, where git's own guessing might find another.
    """

    __slots__ = ("_bring", "_expected", "_folders", "_git", "_infos", "_kept", "_places", "oid_bytes")

    def __init__(self, runner: Runner, oid_bytes: int, bring: Callable[[Sequence[Oid]], None] | None = None) -> None:
        self.oid_bytes = oid_bytes
        self._git = CatFile(runner)
        self._bring = bring
        # What was read stays true: an expression begins with an object id.
        self._infos: Bounded[ObjectInfo] = Bounded(_MOST_INFOS, lambda _: 1)
        self._kept: Bounded[Object] = Bounded(MOST_BYTES, lambda found: len(found.data))
        self._folders = Folders(self._kept, oid_bytes)
        self._expected: tuple[Oid, ...] = ()
        self._places: dict[Oid, int] = {}

    def close(self) -> None:
        """End the process; the next question starts another."""
        self._git.close()
        self._infos.clear()
        self._kept.clear()
        self._folders.clear()

    # Questions about one object

    def info(self, expression: str) -> ObjectInfo | None:
        """Give id, type and size of an object without reading it; None where there is no such object."""
        found = self._infos.get(expression)
        if found is None:
            _check_expression(expression)
            found = self._git.infos([expression])[0]
            self._remember([expression], [found])
        return found

    def start(self) -> None:
        """Start the process ahead of the first question, so that nobody waits for it then."""
        self._git.start()

    def prefetch(self, expressions: Iterable[str]) -> None:
        """Read what will be asked for next in two round trips: ids, types, sizes, and what is of a usual size."""
        wanted = (self._place(*each.split(":", 1)) if ":" in each else each for each in dict.fromkeys(expressions))
        known = {info.oid: info for info in self.infos([each for each in wanted if each]) if info}
        infos = [info for info in known.values() if _is_usual(info) and info.oid not in self._kept]
        for part in islice(_portions(infos), 1):
            self._contents(part)

    def approach(self, expressions: Iterable[str]) -> None:
        """Read what is of a usual size of these and of the folders on the way to them.

        Where one of these folders is in a later commit as it is here, nobody need ask for what lies in it.
        """
        found = []
        for expression in expressions:
            rev, colon, path = expression.partition(":")
            places = accumulate(path.split("/"), "{}/{}".format) if colon else ()
            found += [f"{rev}^{{tree}}", *(f"{rev}:{place}" for place in places)] if colon else [expression]
        self.prefetch(found)

    def learn(self, commit: Oid, found: Sequence[Object]) -> None:
        """Take note of objects that were written here, the last of them the tree of a commit."""
        for each in found:
            info = ObjectInfo(each.oid, each.type, len(each.data))
            self._infos.add(each.oid, info)
            if _is_usual(info):
                self._kept.add(each.oid, each)
            if each is found[-1]:
                self._infos.add(f"{commit}^{{tree}}", info)

    def known_tree(self, commit: Oid) -> Oid | None:
        """Name the tree of a commit, where that was asked before; git is not asked."""
        info = self._infos.get(f"{commit}^{{tree}}")
        return info.oid if info else None

    def named(self, tree: Oid) -> Mapping[bytes, RawEntry] | None:
        """Give the entries of a tree by name, where it was read before; git is not asked."""
        return self._folders.named(tree)

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
        if place is None or info.size > SMALL:
            return [info]
        found, total = [info], info.size
        for oid in self._expected[place + 1 : place + _CHUNK]:
            later = self._infos.get(oid)
            if later is None or later.size > SMALL or oid in self._kept:
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
            answers = self._git.infos(asked)
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
        info = self.at(rev, path)
        if info is None or info.type != "blob":
            return None
        if info.size > limit:
            raise InvalidError(f"{path!r} has {info.size} bytes; at most {limit} are read")
        return self._one(info).data

    def at(self, rev: Oid, path: str) -> ObjectInfo | None:
        """Tell what a path of a commit or a tree names, without reading it; None where it names nothing."""
        if not _is_plain(path):
            return None
        place = self._place(rev, path)
        if place is None:
            return None
        info = self.info(place)
        if info is None:
            self._check_absent(rev, path)
        return info

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
        info = self.at(rev, folder) if folder else self._top(rev)
        return parse_tree(self._tree(info, folder), self.oid_bytes, folder) if info and info.type == "tree" else []

    def _top(self, rev: Oid) -> ObjectInfo:
        info = self.info(f"{rev}^{{tree}}")
        if info is None:
            raise IntegrityError(f"the object of the top tree at {rev} is missing or unreadable")
        return info

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
            part = wanted[start : start + _CHUNK]
            for oid in part:
                _check_oid(oid)
            for oid, data in zip(part, self._git.small(part, limit), strict=True):
                yield oid, self.read(oid, limit=limit).data if data is None else data

    # What stands behind them

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
        if self.entry(rev, path):
            raise IntegrityError(f"the object of {path!r} at {rev} is missing or unreadable")

    def _contents(self, infos: Sequence[ObjectInfo]) -> list[Object]:
        found = self._git.contents(infos)
        for info, each in zip(infos, found, strict=True):
            if _is_usual(info):
                self._kept.add(each.oid, each)
        return found


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
    return info.size <= (_USUAL_TREE if info.type == "tree" else SMALL)


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
