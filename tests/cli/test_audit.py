from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from gitreg.gate_hooks import audit
from gitreg.registry.setup import clone
from tests.cli.conftest import Result
from tests.registries import git

if TYPE_CHECKING:
    from pathlib import Path

Gitreg = Callable[..., Result]


def rewrite(registry: Path, old: str, new: str) -> None:
    path = audit.audit_path(registry)
    path.write_text(path.read_text().replace(old, new, 1))


def test_a_whole_log_is_summed_up(registry: Path, gitreg: Gitreg) -> None:
    result = gitreg("audit", "verify")

    assert (result.code, result.err) == (0, "")
    count = len(audit.audit_path(registry).read_text().splitlines())
    assert result.lines[0] == f"the audit log is whole: {count} decisions"
    assert result.lines[-1].split() == ["head:", audit.head(registry)]
    found = json.loads(gitreg("audit", "verify", "--json").out)
    assert (found["entries"], found["accepted"], found["landed"], found["damage"]) == (count, count, count - 1, 0)
    assert (found["commits"], found["anchors"]) == (count, 3)


def test_damage_is_told_with_its_line_and_ends_with_six(own_registry: Path, gitreg: Gitreg) -> None:
    rewrite(own_registry, '"accepted"', '"refused"')

    result = gitreg("audit", "verify")

    assert result.code == 6
    assert result.lines[0].startswith("line 1: the line was altered: its hash does not fit; ")
    assert "the audit log is damaged" in result.out
    found = json.loads(gitreg("audit", "verify", "--json").out)
    assert found["findings"][0]["line"] == 1
    assert found["damage"] == len(found["findings"])


def test_a_clone_on_the_same_machine_finds_the_log(own_registry: Path, gitreg: Gitreg, tmp_path: Path) -> None:
    clone(str(own_registry), tmp_path / "clone")

    assert gitreg("--registry", tmp_path / "clone", "audit", "verify").lines[0].startswith("the audit log is whole")


def test_away_from_the_server_a_copy_is_asked_for(
    own_registry: Path, gitreg: Gitreg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone(str(own_registry), tmp_path / "clone")
    git(tmp_path / "clone", "fetch", "--quiet", "origin", "refs/tags/deploy/*:refs/tags/deploy/*")
    copy = tmp_path / "audit.jsonl"
    for path in (audit.audit_path(own_registry), audit.head_path(own_registry)):
        shutil.copy(path, tmp_path)
    git(tmp_path / "clone", "remote", "set-url", "origin", "ssh://git@nowhere.example/models.git")
    monkeypatch.setenv("GITREG_REGISTRY", str(tmp_path / "clone"))

    for command in ("verify", "export"):
        result = gitreg("audit", command)
        assert (result.code, result.out) == (2, "")
        assert "--log FILE" in result.err
    result = gitreg("audit", "verify", "--log", copy)
    assert (result.code, result.err) == (0, "")
    assert "3 name a decision" in result.out
    copy.write_text("".join(copy.read_text().splitlines(keepends=True)[:-1]))
    assert gitreg("audit", "verify", "--log", copy).code == 6
    assert gitreg("audit", "verify", "--log", tmp_path / "nothing").code == 2


def test_the_log_is_exported_as_it_is_stored(registry: Path, gitreg: Gitreg) -> None:
    result = gitreg("audit", "export")

    assert (result.code, result.err) == (0, "")
    assert result.out == audit.audit_path(registry).read_text()
    assert json.loads(gitreg("audit", "export", "--json").out) == [json.loads(line) for line in result.lines]


def test_the_log_is_exported_as_a_table(registry: Path, gitreg: Gitreg) -> None:
    result = gitreg("audit", "export", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(result.out, newline="")))
    assert [row["seq"] for row in rows] == [
        str(number + 1) for number in range(len(audit.audit_path(registry).read_text().splitlines()))
    ]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--model", "risk/fraud", "--verdict", "accepted"], lambda count: list(range(2, count + 1))),
        (["--model", "vision/*"], lambda _: []),
        (["--actor", "nobody"], lambda _: []),
        (["--verdict", "refused"], lambda _: []),
        (["--until", "2020-01-01"], lambda _: []),
        (["--since", "2020-01-01"], lambda count: list(range(1, count + 1))),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_export_takes_what_is_asked_for(
    registry: Path, gitreg: Gitreg, options: list[str], numbers: Callable[[int], list[int]]
) -> None:
    count = len(audit.audit_path(registry).read_text().splitlines())

    result = gitreg("audit", "export", *options)

    assert [json.loads(line)["seq"] for line in result.lines] == numbers(count)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--since", "yesterday"], "is not a time"),
        (["--until", "yesterday"], "is not a time"),
        (["--since", "2026-13-01"], "is not a time"),
        (["--model", "fraud"], "names no model"),
        (["--format", "xml"], "xml"),
        (["--verdict", "maybe"], "maybe"),
        (["--output", "/nowhere/else"], "cannot be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_asked_for_wrongly_is_said(registry: Path, gitreg: Gitreg, options: list[str], message: str) -> None:
    result = gitreg("audit", "export", *options)

    assert (result.code, result.out) == (2, "")
    assert message in result.err


@pytest.mark.parametrize("shape", ["jsonl", "csv"])
def test_the_export_goes_into_a_file(registry: Path, gitreg: Gitreg, tmp_path: Path, shape: str) -> None:
    count = len(audit.audit_path(registry).read_text().splitlines())

    result = gitreg("audit", "export", "--format", shape, "--output", tmp_path / "out")

    assert (result.code, result.out) == (0, f"{count} decisions written to {tmp_path / 'out'}\n")
    assert len((tmp_path / "out").read_bytes().splitlines()) == count + (shape == "csv")
    as_json = gitreg("audit", "export", "--format", shape, "--output", tmp_path / "out", "--json")
    assert json.loads(as_json.out) == {"decisions": count, "output": str(tmp_path / "out")}


def test_an_export_of_a_damaged_log_says_so(own_registry: Path, gitreg: Gitreg) -> None:
    rewrite(own_registry, '{"actor"', '["actor"')

    result = gitreg("audit", "export")

    assert result.code == 6
    assert "line 1" in result.err


def test_doctor_begins_a_log_where_there_is_none(own_registry: Path, gitreg: Gitreg) -> None:
    shutil.rmtree(own_registry / "gitreg")
    assert gitreg("audit", "verify").code == 6

    assert gitreg("doctor", "--fix").code == 0

    # That there was an earlier one the deploy tags know.
    result = gitreg("audit", "verify")
    assert result.code == 6
    assert "of an earlier log" in result.out
