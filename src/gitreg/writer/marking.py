"""Write deploy tags where no server does: by the client that deployed, by a CI job on a hosted forge, or by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.config import Where
from gitreg.gate.violation import refusal_of_text
from gitreg.gate_hooks.marks import write_marks
from gitreg.git import refs, remote
from gitreg.layout import DEPLOY_TAGS

if TYPE_CHECKING:
    from gitreg.writer.target import Target


def mark(target: Target, *, push: bool, actor: str | None = None) -> list[str]:
    """Write the deploy tags that history implies; give the new refs.

    `push` fetches main and the tags first, and sends the tags that the origin lacks, those of an earlier run that was
    cut off included. `actor` is who pushed the commits, where nothing else tells.
    """
    url, repository = target.url, target.repository
    if not push or url is None or target.location.where is Where.BARE:
        return write_marks(repository, actor=actor)
    remote.fetch(repository, url, [f"+{DEPLOY_TAGS}*:{DEPLOY_TAGS}*"])
    write_marks(repository, actor=actor, tip=target.refresh())
    there = remote.ls_remote(url, [f"{DEPLOY_TAGS}*"], repository=repository)
    missing = {ref: oid for ref, oid in refs.list_refs(repository, DEPLOY_TAGS) if ref not in there}
    if missing:
        result = remote.push(repository, target.push_url or url, {ref: (None, oid) for ref, oid in missing.items()})
        if not result.accepted:
            raise refusal_of_text(result.message.splitlines(), "the deploy tags were not accepted")
    return sorted(missing)
