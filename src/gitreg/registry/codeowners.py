"""Write the CODEOWNERS file that follows from access.yaml, so that a forge asks the right people for review."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.access import GROUP, Action, effective_admins

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitreg.access import Access, Grant

HEADER = """\
# Generated from access.yaml by `gitreg access codeowners`. Change access.yaml and generate it again.
# The last line that matches a file names its owners; whoever owns it may not review a change of their own.
"""
_WRITING = frozenset({Action.REGISTER, Action.UPDATE})
_DEPLOYING = frozenset({Action.DEPLOY, Action.ROLLBACK})
_WIDTH = 23


def codeowners(access: Access) -> str:
    """Give the file. Of several matching lines a forge takes the last, so the general ones come first.

    A model's owners are those who may change it and those who approve it; elsewhere whoever may act, and the admins.
    """
    admins = sorted(effective_admins(access))
    writers = _by_pattern(access)
    places = [
        ("/approvals/", [*_users(access, access.grants, {Action.APPROVE}), *admins]),
        *((f"/deployments/{name}/", [*owners, *admins]) for name, owners in _by_environment(access)),
        ("/status/", [*_users(access, access.grants, {Action.REPORT}), *admins]),
    ]
    policy = [(path, admins) for path in ("/access.yaml", "/registry.yaml", "/keys/")]
    blocks = [[("*", admins)], writers, places, policy]
    text = "\n".join("".join(_line(*each) for each in block) for block in blocks if block)
    return f"{HEADER}\n{text}"


def _by_pattern(access: Access) -> list[tuple[str, list[str]]]:
    grants = [grant for grant in access.grants if _WRITING & set(grant.actions)]
    patterns = sorted({pattern for grant in grants for pattern in grant.models}, key=lambda each: (each != "*/*", each))
    rows = []
    for pattern in patterns:
        writers = _users(access, (grant for grant in grants if pattern in grant.models), _WRITING)
        covering = (grant for grant in access.grants if {pattern, "*/*", _project(pattern)} & set(grant.models))
        rows.append((_folder(pattern), [*writers, *_users(access, covering, {Action.APPROVE})]))
    return rows


def _by_environment(access: Access) -> list[tuple[str, list[str]]]:
    grants = [grant for grant in access.grants if _DEPLOYING & set(grant.actions)]
    names = sorted({str(name) for grant in grants for name in grant.environments})
    return [
        (
            name,
            _users(
                access, (grant for grant in grants if not grant.environments or name in grant.environments), _DEPLOYING
            ),
        )
        for name in names
    ]


def _project(pattern: str) -> str:
    return f"{pattern.partition('/')[0]}/*"


def _folder(pattern: str) -> str:
    """Write a model pattern as a path: in CODEOWNERS a folder covers all below it, and `*` only one level."""
    project, _, name = pattern.partition("/")
    if name != "*":
        return f"/models/{project}/{name}/"
    return "/models/" if project == "*" else f"/models/{project}/"


def _users(access: Access, grants: Iterable[Grant], actions: Iterable[Action]) -> list[str]:
    wanted = set(actions)
    found: dict[str, None] = {}
    for grant in grants:
        if wanted & set(grant.actions):
            for subject in grant.to:
                members = (
                    access.groups.get(subject.removeprefix(GROUP), ()) if subject.startswith(GROUP) else (subject,)
                )
                found |= dict.fromkeys(map(str, members))
    return sorted(found)


def _line(pattern: str, owners: Iterable[str]) -> str:
    return f"{pattern:<{_WIDTH}} {' '.join(f'@{owner}' for owner in dict.fromkeys(owners))}\n"
