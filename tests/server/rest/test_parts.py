"""Large files come in parts, which are kept between requests."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections import namedtuple
from typing import TYPE_CHECKING

import pytest

from gitreg.digest import Digest
from gitreg.server.staged import FOLDER, KEPT_FOR, MOST_OF_ONE
from tests.server.rest.client import Rest, problem
from tests.server.serving import HOST, PATIENCE, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    import httpx


def _send(rest: Rest, data: bytes, span: str, *, of: bytes | None = None, user: str = "root") -> httpx.Response:
    hexes = hashlib.sha256(of if of is not None else data).hexdigest()
    return rest.ask("PUT", f"/uploads/sha256/{hexes}", user, content=data, headers={"Content-Range": f"bytes {span}"})


def _folder(rest: Rest) -> Path:
    return rest.path / FOLDER


def _received(rest: Rest, data: bytes, user: str = "root") -> int:
    said = {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
    found: int = rest.ask("POST", "/uploads", user, json=said).json()["received"]
    return found


def test_parts_make_a_file(rest: Rest) -> None:
    data = b"one part, and the other"
    answer = _send(rest, data[:8], f"0-7/{len(data)}", of=data)
    assert (answer.status_code, answer.json()["received"]) == (202, 8)
    assert rest.ask("GET", f"/uploads/sha256/{hashlib.sha256(data).hexdigest()}").json()["received"] == 8
    assert _received(rest, data) == 8
    answer = _send(rest, data[8:], f"8-{len(data) - 1}/{len(data)}", of=data)
    assert (answer.status_code, answer.json()["present"]) == (201, True)
    assert rest.serving.registry.store.size_of(Digest(hashlib.sha256(data).hexdigest())) == len(data)
    assert not list(_folder(rest).iterdir())


@pytest.mark.parametrize(
    ("span", "status"),
    [
        ("0-9/10", 400),
        ("0-3/3", 400),
        ("3-0/10", 400),
        ("0-3", 400),
        ("*/4", 400),
        ("0-3/*", 400),
        ("-3/4", 400),
        ("0-3/1" + "0" * 19, 400),
        (f"0-3/{1 << 50}", 413),
        ("4-7/8", 409),
    ],
)
def test_a_part_that_does_not_fit_is_refused(rest: Rest, span: str, status: int) -> None:
    problem(_send(rest, b"four", span, of=f"nothing of {span}".encode()), status)
    assert not list(_folder(rest).glob("*"))


def test_what_is_sent_under_another_s_digest_is_gone_at_its_end(rest: Rest) -> None:
    said = problem(_send(rest, b"other bytes", "0-10/11", of=b"right bytes"), 422)
    assert hashlib.sha256(b"other bytes").hexdigest() in said["detail"]
    assert not list(_folder(rest).iterdir())
    assert rest.serving.registry.store.size_of(Digest(hashlib.sha256(b"right bytes").hexdigest())) is None


def test_nobody_goes_on_with_what_somebody_else_sent(rest: Rest) -> None:
    data = b"of root, and of nobody else"
    assert _send(rest, b"of r", f"0-3/{len(data)}", of=data).status_code == 202
    assert _received(rest, data, "alice") == 0
    problem(_send(rest, b"oot,", f"4-7/{len(data)}", of=data, user="alice"), 409)
    problem(_send(rest, b"of b", f"0-3/{len(data)}", of=data, user="bob"), 403)
    assert _send(rest, data[4:], f"4-{len(data) - 1}/{len(data)}", of=data).status_code == 201


@pytest.mark.parametrize("silent", [0.0, 2 * PATIENCE])
def test_a_file_is_taken_over_from_a_line_that_is_dead_unheard_and_from_no_other(
    rest: Rest, silent: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitreg.server.uploads.SILENT", silent)
    data = f"{silent}".encode() * 1000
    data = data[:1000]
    hexes = hashlib.sha256(data).hexdigest()
    head = (
        f"PUT /uploads/sha256/{hexes} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {rest.token('root')}\r\n"
        "Content-Length: 1000\r\nContent-Range: bytes 0-999/1000\r\n\r\n"
    )
    with socket.create_connection((HOST, rest.port), PATIENCE) as line:
        line.sendall(head.encode() + data[:300])
        wait_for(lambda: _received(rest, data) == 300)
        answer = _send(rest, data[300:], "300-999/1000", of=data)
        if silent:
            assert problem(answer, 409)["detail"].endswith("is on its way already")
            line.sendall(data[300:])
        else:
            assert answer.status_code == 201
        said = line.recv(4096)
        assert said.startswith(b"HTTP/1.1 201" if silent else b"HTTP/1.1 409")


def test_what_nobody_touched_for_a_day_is_removed(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _send(rest, b"left", "0-3/9", of=b"left alone").status_code == 202
    (left,) = _folder(rest).iterdir()
    os.utime(left, (time.time() - KEPT_FOR - 60,) * 2)
    assert rest.serving.uploads._staged is not None
    monkeypatch.setattr(rest.serving.uploads._staged, "_swept", 0.0)
    assert _send(rest, b"another", "0-6/7").status_code == 201
    assert not left.exists()


def test_one_s_unfinished_files_are_counted(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitreg.server.staged.MOST_OF_ONE", 2)
    assert MOST_OF_ONE > 2
    for each in range(2):
        assert _send(rest, b"a", "0-0/2", of=b"%d" % each).status_code == 202
    problem(_send(rest, b"a", "0-0/2", of=b"a third"), 503)
    assert _send(rest, b"a", "0-0/2", of=b"a third", user="alice").status_code == 202
    for left in _folder(rest).iterdir():
        left.unlink()


def test_a_disk_without_room_takes_nothing(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil has it
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10, 10, 0))
    assert "no room" in problem(_send(rest, b"full", "0-3/4"), 503)["detail"]
    assert not list(_folder(rest).iterdir())
