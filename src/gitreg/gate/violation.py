"""Why a change is refused: the stable codes, and the text that people read."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, DeniedError, GitregError, InvalidError, Problem, UnavailableError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Code(StrEnum):
    """The stable names of the rules; tools and tests may rely on them."""

    REF_MALFORMED = "ref-malformed"
    REF_DUPLICATE = "ref-duplicate"
    REF_UNKNOWN = "ref-unknown"
    REF_STALE = "ref-stale"
    MAIN_DELETED = "main-deleted"
    MAIN_CREATED = "main-created"
    MAIN_REWOUND = "main-rewound"
    PROPOSAL_FOREIGN = "proposal-foreign"
    PROPOSAL_TOO_LARGE = "proposal-too-large"
    TAG_BY_SERVER = "tag-by-server"
    TAG_MOVED = "tag-moved"
    TAG_WRONG = "tag-wrong"
    TOO_MANY_PATHS = "too-many-paths"
    TREE_MALFORMED = "tree-malformed"
    COMMIT_MALFORMED = "commit-malformed"
    OBJECT_UNREADABLE = "object-unreadable"
    FILE_TOO_LARGE = "file-too-large"
    FILE_MODE = "file-mode"
    FILE_INVALID = "file-invalid"
    PATH_MISMATCH = "path-mismatch"
    POLICY_MIXED = "policy-mixed"
    POLICY_MISSING = "policy-missing"
    LAST_ADMIN = "last-admin"
    ENVIRONMENT_UNKNOWN = "environment-unknown"
    ENVIRONMENT_IN_USE = "environment-in-use"
    VERSION_UNKNOWN = "version-unknown"
    VERSION_REMOVED = "version-removed"
    VERSION_IMMUTABLE = "version-immutable"
    VERSION_IN_USE = "version-in-use"
    VERSION_STATE = "version-state"
    MEASUREMENT_REWRITTEN = "measurement-rewritten"
    MODEL_MISSING = "model-missing"
    PARENT_UNKNOWN = "parent-unknown"
    ALIAS_RESERVED = "alias-reserved"
    TOMBSTONE = "tombstone"
    METADATA_MISSING = "metadata-missing"
    FORMAT_REFUSED = "format-refused"
    MODEL_UNSIGNED = "model-unsigned"
    BLOB_MISSING = "blob-missing"
    BLOB_SIZE = "blob-size"
    STORE_UNAVAILABLE = "store-unavailable"
    TIME_IN_FUTURE = "time-in-future"
    ONE_POINTER = "one-pointer"
    ORDER = "order"
    APPROVALS = "approvals"
    APPROVAL_FOREIGN = "approval-foreign"
    APPROVAL_STALE = "approval-stale"
    ACCESS_DENIED = "access-denied"
    ACTOR_UNKNOWN = "actor-unknown"
    SIGNATURE_MISSING = "signature-missing"
    SIGNATURE_INVALID = "signature-invalid"
    SIGNATURE_FOREIGN = "signature-foreign"
    REFUSED_BY_GIT = "refused-by-git"
    INTERNAL = "internal"


_DENIED = frozenset(
    {
        Code.ACCESS_DENIED,
        Code.ACTOR_UNKNOWN,
        Code.PROPOSAL_FOREIGN,
        Code.APPROVAL_FOREIGN,
        Code.TAG_BY_SERVER,
        Code.SIGNATURE_MISSING,
        Code.SIGNATURE_INVALID,
        Code.SIGNATURE_FOREIGN,
    }
)
_CONFLICT = frozenset({Code.REF_STALE, Code.VERSION_IN_USE, Code.VERSION_IMMUTABLE, Code.TOMBSTONE})
_UNAVAILABLE = frozenset({Code.STORE_UNAVAILABLE, Code.INTERNAL})


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that a change breaks: which, where, what is wrong, what to do about it."""

    code: Code
    message: str
    remedy: str | None = None
    commit: str | None = None
    path: str | None = None
    line: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        """Render `[code] file:line: field: message (commit …); remedy`."""
        problem = Problem(self.message, self.path, self.line, None, self.field)
        commit = f" (commit {self.commit[:10]})" if self.commit else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"[{self.code}] {problem}{commit}{remedy}"


def of_problem(problem: Problem) -> Violation:
    """Turn a problem in a file into a violation."""
    return Violation(Code.FILE_INVALID, problem.message, path=problem.path, line=problem.line, field=problem.field)


def refusal(violations: Sequence[Violation], headline: str = "refused") -> GitregError:
    """Make the one error of the class that fits all violations."""
    count = len(violations)
    text = f"{headline}: {count} violation{'s' if count != 1 else ''}"
    error = _class_of({violation.code for violation in violations})(
        text, problems=[Problem(str(violation)) for violation in violations]
    )
    error.violations = tuple(violations)
    return error


def codes_of(lines: Iterable[str]) -> set[Code]:
    """Find the codes in what a hook printed."""
    matches = (_CODE.match(line.strip()) for line in lines)
    return {Code(match[1]) for match in matches if match and match[1] in set(Code)}


def refusal_of_text(lines: Iterable[str], headline: str = "the registry refused the push") -> GitregError:
    """Make the error from what a hook printed on the other side of the wire."""
    found = [line.strip() for line in lines if line.strip()]
    codes = codes_of(found)
    shown = [line for line in found if _CODE.match(line)] or found
    return _class_of(codes)(headline, problems=[Problem(line) for line in shown])


_CODE = re.compile(r"\[([a-z-]+)\] ")


def _class_of(codes: set[Code]) -> type[GitregError]:
    if codes and codes <= _DENIED:
        return DeniedError
    if codes and codes <= _CONFLICT:
        return ConflictError
    if codes and codes <= _UNAVAILABLE:
        return UnavailableError
    return InvalidError
