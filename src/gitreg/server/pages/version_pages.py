"""Show one version, and how it differs from another."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gitreg.access import Action, may
from gitreg.deployment import Verdict
from gitreg.errors import InvalidError, NotFoundError
from gitreg.manifest import Tombstone
from gitreg.manifest import diff as difference
from gitreg.names import Selector, Version
from gitreg.registry import reads
from gitreg.server.pages import graphs, listing
from gitreg.server.pages.rendering import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.responses import Response

    from gitreg.deployment import Approval
    from gitreg.names import EnvironmentName, ModelName
    from gitreg.reader import VersionFile
    from gitreg.server.pages.site import Page

_GENERATIONS = 8


def version(page: Page) -> Response:
    """Show everything that a version's manifest says, and what points at it."""
    name = page.name
    page.known(name)
    text = page.request.path_params["version"]
    try:
        found = page.at.find(name, Version(text))
    except InvalidError:
        found = None
    if isinstance(found, Tombstone):
        return shown("tombstone.html", page, 410, name=name, tombstone=found)
    file = found or page.version(Selector.parse(f"{name}@{text}"))
    manifest = file.manifest
    tree = graphs.pruned(reads.lineage(page.at, Selector(name, str(manifest.version)), _GENERATIONS), page.readable)
    return shown(
        "version.html",
        page,
        name=name,
        manifest=manifest,
        details=reads.show(page.at, Selector(name, str(manifest.version))),
        approvals=list(verdicts(page, file)),
        tree=tree,
        box_size=(graphs.BOX, graphs.TALL),
        drawing=graphs.drawing_of(tree) if tree.parents else None,
        descendants=page.ask(lambda index: listing.descendants(index, name, manifest.version, page.readable)),
        others=page.ask(lambda index: listing.neighbours(index, name, manifest.version)),
        deployable=[rule.name for rule in page.rules if page.may(Action.DEPLOY, name, rule.name)],
        promotable=[each for each in promotions(page, name) if each.version == manifest.version],
        approvable=[rule.name for rule in page.rules if page.may(Action.APPROVE, name, rule.name)],
    )


class Promotion(NamedTuple):
    """What runs in one environment and not in one that comes after it, where the caller may deploy."""

    version: Version
    source: EnvironmentName
    goal: EnvironmentName


def promotions(page: Page, name: ModelName) -> Iterator[Promotion]:
    """List what of a model the caller may promote; what the gate says of it, the preview shows."""
    running = {rule.name: pointer for rule in page.rules if (pointer := page.at.pointer(rule.name, name))}
    for rule in page.rules:
        before, there = running.get(rule.after) if rule.after else None, running.get(rule.name)
        is_new = before is not None and (there is None or there.version != before.version)
        if before is not None and is_new and page.may(Action.DEPLOY, name, rule.name):
            yield Promotion(before.version, before.environment, rule.name)


class Given(NamedTuple):
    """A verdict, and why it does not count where it does not."""

    approval: Approval
    void: str | None


def verdicts(page: Page, file: VersionFile) -> Iterator[Given]:
    """List the verdicts on a version; those count that are of these very bytes, by users who may approve."""
    manifest = file.manifest
    for each in page.at.approvals(manifest.model, manifest.version):
        void = None
        if each.manifest_digest != file.digest:
            void = "of an earlier manifest"
        elif not may(page.at.access, each.user, Action.APPROVE, each.model, each.environment).allowed:
            void = "by somebody who may not approve"
        yield Given(each, void)


def given(page: Page, file: VersionFile, environment: str) -> tuple[list[str], list[str]]:
    """Name who approved a version for an environment, and who rejected it, as far as it counts."""
    counting = [each.approval for each in verdicts(page, file) if each.void is None]
    here = [each for each in counting if each.environment == environment]
    return (
        [each.user for each in here if each.verdict is Verdict.APPROVE],
        [each.user for each in here if each.verdict is Verdict.REJECT],
    )


def diff(page: Page) -> Response:
    """Set two versions side by side: of this model, or this one's and another's."""
    name = page.name
    page.known(name)
    left, right = (_side(page, each) for each in ("from", "to"))
    sides = [page.version(side).manifest if side else None for side in (left, right)]
    found = difference(sides[0], sides[1]) if sides[0] and sides[1] else None
    at = sides[0] or sides[1]
    others = page.ask(lambda index: listing.neighbours(index, name, at.version)) if at else []
    return shown(
        "diff.html",
        page,
        name=name,
        found=found,
        left=sides[0],
        right=sides[1],
        others=others,
        sections=(
            {
                "Hyperparameters": found.hyperparameters,
                "Data sets": found.datasets,
                "Files": found.artifacts,
                "Other fields": found.fields,
            }
            if found
            else {}
        ),
    )


def _side(page: Page, field: str) -> Selector | None:
    text = page.query.get(field)
    if text is None:
        return None
    selector = page.selector(text if "/" in text else f"{page.name}@{text.removeprefix('@')}")
    if selector.what is None:
        raise NotFoundError(f"{text[:80]!r} names no version", hint="write 1.4.0, or project/name@1.4.0")
    return selector
