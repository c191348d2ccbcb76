"""Who may do what: grants, denials, and the decision that names the rule behind it."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from gitreg.names import EnvironmentName, UserName, did_you_mean
from gitreg.parsing import API_VERSION, EnoughError, Findings, Rule, without_empty
from gitreg.records import dataclass, field
from gitreg.wire import Document, dump, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gitreg.errors import Problem
    from gitreg.names import ModelName
    from gitreg.parsing import Data

GROUP = "group:"


class Action(StrEnum):
    """What an actor may do; `admin` stands for all of them."""

    READ = "read"
    REGISTER = "register"
    UPDATE = "update"
    ALIAS = "alias"
    APPROVE = "approve"
    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    REPORT = "report"
    YANK = "yank"
    ARCHIVE = "archive"
    DELETE = "delete"
    ADMIN = "admin"


IN_ENVIRONMENTS = frozenset({Action.APPROVE, Action.DEPLOY, Action.ROLLBACK, Action.REPORT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A rule, under `grants` or under `deny`: to whom, which actions, on which models, in which environments.

    No environments means all. No models means none for a grant without `admin`, and everything otherwise, what
    belongs to no model included. `line` is where the rule stands in its file, where that is known.
    """

    to: tuple[str, ...]
    actions: tuple[Action, ...]
    models: tuple[str, ...] = ()
    environments: tuple[EnvironmentName, ...] = ()
    line: int | None = field(default=None, compare=False)

    @classmethod
    def from_data(cls, data: Data, line: int | None = None) -> Self:
        """Build from accepted data."""
        return cls(
            to=tuple(data["to"]),
            actions=tuple(map(Action, data["actions"])),
            models=tuple(data.get("models", ())),
            environments=tuple(map(EnvironmentName, data.get("environments", ()))),
            line=line,
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return without_empty(
            {
                "to": list(self.to),
                "actions": [str(action) for action in self.actions],
                "models": list(self.models),
                "environments": [str(environment) for environment in self.environments],
            }
        )

    def names(self, action: Action) -> bool:
        """Whether the rule speaks of an action, by its name or by `admin`."""
        return action in self.actions or Action.ADMIN in self.actions


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The access rules of a registry. Whatever is not granted is denied; a denial beats any grant."""

    groups: Mapping[str, tuple[UserName, ...]] = field(default_factory=dict)
    grants: tuple[Grant, ...] = ()
    deny: tuple[Grant, ...] = ()

    @classmethod
    def parse(cls, data: bytes, path: str | None = None) -> Self:
        """Read `access.yaml`; raise InvalidError with everything that is wrong."""
        from gitreg.parsing import accept
        from gitreg.schema import Kind

        document = accept(Kind.ACCESS, load(data, path), _RULES)
        return cls._build(document)

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data, without checking it again; the rules have no lines then."""
        return cls._build(Document(dict(data)))

    @classmethod
    def _build(cls, document: Document) -> Self:
        data = document.value
        return cls(
            groups={name: tuple(map(UserName, users)) for name, users in data.get("groups", {}).items()},
            grants=_rules(document, "grants"),
            deny=_rules(document, "deny"),
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order; groups and rules keep theirs."""
        return without_empty(
            {
                "api_version": API_VERSION,
                "kind": "Access",
                "groups": {name: [str(user) for user in users] for name, users in self.groups.items()},
                "grants": [grant.to_data() for grant in self.grants],
                "deny": [rule.to_data() for rule in self.deny],
            }
        )

    def to_bytes(self) -> bytes:
        """Write the canonical file."""
        return dump(self.to_data())

    def validate(self, path: str | None = None) -> tuple[Problem, ...]:
        """List what is wrong beyond the schema, as `parse` does, for rules that were not read from a file."""
        findings = Findings(Document(self.to_data(), {}, path))
        with suppress(EnoughError):
            for rule in _RULES:
                rule.check(findings, findings.document.value)
        return tuple(findings.problems)


def _rules(document: Document, name: str) -> tuple[Grant, ...]:
    found = []
    for index, data in enumerate(document.value.get(name, ())):
        mark = document.mark((name, index))
        found.append(Grant.from_data(data, mark.line if mark else None))
    return tuple(found)


# Decisions


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an actor may, the rule that decided (`grants[1]`, `deny[0]`, `no grant`) with its line, and why."""

    allowed: bool
    rule: str
    reason: str
    line: int | None = None


def may(
    access: Access,
    user: str,
    action: Action,
    model: ModelName | None,
    environment: EnvironmentName | None = None,
) -> Decision:
    """Decide whether an actor may act on a model, and name the rule that decided.

    Default deny; a deny rule beats any grant; `admin` stands for all actions in both. Without a model, the question
    is about the registry as a whole. Pure: reads nothing but its arguments.
    """
    subjects = _subjects(access, user)
    decision = _decide(access, subjects, _Deed(action, model, environment))
    if decision is not None:
        return decision
    known = not subjects.isdisjoint(known_users(access))
    reason = "no grant in access.yaml covers it" if known else f"access.yaml does not know {user}"
    return Decision(allowed=False, rule="no grant", reason=reason)


def outside(scopes: frozenset[Action] | None, action: Action) -> Decision | None:
    """Refuse an action that a token was not made for; None where it was, and where it is bound to no scopes."""
    if scopes is None or scopes & {action, Action.ADMIN}:
        return None
    return Decision(allowed=False, rule="scopes", reason=f"the token was made for: {', '.join(sorted(scopes))}")


class _Deed(NamedTuple):
    """What somebody wants to do, and where."""

    action: Action
    model: ModelName | None
    environment: EnvironmentName | None


def _subjects(access: Access, user: str) -> frozenset[str]:
    """Name a user as rules do: by name, and by group. What is no user's name, such as `group:x`, is nobody."""
    if ":" in user:
        return frozenset()
    return frozenset({str(user), *(GROUP + name for name, users in access.groups.items() if user in users)})


def _decide(access: Access, subjects: frozenset[str], deed: _Deed) -> Decision | None:
    """Find the rule that decides, or None where no rule speaks of it."""
    for index, rule in enumerate(access.deny):
        if not subjects.isdisjoint(rule.to) and _covers(rule, deed, without_models=True):
            return _decision(f"deny[{index}]", rule, subjects, allowed=False)
    for index, rule in enumerate(access.grants):
        whole = Action.ADMIN in rule.actions
        if not subjects.isdisjoint(rule.to) and _covers(rule, deed, without_models=whole):
            return _decision(f"grants[{index}]", rule, subjects, allowed=True)
    return None


def _covers(rule: Grant, deed: _Deed, *, without_models: bool) -> bool:
    if not rule.names(deed.action):
        return False
    # `environments` narrows what happens in one; registering beside it in the same rule happens in none.
    if rule.environments and deed.action in IN_ENVIRONMENTS and deed.environment not in rule.environments:
        return False
    if not rule.models:
        return without_models
    return deed.model is not None and any(matches(pattern, deed.model) for pattern in rule.models)


def _decision(name: str, rule: Grant, subjects: frozenset[str], *, allowed: bool) -> Decision:
    whom = next(each for each in rule.to if each in subjects)
    line = f" (line {rule.line})" if rule.line is not None else ""
    actions = ", ".join(rule.actions)
    where = f" on {', '.join(rule.models)}" if rule.models else ""
    where += f" in {', '.join(rule.environments)}" if rule.environments else ""
    verb = "grants" if allowed else "denies"
    return Decision(allowed, name, f"{name}{line} {verb} {whom} {actions}{where}", rule.line)


def matches(pattern: str, model: ModelName) -> bool:
    """Whether a pattern such as `risk/*` or `*/fraud-*` means a model; `*` stands for any part of one segment."""
    project, _, name = pattern.partition("/")
    return _matches_segment(project, model.project) and _matches_segment(name, model.name)


def _matches_segment(pattern: str, text: str) -> bool:
    """Match in linear time: the literal parts, leftmost first, between the fixed ends."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


# Questions over all rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Applicable:
    """A rule that speaks of a user: its name, whether it allows, and by which of its names it means the user."""

    rule: str
    allows: bool
    to: str
    grant: Grant


def actions_of(access: Access, user: str) -> tuple[Applicable, ...]:
    """List every rule that speaks of a user, by name or through a group: denials first, as they decide first."""
    subjects = _subjects(access, user)
    return tuple(
        Applicable(rule=f"{name}[{index}]", allows=name == "grants", to=whom, grant=rule)
        for name, rules in (("deny", access.deny), ("grants", access.grants))
        for index, rule in enumerate(rules)
        if (whom := next((each for each in rule.to if each in subjects), None)) is not None
    )


def known_users(access: Access) -> frozenset[str]:
    """Name every user in a group or in a grant; who is only ever denied is no actor of the registry."""
    granted = {each for grant in access.grants for each in grant.to if not each.startswith(GROUP)}
    return frozenset(granted.union(*access.groups.values()))


def who_may(
    access: Access, action: Action, model: ModelName | None = None, environment: EnvironmentName | None = None
) -> frozenset[str]:
    """Name every user whom `may` allows, in one pass over the rules."""
    deed = _Deed(action, model, environment)
    grants = (rule for rule in access.grants if _covers(rule, deed, without_models=Action.ADMIN in rule.actions))
    denials = (rule for rule in access.deny if _covers(rule, deed, without_models=True))
    return _named(access, grants) - _named(access, denials)


def _named(access: Access, rules: Iterable[Grant]) -> frozenset[str]:
    """Name the users of rules, those of their groups included."""
    named = {each for rule in rules for each in rule.to}
    groups = (users for name, users in access.groups.items() if GROUP + name in named)
    return frozenset(str(each) for each in named if not each.startswith(GROUP)).union(*groups)


def effective_admins(access: Access) -> frozenset[str]:
    """Name the users who are admin of the whole registry, after groups and denials."""
    return who_may(access, Action.ADMIN)


# Rules beyond the schema


def _each_rule(data: Data) -> Iterator[tuple[str, int, Data]]:
    for name in ("grants", "deny"):
        for index, rule in enumerate(data.get(name, ())):
            yield name, index, rule


def _scopes(findings: Findings, data: Data) -> None:
    """Note rules that can never apply as their author meant them."""
    for name, index, rule in _each_rule(data):
        actions = rule["actions"]
        if "environments" in rule and IN_ENVIRONMENTS.isdisjoint(actions):
            allowed = ", ".join(sorted(IN_ENVIRONMENTS))
            message = f"{', '.join(actions)} has no environment; allowed with environments: {allowed}"
            findings.add(message, name, index, "environments")
        if name == "grants" and "models" not in rule and Action.ADMIN not in actions:
            findings.add('grants nothing without models; write models: ["*/*"] for all', name, index)


def _groups(findings: Findings, data: Data) -> None:
    """Note unknown groups, and users that have a group's name."""
    groups = data.get("groups", {})
    for name, index, rule in _each_rule(data):
        for position, whom in enumerate(rule["to"]):
            place = (name, index, "to", position)
            if whom in groups:
                findings.add(f"{whom} is a group; write {GROUP}{whom}, or rename the group", *place)
            elif whom.startswith(GROUP) and whom.removeprefix(GROUP) not in groups:
                findings.add(_unknown_group(whom.removeprefix(GROUP), groups), *place)
    for group, users in groups.items():
        for position, user in enumerate(users):
            if user in groups:
                message = f"{user} is a group, and no group lies in another; name its users, or rename the group"
                findings.add(message, "groups", group, position)


def _unknown_group(name: str, groups: Iterable[str]) -> str:
    near = did_you_mean(name, groups)
    return f"there is no group {name}" + (f"; did you mean {GROUP}{near}?" if near else "; add it under groups")


_RULES = (
    Rule(("groups", "grants", "deny"), _scopes),
    Rule(("groups", "grants", "deny"), _groups),
)
