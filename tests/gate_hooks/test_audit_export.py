"""What is given away of a log, and that a spreadsheet runs none of it."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import IntegrityError, InvalidError, NotFoundError
from gitreg.gate import Code, RefUpdate, Violation
from gitreg.gate_hooks import audit
from gitreg.gate_hooks.audit.export import COLUMNS, Wanted, as_csv, as_json_lines, entries, pattern, since
from gitreg.reader.history import parse_time

if TYPE_CHECKING:
    from pathlib import Path

MAIN = "refs/heads/main"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log: entry 1 begins it; then a day each for alice (accepted), bob (refused), and a push signed by carol."""
    main = RefUpdate("a" * 40, "b" * 40, MAIN)
    audit.begin(
        tmp_path,
        audit.Entry("2026-01-01T00:00:00Z", "root", (RefUpdate("0" * 40, "a" * 40, MAIN),), (), {"identity": "init"}),
    )
    audit.append(
        tmp_path,
        audit.Entry(
            "2026-01-02T12:00:00Z",
            "alice",
            (main, RefUpdate("c" * 40, "d" * 40, "refs/heads/proposals/alice/x")),
            (),
            {"identity": "GL_USER", "address": "10.0.0.1", "session": "5e"},
            ("risk/fraud", "vision/ocr"),
        ),
    )
    violations = (
        Violation(Code.FILE_INVALID, "unknown field", "remove it", "c" * 40, "models/risk/x.yaml", 7, "licence"),
        Violation(Code.ACCESS_DENIED, "bob may not"),
    )
    audit.append(tmp_path, audit.Entry("2026-01-03T12:00:00Z", "bob", (main,), violations, {}, ("risk/base",)))
    signers = {"b" * 40: "carol", "c" * 40: "carol", "d" * 40: "dana"}
    audit.append(tmp_path, audit.Entry("2026-01-04T12:00:00Z", None, (main,), (), {}, ("risk/fraud",), signers))
    return tmp_path


def wanted(folder: Path, wanted: Wanted) -> list[int]:
    return [members["seq"] for _, members in entries(folder, wanted)]


def table(folder: Path, wanted: Wanted | None = None) -> list[dict[str, str]]:
    text = b"".join(as_csv(entries(folder, wanted or Wanted()))).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    ("what", "numbers"),
    [
        (Wanted(), [1, 2, 3, 4]),
        (Wanted(actor="alice"), [2]),
        (Wanted(actor="dana"), [4]),
        (Wanted(actor="ali"), []),
        (Wanted(verdict="refused"), [3]),
        (Wanted(verdict="accepted"), [1, 2, 4]),
        (Wanted(model="risk/fraud"), [2, 4]),
        (Wanted(model="risk/*"), [2, 3, 4]),
        (Wanted(model="*/ocr"), [2]),
        (Wanted(model="*/*"), [2, 3, 4]),
        (Wanted(model="ris*/fra*d"), [2, 4]),
        (Wanted(model="risk/frau"), []),
        (Wanted(since=since("2026-01-02")), [2, 3, 4]),
        (Wanted(since=since("2026-01-02T12:00:00Z")), [2, 3, 4]),
        (Wanted(since=since("2026-01-02T12:00:01Z")), [3, 4]),
        (Wanted(until=parse_time("2026-01-02")), [1, 2]),
        (Wanted(until=parse_time("2026-01-02T11:59:59Z")), [1]),
        (Wanted(since=since("2026-01-02"), until=parse_time("2026-01-03")), [2, 3]),
        (Wanted(since=since("2026-01-02"), verdict="accepted", model="risk/*", actor="carol"), [4]),
    ],
)
def test_what_is_asked_for_is_given(folder: Path, what: Wanted, numbers: list[int]) -> None:
    assert wanted(folder, what) == numbers


