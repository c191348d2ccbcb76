"""Make a registry, or a clone of one."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.access import Access, Action, Grant, effective_admins
from gitreg.config import STORE, is_repository
from gitreg.errors import ConflictError, InvalidError
from gitreg.gate import RefUpdate, refusal
from gitreg.gate_hooks import audit, identity
from gitreg.gate_hooks.check import check_folder
from gitreg.gate_hooks.configuration import configure_server
from gitreg.gate_hooks.install import CLONE_HOOKS, SERVER_HOOKS, hooks_of, install, is_registry
from gitreg.gate_hooks.marks import write_marks
from gitreg.git import Repository, refs, write_commit
from gitreg.git.checkout import identity as git_identity
from gitreg.git.create import create
from gitreg.layout import ACCESS, MAIN, SETTINGS
from gitreg.names import EnvironmentName, UserName
from gitreg.objects import LocalStore, open_store
from gitreg.reader import Snapshot
from gitreg.reader.history import iso
from gitreg.records import dataclass
from gitreg.resources import resource
from gitreg.settings import EnvironmentRule, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitreg.git import Signature

MAX_NAME = 63
DEFAULT_STORE = "file:../store"
DEFAULT_ENVIRONMENTS = ("staging", "prod")
_README = """# {name}

A registry of machine-learning models. Every model version is a file under `models/`, every deployment a file under
`deployments/`, every rule a line in `access.yaml` and `registry.yaml`; the history of `main` is the audit trail.

    gitreg list
    gitreg register project/model weights.safetensors --version 1.0.0
    gitreg deploy project/model@1.0.0 {environment}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitRequest:
    """What a new registry shall be like; what is left out gets a default."""

    path: Path
    bare: bool = False
    name: str | None = None
    admin: str | None = None
    identity: str | None = None
    store: str | None = None
    environments: tuple[str, ...] = ()
    source: Path | None = None
    author: Signature | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InitResult:
    """What was made."""

    path: Path
    store: str
    admins: tuple[str, ...]
    identity: str
    hooks: tuple[Path, ...]
    commit: str


def init(request: InitRequest) -> InitResult:
    """Make a registry with its hooks, its object store and its first state, complete or not at all.

    A git repository that is there already gets what it lacks of these and keeps its history; ConflictError where it
    has hooks of another origin, or where the folder is something else.
    """
    path = Path(os.path.abspath(request.path.expanduser()))  # noqa: PTH100 - a symbolic link is the user's choice
    if request.identity:
        identity.check_source(request.identity)
    if request.store:
        # A store that this release cannot use is told now, not with the first registration.
        open_store(request.store, base=path)
    if is_repository(path):
        return _furnish(path, request)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConflictError(f"{path} exists and is neither empty nor a git repository", hint="name a new folder")
    files = _first_state(request, path)
    _check(files, request)
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        create(building, bare=request.bare)
        _furnish(building, request, files)
        _move(building, path)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return _furnish(path, request)


def _move(building: Path, path: Path) -> None:
    """Put a finished registry where it belongs; an empty folder is filled, since somebody may stand in it."""
    if not path.exists():
        building.rename(path)
        return
    # The git directory comes last: until then the folder is no repository.
    for item in sorted(building.iterdir(), key=lambda each: each.name in {".git", "HEAD"}):
        item.rename(path / item.name)


def _furnish(path: Path, request: InitRequest, files: Mapping[str, bytes] | None = None) -> InitResult:
    """Give a repository hooks, configuration, first state and store, each where it has none."""
    with Repository.open(path) as repository:
        hooks = install(repository, SERVER_HOOKS if repository.is_bare else (*SERVER_HOOKS, "pre-commit"))
        configure_server(repository)
        source = request.identity or repository.config(identity.CONFIG) or identity.ACCOUNT
        repository.run(["config", identity.CONFIG, source])
        if not repository.is_bare:
            repository.run(["config", "receive.denyCurrentBranch", "updateInstead"])
        tip = refs.resolve(repository, MAIN)
        kind = audit.INIT if tip is None else audit.ADOPT
        if tip is None:
            tip = _begin(repository, request, files or _first_state(request, path))
        begin_log(repository, tip, kind)
        snapshot = Snapshot(repository, tip)
        admins = effective_admins(snapshot.access)
        store = snapshot.settings.store
        if files is None:
            write_marks(repository)
            _make_store(repository.config(STORE) or store, repository.git_dir)
    return InitResult(
        path=path, store=store or "", admins=tuple(sorted(admins)), identity=source, hooks=tuple(hooks), commit=tip
    )


def _begin(repository: Repository, request: InitRequest, files: Mapping[str, bytes]) -> str:
    """Commit the first state."""
    author = request.author or git_identity(repository)
    message = "Begin the registry\n"
    commit = write_commit(repository, parent=None, edits=files, message=message, author=author, committer=author)
    refs.update(repository, MAIN, commit, None)
    repository.run(["symbolic-ref", "HEAD", MAIN])
    if repository.work_tree is not None:
        repository.run([f"--work-tree={repository.work_tree}", "reset", "--hard", "--quiet"])
    return commit


def begin_log(repository: Repository, tip: str, kind: str) -> None:
    """Begin the log of decisions where there is none, with main as it is."""
    folder = repository.common_dir
    if audit.position(folder):
        return
    update = RefUpdate(repository.null_oid, tip, MAIN)
    with contextlib.suppress(ConflictError):  # another run has just begun it
        audit.begin(folder, audit.Entry(iso(int(time.time())), _account(), (update,), (), {"identity": kind}))


