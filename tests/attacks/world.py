"""A registry under attack: its history, the people in it, and the twins without hooks beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gitreg.access import Access, Action, Grant
from gitreg.digest import Digest
from gitreg.gate_hooks import audit
from gitreg.git import Repository
from gitreg.names import EnvironmentName, ModelName, UserName
from gitreg.objects import LocalStore
from gitreg.registry.setup import InitRequest, init
from gitreg.settings import EnvironmentRule, Settings
from gitreg.wire import dump
from tests.attacks.raw import ZERO, Objects, Push, commit_body, send
from tests.gate.support import approval_file, manifest, model_file, pointer_file, status_file, tombstone_file
from tests.once import pack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MAIN = "refs/heads/main"
MODEL = "models/risk/fraud"
STAGING_POINTER = "deployments/staging/risk/fraud.yaml"
PROD_POINTER = "deployments/prod/risk/fraud.yaml"
OTHER = ModelName("risk", "other")
STAGING, PROD = EnvironmentName("staging"), EnvironmentName("prod")

Edit = bytes | None | tuple[str, str | bytes]
"""New bytes; None: gone; a mode and bytes; a mode and the id of an object that is there."""

SETTINGS = Settings(
    name="acme",
    store="file:../store",
    environments=(
        EnvironmentRule(name=STAGING),
        EnvironmentRule(name=PROD, after=STAGING, approvals=1),
        EnvironmentRule(name=EnvironmentName("lab")),
    ),
    required=("license",),
    formats=("safetensors", "onnx"),
)


def _grant(who: str, *actions: Action, models: str = "risk/*", environments: tuple[EnvironmentName, ...] = ()) -> Grant:
    return Grant(to=(who,), actions=actions, models=(models,), environments=environments)


GRANTS = (
    _grant("group:team", Action.REGISTER, Action.UPDATE, Action.ALIAS),
    _grant("bob", Action.DEPLOY),
    _grant("carol", Action.ROLLBACK),
    _grant("dana", Action.APPROVE, environments=(PROD,)),
    _grant("erin", Action.YANK, Action.ARCHIVE, Action.DELETE),
    _grant("rita", Action.REPORT),
    _grant("dave", Action.DEPLOY, environments=(STAGING,)),
    _grant("olaf", Action.DEPLOY, Action.APPROVE),
    _grant("mallory", Action.READ, models="*/*"),
)
ADMINS = Grant(to=("root", "group:admins"), actions=(Action.ADMIN,))
ACCESS = Access(
    groups={
        "team": (UserName("alice"), UserName("frank")),
        "admins": (UserName("adam"),),
        "contractors": (UserName("olaf"),),
    },
    grants=(*GRANTS, ADMINS),
    deny=(Grant(to=("group:contractors",), actions=(Action.DEPLOY,), models=("*/*",), environments=(PROD,)),),
)
# What the registry began with: mallory was admin then.
OLD_ACCESS = Access(
    groups=ACCESS.groups,
    grants=(*GRANTS, Grant(to=("root", "mallory"), actions=(Action.ADMIN,))),
    deny=ACCESS.deny,
)

RICH: dict[str, object] = {
    "license": "Apache-2.0",
    "description": "Retrained.",
    "training": {"datasets": [{"name": "ledger", "version": "2026.01"}], "hyperparameters": {"epochs": 20}},
    "evaluations": [{"dataset": {"name": "ledger"}, "split": "test", "metrics": {"auc": 0.8}}],
    "signature": {"inputs": [{"name": "x", "dtype": "float32", "shape": [1, 3]}]},
    "parents": [{"model": "risk/fraud", "version": "1.0.0", "relation": "finetuned-from"}],
    "base": {"uri": "hf://org/model@main"},
    "labels": {"team": "risk"},
}


def version(number: str = "2.0.0", model: ModelName | None = None, /, **changes: object) -> bytes:
    """Write a manifest that the registry accepts, but for the changes."""
    data = {**manifest(number, model or ModelName("risk", "fraud"), license="Apache-2.0").to_data(), **changes}
    return dump({key: value for key, value in data.items() if value is not None})


def _path(number: str) -> str:
    return f"{MODEL}/{number}.yaml"


def first_state() -> dict[str, bytes]:
    """Give the files of the first commit."""
    one = version("1.0.0")
    return {
        "registry.yaml": SETTINGS.to_bytes(),
        "access.yaml": OLD_ACCESS.to_bytes(),
        "README.md": b"# acme\n",
        **model_file(aliases={"champion": "1.0.0"}),
        **model_file(OTHER),
        f"{MODEL}/README.md": b"A card.\n",
        _path("1.0.0"): one,
        _path("1.1.0"): version("1.1.0"),
        _path("1.2.0"): version("1.2.0", lifecycle="yanked"),
        **tombstone_file("1.3.0", version("1.3.0")),
        _path("1.4.0"): version("1.4.0", lifecycle="archived"),
        _path("1.5.0"): version("1.5.0", **RICH),
        "models/risk/other/0.1.0.yaml": version("0.1.0", OTHER),
        **pointer_file("1.0.0"),
        **pointer_file("1.0.0", PROD),
        **approval_file("1.0.0", data=one),
        **status_file("1.0.0"),
    }


@dataclass
class World:
    """The state that an attack starts from, and a place for the objects that it makes."""

    server: Path
    chain: Sequence[str]
    proposal: str
    root: str
    files: Mapping[str, bytes]
    tags: Mapping[str, str]
    stored: Objects

    def __post_init__(self) -> None:
        self.objects = Objects(self.stored)

    @property
    def tip(self) -> str:
        return self.chain[-1]

    def tree(self, edits: Mapping[str, Edit], root: str | None = None) -> str:
        """Make a tree of edits upon main's, or upon another."""
        found = root or self.root
        for path, edit in edits.items():
            mode, what = edit if isinstance(edit, tuple) else ("100644", edit)
            oid = self.objects.blob(what) if isinstance(what, bytes) else what
            found = self.objects.link(found, path, mode, oid)
        return found

    def commit(self, tree: str, *parents: str, **headers: Any) -> str:  # noqa: ANN401 - commit_body's own
        return self.objects.add("commit", commit_body(tree, parents or (self.tip,), **headers))

    def change(self, edits: Mapping[str, Edit], **headers: Any) -> str:  # noqa: ANN401
        """Make a commit of edits upon main."""
        return self.commit(self.tree(edits), **headers)

    def steps(self, *edits: Mapping[str, Edit]) -> str:
        """Make one commit upon the other."""
        tree, tip = self.root, self.tip
        for each in edits:
            tree = self.tree(each, tree)
            tip = self.commit(tree, tip)
        return tip

    def push(self, *updates: tuple[str, str, str | bytes], **rest: Any) -> Push:  # noqa: ANN401 - Push's own
        """Push ref updates with the objects made so far."""
        return Push(updates, {oid: each for oid, each in self.objects.items() if oid not in self.stored}, **rest)

    def main(self, new: str, **rest: Any) -> Push:  # noqa: ANN401
        return self.push((self.tip, new, MAIN), **rest)


