"""Keep back, from who asks from elsewhere, where things lie on this machine; the logs tell its owner."""

from __future__ import annotations

import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.config import STORE, cache_folder
from gitreg.errors import GitregError
from gitreg.records import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gitreg.git import Repository

_ABSOLUTE = re.compile(r"(?<![\w.-])/[\w.]")
_LEAST = 3  # characters of a folder that is worth to be looked for


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Folders of this machine, and what others are told in their place; the longest first."""

    folders: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, folders: Mapping[Path, str]) -> Whereabouts:
        """Take folders with their names, by whichever path one gets there."""
        found = {str(way): name for path, name in folders.items() for way in (path.resolve(), path.absolute())}
        known = [(path, name) for path, name in found.items() if len(path) >= _LEAST]
        return cls(tuple(sorted(known, key=lambda each: -len(each[0]))))

    def without(self, text: str) -> str:
        """Name each folder in a text by what it is."""
        for path, name in self.folders:
            if path in text:
                text = re.sub(rf"(?<![\w.-])(?:file:(?://)?)?{re.escape(path)}(?![\w-])", name, text)
        return text

    def withheld(self, error: GitregError) -> bool:
        """Rewrite an error for who is elsewhere; whether there was anything to keep back."""
        before = str(error), str(error.violations)
        error.message = self.without(error.message)
        error.hint = self.without(error.hint) if error.hint else error.hint
        error.problems = tuple(replace(each, message=self.without(each.message)) for each in error.problems)
        error.violations = tuple(
            replace(each, message=self.without(each.message), remedy=self.without(each.remedy or "") or None)
            for each in error.violations
        )
        return (str(error), str(error.violations)) != before


def may_tell(text: str) -> bool:
    """Whether a text has an absolute path in it."""
    return _ABSOLUTE.search(text) is not None


def whereabouts(repository: Repository) -> Whereabouts:
    """Name the folders of a registry's server: its repository, its store, and what it keeps of both."""
    from gitreg.objects.addresses import parse

    git_dir = repository.git_dir
    found = {Path(tempfile.gettempdir()): "<server>", cache_folder(): "<server>", git_dir.parent: "<server>"}
    with suppress(RuntimeError):  # nobody's home
        found[Path.home()] = "<server>"
    for uri in _stores(repository):
        with suppress(GitregError, OSError):
            place = parse(uri, git_dir)
            found |= {place: "<store>"} if isinstance(place, Path) else {}
    return Whereabouts.of({**found, git_dir: "<repository>"})


def _stores(repository: Repository) -> Iterable[str]:
    from gitreg.git import refs
    from gitreg.layout import MAIN
    from gitreg.reader import Snapshot

    with suppress(GitregError):
        if own := repository.config(STORE):
            yield own
        if tip := refs.resolve(repository, MAIN):
            settings = Snapshot(repository, tip).settings
            yield from filter(None, (settings.store, *settings.mirrors))
