"""Reach a registry wherever it is: a bare repository, a checkout with or without an origin, a URL.

What only a write needs is imported by the methods that write.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from functools import cached_property
from typing import TYPE_CHECKING

from gitreg.config import USER_VARIABLE, Location, Where, cache_folder, local_git_dir
from gitreg.errors import ConflictError, DeniedError, GitregError, InvalidError, NotFoundError, UnavailableError
from gitreg.git import Repository, refs
from gitreg.layout import MAIN
from gitreg.names import UserName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from gitreg.git import Signature

ORIGIN_MAIN = "refs/remotes/origin/main"
LOCK_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # seconds


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
        self.push_url: str | None = None
        self._scratch: Repository | None = None

    def __enter__(self) -> Self:
        """Use it for a while."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
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

    @cached_property
    def registry_path(self) -> Path | None:
        """The git directory of the registry's own repository, where that is on this machine."""
        if self.url is None:
            return self.repository.common_dir
        if self.location.where is Where.BARE:
            return self.repository.git_dir
        base = self.repository.work_tree or self.repository.git_dir
        # A URL that is no folder may be short for one: url.<base>.insteadOf.
        return local_git_dir(self.url, base) or local_git_dir(_expanded(self.repository, self.url), base)

    @property
    def store_base(self) -> Path | None:
        """The git directory from which a relative store URI counts; None where it is on another machine."""
        return self.registry_path

    @property
    def commit_repository(self) -> Repository:
        """The repository into which new commits are written; it sees every object of the registry."""
        if self.location.where is not Where.BARE:
            return self.repository
        from gitreg.git import scratch

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
                raise NotFoundError(f"{self.location.text} never fetched main from its origin", hint="git fetch origin")
        if found is None:
            raise self._empty()
        return found

    def _empty(self) -> NotFoundError:
        from gitreg.git.checkout import without_credentials

        return NotFoundError(
            f"the registry {without_credentials(self.url or self.location.text)} is empty: it has no branch main",
            hint="its owner makes the first state there: gitreg init",
        )

    def refresh(self) -> str:
        """Fetch main where it is elsewhere, and name its tip."""
        if self.url is not None and self.location.where is not Where.BARE:
            self._fetch(self.url)
        if self.location.where is Where.URL:
            from gitreg.git.upkeep import upkeep_when_due

            upkeep_when_due(self.repository)  # nobody else knows of the mirror
        return self.tip()

    def _fetch(self, url: str) -> None:
        from gitreg.git import remote

        for pause in (*LOCK_PAUSES, None):
            try:
                remote.fetch(self.repository, url, [f"+{MAIN}:{self.ref}"])
                break
            except NotFoundError as error:
                if "remote ref" in error.message:
                    raise self._empty() from error
                raise
            except UnavailableError as error:
                # Another process of this clone is fetching the same ref.
                if pause is None or "lock" not in error.message:
                    raise
                time.sleep(pause)

    # Writing

    def author(self) -> Signature:
        """Give who git's configuration says writes commits; InvalidError where it does not say."""
        from gitreg.git import checkout

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

    def write(self, parent: str, edits: Mapping[str, bytes | None], message: str, *, sign: bool | None = None) -> str:
        """Write a commit on a parent; moves no ref. Without `sign` it is signed where git's configuration says so."""
        from gitreg.git import write_commit

        repository, author = self.commit_repository, self.author()
        return write_commit(repository, parent=parent, edits=edits, message=message, author=author, sign=sign)

    def push(self, oid: str, ref: str, old: str | None) -> list[str] | None:
        """Move a ref of the registry from its expected old value.

        Gives an empty list on success, None where the ref has moved on, and otherwise the lines of the refusal.
        """
        if self.url is None:
            return self._move(oid, ref, old)
        from gitreg.gate import Code
        from gitreg.gate.violation import codes_of
        from gitreg.git import remote

        result = remote.push(self.commit_repository, self.push_url or self.url, {ref: (old, oid)})
        if result.accepted:
            return []
        if result.stale or codes_of(result.message.splitlines()) == {Code.REF_STALE}:
            return None
        return result.message.splitlines() or ["refused without a reason"]

    def _move(self, oid: str, ref: str, old: str | None) -> list[str] | None:
        try:
            if old is not None and self._shows_main():
                _merge_work_tree(self.repository, old, oid, try_only=True)
            refs.update(self.repository, ref, oid, old)
        except ConflictError:
            if refs.resolve(self.repository, ref) == old:
                raise
            return None
        return []

    def has_landed(self, oid: str, ref: str = MAIN) -> bool:
        """Whether a commit is on the registry's main, or at another ref, after all."""
        from gitreg.git import history as git_history
        from gitreg.git import remote

        try:
            if ref != MAIN and self.url is not None:
                return remote.ls_remote(self.url, [ref], repository=self.repository).get(ref) == oid
            tip = self.refresh()
        except GitregError:
            return False
        return self.repository.objects.info(oid) is not None and git_history.is_on_first_parent_chain(
            self.repository, oid, tip
        )

    def arrived(self, oid: str, old: str) -> None:
        """Bring local ref and work tree along once a commit is on main."""
        if self.url is None:
            if self._shows_main():
                _merge_work_tree(self.repository, old, oid)
        elif self.location.where is not Where.BARE:
            with contextlib.suppress(ConflictError):
                # Another process of this clone may have fetched something newer.
                refs.update(self.repository, self.ref, oid, old)

    @property
    def marks_deployments(self) -> bool:
        """Whether this client writes the deploy tags: nobody stands behind the registry, or configuration says so."""
        configured = self.repository.config("gitreg.deploytags")
        if self.url is None or configured is not None:
            return self.url is None or configured == "client"
        # A registry on this machine shows whether its own hook does it. Elsewhere a server or a CI job is at work.
        return self.registry_path is not None and not (self.registry_path / "hooks" / "post-receive").is_file()

    def _shows_main(self) -> bool:
        return self.repository.work_tree is not None and self.repository.head_ref() == MAIN

    # Who

    def actor(self, named: str | None) -> UserName | None:
        """Name the user that the registry will see, as far as this machine can know; one named by hand comes first.

        Who is named by hand and is not whom the server sees is refused there: a claim is no identity.
        """
        from gitreg.gate_hooks import identity

        if named:
            return UserName(named)
        if self.registry_path is not None and self.location.where is Where.BARE:
            with contextlib.suppress(DeniedError):
                return identity.actor(self.repository, os.environ)
        name = os.environ.get(USER_VARIABLE) or self.repository.config("gitreg.user")
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


