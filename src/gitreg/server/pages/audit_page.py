"""Show admins the log of decisions, newest first, with what was refused and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitreg.access import Action
from gitreg.gate_hooks.audit.export import Wanted, pattern, since
from gitreg.gate_hooks.audit.recent import recent
from gitreg.reader.history import parse_time
from gitreg.server.pages.rendering import Fields, shown, url

if TYPE_CHECKING:
    from starlette.responses import Response

    from gitreg.server.pages.site import Page

PAGE = 50
_VERDICTS = ("accepted", "refused")


def audit(page: Page) -> Response:
    """List decisions; `before` is where the page before ended."""
    page.require(Action.ADMIN)
    asked = page.query
    wanted = Wanted(
        since=since(asked["since"]) if "since" in asked else None,
        until=parse_time(asked["until"]) if "until" in asked else None,
        actor=asked.get("actor"),
        model=pattern(asked["model"]) if "model" in asked else None,
        verdict=asked["verdict"] if asked.get("verdict") in _VERDICTS else None,
    )
    before = asked.get("before", "")
    start = int(before) if before.isdigit() and len(before) < len(str(2**62)) else None
    found, following = recent(page.site.git_dir, wanted, limit=PAGE, before=start)
    rows: list[dict[str, Any]] = [dict(each) for each in found]
    return shown(
        "audit.html",
        page,
        rows=rows,
        asked=Fields(asked),
        verdicts=_VERDICTS,
        next=url("/ui/audit", **{**asked, "before": following}) if following else None,
    )
