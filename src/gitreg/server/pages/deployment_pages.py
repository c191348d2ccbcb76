"""Show what runs where, what moved, and what waits for approval."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from gitreg.access import Action
from gitreg.registry import reads
from gitreg.server.pages import listing
from gitreg.server.pages.events import Event, events
from gitreg.server.pages.rendering import Fields, shown, url
from gitreg.server.pages.version_pages import given, promotions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.responses import Response

    from gitreg.names import EnvironmentName, ModelName, Version
    from gitreg.registry.results import StatusRow
    from gitreg.server.pages.site import Page
    from gitreg.settings import EnvironmentRule


class Waiting(NamedTuple):
    """A version that lacks approvals for an environment, and what the caller can do about it."""

    model: ModelName
    version: Version
    environment: EnvironmentName
    needed: int
    approved: tuple[str, ...]
    rejected: tuple[str, ...]
    running: str | None
    is_mine: bool


class Cell(NamedTuple):
    """What the board shows of a model in an environment."""

    status: StatusRow | None
    waiting: Waiting | None
    promotes_to: EnvironmentName | None
    may_roll_back: bool


def environments(page: Page) -> Response:
    """Show models by environments: what is meant to run, the canary, what was reported, what waits."""
    project = page.query.get("project")
    after = page.query.get("after", "")
    names, following = page.ask(lambda index: listing.placed(index, page.readable, after, project))
    waiting = {(each.model, each.environment): each for each in _waiting(page, project)}
    rows = []
    for name in names:
        cells = _cells(page, name, waiting)
        if any(cell.status for cell in cells.values()):
            rows.append((name, cells))
    return shown(
        "environments.html",
        page,
        rows=rows,
        rules=page.rules,
        project=project,
        next=url("/ui/environments", project=project, after=following) if following else None,
        is_later=bool(after),
        drifting=[(name, each) for name, cells in rows for each in cells.values() if each.status and each.status.drift],
        pending=list(waiting.values()),
    )


def _cells(
    page: Page, name: ModelName, waiting: dict[tuple[ModelName, EnvironmentName], Waiting]
) -> dict[EnvironmentName, Cell]:
    """Show one model in each environment, with what the caller may do there and what would come of something."""
    status = {row.environment: row for row in reads.status(page.at, None, name)}
    goals = {each.source: each.goal for each in promotions(page, name) if (name, each.goal) not in waiting}
    reversible = page.ask(lambda index: listing.reversible(index, name))
    return {
        where: Cell(
            status.get(where),
            waiting.get((name, where)),
            goals.get(where),
            where in reversible and (page.may(Action.ROLLBACK, name, where) or page.may(Action.DEPLOY, name, where)),
        )
        for where in (rule.name for rule in page.rules)
    }


def _waiting(page: Page, project: str | None = None) -> Iterator[Waiting]:
    """Find what runs before an environment that asks for approvals, and lacks some there."""
    for rule in page.rules:
        if not rule.approvals:
            continue
        after = str(rule.after) if rule.after else None
        found = partial(listing.candidates, reads=_kinds(page, rule, project), environment=str(rule.name), after=after)
        for name, version in page.ask(found):
            yield from _of_candidate(page, rule, name, version)


def _kinds(
    page: Page, rule: EnvironmentRule, project: str | None
) -> tuple[Callable[[ModelName], bool], Callable[[ModelName], bool]]:
    """Tell which models the caller may read and approve, and which they may read."""

    @cache
    def readable(name: ModelName) -> bool:
        return project in {None, name.project} and page.readable(name)

    @cache
    def approvable(name: ModelName) -> bool:
        return readable(name) and page.may(Action.APPROVE, name, rule.name)

    return approvable, readable


def _of_candidate(page: Page, rule: EnvironmentRule, name: ModelName, version: Version) -> Iterator[Waiting]:
    file = page.at.version(name, version)
    approved, rejected = given(page, file, rule.name)
    if len(set(approved)) >= rule.approvals and not rejected:
        return
    pointer = page.at.pointer(rule.name, name)
    user = page.who.user
    yield Waiting(
        name,
        version,
        rule.name,
        rule.approvals,
        tuple(approved),
        tuple(rejected),
        str(pointer.version) if pointer else None,
        page.may(Action.APPROVE, name, rule.name) and str(user) not in {*approved, *rejected},
    )


def approvals(page: Page) -> Response:
    """Show what waits for the caller, and what waits for others."""
    found = list(_waiting(page))
    return shown(
        "approvals.html",
        page,
        mine=[each for each in found if each.is_mine],
        others=[each for each in found if not each.is_mine and not each.rejected],
        rejected=[each for each in found if not each.is_mine and each.rejected],
        gated=[rule for rule in page.rules if rule.approvals],
    )


def timeline(page: Page) -> Response:
    """List the deployments of every model, newest first."""
    wanted = dict(page.query)
    if "model" in wanted:
        page.known(page.readable_name(wanted["model"]))
    if "environment" in wanted:
        page.environment(wanted["environment"])
    found, before = events(page, wanted)
    following = {**wanted, "before": before}
    days: dict[str, list[Event]] = {}
    for each in found:
        days.setdefault(each.time[:10], []).append(each)
    return shown(
        "deployments.html",
        page,
        days=days,
        wanted=Fields(wanted),
        environments=[rule.name for rule in page.rules],
        next=url("/ui/deployments", **following) if before else None,
        is_later="before" in wanted,
    )