def _merge_work_tree(repository: Repository, old: str, new: str, *, try_only: bool = False) -> None:
    """Bring a checkout along as `git merge --ff-only` would: changes that are not in the way stay as they are."""
    repository.finish(["update-index", "-q", "--refresh"])
    finished = repository.finish(["read-tree", "-m", "-u", *(["--dry-run"] if try_only else []), old, new])
    if finished.code == 0:
        return
    from gitreg.git.process import useful_line

    said = useful_line(finished.errors)
    if ".lock'" in said:
        raise UnavailableError(f"another git process works in this checkout: {said}", hint="try again when it is done")
    raise ConflictError(f"uncommitted changes are in the way: {said}", hint="commit or stash them, then try again")


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
    target = Target(repository, location, _from_top(repository, url), ORIGIN_MAIN)
    target.push_url = repository.config("remote.origin.pushurl")
    return target


def _from_top(repository: Repository, url: str) -> str:
    """Make a relative path count from the top of the checkout, as git has it, and not from where one stands."""
    path = (repository.work_tree or repository.git_dir) / url
    return str(path) if path.is_dir() else url


def _expanded(repository: Repository, url: str) -> str:
    output = repository.run(["ls-remote", "--get-url", url])
    return output.decode("utf-8", "surrogateescape").removesuffix("\n")


def has_mirror(location: Location) -> bool:
    """Whether the registry at a URL was fetched by git before."""
    folder = _mirror_folder(location)
    return any((folder / name).is_file() for name in (MAIN, "packed-refs"))


def _mirror_folder(location: Location) -> Path:
    name = hashlib.sha256(location.text.encode()).hexdigest()[:32]
    return cache_folder() / "registries" / f"{name}.git"


def _open_mirror(location: Location) -> Target:
    """Open the bare mirror that stands for a URL, making it the first time."""
    folder = _mirror_folder(location)
    if not (folder / "HEAD").is_file():
        from gitreg.git import remote

        remote.init_bare(folder, like=location.text)
    return Target(Repository.open(folder), location, location.text, MAIN)
