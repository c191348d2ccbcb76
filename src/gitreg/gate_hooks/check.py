"""Give the gate's verdict away from the server: on a range of commits, on what is staged, on a whole state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gitreg.access import known_users
from gitreg.config import local_git_dir
from gitreg.errors import InvalidError, NotFoundError
from gitreg.gate import Code, Commit, Limits, Policy, RefUpdate, Violation, judge, judge_mixture, judge_refs
from gitreg.gate.violation import of_problem
from gitreg.gate_hooks.facts import RepositoryFacts, no_store, sizes
from gitreg.gate_hooks.push import Desk, judge_range, policy_of
from gitreg.git import Repository, changed_paths, scratch
from gitreg.git.lookup import commit_of, empty_tree
from gitreg.layout import MAIN, MODELS
from gitreg.reader import Snapshot
from gitreg.reader.history import edits_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gitreg.changes import PathEdit
    from gitreg.gate.case import Coming
    from gitreg.gate_hooks.facts import BlobSize
    from gitreg.names import UserName

WHOLE = Limits(paths=10_000_000)
_AT_ONCE = 2_000  # files of a whole state


def check_range(  # noqa: PLR0913 - a range, an actor, and two switches
    repository: Repository,
    base: str,
    head: str,
    who: UserName | None,
    *,
    store_base: Path | None = None,
    use_store: bool = True,
) -> list[Violation]:
    """Judge `base..head` as a push of `head` onto a main at `base` would be.

    Without `who` it is who signed each commit, where signatures are the identity; elsewhere the access rules are left
    out. `store_base` is the git directory from which a relative store counts; None where it is on another machine.
    """
    base_oid, head_oid = (_commit(repository, rev) for rev in (base, head))
    if base_oid == head_oid:
        return []
    snapshot = Snapshot(repository, base_oid)
    policy, problems = policy_of(snapshot)
    if problems:
        return problems
    # As the hook does: who is not known is told so, and nothing else.
    update = RefUpdate(base_oid, head_oid, MAIN)
    found = judge_refs([update], {MAIN: base_oid}, who, known_users(policy.access), server_marks=False)
    if found:
        return found
    blob_size = sizes(snapshot, store_base) if use_store else no_store("it is left out of this check")
    found = judge_range(Desk(repository, blob_size, server_marks=False), base_oid, head_oid, policy, who)
    return found if use_store else _without_store(found)


def _commit(repository: Repository, rev: str) -> str:
    oid = commit_of(repository, rev)
    if oid is None:
        raise NotFoundError(f"there is no commit {rev!r} here", hint="fetch it, or name another")
    return oid


def check_pushed(repository: Repository, base: str, head: str) -> list[Violation]:
    """Judge what a clone is about to push, as far as it can know: who may do it is left to the server."""
    found = check_range(repository, base, head, None, store_base=store_base(repository))
    return _without_store(found)


def check_staged(repository: Repository, index: Path | None = None) -> list[Violation]:
    """Judge what the index (by default the repository's own) adds to HEAD; who may do it is left to the server."""
    environment = {"GIT_INDEX_FILE": str(index.absolute())} if index else None
    tree = repository.run(["write-tree"], environment=environment).decode().strip()
    head = commit_of(repository, "HEAD")
    if head is None:
        return check_state(repository, tree, no_store("nothing is committed yet"), use_store=False)
    before, after = Snapshot(repository, head), Snapshot(repository, tree)
    changed = changed_paths(repository.objects, head, tree, budget=Limits().paths, depth=Limits().depth)
    edits = edits_of(changed, repository)
    if not edits:
        return []
    facts = RepositoryFacts(repository, head, sizes(before, store_base(repository)))
    found = judge(Commit("", edits, before, after), Policy(before.access, before.settings), None, facts)
    return _without_store([*found, *judge_mixture(edit.path for edit in edits)])


def _without_store(found: list[Violation]) -> list[Violation]:
    """Leave out that the store cannot be asked from here: a clone need not reach it, and the server asks again."""
    return [violation for violation in found if violation.code is not Code.STORE_UNAVAILABLE]


def store_base(repository: Repository) -> Path | None:
    """Name the git directory from which the store of a clone's registry counts; None where it is elsewhere."""
    url = repository.config("remote.origin.url")
    return local_git_dir(url, repository.work_tree or repository.git_dir) if url else repository.git_dir


def check_folder(path: Path, *, use_store: bool = True) -> list[Violation]:
    """Check the files of a checkout, or of a plain folder, as they lie on the disk."""
    path = path.absolute()
    if not (path / "registry.yaml").is_file():
        raise NotFoundError(f"{path} holds no registry.yaml", hint="give the top folder of a registry's checkout")
    # What is committed already is not stored once more.
    with scratch(path if (path / ".git").exists() else None) as repository:
        _leave_out_stores(repository, path)
        repository.run([f"--work-tree={path}", "-C", str(path), "add", "--all", "--", "."])
        tree = repository.run(["write-tree"]).decode().strip()
        return check_state(repository, tree, _folder_store(tree, path, repository), use_store=use_store)


def _leave_out_stores(repository: Repository, path: Path) -> None:
    """Keep an object store that lies inside the checkout out of the files to check."""
    stores = [found.parent.parent for found in path.glob("*/blobs/sha256") if found.is_dir()]
    exclude = repository.git_dir / "info" / "exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_text("".join(f"/{store.relative_to(path)}/\n" for store in stores))


def _folder_store(tree: str, path: Path, repository: Repository) -> BlobSize:
    """Ask the store that a checkout at `path` uses: relative to its origin's git directory, or to its own."""
    if not (path / ".git").exists():
        return sizes(Snapshot(repository, tree), path / ".git")
    own = Repository.open(path)
    return sizes(Snapshot(repository, tree), store_base(own), machine=own)


def check_state(repository: Repository, tree: str, blob_size: BlobSize, *, use_store: bool = True) -> list[Violation]:
    """Check a whole state as it stands, every file of it."""
    state, empty = Snapshot(repository, tree), Snapshot(repository, empty_tree(repository))
    try:
        policy = Policy(state.access, state.settings)
        changed = changed_paths(repository.objects, None, tree, budget=WHOLE.paths, depth=WHOLE.depth)
    except InvalidError as error:
        return [of_problem(problem) for problem in error.problems] or [Violation(Code.FILE_INVALID, str(error))]
    except NotFoundError as error:
        return [Violation(Code.POLICY_MISSING, str(error))]
    asked = blob_size if use_store else no_store("it is left out of this check")
    facts = RepositoryFacts(repository, None, asked, now=int(time.time()))
    found: list[Violation] = []
    coming: Coming = {}
    for edits in _parts(edits_of(changed, repository)):
        commit = Commit("", edits, empty, Snapshot(repository, tree))
        judged = judge(commit, policy, None, facts, limits=WHOLE, transition=False, coming=coming)
        found = _once([*found, *judged], Code.STORE_UNAVAILABLE)
    return found if use_store else _without_store(found)


def _parts(edits: Sequence[PathEdit]) -> Iterator[tuple[PathEdit, ...]]:
    """Give the files of a state in parts, so that not all of them are in memory: first what is no model's."""
    of_models = [edit for edit in edits if edit.path.startswith(f"{MODELS}/")]
    yield tuple(edit for edit in edits if not edit.path.startswith(f"{MODELS}/"))
    for first in range(0, len(of_models), _AT_ONCE):
        yield tuple(of_models[first : first + _AT_ONCE])


def _once(found: list[Violation], code: Code) -> list[Violation]:
    """Say only once what is the same for every file."""
    first = next((violation for violation in found if violation.code is code), None)
    rest = [violation for violation in found if violation.code is not code]
    return [*rest, first] if first else rest
