"""Change the registry from a page: first what it would be and what the gate says of it, then the change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gitreg.access import Action
from gitreg.errors import ConflictError, GitregError, InvalidError, NotFoundError, UnavailableError
from gitreg.names import Selector, did_you_mean
from gitreg.registry import planners
from gitreg.registry.plans import next_environment
from gitreg.server.pages.rendering import Fields, model_url, shown, url, version_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response

    from gitreg.names import EnvironmentName, ModelName
    from gitreg.server.pages.site import Page
    from gitreg.writer.plan import Planner, Written

_MOST = 2000
_SEE_OTHER = 303


class Field(NamedTuple):
    """A field of a form: its name, its label, what it takes, and whether it must be filled in."""

    name: str
    label: str
    kind: str = "text"
    is_needed: bool = False
    hint: str = ""


class Deed(NamedTuple):
    """Something that can be done: its title, what one must be allowed, its fields and its plan."""

    title: str
    actions: tuple[Action, ...]
    fields: tuple[Field, ...]
    plan: Callable[[Page, Mapping[str, str]], Planner]
    verb: str


_MODEL = Field("model", "Model", is_needed=True, hint="project/name")
_VERSION = Field("version", "Version", is_needed=True, hint="1.4.0, an alias, an environment, or latest")
_WHERE = Field("environment", "Environment", "environment", is_needed=True)
_REASON = Field("reason", "Reason", hint="Stands in the history for as long as the registry does")


def _named(values: Mapping[str, str]) -> str:
    return f"{values['model']}@{values['version']}"


def _deploy(_: Page, values: Mapping[str, str]) -> Planner:
    percent = values.get("percent")
    if percent is not None and not (percent.isdigit() and len(percent) < len("100")):
        raise InvalidError(f"{percent[:20]!r} is no share of the traffic", hint="a canary gets 1 to 99 percent")
    given = {"reason": values.get("reason"), "canary": values.get("canary")}
    share = int(percent) if percent else None
    return planners.deploy(_named(values), values["environment"], percent=share, **given)


def _promote(page: Page, values: Mapping[str, str]) -> Planner:
    name = str(page.readable_name(values["model"]))
    return planners.promote(name, values["source"], values.get("environment"), reason=values.get("reason"))


def _roll_back(page: Page, values: Mapping[str, str]) -> Planner:
    name = str(page.readable_name(values["model"]))
    return planners.rollback(name, values["environment"], to=values.get("to"), reason=values.get("reason"))


def _undeploy(page: Page, values: Mapping[str, str]) -> Planner:
    name = str(page.readable_name(values["model"]))
    return planners.undeploy(name, values["environment"], reason=values.get("reason"))


def _approve(page: Page, values: Mapping[str, str], *, reject: bool = False) -> Planner:
    user, comment = page.who.require_user, values.get("comment")
    return planners.approve(_named(values), values["environment"], user, reject=reject, comment=comment)


def _reject(page: Page, values: Mapping[str, str]) -> Planner:
    return _approve(page, values, reject=True)


_COMMENT = Field("comment", "Comment", hint="What you looked at, for whoever asks in a year")
DEEDS: Mapping[str, Deed] = {
    "deploy": Deed(
        "Deploy a version",
        (Action.DEPLOY,),
        (
            *(_MODEL, _VERSION, _WHERE, _REASON),
            Field("canary", "Canary version", hint="A second version that gets a share of the traffic"),
            Field("percent", "Share of the canary in percent", "number"),
        ),
        _deploy,
        "Deploy",
    ),
    "promote": Deed(
        "Promote what runs",
        (Action.DEPLOY,),
        (
            _MODEL,
            Field("source", "From", "environment", is_needed=True),
            _WHERE._replace(label="To", is_needed=False, hint="Where none is chosen: the one that comes next"),
            _REASON,
        ),
        _promote,
        "Promote",
    ),
    "rollback": Deed(
        "Roll back",
        (Action.ROLLBACK, Action.DEPLOY),
        (
            _MODEL,
            _WHERE,
            Field("to", "Back to", hint="A version, or a deployment by number; empty: the last"),
            _REASON,
        ),
        _roll_back,
        "Roll back",
    ),
    "undeploy": Deed(
        "Take out of an environment",
        (Action.ROLLBACK, Action.DEPLOY),
        (_MODEL, _WHERE, _REASON),
        _undeploy,
        "Undeploy",
    ),
    "approve": Deed("Approve a version", (Action.APPROVE,), (_MODEL, _VERSION, _WHERE, _COMMENT), _approve, "Approve"),
    "reject": Deed("Reject a version", (Action.APPROVE,), (_MODEL, _VERSION, _WHERE, _COMMENT), _reject, "Reject"),
}


def preview(page: Page) -> Response:
    """Show the form and, where it is filled in, the change as it would be and the gate's verdict. Changes nothing."""
    deed = _deed(page)
    values = _values(deed, page.query)
    missing = [field for field in deed.fields if field.is_needed and field.name not in values]
    if missing:
        for field in deed.fields:  # what is there already has to be right, and allowed to be seen
            if field.name == "model" and "model" in values:
                page.known(page.readable_name(values["model"]))
        return _shown(page, deed, values)
    try:
        _allow(page, deed, values)
        written = page.submit(deed.plan(page, values), dry_run=True)
    except (InvalidError, ConflictError) as error:
        return _shown(page, deed, values, error=error, status=error.http_status)
    return _shown(page, deed, values, written=written)


