"""Give the audit log away: as JSON lines, as CSV, all of it or what is asked for."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, NamedTuple

from gitreg.access import matches
from gitreg.errors import IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.gate_hooks.audit.entry import MAX_LINE, read
from gitreg.gate_hooks.audit.log import audit_path
from gitreg.layout import MAIN
from gitreg.names import ModelName
from gitreg.reader.history import parse_time
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLUMNS = (
    "seq",
    "time",
    "actor",
    "verdict",
    "identity",
    "address",
    "session",
    "main_old",
    "main_new",
    "refs",
    "models",
    "signers",
    "codes",
    "violations",
    "hash",
)
# What a spreadsheet takes for the beginning of a formula, in the forms that some of them fold into one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_DATE = len("2026-01-31")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which decisions: times in seconds since 1970, both included; a pattern such as `risk/*`; None is all.

    An actor is who pushed, or signed a commit of the push.
    """

    since: int | None = None
    until: int | None = None
    actor: str | None = None
    model: str | None = None
    verdict: str | None = None

    def fits(self, members: dict[str, Any]) -> bool:
        """Whether an entry is wanted."""
        if self.actor is not None and self.actor not in {members["actor"], *members.get("signers", {}).values()}:
            return False
        if self.verdict is not None and members["verdict"] != self.verdict:
            return False
        if self.since is not None or self.until is not None:
            time = parse_time(members["time"])
            if (self.since is not None and time < self.since) or (self.until is not None and time > self.until):
                return False
        return self.model is None or any(_means(self.model, str(model)) for model in members["models"])


def since(text: str) -> int:
    """Read the time to begin at; a date is its beginning, where `parse_time` has its end."""
    return parse_time(f"{text}T00:00:00Z" if len(text) == _DATE else text)


def pattern(text: str) -> str:
    """Check a model's name or a pattern of names."""
    project, slash, name = text.partition("/")
    if not slash or not project or not name or "/" in name:
        raise InvalidError(
            f"{text[:80]!r} names no model", hint="write project/name; * stands for any part of a segment"
        )
    return text


def _means(wanted: str, model: str) -> bool:
    try:
        return matches(wanted, ModelName.parse(model))
    except InvalidError:
        return False


class Placed(NamedTuple):
    """A line of the log, its members, and where it ends in the file."""

    line: bytes
    members: dict[str, Any]
    end: int


def entries(git_dir: Path, wanted: Wanted) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Give the lines that are wanted, and their members, oldest first.

    Raises IntegrityError at a line that is no entry: `gitreg audit verify` tells what is left of the log then.
    """
    return ((each.line, each.members) for each in placed(git_dir, wanted))


def placed(git_dir: Path, wanted: Wanted, start: int = 0) -> Iterator[Placed]:
    """Give the lines that are wanted as `entries` does, from where a line ended; InvalidError where none did."""
    path = audit_path(git_dir)
    try:
        with path.open("rb") as file:
            if start:
                file.seek(start - 1)
                if file.read(1) != b"\n":
                    raise InvalidError(f"no line of the audit log ends at {start}", hint="begin anew")
            number, end = 0, start
            while (line := file.readline(MAX_LINE)).endswith(b"\n"):
                number, end = number + 1, end + len(line)
                try:
                    members = read(line[:-1])
                    fits = wanted.fits(members)
                except (ValueError, InvalidError) as error:
                    raise IntegrityError(
                        f"line {number}{f' behind byte {start:,}' if start else ''} of the audit log is no entry",
                        hint="gitreg audit verify says more",
                    ) from error
                if fits:
                    yield Placed(line, members, end)
    except FileNotFoundError as error:
        raise NotFoundError("the registry has no audit log", hint="gitreg audit verify says more") from error
    except OSError as error:
        raise UnavailableError(f"the audit log cannot be read: {error.strerror}") from error


def as_json_lines(found: Iterator[tuple[bytes, dict[str, Any]]]) -> Iterator[bytes]:
    """Give entries as they are stored."""
    return (line for line, _ in found)


def as_csv(found: Iterator[tuple[bytes, dict[str, Any]]]) -> Iterator[bytes]:
    """Give a header and a row for each entry (RFC 4180, UTF-8)."""
    yield _csv_line(COLUMNS)
    for _, members in found:
        yield _csv_line([_defused(cell) for cell in _cells(members)])


def _csv_line(cells: tuple[str, ...] | list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()


def _cells(members: dict[str, Any]) -> list[str]:
    main: dict[str, str] = next((update for update in members["updates"] if update["ref"] == MAIN), {})
    violations = [each for each in members["violations"] if isinstance(each, dict)]
    source, signers = members["source"], members.get("signers") or {}
    values = {
        **{key: members[key] for key in ("seq", "time", "actor", "verdict", "hash")},
        **{key: source.get(key) for key in ("identity", "address", "session")},
        "main_old": main.get("old"),
        "main_new": main.get("new"),
        "refs": " ".join(update["ref"] for update in members["updates"]),
        "models": " ".join(map(str, members["models"])),
        "signers": " ".join(dict.fromkeys(map(str, signers.values()))),
        "codes": " ".join(dict.fromkeys(str(each.get("code")) for each in violations)),
        "violations": "\n".join(map(_line_of, violations)),
    }
    return ["" if values[column] is None else str(values[column]) for column in COLUMNS]


def _line_of(violation: dict[str, Any]) -> str:
    """Write a violation as the pusher saw it."""
    place = ":".join(str(violation[key]) for key in ("path", "line") if key in violation)
    text = ": ".join(
        [*([place] if place else []), *(str(violation[k]) for k in ("field", "message") if k in violation)]
    )
    commit = f" (commit {str(violation['commit'])[:10]})" if "commit" in violation else ""
    remedy = f"; {violation['remedy']}" if "remedy" in violation else ""
    return f"[{violation.get('code')}] {text}{commit}{remedy}"


def _defused(cell: str) -> str:
    """Put an apostrophe before what a spreadsheet would run."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
