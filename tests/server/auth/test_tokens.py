from __future__ import annotations

import json
import os
import re
import threading
from typing import TYPE_CHECKING

import pytest

from gitreg.access import Action
from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.server.auth import token_file
from gitreg.server.auth.token_file import TokenFile
from gitreg.server.auth.tokens import digest_of, id_of, lifetime, mint, note_of, scopes_of
from tests.server.auth.conftest import DAY, NOW, make

if TYPE_CHECKING:
    from pathlib import Path


def test_a_token_has_a_form_that_scanners_find_and_its_id_can_be_read() -> None:
    identifier, text = mint()

    assert re.fullmatch(r"gitreg_[a-z0-9]{10}_[0-9A-Za-z]{49}", text)
    assert id_of(text) == identifier


def test_every_slip_of_one_letter_and_every_cut_is_told_from_a_token() -> None:
    _, text = mint()

    slips = [text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :] for at in range(len(text))]
    cuts = [text[:end] for end in range(len(text))]
    assert [slip for slip in [*slips, *cuts, f"{text}\n", f" {text}", f"{text}0"] if id_of(slip)] == []


def test_no_two_tokens_are_alike() -> None:
    assert len({mint() for _ in range(500)}) == 500


def test_the_secret_is_kept_nowhere(file: TokenFile) -> None:
    token, text = make(file)

    kept = file.path.read_text()
    assert text.split("_")[2] not in kept
    assert token.digest == digest_of(text)
    assert token.digest in kept
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_a_token_lets_in_until_it_expires(file: TokenFile) -> None:
    token, text = make(file, days=1)

    assert file.find(text, NOW)[0] == token
    assert file.find(text, NOW + DAY - 1)[0] == token
    assert file.find(text, NOW + DAY) == (None, f"token {token.id} is expired")


def test_another_secret_under_a_known_id_lets_nobody_in(file: TokenFile) -> None:
    token, _ = make(file)
    forged = mint()[1].split("_")
    from gitreg.server.auth.tokens import _check

    body = f"gitreg_{token.id}_{forged[2][:43]}"

    assert file.find(body + _check(body), NOW) == (None, f"no token {token.id} has this secret")


def test_revoking_is_seen_at_once_by_who_has_read_the_file_already(file: TokenFile, git_dir: Path) -> None:
    token, text = make(file)
    other = TokenFile(git_dir)
    assert other.find(text, NOW)[0] is not None

    file.revoke(token.id, NOW, lambda _: None)

    assert other.find(text, NOW) == (None, f"token {token.id} is revoked")
    assert not other.counts(token.id, NOW)
    other.close()


def test_each_of_many_quick_changes_is_seen(file: TokenFile, git_dir: Path) -> None:
    other = TokenFile(git_dir)
    for _ in range(20):
        token, text = make(file)
        assert other.find(text, NOW)[0] is not None
        file.revoke(token.id, NOW, lambda _: None)
        assert other.find(text, NOW)[0] is None
    other.close()


def test_a_file_that_is_taken_away_lets_nobody_in(file: TokenFile) -> None:
    _, text = make(file)

    file.path.unlink()

    assert file.find(text, NOW)[0] is None


