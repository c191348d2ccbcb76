"""Judge names that some file system takes for one."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gitreg.gate.violation import Code, Violation
from gitreg.layout import ACCESS, GOVERNED, SETTINGS
from gitreg.names import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitreg.changes import PathEdit, State

# What stands for one of these is told by its place already.
_TAKEN = GOVERNED | {SETTINGS, ACCESS}


def judge_collisions(edits: Iterable[PathEdit], after: State) -> Iterator[Violation]:
    """Refuse a new free-form name beside another that differs by case or Unicode form alone.

    A checkout on such a file system would show one file in the place of the other. The grammar of the governed folders
    rules it out by itself.
    """
    fresh: dict[str, set[str]] = defaultdict(set)
    for edit in edits:
        if edit.before is not None or edit.path.partition("/")[0] in GOVERNED:
            continue
        folder, rest = "", edit.path
        while rest:
            name, _, rest = rest.partition("/")
            fresh[folder].add(name)
            folder = f"{folder}/{name}" if folder else name
    for folder, names in fresh.items():
        yield from _in_folder(folder, names, after)


def _in_folder(folder: str, fresh: set[str], after: State) -> Iterator[Violation]:
    alike: dict[str, list[str]] = defaultdict(list)
    for name in after.names(folder):
        alike[folded(name)].append(name)
    for plain, same in alike.items():
        new = sorted(fresh.intersection(same))
        if len(same) > 1 and new and (folder or plain not in _TAKEN):
            shown = " and ".join(map(repr, same[:3]))
            path = f"{folder}/{new[0]}" if folder else new[0]
            what = f"{shown} are one name where case or Unicode form does not count"
            yield Violation(Code.TREE_MALFORMED, what, "rename one", path=path)
