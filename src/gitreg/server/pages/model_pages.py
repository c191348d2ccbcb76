"""Show one model: its card and facts, its versions, its metrics over versions, its deployments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gitreg.access import Action
from gitreg.errors import NotFoundError
from gitreg.manifest import Lifecycle
from gitreg.names import Selector
from gitreg.server.pages import graphs, listing
from gitreg.server.pages.cards import rendered
from gitreg.server.pages.events import events
from gitreg.server.pages.rendering import model_url, shown, url

if TYPE_CHECKING:
    from starlette.responses import Response

    from gitreg.manifest import Manifest
    from gitreg.names import ModelName
    from gitreg.server.pages.site import Page


def overview(page: Page) -> Response:
    """Show the card, and beside it what one asks first."""
    values = _around(page, "overview")
    card = page.at.card(page.name)
    latest = _latest(page, page.name)
    return shown(
        "model.html", page, **values, card=rendered(card) if card else None, latest=latest, digest=None, hosted=None
    )


def _around(page: Page, tab: str) -> dict[str, Any]:
    """Give what every page of a model shows: its head, and the tabs."""
    name = page.name
    page.known(name)
    count, deleted = page.ask(lambda connection: listing.counts(connection, name))
    return {
        "model": page.at.model(name),
        "name": name,
        "tab": tab,
        "count": count,
        "deleted": deleted,
        "running": page.ask(lambda connection: listing.running(connection, str(name))),
        "may_deploy": any(page.may(Action.DEPLOY, name, rule.name) for rule in page.rules),
    }


def _latest(page: Page, name: ModelName) -> Manifest | None:
    try:
        return page.at.version(name, page.at.resolve(Selector(name, "latest"))).manifest
    except NotFoundError:
        return None


def versions(page: Page) -> Response:
    """List the versions, highest first."""
    values = _around(page, "versions")
    name, wanted = values["name"], page.query.get("lifecycle")
    condition = f"model = '{name}'"
    if wanted in set(Lifecycle):
        condition += f" and lifecycle = {wanted}"
    found = page.site.registry.search(condition, limit=listing.PAGE, cursor=page.query.get("cursor"))
    keys = list(dict.fromkeys(key for row in found for key in row.metrics))[:4]
    following = url(model_url(name, "versions"), lifecycle=wanted, cursor=found.next) if found.next else None
    return shown(
        "versions.html", page, **values, found=found, keys=keys, next=following, wanted=wanted, lifecycles=Lifecycle
    )


def metrics(page: Page) -> Response:
    """Draw metrics over the newest versions; a script that can makes them live."""
    values = _around(page, "metrics")
    chosen = page.query.get("metric")
    found = page.ask(lambda connection: listing.measurements(connection, values["name"], chosen))
    if chosen and chosen not in found.names:
        raise NotFoundError(f"no version of {values['name']} has a metric {chosen[:80]!r}", hint="see the list")
    lines = [graphs.line_of(metric) for metric in found.metrics]
    series = {line.name: json.dumps({"versions": found.versions, "values": line.values}) for line in lines}
    return shown(
        "metrics.html",
        page,
        **values,
        found=found,
        lines=lines,
        series=series,
        chosen=chosen,
        width=graphs.WIDTH,
        height=graphs.HEIGHT,
    )


def history(page: Page) -> Response:
    """List the deployments of a model, newest first, with who did it and why."""
    values = _around(page, "deployments")
    wanted = {**page.query, "model": str(values["name"])}
    if "environment" in wanted:
        page.environment(wanted["environment"])
    found, before = events(page, wanted)
    here = model_url(values["name"], "deployments")
    where = wanted.get("environment")
    return shown(
        "history.html",
        page,
        **values,
        events=found,
        where=where,
        environments=[rule.name for rule in page.rules],
        next=url(here, environment=where, before=before) if before else None,
        first=url(here, environment=where) if "before" in wanted else None,
    )