def test_json_lines_are_the_stored_ones(folder: Path) -> None:
    stored = audit.audit_path(folder).read_bytes()

    assert b"".join(as_json_lines(entries(folder, Wanted()))) == stored
    assert b"".join(as_json_lines(entries(folder, Wanted(verdict="refused")))) == stored.splitlines(keepends=True)[2]


def test_a_table_has_a_row_for_each_decision(folder: Path) -> None:
    rows = table(folder)

    assert list(rows[0]) == list(COLUMNS)
    assert rows[1] == {
        "seq": "2",
        "time": "2026-01-02T12:00:00Z",
        "actor": "alice",
        "verdict": "accepted",
        "identity": "GL_USER",
        "address": "10.0.0.1",
        "session": "5e",
        "main_old": "a" * 40,
        "main_new": "b" * 40,
        "refs": f"{MAIN} refs/heads/proposals/alice/x",
        "models": "risk/fraud vision/ocr",
        "signers": "",
        "codes": "",
        "violations": "",
        "hash": rows[1]["hash"],
    }
    assert rows[2]["codes"] == "file-invalid access-denied"
    assert rows[2]["violations"] == (
        "[file-invalid] models/risk/x.yaml:7: licence: unknown field (commit cccccccccc); remove it\n"
        "[access-denied] bob may not"
    )
    assert (rows[3]["actor"], rows[3]["signers"]) == ("", "carol dana")


def test_an_empty_table_has_its_header(folder: Path) -> None:
    assert b"".join(as_csv(entries(folder, Wanted(actor="nobody")))) == ",".join(COLUMNS).encode() + b"\r\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_spreadsheet_runs_nothing(folder: Path, start: str) -> None:
    evil = f'{start}HYPERLINK("http://evil.example","x")'
    violation = Violation(Code.FILE_INVALID, evil)
    audit.append(
        folder,
        audit.Entry("2026-01-05T00:00:00Z", evil, (), (violation,), {"address": evil, "session": evil}, (evil,)),
    )

    row = table(folder)[-1]

    for column in ("actor", "address", "session", "models"):
        assert row[column] == f"'{evil}"
    assert not any(cell.startswith((start, f" {start}")) for cell in row.values())


@pytest.mark.parametrize("text", ['"', "a,b", "a\nb", 'a"b,c'])
def test_quotes_commas_and_line_ends_stay_in_their_cell(folder: Path, text: str) -> None:
    violation = Violation(Code.FILE_INVALID, text)
    audit.append(folder, audit.Entry("2026-01-05T00:00:00Z", "alice", (), (violation, violation), {}))

    shown = text.replace("\n", "\N{REPLACEMENT CHARACTER}")
    assert table(folder)[-1]["violations"] == f"[file-invalid] {shown}\n[file-invalid] {shown}"


@pytest.mark.parametrize("text", ["risk", "risk/", "/fraud", "a/b/c", ""])
def test_what_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="names no model"):
        pattern(text)


def test_half_a_line_at_the_end_is_left_out(folder: Path) -> None:
    with audit.audit_path(folder).open("ab") as file:
        file.write(b'{"actor":')

    assert wanted(folder, Wanted()) == [1, 2, 3, 4]


def test_a_damaged_line_is_said(folder: Path) -> None:
    whole = audit.audit_path(folder).read_bytes().splitlines(keepends=True)
    audit.audit_path(folder).write_bytes(b"".join([*whole[:2], b"garbage\n", *whole[2:]]))

    with pytest.raises(IntegrityError, match="line 3"):
        wanted(folder, Wanted())


def test_an_impossible_time_is_said_where_it_is_asked_about(folder: Path) -> None:
    line = json.loads(audit.audit_path(folder).read_bytes().splitlines()[-1])
    with audit.audit_path(folder).open("a") as file:
        file.write(json.dumps({**line, "time": "never"}) + "\n")

    with pytest.raises(IntegrityError, match="line 5"):
        wanted(folder, Wanted(since=0))


def test_no_log_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no audit log"):
        wanted(tmp_path, Wanted())
