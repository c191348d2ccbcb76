"""Judge one commit against its first parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.access import Access, Action, effective_admins, who_may
from gitreg.changes import Change, Difference, Event, difference
from gitreg.errors import InvalidError, Problem
from gitreg.gate.case import Case, Commit, Facts, Limits, Policy
from gitreg.gate.collisions import judge_collisions
from gitreg.gate.rules import settings_fit, violations_of
from gitreg.gate.violation import Code, Violation, of_problem
from gitreg.layout import ACCESS, GOVERNED, KEYS, SETTINGS
from gitreg.manifest import Manifest
from gitreg.records import replace
from gitreg.settings import Settings
from gitreg.wire import field_name, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gitreg.changes import PathEdit
    from gitreg.gate.case import Coming, VersionKey
    from gitreg.names import UserName

REGULAR = "100644"
_FREE_MODES = frozenset({REGULAR, "100755", "120000"})


def judge(  # noqa: PLR0913 - DESIGN's four, and two switches
    commit: Commit,
    policy: Policy,
    who: UserName | None,
    facts: Facts,
    *,
    limits: Limits | None = None,
    transition: bool = True,
    coming: Coming | None = None,
) -> list[Violation]:
    """Judge a commit by the rules from before the push; no violation means accepted.

    `who` is the actor, as the server knows it. None leaves the access rules out: for a checkout that nobody pushes.
    Every violation carries the commit's id. A state that is judged in parts hands on what came in the parts before:
    a circle of parents shows in the last one that has some of it.
    """
    found = [*judge_paths(commit.edits, limits or Limits()), *judge_collisions(commit.edits, commit.after)]
    blocked = {violation.path for violation in found}
    difference_ = difference((edit for edit in commit.edits if edit.path not in blocked), commit.before, commit.after)
    found += [of_problem(problem) for problem in difference_.problems]
    case = Case(commit, policy, facts, difference_.changes, transition, {} if coming is None else coming)
    case.coming.update(_parents(difference_.changes))
    for change in difference_.changes:
        found += _readable(violations_of(case, change))
    if who is not None:
        found += _readable(_access(case, who, difference_, empty=not commit.edits))
    if transition:
        found += _readable(_one_pointer(case))
    found += _readable(_policy_stays(case))
    return _placed(dict.fromkeys(found), commit)


def _parents(changes: Iterable[Change]) -> Iterator[tuple[VersionKey, tuple[VersionKey, ...]]]:
    for change in changes:
        if change.event is Event.REGISTERED and isinstance(change.after, Manifest) and change.after.parents:
            where = change.place
            yield (where.model, where.version), tuple((each.model, each.version) for each in change.after.parents)


def _readable(violations: Iterator[Violation]) -> Iterator[Violation]:
    """Give violations; a file that a rule looks at and cannot read is one of them."""
    try:
        yield from violations
    except InvalidError as error:
        yield from map(of_problem, error.problems or [Problem(str(error))])


def _placed(violations: Iterable[Violation], commit: Commit) -> list[Violation]:
    """Stamp violations with the commit, and with the lines of their fields."""
    lines: dict[str, Mapping[str, int]] = {}
    placed = []
    for violation in violations:
        path, line = violation.path, violation.line
        if path and violation.field and line is None:
            if path not in lines:
                lines[path] = _lines(commit.after.read(path))
            line = lines[path].get(violation.field)
        placed.append(replace(violation, commit=commit.oid or None, line=line))
    return placed


def _lines(data: bytes | None) -> Mapping[str, int]:
    """Give the line of every field, by the name that messages call it."""
    try:
        document = load(data) if data is not None else None
    except InvalidError:
        return {}
    return {field_name(path): mark.line for path, mark in document.marks.items()} if document else {}


def judge_paths(edits: Iterable[PathEdit], limits: Limits) -> Iterator[Violation]:
    """Judge modes and sizes, before any content is read."""
    for edit in edits:
        if edit.after is None:
            continue
        top = edit.path.partition("/")[0]
        governed = top in GOVERNED or edit.path in {SETTINGS, ACCESS}
        allowed = {REGULAR} if governed else _FREE_MODES
        if edit.after.mode not in allowed:
            yield Violation(
                Code.FILE_MODE,
                f"mode {edit.after.mode} ({_MODES.get(edit.after.mode, 'unknown')}) is not allowed here",
                f"commit it as a regular file ({REGULAR})",
                path=edit.path,
            )
        elif edit.after.size > limits.file_bytes:
            yield Violation(
                Code.FILE_TOO_LARGE,
                f"{edit.after.size} bytes; at most {limits.file_bytes}",
                "weights belong into the object store: gitreg register",
                path=edit.path,
            )


_MODES = {"100755": "executable", "120000": "symbolic link", "160000": "submodule", "040000": "folder"}


def is_policy(path: str) -> bool:
    """Whether a path holds rules: a push that changes one changes nothing else."""
    return path in {ACCESS, SETTINGS} or path.startswith(f"{KEYS}/")


def judge_mixture(paths: Iterable[str]) -> list[Violation]:
    """Refuse a push that changes rules and anything beside them."""
    every = list(paths)
    policy = [path for path in every if is_policy(path)]
    other = [path for path in every if not is_policy(path)]
    if not policy or not other:
        return []
    return [
        Violation(
            Code.POLICY_MIXED,
            f"the push changes rules, and {other[0]} beside them",
            "push the change of the rules alone, then the rest",
            path=policy[0],
        )
    ]


def _access(case: Case, who: UserName, found: Difference, *, empty: bool) -> Iterator[Violation]:
    if empty:
        decision = case.policy.may(who, Action.ADMIN, None)
        if not decision.allowed:
            yield Violation(Code.ACCESS_DENIED, f"{who} may not push an empty commit", "leave the empty commit out")
    # What could not be parsed is refused anyway; who may do it shows once it is valid.
    asked: dict[tuple[object, ...], str] = {}
    for change in found.changes:
        yield from _access_of(case, who, change, asked)


def _access_of(case: Case, who: UserName, change: Change, asked: dict[tuple[object, ...], str]) -> Iterator[Violation]:
    where = change.place
    actions = change.actions
    if case.restores(change) and Action.ROLLBACK not in actions:
        actions = (Action.ROLLBACK, *actions)
    if not any(case.policy.may(who, action, where.model, where.environment).allowed for action in actions):
        decision = case.policy.may(who, actions[-1], where.model, where.environment)
        what = f"{' or '.join(actions)} {where.model or where.path}"
        target = f" in {where.environment}" if where.environment else ""
        yield Violation(
            Code.ACCESS_DENIED,
            f"{who} may not {what}{target}: {decision.reason}",
            _who_may(case.policy.access, actions, change, asked),
            path=where.path,
        )
    if change.event is Event.APPROVAL and where.user != who:
        yield Violation(
            Code.APPROVAL_FOREIGN,
            f"{who} may not write {where.user}'s approval",
            "everyone approves in their own name",
            path=where.path,
        )


def _who_may(access: Access, actions: Sequence[Action], change: Change, asked: dict[tuple[object, ...], str]) -> str:
    """Name who may, once for each thing denied, and for the first few alone: nobody reads a thousand."""
    where = change.place
    key = (*actions, where.model, where.environment)
    if key not in asked and len(asked) < _ASKED:
        able = sorted({user for action in actions for user in who_may(access, action, where.model, where.environment)})
        shown = ", ".join(able[:5]) + (" …" if len(able) > len("12345") else "")
        asked[key] = f"may: {shown}" if able else "nobody may; ask an admin for a grant"
    return asked.get(key, "`gitreg access explain` names the rules")


_ASKED = 20


def _one_pointer(case: Case) -> Iterator[Violation]:
    pointers = [change for change in case.changes if change.event is Event.POINTER]
    if len(pointers) > 1 and not all(case.restores(change) for change in pointers):
        names = ", ".join(f"{change.place.environment}/{change.place.model}" for change in pointers[:3])
        yield Violation(
            Code.ONE_POINTER,
            f"one commit changes {len(pointers)} pointers ({names})",
            "make one commit a deployment; only a restore may bring several back at once",
            path=pointers[0].place.path,
        )


def _policy_stays(case: Case) -> Iterator[Violation]:
    if any(change.event in _RULES_OF_KEYS for change in case.changes):
        from gitreg.gate.signing import keys_stay  # most pushes change no rules

        yield from keys_stay(case)
    for change in case.changes:
        if change.event is Event.ACCESS:
            yield from _parsed_policy(case, ACCESS, Access)
        elif change.event is Event.SETTINGS:
            yield from _parsed_policy(case, SETTINGS, Settings)


_RULES_OF_KEYS = frozenset({Event.ACCESS, Event.SETTINGS, Event.KEYS})


def _parsed_policy(case: Case, path: str, kind: type[Access | Settings]) -> Iterator[Violation]:
    data = case.after.read(path)
    if data is None:
        yield Violation(Code.POLICY_MISSING, f"{path} may not be removed", path=path)
        return
    try:
        value = kind.parse(data, path)
    except InvalidError as error:
        yield from map(of_problem, error.problems)
        return
    if path == ACCESS:
        if not effective_admins(value):  # type: ignore[arg-type]
            yield Violation(Code.LAST_ADMIN, "no effective admin would remain", "keep one", path=path)
        return
    yield from settings_fit(case, value)  # type: ignore[arg-type]
