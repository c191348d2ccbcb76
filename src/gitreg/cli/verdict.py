"""Write the gate's verdict for people and for the tools of forges."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from gitreg.cli.text import clean, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gitreg.gate import Violation

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
# Forges show a finding at a file or not at all: what is about no file stands at the one that says what a registry is.
_NO_FILE = "registry.yaml"


def text(violations: Sequence[Violation]) -> str:
    """Write one violation a line, and a verdict at the end."""
    if not violations:
        return "accepted: no violations"
    count = len(violations)
    verdict = f"refused: {count} violation{'s' if count != 1 else ''}"
    return "\n".join([*(one_line(violation) for violation in violations), verdict])


def as_json(violations: Sequence[Violation]) -> str:
    """Write what `--json` writes."""
    from gitreg.cli.text import json_text

    return json_text(verdict_data(violations))


def verdict_data(violations: Sequence[Violation]) -> dict[str, object]:
    """Give the verdict as plain data."""
    return {"accepted": not violations, "violations": list(violations)}


def github(violations: Sequence[Violation]) -> str:
    """Write workflow commands, which GitHub shows as annotations in the changed files.

    https://docs.github.com/actions/reference/workflow-commands-for-github-actions#setting-an-error-message
    """
    lines = [_annotation(violation) for violation in violations]
    # Nothing that people pushed may be taken for another command: one line each, and every text escaped.
    return "\n".join([*lines, text(violations).splitlines()[-1]])


def _annotation(violation: Violation) -> str:
    properties: dict[str, object] = {
        "file": violation.path,
        "line": violation.line,
        "title": f"gitreg {violation.code}",
    }
    shown = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value is not None)
    return f"::error {shown}::{_data(_explained(violation))}"


def _data(value: object) -> str:
    return str(value).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: object) -> str:
    return _data(clean(value)).replace(":", "%3A").replace(",", "%2C")


def _explained(violation: Violation) -> str:
    """Say what is wrong and what to do, without the place, which the format has a field for."""
    field = f"{violation.field}: " if violation.field else ""
    commit = f" (commit {violation.commit[:10]})" if violation.commit else ""
    remedy = f"; {violation.remedy}" if violation.remedy else ""
    return one_line(f"{field}{violation.message}{commit}{remedy}")


def sarif(violations: Sequence[Violation]) -> str:
    """Write SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html."""
    from gitreg import __version__

    codes = sorted({str(violation.code) for violation in violations})
    driver = {
        "name": "gitreg",
        "version": __version__,
        "rules": [{"id": code, "shortDescription": {"text": code.replace("-", " ")}} for code in codes],
    }
    results = [_sarif_result(violation, codes) for violation in violations]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _sarif_result(violation: Violation, codes: Sequence[str]) -> dict[str, object]:
    return {
        "ruleId": str(violation.code),
        "ruleIndex": codes.index(str(violation.code)),
        "level": "error",
        "message": {"text": _explained(violation)},
        "partialFingerprints": {"gitreg/v1": _fingerprint(violation)},
        "locations": [{"physicalLocation": _sarif_place(violation)}],
    }


def _sarif_place(violation: Violation) -> dict[str, object]:
    from urllib.parse import quote

    place: dict[str, object] = {"artifactLocation": {"uri": quote(violation.path or _NO_FILE, errors="replace")}}
    if violation.line:
        place["region"] = {"startLine": violation.line}
    return place


def gitlab(violations: Sequence[Violation]) -> str:
    """Write a code quality report: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format."""
    seen: dict[str, int] = {}
    return json.dumps([_issue(violation, seen) for violation in violations], indent=2)


def _issue(violation: Violation, seen: dict[str, int]) -> dict[str, object]:
    fingerprint = _fingerprint(violation)
    seen[fingerprint] = seen.get(fingerprint, 0) + 1
    if seen[fingerprint] > 1:
        # GitLab keeps one issue a fingerprint.
        fingerprint = hashlib.sha256(f"{fingerprint} {seen[fingerprint]}".encode()).hexdigest()
    return {
        "description": _explained(violation),
        "check_name": str(violation.code),
        "fingerprint": fingerprint,
        "severity": "blocker",
        "location": {"path": clean(violation.path or _NO_FILE), "lines": {"begin": violation.line or 1}},
    }


def _fingerprint(violation: Violation) -> str:
    """Name a violation so that it is known again after lines moved: by rule, file, field and message."""
    parts = [str(violation.code), violation.path or "", violation.field or "", violation.message]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


FORMATS: dict[str, Callable[[Sequence[Violation]], str]] = {
    "text": text,
    "json": as_json,
    "github": github,
    "sarif": sarif,
    "gitlab": gitlab,
}
