from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from gitreg.access import Action
from gitreg.errors import DeniedError, IntegrityError
from gitreg.names import UserName
from gitreg.records import replace
from gitreg.server.auth.callers import Caller
from gitreg.server.auth.sessions import KEY, Sessions
from tests.server.auth.conftest import NOW

if TYPE_CHECKING:
    from pathlib import Path

ALICE = Caller(
    user=UserName("alice"),
    reader=UserName("alice"),
    how="token:abc",
    name="Alice Doe",
    email="alice@example.org",
    scopes=frozenset({Action.READ, Action.APPROVE}),
    expires=NOW + 10 * 86_400,
)


def read(sessions: Sessions, cookie: str, now: float = NOW, *, secure: bool = False) -> Caller | None:
    return sessions.read([cookie.partition(";")[0]], now, "192.0.2.7", secure=secure)


def test_a_cookie_tells_who_signed_in(git_dir: Path) -> None:
    cookie = Sessions(git_dir).start(ALICE, NOW, secure=False)

    found = read(Sessions(git_dir), cookie)  # another process

    assert found is not None
    assert found.binding
    assert found == replace(
        ALICE, how="session:token:abc", address="192.0.2.7", expires=NOW + 12 * 3600, binding=found.binding
    )


def test_scripts_and_other_sites_do_not_get_the_cookie(git_dir: Path) -> None:
    plain = Sessions(git_dir).start(ALICE, NOW, secure=False).split("; ")
    secure = Sessions(git_dir).start(ALICE, NOW, secure=True).split("; ")

    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"} < set(plain)
    assert "Secure" not in plain
    assert "Secure" in secure
    assert secure[0].startswith("__Host-gitreg-")
    assert not [part for part in secure if part.startswith("Domain")]


def test_a_session_ends_no_later_than_what_it_began_with(git_dir: Path) -> None:
    sessions = Sessions(git_dir)
    cookie = sessions.start(replace(ALICE, expires=NOW + 60), NOW, secure=False)

    assert "Max-Age=60" in cookie
    assert read(sessions, cookie, NOW + 59) is not None
    assert read(sessions, cookie, NOW + 60) is None


def test_a_cookie_that_was_altered_or_made_elsewhere_is_nobody(git_dir: Path, tmp_path: Path) -> None:
    sessions = Sessions(git_dir)
    cookie = sessions.start(ALICE, NOW, secure=False)
    name, _, value = cookie.partition(";")[0].partition("=")
    body, _, seal = value.partition(".")
    said = json.loads(base64.urlsafe_b64decode(body))
    forged = base64.urlsafe_b64encode(json.dumps({**said, "user": "root"}).encode()).decode()
    (tmp_path / "other.git").mkdir()
    foreign = f"{name}={Sessions(tmp_path / 'other.git').start(ALICE, NOW, secure=False).partition('=')[2]}"

    for each in (f"{name}={forged}.{seal}", f"{name}={body}.", f"{name}={body}", f"{name}=", f"{name}=.", foreign):
        assert read(sessions, each) is None
    for at in range(0, len(seal), 7):
        assert read(sessions, f"{name}={body}.{seal[:at]}{'0' if seal[at] != '0' else '1'}{seal[at + 1 :]}") is None
    assert read(sessions, f"{name}={body}.{seal}\u00e9") is None


def test_a_second_cookie_of_the_name_makes_both_count_for_nothing(git_dir: Path) -> None:
    sessions = Sessions(git_dir)
    cookie = sessions.start(ALICE, NOW, secure=False).partition(";")[0]

    assert sessions.read([f"theme=dark; {cookie}"], NOW, "", secure=False) is not None
    assert sessions.read([f"{cookie}; {cookie}"], NOW, "", secure=False) is None
    assert sessions.read([cookie, f"{cookie.partition('=')[0]}=x"], NOW, "", secure=False) is None


def test_a_cookie_set_without_tls_does_not_count_with_it(git_dir: Path) -> None:
    sessions = Sessions(git_dir)

    assert read(sessions, sessions.start(ALICE, NOW, secure=False), secure=True) is None
    assert read(sessions, sessions.start(ALICE, NOW, secure=True), secure=True) is not None


def test_signing_out_takes_the_cookie_away(git_dir: Path) -> None:
    sessions = Sessions(git_dir)
    name, _, ended = sessions.end(secure=True).partition("=")
    assert sessions.start(ALICE, NOW, secure=True).startswith(f"{name}=")
    assert ended.startswith("; Max-Age=0; ")


def test_a_form_comes_from_the_session_that_it_was_given_to(git_dir: Path) -> None:
    sessions = Sessions(git_dir)
    one, other = (read(sessions, sessions.start(ALICE, NOW, secure=False)) for _ in range(2))
    assert one is not None
    assert other is not None

    sessions.check_form(one, sessions.form_token(one))
    for token in (sessions.form_token(other), "", None, "x", "\udcff", 7, sessions.form_token(one)[:-1]):
        with pytest.raises(DeniedError, match="load the page again"):
            sessions.check_form(one, token)


def test_the_key_is_for_the_server_alone_and_a_damaged_one_is_told(git_dir: Path) -> None:
    Sessions(git_dir)
    path = git_dir / "gitreg" / KEY
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) == 32

    path.chmod(0o644)
    with pytest.raises(IntegrityError, match="open to other accounts"):
        Sessions(git_dir)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(IntegrityError, match="is damaged"):
        Sessions(git_dir)


def test_without_the_key_every_session_ends(git_dir: Path) -> None:
    cookie = Sessions(git_dir).start(ALICE, NOW, secure=False)
    (git_dir / "gitreg" / KEY).unlink()

    assert read(Sessions(git_dir), cookie) is None


def test_two_servers_of_one_host_do_not_sign_out_each_other_s_users(git_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "other.git").mkdir()
    here, there = Sessions(git_dir), Sessions(tmp_path / "other.git")
    jar = dict(each.start(ALICE, NOW, secure=False).partition(";")[0].split("=", 1) for each in (here, there))
    sent = "; ".join(f"{name}={value}" for name, value in jar.items())
    for each in (here, there):
        found = each.read([sent], NOW, "192.0.2.7", secure=False)
        assert found is not None
        assert found.user == "alice"