@dataclass(frozen=True)
class Template:
    """What is made once in a session, to be copied."""

    folder: Path
    world: World

    def fresh(self, folder: Path) -> World:
        """Copy the registry with its store."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return World(folder / "registry.git", *self._rest())

    def again(self, server: Path) -> World:
        """Start from a copy that an attack before has left as it was."""
        return World(server, *self._rest())

    def _rest(self) -> tuple[Any, ...]:
        world = self.world
        return world.chain, world.proposal, world.root, world.files, world.tags, world.stored

    def twin(self, folder: Path, *, plain: bool) -> Path:
        """Copy the repository without hooks: with the server's configuration, or with git's own."""
        path = folder / ("plain.git" if plain else "same.git")
        shutil.copytree(self.folder / "registry.git", path, symlinks=True)
        shutil.rmtree(path / "hooks")
        if plain:
            unconfigured(path)
        return path


def unconfigured(repository: Path, identity: str | None = None) -> None:
    """Give a repository git's own configuration again, but for who pushes."""
    lines = ["[core]", "repositoryformatversion = 0", "filemode = true", "bare = true"]
    lines += ["[gitreg]", f"identity = {identity}"] if identity else []
    (repository / "config").write_text("\n".join([*lines, ""]))


def git(repository: Path, *args: str, data: bytes | None = None) -> str:
    done = subprocess.run(["git", *args], cwd=repository, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "replace").strip()


