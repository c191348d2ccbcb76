"""The same verdict away from the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.errors import NotFoundError
from gitreg.gate import Code
from gitreg.gate_hooks.check import check_folder, check_range
from gitreg.names import UserName
from tests.gate.support import Edits, pointer_file, start, version_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gate_hooks.support import Server

MAIN = "refs/heads/main"
ALICE, BOB = UserName("alice"), UserName("bob")


@pytest.mark.parametrize("who", ["alice", "bob"])
@pytest.mark.parametrize(
    "edits",
    [
        version_file("1.1.0"),
        pointer_file("1.0.0"),
        {"models/risk/fraud/1.0.0.yaml": None},
        {"README.md": b"x"},
        {"Models/x": b"x"},
        {"access.yaml": b"x: 1\n", "README.md": b"x"},
    ],
)
def test_a_range_gets_the_verdict_of_the_hook(server: Server, who: str, edits: Edits) -> None:
    oid, base = server.commit(edits), server.tip()

    found = check_range(server.client, base, oid, UserName(who), store_base=server.path)
    pushed = server.send(who, f"{oid}:{MAIN}")

    assert [str(each.code) for each in found] == pushed.codes


def test_a_range_is_judged_without_an_actor_and_without_the_store(server: Server) -> None:
    oid = server.commit(version_file("1.1.0"))

    assert check_range(server.client, server.tip(), oid, BOB, use_store=False) != []
    assert check_range(server.client, server.tip(), oid, None, use_store=False) == []
    assert [each.code for each in check_range(server.client, server.tip(), oid, None)] == [Code.STORE_UNAVAILABLE]


def test_a_range_needs_its_ends(server: Server) -> None:
    with pytest.raises(NotFoundError, match="there is no commit"):
        check_range(server.client, "main", "nowhere", None)

    assert check_range(server.client, "main", "main", None) == []


def lay(folder: Path, files: Edits) -> Path:
    for path, data in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data or b"")
    return folder


def test_a_folder_is_checked_as_it_lies_there(tmp_path: Path) -> None:
    lay(tmp_path, start(pointer_file("1.0.0")))

    assert check_folder(tmp_path, use_store=False) == []
    lay(tmp_path, pointer_file("2.0.0"))
    [found] = check_folder(tmp_path, use_store=False)
    assert (found.code, found.path) == (Code.VERSION_UNKNOWN, "deployments/staging/risk/fraud.yaml")


def test_a_circle_is_found_in_a_state_that_is_judged_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitreg.gate_hooks.check._AT_ONCE", 1)
    versions = ["1.1.0", "1.2.0", "1.3.0"]
    circle = [
        version_file(one, parents=[{"model": "risk/fraud", "version": other, "relation": "finetuned-from"}])
        for one, other in zip(versions, [*versions[1:], versions[0]], strict=True)
    ]
    folder = lay(tmp_path / "registry", {**start(), **circle[0], **circle[1], **circle[2]})
    found = [each for each in check_folder(folder, use_store=False) if each.code is Code.PARENT_UNKNOWN]
    assert [(each.path, each.message) for each in found] == [
        ("models/risk/fraud/1.3.0.yaml", "it would be its own ancestor")
    ]


def test_a_folder_that_is_no_registry_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no registry\.yaml"):
        check_folder(tmp_path)


def test_a_store_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    lay(tmp_path, start(version_file("1.1.0")))

    assert [each.code for each in check_folder(tmp_path)] == [Code.STORE_UNAVAILABLE]
