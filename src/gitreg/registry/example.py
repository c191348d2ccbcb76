"""Replay the example registry that gitreg ships: every step a commit, pushed by its own user."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError
from gitreg.git import Repository, Signature, refs, remote, scratch, write_commit
from gitreg.layout import MAIN
from gitreg.reader.history import parse_time
from gitreg.records import dataclass
from gitreg.registry.setup import InitRequest, init
from gitreg.resources import resource
from gitreg.wire import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.git.remote import PushResult

IDENTITY = "GITREG_USER"


@dataclass(frozen=True, slots=True)
class Step:
    """One commit of the example's history: who, when, what it says, and the files that it writes."""

    user: str
    author: Signature
    message: str
    files: Mapping[str, bytes]

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]


def example_folder() -> Path:
    """Name the folder of the example registry."""
    return resource("example-registry")


def steps(folder: Path | None = None) -> list[Step]:
    """Read the example's history, oldest step first; `history.yaml` there explains its form."""
    folder = folder or example_folder()
    plan = load((folder / "history.yaml").read_bytes(), "history.yaml").value
    people = plan["people"]
    return [_step(folder, step, people[step["user"]]) for step in plan["steps"]]


def _step(folder: Path, step: Mapping[str, object], person: Mapping[str, str]) -> Step:
    author = Signature(person["name"], person["email"], parse_time(str(step["at"])))
    trailers = step.get("trailers") or {}
    if not isinstance(trailers, Mapping):
        raise InvalidError("history.yaml: trailers is no mapping")
    lines = "".join(f"{key}: {value}\n" for key, value in trailers.items())
    message = f"{step['subject']}\n" + (f"\n{lines}" if lines else "")
    files = {}
    for item in step["files"]:  # type: ignore[attr-defined] # the example's own file, tested
        if isinstance(item, str):
            files[item] = (folder / item).read_bytes()
        else:
            files[item["path"]] = item["text"].encode()
    return Step(str(step["user"]), author, message, files)


def begin(folder: Path, first: Step) -> Path:
    """Make a bare registry in a folder from the first step, with the example's weights beside it; give its path."""
    path = folder / "registry.git"
    shutil.copytree(example_folder() / "store", folder / "store", dirs_exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gitreg-") as source:
        for name, data in first.files.items():
            target = Path(source) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        init(InitRequest(path=path, bare=True, identity=IDENTITY, source=Path(source), author=first.author))
    return path


def replay(path: Path, remaining: list[Step]) -> Iterator[tuple[Step, PushResult]]:
    """Push each step to the registry at a path as its user, and tell what became of it."""
    for step in remaining:
        environment = {**os.environ, IDENTITY: step.user}
        with (
            Repository.open(path, environment=environment) as registry,
            scratch(registry, environment=environment) as draft,
        ):
            tip = refs.resolve(registry, MAIN)
            oid = write_commit(
                draft, parent=tip, edits=step.files, message=step.message, author=step.author, committer=step.author
            )
            yield step, remote.push(draft, str(path), {MAIN: (tip, oid)})
