"""Write deploy tags where no server does: by a CI job on a hosted forge, or by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.gate.violation import refusal_of_text
from gitreg.gate_hooks.marks import write_marks
from gitreg.git import refs, remote
from gitreg.layout import DEPLOY_TAGS

if TYPE_CHECKING:
    from gitreg.writer import Target


def mark(target: Target, *, push: bool) -> list[str]:
    """Write the deploy tags that history implies; give the new refs.

    `push` fetches main and the tags first, and sends the new ones to the origin.
    """
    if not push or target.url is None:
        return write_marks(target.repository)
    remote.fetch(target.repository, target.url, [f"+{DEPLOY_TAGS}*:{DEPLOY_TAGS}*"])
    tip = target.refresh()
    written = write_marks(target.repository, tip=tip)
    if written:
        values = refs.resolve_all(target.repository, written)
        result = remote.push(target.repository, target.url, {ref: (None, oid) for ref, oid in values.items()})
        if not result.accepted:
            raise refusal_of_text(result.message.splitlines(), "the deploy tags were not accepted")
    return written