def _account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _admin(request: InitRequest) -> str:
    return str(UserName(request.admin or getpass.getuser().lower()))


def _first_state(request: InitRequest, path: Path) -> dict[str, bytes]:
    """Gather the files of the first commit."""
    files = {f".gitreg/schemas/{each.name}": each.read_bytes() for each in sorted(resource("schemas").glob("*.json"))}
    if request.source is not None:
        return {**files, **_folder_files(request.source)}
    settings = _settings(request, path)
    admin = UserName(_admin(request))
    access = Access(groups={}, grants=(Grant(to=(admin,), actions=(Action.ADMIN,)),), deny=())
    environment = settings.environments[0].name if settings.environments else "ENVIRONMENT"
    files |= {
        SETTINGS: settings.to_bytes(),
        ACCESS: access.to_bytes(),
        "README.md": _README.format(name=settings.name, environment=environment).encode(),
    }
    if not request.bare:
        # The store of a registry with a work tree lies in it, and is no part of it.
        files[".gitignore"] = b"/store/\n"
    return files


def _settings(request: InitRequest, path: Path) -> Settings:
    names = [EnvironmentName(name) for name in request.environments or DEFAULT_ENVIRONMENTS]
    rules = [
        EnvironmentRule(name=name, after=names[index - 1] if index else None, approvals=0)
        for index, name in enumerate(names)
    ]
    return Settings(
        name=request.name or _name_of(path),
        store=request.store or DEFAULT_STORE,
        environments=tuple(rules),
        required=(),
        formats=None,
    )


def _name_of(path: Path) -> str:
    """Name a registry after its folder, whatever the folder is called."""
    words = re.findall(r"[a-z0-9_]+", path.name.removesuffix(".git").lower(), re.ASCII)
    return "-".join(words)[:MAX_NAME].strip("_-") or "registry"


def _folder_files(folder: Path) -> dict[str, bytes]:
    if not (folder / SETTINGS).is_file() or not (folder / ACCESS).is_file():
        raise InvalidError(f"{folder} holds no {SETTINGS} and {ACCESS}", hint="a registry begins with its rules")
    violations = check_folder(folder, use_store=False)
    if violations:
        # What comes in unjudged could not be mended by a push later.
        raise refusal(violations, f"{folder} is no valid first state")
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and not relative.startswith(".git/"):
            files[relative] = path.read_bytes()
    return files


def _check(files: Mapping[str, bytes], request: InitRequest) -> None:
    """Refuse rules that are not valid before anything is made."""
    settings = Settings.parse(files[SETTINGS], SETTINGS)
    if request.identity == identity.SIGNATURE and not settings.by_signature:
        raise InvalidError(
            "signatures cannot tell who pushes to a registry whose settings do not ask for them",
            hint="begin --from a folder with keys/allowed_signers, and `identity: signature` in registry.yaml",
        )
    if not effective_admins(Access.parse(files[ACCESS], ACCESS)):
        raise InvalidError(f"{ACCESS} makes nobody admin", hint="grant admin, without models, to a user")


def _make_store(uri: str | None, git_dir: Path) -> None:
    if uri and uri.startswith("file:"):
        store = open_store(uri, base=git_dir)
        if isinstance(store, LocalStore):
            (store.folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)


def clone(url: str, path: Path | None = None) -> Path:
    """Clone a registry, by URL, path or name, with the hooks that check what one commits and pushes.

    Deploy tags stay on the server.
    """
    from gitreg.client import is_server
    from gitreg.config import is_url, place_of
    from gitreg.git import remote

    url = url if is_url(url) else place_of(url)
    target = path or _folder_for(url)
    if url.startswith(("http://", "https://")) and is_server(url):
        url = url.rstrip("/") + remote.SERVED_AT
    if target.exists() and any(target.iterdir()):
        raise ConflictError(f"{target} exists and is not empty", hint="name a new folder")
    is_new = not target.exists()
    remote.clone(url, target)
    with Repository.open(target) as repository:
        if not (target / SETTINGS).is_file():
            if is_new:
                shutil.rmtree(target, ignore_errors=True)
            raise InvalidError(f"{url} is no registry: it has no {SETTINGS}", hint="check the address")
        # Main alone came; proposals come with the next fetch, as in any clone. Deploy tags stay with the server.
        repository.run(["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"])
        for key, value in remote.helpers(url):  # so that plain git gets in as well
            repository.run(["config", key, value])
        install(repository, CLONE_HOOKS)
    return target


def _folder_for(url: str) -> Path:
    """Name a clone's folder as git does: by the last part of the URL; by the host where there is no other."""
    scheme, separator, rest = url.rstrip("/").partition("://")
    last = (rest if separator else scheme).rpartition("/")[2]
    is_host = bool(separator) and last == rest
    return Path(last.partition(":")[0] if is_host else last.rpartition(":")[2].removesuffix(".git"))


def fix(repository: Repository) -> Sequence[Path]:
    """Put back the hooks and the configuration that `gitreg doctor` misses, and begin a log where there is none."""
    tip = refs.resolve(repository, MAIN)
    if tip is not None and is_registry(repository):
        begin_log(repository, tip, audit.ADOPT)
    written = install(repository, hooks_of(repository))
    if is_registry(repository):
        configure_server(repository)
    return written