def confirm(page: Page) -> Response:
    """Do it, if what was shown is still so; otherwise show what it would be now."""
    deed = _deed(page)
    values = _values(deed, page.form)
    missing = next((field for field in deed.fields if field.is_needed and field.name not in values), None)
    if missing is not None:
        raise InvalidError(f"{missing.label.lower()} is missing", hint="fill it in and look at the preview")
    try:
        _allow(page, deed, values)
        written = page.submit(deed.plan(page, values), expected=page.form.get("expected"))
    except UnavailableError:
        raise  # whoever cannot make the change now cannot show it either
    except GitregError as error:
        if error.violations:  # the gate has logged its refusal
            page.request.scope["state"]["logged"] = True
        again = _again(page, deed, values)
        return _shown(page, deed, values, written=again, error=error, status=error.http_status)
    from starlette.responses import RedirectResponse

    return RedirectResponse(_afterwards(page, values, written), _SEE_OTHER)


def _again(page: Page, deed: Deed, values: Mapping[str, str]) -> Written | None:
    """Show what the change would be now."""
    try:
        return page.submit(deed.plan(page, values), dry_run=True)
    except GitregError:
        return None


def _deed(page: Page) -> Deed:
    name = page.request.path_params["deed"]
    if name not in DEEDS:
        near = did_you_mean(name, DEEDS)
        raise NotFoundError(
            f"nothing is called {name[:80]!r} that one could do here", hint=f"did you mean {near}?" if near else None
        )
    return DEEDS[name]


def _values(deed: Deed, given: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for field in deed.fields:
        text = given.get(field.name, "").strip()
        if len(text) > _MOST:
            raise InvalidError(f"{field.label.lower()} is longer than {_MOST} characters", hint="shorten it")
        if text:
            found[field.name] = text
    return found


def _allow(page: Page, deed: Deed, values: Mapping[str, str]) -> tuple[ModelName, EnvironmentName]:
    """Refuse, before anything is planned, who may not: what the gate says of it must not tell what is there."""
    name = page.readable_name(values["model"])
    page.known(name)
    named = values.get("environment")
    where = page.environment(named) if named else next_environment(page.at, page.environment(values["source"]))
    if not any(page.may(action, name, where) for action in deed.actions):
        page.require(deed.actions[0], name, where)
    return name, where


def _shown(  # noqa: PLR0913 - what is known of the change, and what became of it
    page: Page,
    deed: Deed,
    values: Mapping[str, str],
    *,
    written: Written | None = None,
    error: GitregError | None = None,
    status: int = 200,
) -> Response:
    extra: dict[str, Any] = {"accepted": written is not None and not written.violations and bool(written.paths)}
    return shown(
        "action.html",
        page,
        status,
        deed=deed,
        values=Fields(values),
        written=written,
        error=error,
        environments=[rule.name for rule in page.rules],
        lines=_lines(written.diff) if written and written.diff else [],
        back=_back(values),
        **extra,
    )


def _lines(diff: str) -> list[tuple[str, str]]:
    """Give each line of a diff its kind."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    return [
        ("file" if line.startswith(("+++", "---")) else kinds.get(line[:1], "same"), line)
        for line in diff.rstrip("\n").split("\n")
    ]


def _back(values: Mapping[str, str]) -> str:
    try:
        selector = Selector.parse(values.get("model", ""))
    except InvalidError:
        return "/ui/models"
    return model_url(selector.model)


def _afterwards(page: Page, values: Mapping[str, str], written: Written) -> str:
    """Lead to where the change can be seen."""
    name = page.readable_name(values["model"])
    if "version" in values and "comment" in {field.name for field in _deed(page).fields}:
        version = page.at.resolve(Selector.parse(_named(values)))
        return url(version_url(name, version), done=written.commit)
    return url(model_url(name, "deployments"), done=written.commit)