def test_an_unchanged_file_is_not_read_again(file: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = make(file)
    file.find(text, NOW)
    monkeypatch.setattr(token_file, "_parse", lambda *_: pytest.fail("read again"))

    assert file.find(text, NOW)[0] is not None


def test_two_at_once_lose_no_token(git_dir: Path) -> None:
    def several() -> None:
        own = TokenFile(git_dir)
        for _ in range(5):
            make(own)
        own.close()

    threads = [threading.Thread(target=several) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    last = TokenFile(git_dir)
    assert len(last.tokens()) == 20
    last.close()


def test_a_kill_before_the_file_has_its_name_leaves_the_old_one(
    file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = make(file)
    before = file.path.read_bytes()

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(UnavailableError, match="No space left"):
        file.revoke(token.id, NOW, lambda _: None)

    assert file.path.read_bytes() == before
    assert [each.name for each in file.path.parent.iterdir()] == ["tokens"]


def test_what_cannot_be_logged_is_not_done(file: TokenFile) -> None:
    token, text = make(file)

    def fails(_: object) -> None:
        raise UnavailableError("the audit log cannot be written")

    with pytest.raises(UnavailableError):
        file.revoke(token.id, NOW, fails)
    assert file.find(text, NOW)[0] is not None


def test_revoking_twice_or_an_unknown_id_is_told(file: TokenFile) -> None:
    token, text = make(file)
    file.revoke(text, NOW, lambda _: None)  # the whole token is as good as its id

    with pytest.raises(ConflictError, match="revoked already"):
        file.revoke(token.id, NOW, lambda _: None)
    with pytest.raises(NotFoundError, match="no token 'nonsense'"):
        file.revoke("nonsense", NOW, lambda _: None)


def test_what_ended_long_ago_makes_room(file: TokenFile) -> None:
    old, _ = make(file, days=1)
    revoked, _ = make(file, days=1000)
    file.revoke(revoked.id, NOW, lambda _: None)

    make(file, now=NOW + 89 * DAY)
    assert {old.id, revoked.id} < set(file.tokens())
    kept, _ = make(file, now=NOW + 91 * DAY + 1)

    assert {old.id, revoked.id}.isdisjoint(file.tokens())
    assert kept.id in file.tokens()


def test_there_is_an_end_to_how_many_there_are(file: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_file, "MOST", 2)
    make(file)
    make(file)

    with pytest.raises(ConflictError, match="2 tokens already"):
        make(file)


@pytest.mark.parametrize(
    "damage",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"nonsense\n",
        b'{"id":"a","user":"alice"',
        b'{"id":"a","user":"Alice!","created":1,"expires":2,"digest":"' + b"0" * 64 + b'"}\n',
        b'{"id":"a","user":"alice","created":1,"expires":true,"digest":"' + b"0" * 64 + b'"}\n',
        b'{"id":"a","user":"alice","created":1,"expires":2,"digest":"0"}\n',
        b'{"id":"a","user":"alice","created":1,"expires":2,"scopes":["all"],"digest":"' + b"0" * 64 + b'"}\n',
        b'{"id":"a","user":"alice","created":1,"expires":2,"more":1,"digest":"' + b"0" * 64 + b'"}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_damaged_file_lets_nobody_in_by_what_is_left(file: TokenFile, damage: bytes) -> None:
    _, text = make(file)
    file.path.write_bytes(file.path.read_bytes() + damage)

    with pytest.raises(IntegrityError, match="line 2 is no token"):
        file.find(text, NOW)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_a_file_that_others_can_reach_counts_for_nothing(file: TokenFile, mode: int) -> None:
    _, text = make(file)
    file.find(text, NOW)

    file.path.chmod(mode)

    with pytest.raises(IntegrityError, match="open to other accounts"):
        file.find(text, NOW)


def test_a_link_in_its_place_is_refused(file: TokenFile, tmp_path: Path) -> None:
    _, text = make(file)
    file.path.rename(tmp_path / "elsewhere")
    file.path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(IntegrityError, match="is a link"):
        file.find(text, NOW)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root works for other accounts")
def test_root_makes_the_file_for_the_account_of_the_repository(file: TokenFile, git_dir: Path) -> None:
    (git_dir / "gitreg").mkdir()
    os.chown(git_dir / "gitreg", 12_345, 12_345)

    make(file)

    assert (file.path.stat().st_uid, file.path.stat().st_gid) == (12_345, 12_345)


def test_scopes_are_actions_and_every_token_may_read(file: TokenFile) -> None:
    assert scopes_of(()) is None
    assert scopes_of(["deploy", "rollback"]) == frozenset({Action.DEPLOY, Action.ROLLBACK, Action.READ})
    token, text = make(file, scopes=scopes_of(["deploy"]))
    assert json.loads(file.path.read_text())["scopes"] == ["deploy", "read"]
    assert file.find(text, NOW)[0] == token
    with pytest.raises(InvalidError, match="did you mean deploy"):
        scopes_of(["deploi"])


@pytest.mark.parametrize(("text", "seconds"), [("12h", 43_200), ("90d", 90 * DAY), ("52w", 364 * DAY)])
def test_a_lifetime_is_hours_days_or_weeks(text: str, seconds: int) -> None:
    assert lifetime(text) == seconds


@pytest.mark.parametrize("text", ["", "0d", "90", "-1d", "1y", "999999w", "90d\n", "٣d", "never"])
def test_any_other_lifetime_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is no lifetime"):
        lifetime(text)


@pytest.mark.parametrize("text", ["x" * 201, "two\nlines", "\x1b[31m"])
def test_a_note_is_one_short_printable_line(text: str) -> None:
    with pytest.raises(InvalidError, match="the note is"):
        note_of(text)
