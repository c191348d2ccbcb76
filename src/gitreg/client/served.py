"""Read the governed files of a registry through its server, at one commit."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, InvalidError, NotFoundError
from gitreg.git.kept import Bounded
from gitreg.git.values import is_oid
from gitreg.layout import ACCESS, SETTINGS, card_path, place, version_path
from gitreg.published.files import check_entry
from gitreg.reader import Parsed, PlainFile, RegistryFiles
from gitreg.wire import MAX_BYTES, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from gitreg.access import Access
    from gitreg.client.http import Http
    from gitreg.manifest import Tombstone
    from gitreg.names import ModelName
    from gitreg.reader import VersionFile
    from gitreg.settings import Settings

R = TypeVar("R")

COMMIT = "gitreg-commit"
_MOST_KEPT = 32 << 20
_MOST_CARD = 16 << 20
_MOST_TAGS = 100_000
_AT_ONCE = 8
_AHEAD = 256  # files that are asked for together


class Seen:
    """What was read at any commit, by its address: asked for again, it comes only where it is another by now."""

    def __init__(self) -> None:
        self.parsed = Parsed()
        self._bodies: Bounded[bytes] = Bounded(_MOST_KEPT, lambda body: len(body) + 256)
        self._tags: dict[str, str] = {}

    def get(self, path: str) -> tuple[str, bytes] | None:
        """Give the tag and the body that an address had when it was last read."""
        tag = self._tags.get(path)
        body = self._bodies.get(f"{path} {tag}") if tag else None
        return (tag, body) if tag and body is not None else None

    def add(self, path: str, tag: str, body: bytes) -> None:
        """Keep what was read, as far as memory allows."""
        if len(self._tags) >= _MOST_TAGS:
            self._tags.clear()
        self._tags[path] = tag
        self._bodies.add(f"{path} {tag}", body)


class ServedFiles(RegistryFiles):
    """A registry at one commit: accepted anew, by the rules that the gate has for each file."""

    def __init__(self, http: Http, commit: str, seen: Seen | None = None) -> None:
        self.commit = commit
        self._http = http
        self._seen = seen or Seen()
        self._files: dict[str, bytes | None] = {}
        self._names: dict[str, Sequence[str]] = {}

    def is_known(self) -> bool:
        """Whether main was ever at this commit."""
        try:
            return self.read(SETTINGS) is not None
        except InvalidError:  # the server's word for it
            return False

    def read(self, path: str) -> bytes | None:
        """Give a file's bytes, or None."""
        if path not in self._files:
            self._files[path] = self._get(f"/files/{path}", _MOST_CARD if path.endswith(".md") else MAX_BYTES)
        return self._files[path]

    def plain(self, path: str) -> PlainFile | None:
        """Give what a file says, or None where there is no such file; IntegrityError where the gate would refuse it."""
        data = self.read(path)
        if data is None:
            return None
        digest = Digest.of(data)
        return self._seen.parsed.file(f"{path} {digest}", lambda: _accept(path, data, digest))

    def names(self, folder: str) -> Sequence[str]:
        """Give the names directly inside a folder."""
        if folder not in self._names:
            self._names[folder] = self._list(folder)
        return self._names[folder]

    def ahead(self, paths: Iterable[str]) -> None:
        """Bring files together, over several connections."""
        from concurrent.futures import ThreadPoolExecutor

        wanted = [path for path in dict.fromkeys(paths) if path not in self._files]
        if len(wanted) > 1:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for _ in pool.map(self.read, wanted):
                    pass

    def every_version(self, name: ModelName) -> Iterator[VersionFile | Tombstone]:
        """Read all versions of a model, lowest first, many at once."""
        versions = self.versions(name)
        for start in range(0, len(versions), _AHEAD):
            chosen = versions[start : start + _AHEAD]
            self.ahead(version_path(name, version) for version in chosen)
            for version in chosen:
                found = self.find(name, version)
                if found is not None:
                    yield found

    def card(self, name: ModelName) -> str | None:
        """Read the model card, in Markdown."""
        data = self.read(card_path(name))
        return data.decode("utf-8", "replace") if data is not None else None

    @cached_property
    def settings(self) -> Settings:
        """The registry's settings."""
        from gitreg.settings import Settings

        return _parsed(Settings.parse, self._required(SETTINGS), SETTINGS)

    @cached_property
    def access(self) -> Access:
        """The access rules."""
        from gitreg.access import Access

        return _parsed(Access.parse, self._required(ACCESS), ACCESS)

    def _required(self, path: str) -> bytes:
        data = self.read(path)
        if data is None:
            raise self._missing(path)
        return data

    def _list(self, folder: str) -> Sequence[str]:
        import json

        data = self._get(f"/trees/{folder}", _MOST_KEPT)
        if data is None:
            return []
        try:
            names = [each["name"] for each in json.loads(data)["entries"]]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise IntegrityError(f"the server's list of {folder or 'the registry'} cannot be read") from error
        if not all(isinstance(each, str) and 0 < len(each) < 256 and "/" not in each for each in names):  # noqa: PLR2004
            raise IntegrityError(f"the server's list of {folder or 'the registry'} has names that no file can have")
        return names

    def _get(self, path: str, limit: int) -> bytes | None:
        known = self._seen.get(path)
        try:
            answer = self._http.get(path, {"commit": self.commit}, tag=known[0] if known else None, limit=limit)
        except NotFoundError:
            return None
        if known is not None and answer.status == 304:  # noqa: PLR2004
            return known[1]
        if answer.tag:
            self._seen.add(path, answer.tag, answer.body)
        return answer.body


def tip(http: Http, at: str | None = None) -> str:
    """Name the newest commit of main that the server knows, or the one at a time."""
    answer = http.get("/models", {"limit": 1, "at": at}) if at is not None else http.get("/")
    commit = answer.headers.get(COMMIT, "")
    if not is_oid(commit):
        raise InvalidError(f"{http.uri} does not tell who it does not know what its registry holds", hint=http.advice)
    return commit


def _accept(path: str, data: bytes, digest: Digest) -> PlainFile:
    try:
        document = load(data, path)
        where = place(path)
    except InvalidError as error:
        raise IntegrityError(f"{path} is damaged: {error}", hint="`gitreg check` shows what is wrong") from error
    check_entry(where, document)
    return PlainFile(document.value, digest)


def _parsed(parse: Callable[[bytes, str], R], data: bytes, path: str) -> R:
    try:
        return parse(data, path)
    except InvalidError as error:
        raise IntegrityError(f"{path} of the server is damaged: {error}") from error
