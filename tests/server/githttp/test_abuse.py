"""What no client of git's would send."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import os
import subprocess
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.layout import MAIN
from gitreg.server import githttp
from tests.attacks import raw
from tests.server.githttp.site import ALICE, BOB, running
from tests.server.serving import wait_for
from tests.servers import bombs
from tests.servers.clients import NEW_VERSION

if TYPE_CHECKING:
    import socket

    from tests.server.githttp.site import Site
    from tests.servers.clients import Clone

PUSH, FETCH = "/registry.git/git-receive-pack", "/registry.git/git-upload-pack"
PUSHED = ("Content-Type", "application/x-git-receive-pack-request")
FETCHED = ("Content-Type", "application/x-git-upload-pack-request")


def _body(clone: Clone, old: str, new: str) -> bytes:
    """Write the body of a push, as git would send it."""
    line = f"{old} {new} {MAIN}\0report-status side-band-64k".encode()
    command = ["git", "pack-objects", "--revs", "--stdout", "-q"]
    pack = subprocess.run(command, cwd=clone.path, input=f"{new}\n^{old}\n".encode(), capture_output=True, check=True)
    return raw.pkt(line) + raw.FLUSH + pack.stdout


def _push(site: Site, data: bytes, *headers: tuple[str, str]) -> tuple[int, bytes]:
    status, _, said = site.ask("POST", PUSH, [site.basic(ALICE), PUSHED, *headers], data)
    return status, said


def _reasons(site: Site) -> list[str]:
    return [each["message"] for entry in site.registry.log() for each in entry["violations"]]


def _running(site: Site) -> list[str]:
    """Name the processes that work in the registry: git, and whatever it started."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int(folder.name) != os.getpid() and (folder / "cwd").readlink() == site.registry.path:
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_a_request_compressed_by_gzip_is_read(site: Site, tmp_path: Path) -> None:
    clone = site.clone(ALICE, tmp_path)
    before, commit = site.registry.tip(), clone.commit(NEW_VERSION)
    status, said = _push(site, gzip.compress(_body(clone, before, commit)), ("Content-Encoding", "gzip"))
    assert status == 200
    assert b"ok refs/heads/main" in said
    assert site.registry.tip() == commit


@pytest.mark.parametrize("damage", ["cut", "junk", "trailing", "other"])
def test_a_damaged_gzip_body_is_refused(site: Site, tmp_path: Path, damage: str) -> None:
    clone = site.clone(ALICE, tmp_path)
    before = site.registry.tip()
    whole = gzip.compress(_body(clone, before, clone.commit(NEW_VERSION)))
    data = {"cut": whole[:-20], "junk": b"junk" * 100, "trailing": whole + b"more", "other": whole}[damage]
    status, said = _push(site, data, ("Content-Encoding", "br" if damage == "other" else "gzip"))
    assert status in {400, 415, 422}
    assert b"gzip" in said
    assert site.registry.tip() == before


def _bomb(head: bytes, piece: bytes, times: int) -> bytes:
    squeeze = zlib.compressobj(9, wbits=31)
    parts = [squeeze.compress(head), *(squeeze.compress(piece) for _ in range(times))]
    return b"".join([*parts, squeeze.flush()])


def test_a_gzip_bomb_is_ended_before_it_has_unpacked(standing: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(githttp, "MAX_FETCH", 2 << 20)
    wish = raw.pkt(f"want {standing.registry.tip()}\n".encode()) + raw.FLUSH
    bomb = _bomb(wish, raw.pkt(b"have " + b"1" * 40 + b"\n") * 1000, 100)
    assert len(bomb) < 1 << 17
    gzipped = [standing.basic(ALICE), FETCHED, ("Content-Encoding", "gzip")]
    status, _, said = standing.ask("POST", FETCH, gzipped, bomb)
    assert (status, b"larger than 2 MiB" in said) == (413, True)
    assert _running(standing) == []


def test_a_gzip_bomb_behind_what_git_has_refused_already_is_dropped(site: Site) -> None:
    head = raw.pkt(f"{site.registry.tip()} {'1' * 40} {MAIN}\0report-status".encode()) + raw.FLUSH + b"JUNK"
    status, said = _push(site, _bomb(head, bytes(1 << 20), 50), ("Content-Encoding", "gzip"))
    assert status == 200
    assert b"unpack" in said
    assert b"unpack ok" not in said
    assert len(site.registry.log()) == 1


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"zzzz", "a packet of length b'zzzz'"),
        (b"0003", "a packet of length b'0003'"),
        (b"ffff" + b"a" * 70_000, "a packet of length b'ffff'"),
    ],
)
def test_packets_that_are_none_do_not_reach_git(site: Site, data: bytes, why: str) -> None:
    line = raw.pkt(f"{site.registry.tip()} {'1' * 40} {MAIN}\0report-status".encode())
    status, said = _push(site, line + data)
    assert status == 400
    assert why in said.decode()
    assert _reasons(site) == [why]
    assert _running(site) == []


