"""Write the deploy tags that the history of main implies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, InvalidError
from gitreg.gate import DeployMark
from gitreg.gate_hooks import audit
from gitreg.git import Signature, refs, write_tag
from gitreg.git import history as git_history
from gitreg.git.lookup import kind_of
from gitreg.git.values import is_oid
from gitreg.layout import ALLOWED_SIGNERS, DEPLOY_TAGS, DEPLOYMENTS, MAIN, DeployTag, Kind, place
from gitreg.reader import Snapshot, deployments
from gitreg.reader.history import continued, marks_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gitreg.git import Repository
    from gitreg.keys import AllowedSigners
    from gitreg.names import EnvironmentName, ModelName
    from gitreg.reader import DeploymentRecord


CONFIG = "gitreg.deploytags"
SERVER = "server"
CLIENT = "client"
PRIMARY = "gitreg.serve.primary"
"""The server that takes the writes, where this one only follows it."""


def server_marks(repository: Repository) -> bool:
    """Whether the server writes deploy tags; InvalidError where its configuration says neither that nor the other.

    A replica writes none: it fetches those of the server that it follows.
    """
    if repository.config(PRIMARY):
        return False
    value = repository.config(CONFIG) or SERVER
    if value not in {SERVER, CLIENT}:
        raise InvalidError(f"{CONFIG} is {value!r} in git's configuration", hint=f"allowed: {SERVER}, {CLIENT}")
    return value == SERVER


def implied_mark(
    repository: Repository, tip: str, tag: DeployTag, actors: Mapping[str, str] | None = None
) -> DeployMark | None:
    """Work out what a deploy tag must say, from history and the audit log; None where there is no such deployment.

    `actors` tells who pushes what the log does not know yet, by commit.
    """
    records = deployments(repository, tip, tag.environment, tag.model, trust_tags=False)
    if not 1 <= tag.number <= len(records):
        return None
    record = records[tag.number - 1]
    actor = (actors or {}).get(record.commit)
    if actor is None:
        later = git_history.first_parents(repository, tip, since=record.commit)
        actor = _actors(repository, [*later, record.commit]).get(record.commit)
    if actor is None:
        actor = _signers(repository, tip, [record.commit]).get(record.commit)
    head = audit.head(repository.git_dir)
    return DeployMark(tag, record.commit, trailers_of(record, actor=actor, audit_head=head))


def trailers_of(record: DeploymentRecord, *, actor: str | None = None, audit_head: str | None = None) -> dict[str, str]:
    """Give the trailers of a deploy tag, in their order."""
    trailers = {
        "Model": str(record.model),
        "Version": str(record.version or ""),
        "Environment": str(record.environment),
        "Action": record.action,
        "Previous": str(record.previous or ""),
        "Actor": actor or "",
        "Reason": _one_line(record.reason or ""),
        "Audit": audit_head or "",
    }
    return {key: value for key, value in trailers.items() if value}


def _one_line(text: str) -> str:
    """Keep a trailer on one printable line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:500]


def message_of(record: DeploymentRecord, trailers: Mapping[str, str]) -> str:
    """Write a deploy tag's message: a subject, a blank line, the trailers."""
    verb = {"deploy": "Deploy", "promote": "Promote", "rollback": "Roll back", "undeploy": "Undeploy"}[record.action]
    to = f" to {record.version}" if record.action == "rollback" else f"@{record.version or record.previous}"
    where = "in" if record.action == "rollback" else "from" if record.action == "undeploy" else "to"
    lines = [f"{verb} {record.model}{to} {where} {record.environment}", ""]
    return "\n".join([*lines, *(f"{key}: {value}" for key, value in trailers.items()), ""])


def unmarked(repository: Repository, tip: str, since: str | None) -> list[DeploymentRecord]:
    """List the deployments between two commits of main (`since` excluded, all tagged up to it) that have no tag."""
    touched: dict[tuple[EnvironmentName, ModelName], list[str]] = {}
    for oid, paths in reversed(list(git_history.changes_below(repository, tip, DEPLOYMENTS, since=since))):
        for where in _pointers(paths):
            touched.setdefault(where, []).append(oid)
    # Over a whole history one list of all tags is cheaper than one for each pointer.
    marks = marks_below(repository, DEPLOY_TAGS) if since is None else None
    found = []
    for where, commits in touched.items():
        # A run that was killed may have left tags of these commits; they are no part of what was known before.
        known = [each for each in deployments(repository, since, *where) if each.commit not in commits] if since else []
        own = marks.get(where, {}) if marks is not None else None
        records = continued(repository, known, commits, where, marks=own)[len(known) :]
        found += [record for record in records if not record.marked]
    return found


