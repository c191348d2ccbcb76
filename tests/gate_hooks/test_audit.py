from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, UnavailableError
from gitreg.gate import Code, RefUpdate, Violation
from gitreg.gate_hooks import audit
from tests.gate.support import pointer_file, version_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gate_hooks.support import Server

MAIN = "refs/heads/main"
TIME = "2026-01-01T00:00:00Z"


def entry(actor: str | None = "alice", new: str = "b" * 40, ref: str = MAIN, *violations: Violation) -> audit.Entry:
    return audit.Entry(TIME, actor, (RefUpdate("a" * 40, new, ref),), violations)


def lines(folder: Path) -> list[str]:
    return audit.audit_path(folder).read_text().splitlines()


def rewrite(folder: Path, *kept: str) -> None:
    audit.audit_path(folder).write_text("".join(f"{line}\n" for line in kept))


def test_decisions_are_chained(tmp_path: Path) -> None:
    heads = [audit.append(tmp_path, entry()) for _ in range(3)]

    found = [json.loads(line) for line in lines(tmp_path)]

    assert [each["seq"] for each in found] == [1, 2, 3]
    assert [each["previous"] for each in found] == [audit.GENESIS, *heads[:2]]
    assert [each["hash"] for each in found] == heads
    assert audit.head(tmp_path) == heads[-1]
    assert audit.verify(tmp_path) == (3, [])


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    assert audit.head(tmp_path) is None
    assert audit.verify(tmp_path) == (0, [])
    assert audit.actors_of(tmp_path, ["b" * 40]) == {}


def tampered() -> dict[str, list[str]]:
    return {
        "an edited line": ["line 2 was altered"],
        "a cut line": ["line 2 does not follow the line before"],
        "a swapped pair": ["line 2 does not follow the line before", "line 3 does not follow the line before"],
        "a doubled line": ["line 3 does not follow the line before"],
        "no entry": ["line 2 is no entry", "line 3 does not follow the line before"],
        "a forged line": ["line 3 does not follow the line before"],
    }


@pytest.mark.parametrize("how", tampered())
def test_tampering_is_found(tmp_path: Path, how: str) -> None:
    for actor in ("alice", "bob", "carol"):
        audit.append(tmp_path, entry(actor))
    one, two, three = lines(tmp_path)
    forged = {**json.loads(two), "actor": "eve"}
    forged.pop("hash")
    forged["hash"] = Digest.of(audit._canonical(forged)).hex
    rewrite(
        tmp_path,
        *{
            "an edited line": [one, two.replace("bob", "eve"), three],
            "a cut line": [one, three],
            "a swapped pair": [one, three, two],
            "a doubled line": [one, two, two, three],
            "no entry": [one, "[]", three],
            "a forged line": [one, json.dumps(forged), three],
        }[how],
    )

    _, wrong = audit.verify(tmp_path)

    assert wrong[: len(tampered()[how])] == tampered()[how]


def test_half_a_line_of_a_killed_hook_gives_way_to_the_next_decision(tmp_path: Path) -> None:
    audit.append(tmp_path, entry())
    whole = lines(tmp_path)
    with audit.audit_path(tmp_path).open("ab") as file:
        file.write(b'{"actor":"bob","hash":"12')

    count, wrong = audit.verify(tmp_path)
    assert (count, len(wrong)) == (2, 1)
    assert audit.head(tmp_path) == json.loads(whole[0])["hash"]
    audit.append(tmp_path, entry("carol"))

    assert [json.loads(line)["actor"] for line in lines(tmp_path)] == ["alice", "carol"]
    assert audit.verify(tmp_path) == (2, [])


def test_a_log_that_was_cut_to_half_its_first_line_starts_again(tmp_path: Path) -> None:
    audit.append(tmp_path, entry())
    rewrite(tmp_path)
    audit.audit_path(tmp_path).write_bytes(b'{"seq":1')

    audit.append(tmp_path, entry())

    assert audit.verify(tmp_path) == (1, [])


def test_an_entry_longer_than_one_read_is_followed(tmp_path: Path) -> None:
    long = Violation(Code.FILE_INVALID, "x" * 200_000)
    audit.append(tmp_path, entry("alice", "b" * 40, MAIN, long))
    audit.append(tmp_path, entry())

    assert audit.verify(tmp_path) == (2, [])


def test_a_last_line_that_is_no_entry_stops_everything(tmp_path: Path) -> None:
    audit.append(tmp_path, entry())
    rewrite(tmp_path, "garbage")

    with pytest.raises(IntegrityError, match="no entry"):
        audit.append(tmp_path, entry())


def test_a_full_disk_leaves_the_log_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audit.append(tmp_path, entry())
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) < 50:
            raise OSError(28, "No space left on device")
        return real(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UnavailableError, match="No space left"):
        audit.append(tmp_path, entry())
    monkeypatch.undo()

    assert audit.verify(tmp_path) == (1, [])


def test_decisions_at_once_make_one_chain(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: audit.append(tmp_path, entry()), range(40)))

    assert audit.verify(tmp_path) == (40, [])


def test_who_pushed_is_read_from_accepted_pushes_of_main(tmp_path: Path) -> None:
    one, two, three = "1" * 40, "2" * 40, "3" * 40
    audit.append(tmp_path, entry("alice", one))
    audit.append(tmp_path, entry("eve", two, MAIN, Violation(Code.ACCESS_DENIED, "no")))
    audit.append(tmp_path, entry("eve", one, "refs/heads/proposals/eve/x"))
    audit.append(tmp_path, entry(None, three))

    assert audit.actors_of(tmp_path, [one, two, three]) == {one: "alice"}


def test_damage_hides_nobody_newer(tmp_path: Path) -> None:
    audit.append(tmp_path, entry("alice", "1" * 40))
    audit.append(tmp_path, entry("bob", "2" * 40))
    rewrite(tmp_path, "garbage", lines(tmp_path)[1])

    assert audit.actors_of(tmp_path, ["1" * 40, "2" * 40]) == {"2" * 40: "bob"}


# By the hook


def test_every_decision_is_logged_refused_ones_too(server: Server) -> None:
    assert server.push("alice", version_file("1.1.0")).accepted
    server.push("bob", version_file("1.2.0"))
    server.push("Nobody", version_file("1.2.0"))
    server.hook(b"garbage\n", "root")

    found = server.log()

    assert [(each["actor"], each["verdict"]) for each in found] == [
        ("alice", "accepted"),
        ("bob", "refused"),
        (None, "refused"),
        ("root", "refused"),
    ]
    assert found[0]["updates"][0]["new"] == server.tip()
    assert found[1]["violations"][0].startswith("[access-denied] models/risk/fraud/1.2.0.yaml: bob may not register")
    assert found[2]["violations"][0].startswith("[actor-unknown]")
    assert audit.verify(server.path) == (4, [])


def test_a_deploy_tag_anchors_the_head_of_the_chain(server: Server) -> None:
    server.push("bob", version_file("1.2.0"))
    assert server.push("bob", pointer_file("1.0.0")).accepted

    assert server.trailers("deploy/staging/risk/fraud/1")["Audit"] == audit.head(server.path)
