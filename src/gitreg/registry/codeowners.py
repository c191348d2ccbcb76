"""Write the CODEOWNERS file that follows from access.yaml, so that a forge asks the right people for review."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.access import Action, effective_admins, known_users

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitreg.access import Access

HEADER = (
    "# Generated from access.yaml by `gitreg access codeowners`; change the rules there, then run it again.\n"
    "# Users are written as the forge's own names: @user.\n"
)


def codeowners(access: Access) -> str:
    """Give the file: admins own everything, those who may register or update own their models, and so on.

    Of several matching lines a forge takes the last, so the general ones come first.
    """
    admins = sorted(effective_admins(access))
    lines = [_line("*", admins)]
    for grant in access.grants:
        for pattern in grant.models:
            if {Action.REGISTER, Action.UPDATE} & set(grant.actions):
                lines.append(_line(f"/models/{pattern}/", _able(access, pattern, {Action.REGISTER, Action.UPDATE})))
            for environment in grant.environments or ():
                if {Action.DEPLOY, Action.ROLLBACK} & set(grant.actions):
                    owners = _able(access, pattern, {Action.DEPLOY, Action.ROLLBACK})
                    lines.append(_line(f"/deployments/{environment}/{pattern}.yaml", owners))
    lines += [_line(path, admins) for path in ("/registry.yaml", "/access.yaml", "/keys/")]
    return HEADER + "".join(dict.fromkeys(lines))


def _able(access: Access, pattern: str, actions: set[Action]) -> list[str]:
    users = {
        user
        for grant in access.grants
        if pattern in grant.models and actions & set(grant.actions)
        for user in known_users(access)
        if _granted(access, grant.to, user)
    }
    return sorted(users) or sorted(effective_admins(access))


def _granted(access: Access, to: Iterable[str], user: str) -> bool:
    return any(
        each == user or (each.startswith("group:") and user in access.groups.get(each.removeprefix("group:"), ()))
        for each in to
    )


def _line(pattern: str, owners: Iterable[str]) -> str:
    return f"{pattern} {' '.join(f'@{owner}' for owner in owners)}\n"