def test_endless_ref_updates_are_cut_off(site: Site) -> None:
    status, said = _push(
        site, b"".join(raw.pkt(f"{'0' * 40} {'1' * 40} refs/heads/b{number}\0".encode()) for number in range(40_000))
    )
    assert status == 400
    assert b"more than 2 MiB of ref updates" in said
    assert len(site.registry.log()[0]["updates"]) == 1000


@pytest.mark.parametrize("data", [b"", b"0000", b"zzzz", b"0032want " + b"1" * 40 + b"\n0000", b"0009done\n", b"fffe"])
def test_a_fetch_that_asks_for_nonsense_is_answered_without_a_fault_of_the_server(standing: Site, data: bytes) -> None:
    for version in ("0", "2"):
        headers = [standing.basic(ALICE), FETCHED, ("Git-Protocol", f"version={version}")]
        status, _, said = standing.ask("POST", FETCH, headers, data)
        assert status in {200, 400}
        assert str(standing.registry.path).encode() not in said


def test_a_fetch_of_too_many_wishes_is_refused(standing: Site) -> None:
    status, _, said = standing.ask(
        "POST", FETCH, [standing.basic(ALICE), FETCHED, ("Content-Length", str(1 << 40))], b""
    )
    assert status == 413
    assert b"32 MiB" in said


@pytest.mark.parametrize(
    ("method", "where", "status"),
    [
        ("GET", "/registry.git", 404),
        ("GET", "/registry.git/HEAD", 404),
        ("GET", "/registry.git/config", 404),
        ("GET", "/registry.git/gitreg/tokens", 404),
        ("GET", "/registry.git/objects/info/packs", 404),
        ("GET", "/registry.git/../models.git/config", 404),
        ("GET", "/registry.git/git-upload-archive", 404),
        ("GET", "/registry.git/info/refs", 403),
        ("GET", "/registry.git/info/refs?service=git-upload-archive", 403),
        ("GET", "/registry.git/info/refs?service=" + "x" * 5000, 403),
        ("GET", "/registry.git/git-receive-pack", 405),
        ("POST", "/registry.git/info/refs?service=git-upload-pack", 405),
        ("POST", "/registry.git/git-upload-pack", 415),
    ],
)
def test_nothing_else_is_served(standing: Site, method: str, where: str, status: int) -> None:
    found, headers, said = standing.ask(method, where, [standing.basic(ALICE)], b"" if method == "POST" else None)
    assert found == status
    assert said.startswith(b"gitreg: ")
    assert headers["content-type"].startswith("text/plain")


FORGED = [
    ("REMOTE_USER", "root"),
    ("Gitreg-User", "root"),
    ("Git-Protocol", "version=2:GITREG_USER=root"),
]


def test_no_header_makes_a_pusher_somebody_else(site: Site, tmp_path: Path) -> None:
    clone = site.clone(BOB, tmp_path)
    before = site.registry.tip()
    data = _body(clone, before, clone.commit({"README.md": b"mine\n"}))
    for header in FORGED:
        status, _, said = site.ask("POST", PUSH, [site.basic(BOB), PUSHED, header], data)
        assert (status, b"access-denied" in said) == (200, True), header
    assert {entry["actor"] for entry in site.registry.log()} == {"bob"}
    assert site.registry.tip() == before


def test_a_bomb_in_a_pack_is_refused_and_logged(site: Site) -> None:
    status, said = _push(site, bombs.push(site.registry.tip(), "zeros of 2 GiB").said())
    assert status == 200
    assert b"unpack ok" not in said
    # By its size alone, before a byte of it was unpacked.
    assert "over limit" in _reasons(site)[0]