def _pointers(paths: Iterable[str]) -> Iterator[tuple[EnvironmentName, ModelName]]:
    for path in paths:
        where = place(path)
        if where.kind is Kind.DEPLOYMENT and where.environment and where.model:
            yield where.environment, where.model


def write_marks(repository: Repository, *, actor: str | None = None, tip: str | None = None) -> list[str]:
    """Write every deploy tag that is missing, once however many run at a time; give the new refs.

    A file beside the repository remembers up to where main was marked, so that a killed run is made good by the next.
    `actor` is named where the audit log does not know who pushed a commit; `tip` is main's, by default the local one.
    """
    with _locked(repository.git_dir / "gitreg") as folder:
        tip = tip or refs.resolve(repository, MAIN)
        if tip is None:
            return []
        memory = folder / "marked"
        since = _remembered(memory, repository, tip)
        if since == tip:
            return []
        records = unmarked(repository, tip, since)
        chain = list(git_history.first_parents(repository, tip, since=since)) if records else []
        actors = _actors(repository, chain)
        actors |= _signers(repository, tip, [each.commit for each in records if each.commit not in actors])
        head = audit.head(repository.git_dir)
        signers = _keys(repository, tip) if records else None
        written = [
            _write(
                repository,
                record,
                trailers_of(record, actor=actors.get(record.commit, actor), audit_head=head),
                signers,
            )
            for record in records
        ]
        _remember(memory, tip)
    return [ref for ref in written if ref]


def _write(
    repository: Repository, record: DeploymentRecord, trailers: Mapping[str, str], signers: AllowedSigners | None
) -> str | None:
    """Write one tag, signed where `signers` are given; None where another run was first."""
    tag = DeployTag(record.environment, record.model, record.number)
    message, tagger = message_of(record, trailers), Signature.now("gitreg", "gitreg@localhost")
    if signers is None:
        oid = write_tag(repository, tag.name, record.commit, message, tagger)
    else:
        oid = _write_signed(repository, tag, record.commit, message, signers)
    try:
        refs.update(repository, tag.ref, oid, None)
    except ConflictError:
        if refs.resolve(repository, tag.ref) is None:
            raise  # another ref is in its way
        # Another run has just written it.
        return None
    return tag.ref


def _write_signed(repository: Repository, tag: DeployTag, target: str, message: str, signers: AllowedSigners) -> str:
    """Write a signed tag, and see that everybody will take its signature."""
    from gitreg.gate.signing import Signing
    from gitreg.gate_hooks.signers import judge_tag
    from gitreg.git.signatures import write_signed_tag

    tagger = Signature.now("gitreg", "gitreg@localhost")
    oid = write_signed_tag(repository, tag.name, target, message, tagger)
    users = frozenset(str(key.user) for key in signers.keys.values())
    found = judge_tag(repository, oid, Signing(signers, users), tagger.time)
    if found.violations:
        raise InvalidError(
            f"the signature of this machine's deploy tags does not count: {found.violations[0].message}",
            hint=f"an admin lists the key of user.signingKey in {ALLOWED_SIGNERS}",
        )
    return oid


def _keys(repository: Repository, tip: str) -> AllowedSigners | None:
    """Give the keys that sign deploy tags; None where these need no signature."""
    snapshot = Snapshot(repository, tip)
    if not snapshot.settings.signed_tags:
        return None
    from gitreg.git.signatures import check_can_sign
    from gitreg.keys import AllowedSigners

    check_can_sign(repository)
    return AllowedSigners.parse(snapshot.read(ALLOWED_SIGNERS) or b"", ALLOWED_SIGNERS)


def _signers(repository: Repository, tip: str, commits: Sequence[str]) -> dict[str, str]:
    """Tell who signed commits, where signatures are the identity."""
    if not commits or not Snapshot(repository, tip).settings.by_signature:
        return {}
    from gitreg.gate_hooks.signers import signers_of

    return signers_of(repository, commits)


def _actors(repository: Repository, chain: Sequence[str]) -> dict[str, str]:
    """Tell who pushed each commit of a chain, newest first: the actor of the push whose tip comes at or after it."""
    known = audit.actors_of(repository.git_dir, chain)
    found: dict[str, str] = {}
    pusher: str | None = None
    for oid in chain:
        pusher = known.get(oid, pusher)
        if pusher:
            found[oid] = pusher
    return found


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    with (folder / "marks.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield folder


def _remembered(path: Path, repository: Repository, tip: str) -> str | None:
    """Read up to where main was marked; None, which means from its beginning, where that is not known."""
    try:
        oid = path.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    if oid == tip:
        return oid
    known = is_oid(oid) and kind_of(repository, oid) == "commit"
    return oid if known and git_history.is_on_first_parent_chain(repository, oid, tip) else None


def _remember(path: Path, tip: str) -> None:
    temporary = path.with_suffix(".new")
    with temporary.open("w") as file:
        file.write(tip + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
