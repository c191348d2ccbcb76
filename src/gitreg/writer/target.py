"""Reach a registry wherever it is: a bare repository, a checkout with or without an origin, a URL."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from typing import TYPE_CHECKING

from gitreg.config import USER_VARIABLE, Location, Where, cache_folder, local_git_dir
from gitreg.errors import ConflictError, DeniedError, GitregError, InvalidError, NotFoundError
from gitreg.gate import Code
from gitreg.gate.violation import codes_of
from gitreg.gate_hooks import identity
from gitreg.gate_hooks.marks import write_marks
from gitreg.git import Repository, checkout, refs, remote, scratch, write_commit
from gitreg.git import history as git_history
from gitreg.layout import MAIN
from gitreg.names import UserName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from gitreg.git import Signature

ORIGIN_MAIN = "refs/remotes/origin/main"


class Target:
    """A registry that can be read here and written somewhere.

    `repository` holds the objects; `url` is where pushes go, None for a checkout without an origin, which is written
    in place. `ref` is the local ref that stands for the registry's main.
    """

    def __init__(self, repository: Repository, location: Location, url: str | None, ref: str) -> None:
        self.repository = repository
        self.location = location
        self.url = url
        self.ref = ref
        self._scratch: Repository | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End git's processes and remove the scratch repository."""
        if self._scratch is not None:
            self._scratch.close()
        self.repository.close()

    @property
    def is_local(self) -> bool:
        """Whether nothing stands between this process and the registry: its gate is the only one."""
        return self.url is None

    @property
    def registry_path(self) -> Path | None:
        """The folder of the registry's own repository, where that is on this machine."""
        if self.url is None:
            return self.repository.git_dir
        if self.location.where is Where.BARE:
            return self.location.path
        return local_git_dir(self.url, self.repository.work_tree or self.repository.git_dir)

    @property
    def store_base(self) -> Path | None:
        """The git directory from which a relative store URI counts; None where it is on another machine."""
        return self.registry_path

    @property
    def commit_repository(self) -> Repository:
        """The repository into which new commits are written; it sees every object of the registry."""
        if self.location.where is not Where.BARE:
            return self.repository
        if self._scratch is None:
            self._scratch = scratch(self.repository)
        return self._scratch

    # Reading

    def tip(self) -> str:
        """Name the commit that stands for main, as far as this machine knows."""
        found = refs.resolve(self.repository, self.ref)
        if found is None and self.ref == ORIGIN_MAIN:
            found = refs.resolve(self.repository, MAIN)
        if found is None:
            raise NotFoundError(
                f"the registry {self.location.text} is empty", hint="its owner makes the first state: gitreg init"
            )
        return found

    def refresh(self) -> str:
        """Fetch main where it is elsewhere, and name its tip."""
        if self.url is not None and self.location.where is not Where.BARE:
            remote.fetch(self.repository, self.url, [f"+{MAIN}:{self.ref}"])
        return self.tip()

    # Writing

    def author(self) -> Signature:
        """Give who git's configuration says writes commits; InvalidError where it does not say."""
        return checkout.identity(self.repository)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the other writers of this machine, so that they do not race each other's pushes."""
        name = hashlib.sha256((self.url or self.location.text).encode()).hexdigest()[:32]
        folder = cache_folder() / "locks"
        with contextlib.ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context((folder / name).open("w"))
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                # Without a cache there is no queue; compare-and-swap alone keeps writers apart.
                stack.close()
            yield

    def write(self, parent: str, edits: Mapping[str, bytes | None], message: str) -> str:
        """Write a commit on a parent; moves no ref."""
        return write_commit(self.commit_repository, parent=parent, edits=edits, message=message, author=self.author())

    def push(self, oid: str, ref: str, old: str | None) -> list[str] | None:
        """Move a ref of the registry from its expected old value.

        Gives an empty list on success, None where the ref has moved on, and otherwise the lines of the refusal.
        """
        if self.url is None:
            try:
                refs.update(self.repository, ref, oid, old)
            except ConflictError:
                return None
            return []
        result = remote.push(self.commit_repository, self.url, {ref: (old, oid)})
        if result.accepted:
            return []
        if result.stale or codes_of(result.message.splitlines()) == {Code.REF_STALE}:
            return None
        return result.message.splitlines() or ["refused without a reason"]

    def has_landed(self, oid: str) -> bool:
        """Whether a commit is on the registry's main after all."""
        try:
            tip = self.refresh()
        except GitregError:
            return False
        return self.repository.objects.info(oid) is not None and git_history.is_on_first_parent_chain(
            self.repository, oid, tip
        )

    def arrived(self, oid: str, old: str) -> None:
        """Do what is left to do once a commit is on main: local refs, work tree, deploy tags."""
        if self.url is None:
            _sync_work_tree(self.repository, old, oid)
            write_marks(self.repository, actor=str(self.actor(None) or "") or None)
        elif self.location.where is not Where.BARE:
            with contextlib.suppress(ConflictError):
                # Another process of this clone may have fetched something newer.
                refs.update(self.repository, self.ref, oid, old)

    # Who

    def actor(self, named: str | None) -> UserName | None:
        """Name the user that the registry will see, as far as this machine can know."""
        if self.registry_path is not None and self.location.where is Where.BARE:
            with contextlib.suppress(DeniedError):
                return identity.actor(self.repository, os.environ)
        name = named or os.environ.get(USER_VARIABLE) or self.repository.config("gitreg.user")
        if name:
            return UserName(name)
        if self.url is None:
            return identity.actor_by(identity.ACCOUNT, os.environ)
        return None

    def require_user(self, named: str | None) -> UserName:
        """Name the user; InvalidError where this machine does not know it."""
        found = self.actor(named)
        if found is None:
            raise InvalidError(
                "your user name in the registry is not known here",
                hint="give --as USER, or once and for all: git config --global gitreg.user USER",
            )
        return found


def _sync_work_tree(repository: Repository, old: str, new: str) -> None:
    """Bring a checkout whose HEAD is main along, as `git merge --ff-only` would; local changes are kept."""
    if repository.work_tree is None or repository.head_ref() != MAIN:
        return
    repository.run(["read-tree", "-m", "-u", old, new])


def open_target(location: Location) -> Target:
    """Open a registry; NotFoundError where there is none."""
    if location.where is Where.URL:
        return _open_mirror(location)
    repository = Repository.open(location.path)
    if location.where is Where.BARE:
        return Target(repository, location, str(repository.git_dir), MAIN)
    url = repository.config("remote.origin.url")
    if url is None:
        return Target(repository, location, None, MAIN)
    return Target(repository, location, url, ORIGIN_MAIN)


def _open_mirror(location: Location) -> Target:
    """Open the bare mirror that stands for a URL, making it the first time."""
    name = hashlib.sha256(location.text.encode()).hexdigest()[:32]
    folder = cache_folder() / "registries" / f"{name}.git"
    if not (folder / "HEAD").is_file():
        remote.init_bare(folder, like=location.text)
    return Target(Repository.open(folder), location, location.text, MAIN)
