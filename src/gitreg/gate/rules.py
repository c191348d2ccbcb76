"""Say which rules a change must meet, by what it is; and judge new settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.changes import Change, Event
from gitreg.gate import deployment_rules, version_rules
from gitreg.gate.violation import Code, Violation
from gitreg.layout import DEPLOYMENTS, MODELS, SETTINGS, STATUS, model_path
from gitreg.manifest import Model
from gitreg.names import ModelName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gitreg.changes import State
    from gitreg.gate.case import Case
    from gitreg.settings import Settings


def violations_of(case: Case, change: Change) -> Iterator[Violation]:
    """Judge one change by the rules for its event."""
    rule = _RULES.get(change.event)
    return rule(case, change) if rule else iter(())


_RULES: dict[Event, Callable[[Case, Change], Iterator[Violation]]] = {
    Event.REGISTERED: version_rules.registered,
    Event.UPDATED: version_rules.updated,
    Event.REMOVED: version_rules.removed,
    Event.DELETED: version_rules.deleted,
    Event.RESTORED: version_rules.restored,
    Event.TOMBSTONE_EDITED: version_rules.tombstone_edited,
    Event.MODEL_CREATED: version_rules.described,
    Event.MODEL_UPDATED: version_rules.described,
    Event.ALIASES_MOVED: version_rules.aliases,
    Event.MODEL_REMOVED: version_rules.model_removed,
    Event.CARD_CHANGED: version_rules.card,
    Event.POINTER: deployment_rules.pointer,
    Event.APPROVAL: deployment_rules.approval,
    Event.STATUS: deployment_rules.status,
}


def settings_fit(case: Case, settings: Settings) -> Iterator[Violation]:
    """Judge new settings against the state: no environment in use goes away, no alias gets its name."""
    names = {str(rule.name) for rule in settings.environments}
    for folder in (DEPLOYMENTS, STATUS):
        for used in case.after.names(folder):
            if used not in names:
                yield Violation(
                    Code.ENVIRONMENT_IN_USE,
                    f"environment {used} is in use: {folder}/{used}/ is there",
                    "undeploy what is there first, and remove its status files",
                    path=SETTINGS,
                    field="environments",
                )
    added = names - {str(rule.name) for rule in case.policy.settings.environments}
    yield from _aliases_of_that_name(case.after, added) if case.transition else ()


def _aliases_of_that_name(state: State, names: Iterable[str]) -> Iterator[Violation]:
    wanted = set(names)
    if not wanted:
        return
    for project in state.names(MODELS):
        for name in state.names(f"{MODELS}/{project}"):
            model = ModelName(project, name)
            data = state.read(model_path(model))
            for alias in wanted & set(Model.parse(data, model_path(model)).aliases if data else ()):
                yield Violation(
                    Code.ALIAS_RESERVED,
                    f"{model} has an alias of the name {alias}",
                    "rename the alias or the environment",
                    path=SETTINGS,
                    field="environments",
                )