def test_what_git_has_refused_is_told_although_much_of_the_body_is_still_to_come(site: Site) -> None:
    line = raw.pkt(f"{site.registry.tip()} {'1' * 40} {MAIN}\0report-status".encode())
    status, said = _push(site, line + raw.FLUSH + b"JUNK" + bytes(20 << 20))
    assert status == 200
    assert b"unpack " in said
    assert b"unpack ok" not in said
    assert [each["code"] for entry in site.registry.log() for each in entry["violations"]] == ["refused-by-git"]


# Clients that stop in the middle


def _head(site: Site, length: int | None) -> bytes:
    size = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    lines = [f"POST {PUSH} HTTP/1.1", "Host: x", f"{': '.join(site.basic(ALICE))}", f"{': '.join(PUSHED)}", size]
    return "\r\n".join([*lines, "", ""]).encode()


def _half_a_push(site: Site, connection: socket.socket) -> None:
    """Begin a push and stop in the middle of its pack, with git running."""
    objects = raw.Objects()
    commit = objects.add(
        "commit",
        raw.commit_body(objects.tree([("100644", "f", objects.blob(os.urandom(1 << 20)))]), [site.registry.tip()]),
    )
    data = raw.Push([(site.registry.tip(), commit, MAIN)], objects).said()
    connection.sendall(_head(site, len(data)) + data[: 1 << 19])
    wait_for(lambda: any((site.registry.path / "objects").glob("tmp_objdir*")))


def test_who_goes_away_in_the_middle_of_a_pack_leaves_no_process_and_a_line_in_the_log(site: Site) -> None:
    with site.connect() as connection:
        _half_a_push(site, connection)
    wait_for(lambda: site.endings)
    assert [each.served.stopped for each in site.endings] == ["the client went away"]
    assert _reasons(site) == ["the client went away"]
    assert _running(site) == []
    assert not list((site.registry.path / "objects").glob("tmp_objdir*"))


def test_who_goes_away_while_the_gate_judges_ends_it(site: Site, tmp_path: Path) -> None:
    clone = site.clone(ALICE, tmp_path)
    before = site.registry.tip()
    data = _body(clone, before, clone.commit(NEW_VERSION))
    # The gate is held up by its log, which somebody else holds.
    with (site.registry.path / "gitreg" / "audit.jsonl").open("rb+") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        with site.connect() as connection:
            connection.sendall(_head(site, len(data)) + data)
            wait_for(lambda: any("pre-receive" in each for each in _running(site)))
        wait_for(lambda: not _running(site))
    wait_for(lambda: site.endings)
    assert site.registry.tip() == before


def test_who_falls_silent_is_sent_away(site: Site) -> None:
    site.registry.git("config", "gitreg.pushIdle", "1")
    with site.connect() as connection:
        _half_a_push(site, connection)
        said = b""
        while more := connection.recv(4096):
            said += more
            if b"\r\n\r\n" in said and b"no byte for 1 s" in said:
                break
    assert b"503" in said.split(b"\r\n")[0]
    assert _reasons(site) == ["no byte for 1 s"]
    assert _running(site) == []


def test_expect_continue_is_answered_only_where_the_body_is_wanted(standing: Site) -> None:
    for user_known, wanted in ((True, b"HTTP/1.1 100 Continue"), (False, b"HTTP/1.1 401")):
        head = _head(standing, 4).replace(b"Host: x", b"Host: x\r\nExpect: 100-continue")
        if not user_known:
            head = head.replace(b"Authorization", b"X-Authorization")
        with standing.connect() as connection:
            connection.sendall(head)
            assert connection.recv(4096).startswith(wanted)
            if user_known:
                connection.sendall(b"0000")
                assert b"200 OK" in connection.recv(4096)


def test_the_server_s_end_ends_git_and_tells_the_log(path: Path) -> None:
    with running(path, timeout_graceful_shutdown=1) as site:
        connection = site.connect()
        _half_a_push(site, connection)
    connection.close()
    assert [each.served.stopped for each in site.endings] == ["the client went away"]
    assert _reasons(site) == ["the client went away"]
    assert _running(site) == []