def _stored(repository: Path) -> Objects:
    """Read every object."""
    found = Objects()
    with Repository.open(repository) as opened:
        lines = git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
        for oid, kind in (line.split() for line in lines.splitlines()):
            found[oid] = (kind, opened.objects.read(oid).data)
    return found


def build(folder: Path) -> Template:
    """Make the registry, by real pushes of the people in it."""
    source = folder / "source"
    for path, data in first_state().items():
        file = source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    server = folder / "registry.git"
    init(InitRequest(path=server, bare=True, identity="GL_USER", source=source))
    shutil.rmtree(source)
    (folder / "weights").write_bytes(b"weights")
    LocalStore(folder / "store").put_file(folder / "weights")
    chain, proposal = [git(server, "rev-parse", MAIN)], ""
    for who, edits in (("root", {"access.yaml": ACCESS.to_bytes()}), ("bob", pointer_file("1.1.0"))):
        world = _look(server, chain, proposal)
        chain.append(_accepted(world, who, MAIN, world.change(edits)))
    world = _look(server, chain, proposal)
    proposal = _accepted(
        world, "frank", "refs/heads/proposals/frank/next", world.change({_path("3.0.0"): version("3.0.0")})
    )
    pack(server)
    return Template(folder, _look(server, chain, proposal))


def _look(server: Path, chain: Sequence[str], proposal: str) -> World:
    root = git(server, "rev-parse", f"{chain[-1]}^{{tree}}")
    tags = {ref: oid for ref, oid in refs_of(server).items() if ref.startswith("refs/tags/")}
    world = World(server, list(chain), proposal, root, {}, tags, _stored(server))
    paths = git(server, "ls-tree", "-r", "--name-only", chain[-1]).splitlines()
    world.files = {path: _read(world, path) for path in paths}
    return world


def _read(world: World, path: str) -> bytes:
    oid = world.root
    for name in path.split("/"):
        oid = next(o for _, n, o in world.stored.entries(oid) if n == name)
    return world.stored[oid][1]


def _accepted(world: World, who: str, ref: str, oid: str) -> str:
    old = world.tip if ref == MAIN else ZERO
    report = send(world.server, world.push((old, oid, ref)), who)
    assert report.refs == {ref: "ok"}, report
    return oid


# What must not change


def refs_of(repository: Path) -> dict[str, str]:
    lines = git(repository, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return dict(line.split(" ") for line in lines)


def stores_of(repository: Path) -> set[str]:
    """Name every file that holds objects, quarantines included."""
    folder = str(repository / "objects")
    return {f"{above}/{name}" for above, _, names in os.walk(folder) for name in names}


def entries_of(repository: Path) -> list[dict[str, Any]]:
    """Read the audit log."""
    path = audit.audit_path(repository)
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.is_file() else []


def breaks_of(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Check the log's chain anew: numbers, links, hashes."""
    wrong, previous = [], "0" * 64
    for number, entry in enumerate(entries, 1):
        members = {key: value for key, value in entry.items() if key != "hash"}
        text = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if members["seq"] != number or members["previous"] != previous or Digest.of(text.encode()).hex != entry["hash"]:
            wrong.append(f"line {number}")
        previous = entry["hash"]
    return wrong
