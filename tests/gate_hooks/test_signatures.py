"""Pushes to a registry whose actors are who signed, through its real hook, with keys and signatures of ssh-keygen's."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import InvalidError, UnavailableError
from gitreg.gate import Code
from gitreg.gate_hooks.check import check_pushed, check_range
from gitreg.gate_hooks.marks import write_marks
from gitreg.git import Repository, signatures
from gitreg.git.signatures import SshSignature, split_commit
from gitreg.layout import MAIN
from gitreg.names import UserName
from gitreg.registry.setup import InitRequest, init
from gitreg.settings import Settings
from tests.gate.support import ACCESS, SETTINGS, model_file, pointer_file, start, version_file
from tests.gate_hooks.signing import DAY, People, SignedServer, header
from tests.gate_hooks.support import ZERO, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.gate.support import Edits

KEYS = "keys/allowed_signers"
NEW = version_file("1.1.0")


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%SZ")


def settings(**changes: str) -> dict[str, bytes]:
    return {"registry.yaml": Settings.from_data({**SETTINGS.to_data(), **changes}).to_bytes()}


def relist(server: SignedServer, text: str) -> None:
    """Have root change the list of keys."""
    pushed = server.offer(server.signed("root", {KEYS: text.encode()}))
    assert pushed.accepted, pushed.said
    server.fetch()


# What is accepted


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_who_signed_is_the_actor(signed_server: SignedServer, kind: str) -> None:
    server = signed_server
    if kind != "ed25519":
        listed = server.people.line("alice", kind=kind)
        relist(server, server.people.lines("root") + listed)
    oid = server.signed("alice", NEW, kind=kind)

    pushed = server.offer(oid)

    assert pushed.accepted, pushed.said
    assert server.tip() == oid


def test_whoever_passes_a_signed_commit_on_its_signer_is_judged(signed_server: SignedServer) -> None:
    """The environment names somebody, and the configuration says that the environment is not asked."""
    server = signed_server

    pushed = server.offer(server.signed("bob", NEW), who="root")

    assert pushed.codes == [Code.ACCESS_DENIED]
    assert "bob may not register risk/fraud" in pushed.said
    assert server.offer(server.signed("alice", NEW), who="bob").accepted


def test_several_people_may_sign_commits_of_one_push(signed_server: SignedServer) -> None:
    server = signed_server
    first = server.signed("alice", NEW)
    second = server.signed("bob", pointer_file("1.1.0"), parent=first)

    pushed = server.offer(second)

    assert pushed.accepted, pushed.said
    assert server.trailers("deploy/staging/risk/fraud/1")["Actor"] == "bob"


def test_each_commit_is_judged_for_its_own_signer(signed_server: SignedServer) -> None:
    server = signed_server
    first = server.signed("bob", NEW)
    second = server.signed("alice", pointer_file("1.1.0"), parent=first)

    pushed = server.offer(second)

    assert pushed.codes == [Code.ACCESS_DENIED] * 2
    assert f"bob may not register risk/fraud: no grant in access.yaml covers it (commit {first[:10]})" in pushed.said
    assert f"(commit {second[:10]})" in pushed.said


def test_a_merge_counts_by_its_own_signature_and_may_bring_unsigned_commits(signed_server: SignedServer) -> None:
    server = signed_server
    side = server.commit(NEW)
    merge = server.signed("alice", NEW, more=(side,))

    pushed = server.offer(merge)

    assert pushed.accepted, pushed.said
    assert server.git("rev-parse", f"{MAIN}^2") == side


def test_a_registry_with_sha256_ids_reads_its_own_header(sha256_server: SignedServer) -> None:
    server = sha256_server
    assert server.header_name == b"gpgsig-sha256"
    data = server.unsigned(NEW)
    wrong = server.with_header(data, header(server.people.sign("alice", data), b"gpgsig"))

    assert server.offer(server.commit(NEW)).codes == [Code.SIGNATURE_MISSING]
    refused = server.offer(wrong)
    assert refused.codes == [Code.SIGNATURE_INVALID]
    assert "in a sha256 repository it is 'gpgsig-sha256'" in refused.said
    accepted = server.offer(server.signed("alice", NEW))
    assert accepted.accepted, accepted.said


def test_git_agrees(signed_server: SignedServer, tmp_path: Path) -> None:
    """The file that the gate reads is the one that git reads."""
    server = signed_server
    accepted = server.signed("alice", NEW)
    tampered = _tampered_message(server)
    assert server.offer(accepted).accepted
    clone = tmp_path / "clone"
    run(["git", "clone", "--quiet", str(server.path), str(clone)], tmp_path)
    run(["git", "fetch", "--quiet", str(server.client.git_dir), tampered], clone)
    allowed = ["-c", f"gpg.ssh.allowedSignersFile={clone / KEYS}"]

    verified = run(["git", *allowed, "verify-commit", accepted], clone, check=False)
    shown = run(["git", *allowed, "log", "-1", "--show-signature", accepted], clone)
    refused = run(["git", *allowed, "verify-commit", tampered], clone, check=False)

    assert verified.returncode == 0, verified.stderr
    assert 'Good "git" signature for alice with ED25519 key' in shown.stdout + shown.stderr
    assert refused.returncode != 0


def test_what_git_itself_signs_is_accepted(signed_server: SignedServer, tmp_path: Path) -> None:
    server = signed_server
    clone = tmp_path / "clone"
    run(["git", "clone", "--quiet", str(server.path), str(clone)], tmp_path)
    for path, data in NEW.items():
        (clone / path).write_bytes(data)
    run(["git", "add", "--all"], clone)
    run(["git", "commit", "--quiet", "-S", "-m", "Retrain"], clone, environment=server.configured("alice"))

    pushed = run(["git", "push", "origin", "HEAD:main"], clone, check=False)

    assert pushed.returncode == 0, pushed.stderr


# What is refused


def _from_elsewhere(server: SignedServer) -> str:
    """Take alice's signature of one commit for another."""
    data = server.unsigned(NEW)
    armor = server.people.sign("alice", data)
    return server.with_header(server.unsigned(version_file("6.6.6")), header(armor))


def _tampered_tree(server: SignedServer) -> str:
    data = server.unsigned(NEW)
    armor = server.people.sign("alice", data)
    other = server.client.objects.commit(server.commit(version_file("6.6.6"))).tree
    tree = server.client.objects.commit(server.store(data)).tree
    return server.with_header(data.replace(tree.encode(), other.encode()), header(armor))


def _tampered_message(server: SignedServer) -> str:
    data = server.unsigned(NEW)
    return server.with_header(data + b"\nAction: promote\n", header(server.people.sign("alice", data)))


def _twice(server: SignedServer) -> str:
    data = server.unsigned(NEW)
    return server.with_header(data, *[header(server.people.sign(who, data)) for who in ("alice", "root")])


def _for_both_hashes(server: SignedServer) -> str:
    data = server.unsigned(NEW)
    armor = server.people.sign("alice", data)
    return server.with_header(data, header(armor), header(armor, b"gpgsig-sha256"))


def _for_the_other_hash(server: SignedServer) -> str:
    data = server.unsigned(NEW)
    return server.with_header(data, header(server.people.sign("alice", data), b"gpgsig-sha256"))


def _overlooked_header(server: SignedServer) -> str:
    """What begins like a signature's header git leaves out of what is signed."""
    data = server.unsigned(NEW)
    return server.with_header(data, header(server.people.sign("alice", data)), b"gpgsigned-by root\n")


def _junk_behind(server: SignedServer) -> str:
    data = server.unsigned(NEW)
    return server.with_header(data, header(server.people.sign("alice", data) + b"junk\n"))


def _junk_before(server: SignedServer) -> str:
    data = server.unsigned(NEW)
    return server.with_header(data, header(b"junk\n" + server.people.sign("alice", data)))


def _pgp(server: SignedServer) -> str:
    armor = b"-----BEGIN PGP SIGNATURE-----\n\niHUEABYKAB0WIQ\n=abcd\n-----END PGP SIGNATURE-----\n"
    return server.with_header(server.unsigned(NEW), header(armor))


def _x509(server: SignedServer) -> str:
    armor = b"-----BEGIN SIGNED MESSAGE-----\nMIIB\n-----END SIGNED MESSAGE-----\n"
    return server.with_header(server.unsigned(NEW), header(armor))


def _huge(server: SignedServer) -> str:
    armor = b"-----BEGIN SSH SIGNATURE-----\n" + b"A" * 70 * 5000 + b"\n-----END SSH SIGNATURE-----\n"
    return server.with_header(server.unsigned(NEW), header(armor))


def _no_base64(server: SignedServer) -> str:
    armor = b"-----BEGIN SSH SIGNATURE-----\nU1NI=U1N\n-----END SSH SIGNATURE-----\n"
    return server.with_header(server.unsigned(NEW), header(armor))


def _altered_blob(server: SignedServer, change: Callable[[bytes], bytes]) -> str:
    data = server.unsigned(NEW)
    found = SshSignature.parse(server.people.sign("alice", data))
    return server.with_header(data, header(SshSignature(found.key, change(found.blob)).armor()))


def _blob_with_a_tail(server: SignedServer) -> str:
    return _altered_blob(server, lambda blob: blob + b"\0")


def _another_version(server: SignedServer) -> str:
    return _altered_blob(server, lambda blob: blob.replace(b"SSHSIG\0\0\0\1", b"SSHSIG\0\0\0\2"))


def _cut_off(server: SignedServer) -> str:
    return _altered_blob(server, lambda blob: blob[:-9])


def _lengths_beyond(server: SignedServer) -> str:
    return _altered_blob(server, lambda blob: blob[:10] + b"\xff\xff\xff\xff" + blob[14:])


def _another_keys_name(server: SignedServer) -> str:
    """Sign with one's own key, and name root's."""
    data = server.unsigned(NEW)
    mine, theirs = (SshSignature.parse(server.people.sign(who, data)) for who in ("mallory", "root"))
    return server.with_header(data, header(SshSignature(theirs.key, mine.blob.replace(mine.key, theirs.key)).armor()))


def _flipped_bit(server: SignedServer) -> str:
    return _altered_blob(server, lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_from_elsewhere, "ssh-keygen says: Signature verification failed: incorrect signature"),
        (_tampered_tree, "incorrect signature"),
        (_tampered_message, "incorrect signature"),
        (_another_keys_name, "incorrect signature"),
        (_flipped_bit, "incorrect signature"),
        (_twice, "has 2 signatures; one belongs"),
        (_for_both_hashes, "has 2 signatures; one belongs"),
        (_overlooked_header, "has 2 signatures; one belongs"),
        (_for_the_other_hash, "in the header 'gpgsig-sha256'; in a sha1 repository it is 'gpgsig'"),
        (_junk_behind, "something stands around it"),
        (_junk_before, "something stands around it"),
        (_pgp, "an OpenPGP or X.509 signature; only SSH signatures count"),
        (_x509, "an OpenPGP or X.509 signature; only SSH signatures count"),
        (_huge, "at most 8192 are read"),
        (_no_base64, "no base64"),
        (_blob_with_a_tail, "no SSHSIG of a kind that is known"),
        (_another_version, "no SSHSIG of version 1"),
        (_cut_off, "cut off"),
        (_lengths_beyond, "cut off"),
    ],
)
def test_a_signature_that_does_not_hold_is_refused(
    signed_server: SignedServer, make: Callable[[SignedServer], str], said: str
) -> None:
    before = signed_server.tip()

    pushed = signed_server.offer(make(signed_server))

    assert pushed.codes == [Code.SIGNATURE_INVALID], pushed.said
    assert said in pushed.said
    assert signed_server.tip() == before


def test_no_signature_is_refused_and_what_else_is_wrong_is_told(signed_server: SignedServer) -> None:
    pushed = signed_server.offer(signed_server.commit({"models/risk/fraud/1.1.0.yaml": b"nonsense: true\n"}))

    assert pushed.codes[0] == Code.SIGNATURE_MISSING
    assert Code.FILE_INVALID in pushed.codes
    assert "commit.gpgSign" in pushed.said


def test_one_unsigned_commit_on_the_chain_refuses_the_push(signed_server: SignedServer) -> None:
    server = signed_server
    first = server.commit(NEW)
    second = server.signed("alice", version_file("1.2.0"), parent=first)

    pushed = server.offer(second)

    assert pushed.codes == [Code.SIGNATURE_MISSING]
    assert f"(commit {first[:10]})" in pushed.said


def test_an_unsigned_merge_of_signed_commits_is_refused(signed_server: SignedServer) -> None:
    server = signed_server
    side = server.signed("alice", NEW)

    merge = server.store(server.unsigned(NEW, more=(side,)))

    assert server.offer(merge).codes == [Code.SIGNATURE_MISSING]


def test_an_unknown_key_is_refused(signed_server: SignedServer) -> None:
    pushed = signed_server.offer(signed_server.signed("mallory", NEW))

    assert pushed.codes == [Code.SIGNATURE_INVALID]
    assert "is not in keys/allowed_signers as it was before the push: unknown, or revoked" in pushed.said


def test_a_signature_for_another_purpose_is_refused(signed_server: SignedServer) -> None:
    pushed = signed_server.offer(signed_server.signed("alice", NEW, namespace="file"))

    assert pushed.codes == [Code.SIGNATURE_INVALID]
    assert "for the namespace b'file', not for 'git'" in pushed.said


def test_a_removed_key_is_revoked_whatever_date_the_commit_claims(signed_server: SignedServer) -> None:
    server = signed_server
    relist(server, server.people.lines("root", "bob"))

    for at in (None, int(time.time()) - DAY // 2):
        assert server.offer(server.signed("alice", NEW, at=at)).codes == [Code.SIGNATURE_INVALID]


def test_a_user_may_exchange_the_key(signed_server: SignedServer) -> None:
    server = signed_server
    relist(server, server.people.lines("root") + server.people.line("alice", key="alice2"))

    assert server.offer(server.signed("alice", NEW)).codes == [Code.SIGNATURE_INVALID]
    assert server.offer(server.signed("alice2", NEW)).accepted


@pytest.mark.parametrize(
    ("options", "at", "said"),
    [
        ('valid-before="{hour_ago}"', 0, "has expired now"),
        ('valid-before="{hour_ago}"', -2, "has expired now"),
        ('valid-after="{in_an_hour}"', 0, "does not count yet now"),
        ('valid-after="{in_an_hour}"', 2, "does not count yet now"),
        ('valid-after="{hour_ago}"', -2, "does not count yet at "),
        ('valid-before="{in_an_hour}"', 2, "has expired at "),
        ('namespaces="file"', 0, "is not listed for the namespace git"),
    ],
)
def test_a_key_counts_now_and_when_the_commit_claims_to_be_made(
    signed_server: SignedServer, options: str, at: int, said: str
) -> None:
    server, now = signed_server, int(time.time())
    listed = options.format(hour_ago=stamp(now - 3600), in_an_hour=stamp(now + 3600))
    relist(server, server.people.lines("root") + server.people.line("alice", listed))

    pushed = server.offer(server.signed("alice", NEW, at=now + at * 3600))

    assert set(pushed.codes) == {Code.SIGNATURE_INVALID}
    assert f"alice's key {_fingerprint(server, 'alice')} {said}" in pushed.said


def _fingerprint(server: SignedServer, who: str) -> str:
    return run(["ssh-keygen", "-l", "-f", str(server.people.key(who))], server.path).stdout.split()[1]


def test_a_key_counts_within_its_time(signed_server: SignedServer) -> None:
    server, now = signed_server, time.time()
    times = f'namespaces="file,git",valid-after="{stamp(now - 3600)}",valid-before="{stamp(now + 3600)}"'
    relist(server, server.people.lines("root") + server.people.line("alice", times))

    pushed = server.offer(server.signed("alice", NEW))

    assert pushed.accepted, pushed.said


@pytest.mark.parametrize(
    ("days", "said"), [(-1.1, "it is back-dated"), (1.1, "lies in the future"), (-20_000, "it is back-dated")]
)
def test_a_date_that_does_not_fit_is_refused(signed_server: SignedServer, days: float, said: str) -> None:
    pushed = signed_server.offer(signed_server.signed("alice", NEW, at=int(time.time() + days * DAY)))

    assert Code.SIGNATURE_INVALID in pushed.codes
    assert said in pushed.said


@pytest.mark.parametrize("days", [-0.9, 0.9])
def test_clocks_may_differ_by_less_than_a_day(signed_server: SignedServer, days: float) -> None:
    assert signed_server.offer(signed_server.signed("alice", NEW, at=int(time.time() + days * DAY))).accepted


def test_a_tip_from_the_future_locks_nobody_out(signed_server: SignedServer) -> None:
    """Such a date could have come in before signatures were asked for."""
    server = signed_server
    odd = server.signed("alice", NEW, at=int(time.time()) + 400 * DAY)
    run(["git", "fetch", "--quiet", str(server.client.git_dir), odd], server.path)
    server.move(MAIN, odd)

    assert server.offer(server.signed("alice", version_file("1.2.0"))).accepted


def test_a_signer_without_any_right_is_unknown(signed_server: SignedServer) -> None:
    server = signed_server
    relist(server, server.people.lines("root", "eve"))

    assert Code.ACTOR_UNKNOWN in server.offer(server.signed("eve", NEW)).codes


# Beside a name that the server gives


@pytest.mark.parametrize(
    ("named", "signs", "codes"), [("alice", "alice", []), ("root", "alice", [Code.SIGNATURE_FOREIGN])]
)
def test_whom_the_server_names_has_to_be_the_signer(
    signed_server: SignedServer, named: str, signs: str, codes: list[str]
) -> None:
    server = signed_server
    server.git("config", "gitreg.identity", "GL_USER")

    pushed = server.offer(server.signed(signs, NEW), who=named)

    assert pushed.codes == codes
    assert pushed.accepted == (not codes)
    assert server.offer(server.commit(NEW), who="alice").codes == [Code.SIGNATURE_MISSING]


def test_who_is_named_deletes_a_proposal_without_a_signature(signed_server: SignedServer) -> None:
    server = signed_server
    server.git("config", "gitreg.identity", "GL_USER")
    ref = "refs/heads/proposals/alice/x"

    assert server.send("alice", f"{server.commit(NEW)}:{ref}").accepted
    assert server.send("alice", f":{ref}").accepted


def test_signatures_on_the_server_without_them_in_the_settings_refuse(server: SignedServer) -> None:
    server.git("config", "gitreg.identity", "signature")

    pushed = server.push(None, NEW)

    assert pushed.codes == [Code.ACTOR_UNKNOWN]
    assert "identity: signature" in pushed.said


# The rules


def _keys(text: str) -> Edits:
    return {KEYS: text.encode()}


def test_keys_of_the_push_itself_do_not_count(signed_server: SignedServer) -> None:
    server = signed_server
    first = server.signed("root", _keys(server.people.lines("root", "alice", "mallory")))
    second = server.signed("mallory", {"access.yaml": ACCESS.to_bytes() + b"\n"}, parent=first)

    pushed = server.offer(second)

    assert Code.SIGNATURE_INVALID in pushed.codes
    assert f"(commit {second[:10]})" in pushed.said


def test_nobody_lists_their_own_key(signed_server: SignedServer) -> None:
    server = signed_server
    listing = _keys(server.people.lines("root", "alice", "mallory"))

    assert server.offer(server.signed("mallory", listing)).codes == [Code.SIGNATURE_INVALID]
    assert server.offer(server.signed("alice", listing)).codes == [Code.ACCESS_DENIED]


@pytest.mark.parametrize(
    "text",
    [
        "{root}{alice}bob {alice_key}\n",
        "{root}* {alice_key}\n",
        "{root}alice,bob {alice_key}\n",
        "{root}alice cert-authority {alice_key}\n",
        "{root}nonsense\n",
    ],
)
def test_a_list_of_keys_that_is_not_strict_is_refused(signed_server: SignedServer, text: str) -> None:
    server = signed_server
    alice = server.people.line("alice")
    filled = text.format(root=server.people.line("root"), alice=alice, alice_key=alice.partition(" ")[2].strip())

    pushed = server.offer(server.signed("root", _keys(filled)))

    assert pushed.codes == [Code.FILE_INVALID]
    assert f"{KEYS}:{filled.count(chr(10))}: " in pushed.said


def test_a_list_of_keys_is_judged_where_nobody_needs_it_too(server: SignedServer) -> None:
    assert server.push("root", {KEYS: b"nonsense\n"}).codes == [Code.FILE_INVALID]
    assert server.push("root", {"keys/other": b"x"}).codes == [Code.FILE_INVALID]


def test_an_admin_who_can_sign_stays(signed_server: SignedServer) -> None:
    server, now = signed_server, time.time()
    expired = server.people.line("root", f'valid-before="{stamp(now - 60)}"')
    for edits in (
        _keys(server.people.lines("alice")),
        _keys(expired + server.people.lines("alice")),
        _keys(""),
        {"access.yaml": ACCESS.to_bytes().replace(b"root", b"eve")},
    ):
        assert server.offer(server.signed("root", edits)).codes == [Code.LAST_ADMIN]
    assert server.offer(server.signed("root", {KEYS: None})).codes == [Code.POLICY_MISSING]


def test_the_last_admin_with_a_key_may_be_exchanged_at_once(signed_server: SignedServer) -> None:
    server = signed_server
    edits = {
        "access.yaml": ACCESS.to_bytes().replace(b"root", b"eve"),
        KEYS: server.people.lines("eve", "alice").encode(),
    }

    assert server.offer(server.signed("root", edits)).accepted


def test_asking_for_signatures_needs_an_admin_who_can_sign(server: SignedServer, people: People) -> None:
    asked = settings(identity="signature")

    assert server.push("root", asked).codes == [Code.POLICY_MISSING]
    assert server.push("root", {**asked, **_keys(people.lines("alice"))}).codes == [Code.LAST_ADMIN]
    accepted = server.push("root", {**asked, **_keys(people.lines("root", "alice"))})
    assert accepted.accepted, accepted.said
    assert server.push("root", NEW).codes == [Code.SIGNATURE_MISSING]


def test_a_list_that_cannot_be_read_refuses_everything(signed_server: SignedServer) -> None:
    """Such a state cannot come in by a push; its owner may have made it."""
    server = signed_server
    good = server.tip()
    for edits, code in (({KEYS: b"nonsense\n"}, Code.FILE_INVALID), ({KEYS: None}, Code.POLICY_MISSING)):
        broken = server.commit(edits, parent=good)
        run(["git", "fetch", "--quiet", str(server.client.git_dir), broken], server.path)
        server.move(MAIN, broken)

        pushed = server.offer(server.signed("alice", NEW))

        assert pushed.codes == [code]
        assert server.tip() == broken


def test_a_machine_without_ssh_keygen_refuses(
    signed_server: SignedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = signed_server
    oid = server.signed("alice", NEW)
    monkeypatch.setattr(signatures, "PROGRAM", str(tmp_path / "ssh-keygen"))

    with pytest.raises(UnavailableError, match="is not installed"):
        check_range(server.client, server.tip(), oid, None, use_store=False)


def test_a_program_that_hangs_or_lies_refuses(
    signed_server: SignedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = signed_server
    oid = server.signed("alice", NEW)
    program = tmp_path / "ssh-keygen"
    monkeypatch.setattr(signatures, "PROGRAM", str(program))
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)

    found = check_range(server.client, server.tip(), oid, None, use_store=False)

    assert [each.code for each in found] == [Code.SIGNATURE_INVALID]
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(signatures, "TIME_LIMIT", 0.2)
    with pytest.raises(UnavailableError, match="took longer than"):
        check_range(server.client, server.tip(), oid, None, use_store=False)


# Proposals


def test_a_proposal_is_whose_signature_its_tip_carries(signed_server: SignedServer) -> None:
    server = signed_server
    ref = "refs/heads/proposals/alice/x"
    theirs = server.signed("bob", NEW)

    assert server.send(None, f"{server.commit(NEW)}:{ref}").codes == [Code.SIGNATURE_MISSING]
    assert server.send(None, f"{theirs}:{ref}").codes == [Code.SIGNATURE_FOREIGN]
    assert server.send(None, f"{server.signed('mallory', NEW)}:{ref}").codes == [Code.SIGNATURE_INVALID]
    pushed = server.send(None, f"{server.signed('alice', NEW, parent=theirs)}:{ref}")
    assert pushed.accepted, pushed.said


def test_nobody_can_be_seen_to_delete_a_proposal(signed_server: SignedServer) -> None:
    server = signed_server
    ref = "refs/heads/proposals/alice/x"
    assert server.send(None, f"{server.signed('alice', NEW)}:{ref}").accepted

    pushed = server.send(None, f":{ref}")

    assert pushed.codes == [Code.PROPOSAL_FOREIGN]
    assert "nobody signs a deletion" in pushed.said


def test_a_proposal_goes_back_to_nothing_that_its_owner_once_signed(signed_server: SignedServer) -> None:
    server, now = signed_server, int(time.time())
    ref = "refs/heads/proposals/alice/x"
    old = server.signed("alice", NEW, at=now - 100)
    assert server.send(None, f"{old}:{ref}").accepted
    later = server.signed("alice", version_file("1.2.0"), at=now - 50)
    assert server.send(None, f"+{later}:{ref}").accepted
    follows = server.signed("alice", version_file("1.3.0"), at=now - 60, parent=later)
    assert server.send(None, f"{follows}:{ref}").accepted

    assert server.send(None, f"+{old}:{ref}").codes == [Code.PROPOSAL_FOREIGN]


# The same verdict elsewhere


def test_a_check_gives_the_very_same_verdict(signed_server: SignedServer) -> None:
    server = signed_server
    base = server.tip()
    cases = {
        server.signed("alice", NEW): [],
        server.signed("bob", NEW): [Code.ACCESS_DENIED],
        server.commit(NEW): [Code.SIGNATURE_MISSING],
        server.signed("mallory", NEW): [Code.SIGNATURE_INVALID],
        _from_elsewhere(server): [Code.SIGNATURE_INVALID],
    }
    for oid, codes in cases.items():
        found = check_range(server.client, base, oid, None, use_store=False)
        assert [each.code for each in found] == codes
        pushed = server.offer(oid)
        assert pushed.codes == codes
        assert all(str(each) in pushed.said for each in found)
        if not codes:
            server.move(MAIN, base)


def test_a_check_for_somebody_wants_their_signature(signed_server: SignedServer) -> None:
    server = signed_server
    oid = server.signed("alice", NEW)

    assert check_range(server.client, server.tip(), oid, UserName("alice"), use_store=False) == []
    [found] = check_range(server.client, server.tip(), oid, UserName("root"), use_store=False)
    assert found.code == Code.SIGNATURE_FOREIGN
    assert "signed by alice, where root has to sign" in found.message


def test_the_hook_of_a_clone_looks_at_signatures_before_a_push(signed_server: SignedServer) -> None:
    server = signed_server
    [found] = check_pushed(server.client, server.tip(), server.commit(NEW))
    assert found.code == Code.SIGNATURE_MISSING


def test_the_verdict_names_models_and_signers(signed_server: SignedServer) -> None:
    server = signed_server
    first = server.signed("alice", {**model_file(), **NEW, "models/risk/fraud/README.md": b"x\n"})
    second = server.signed("bob", pointer_file("1.1.0"), parent=first)

    assert server.offer(second).accepted

    entry = server.log()[-1]
    assert entry["models"] == ["risk/fraud"]
    assert entry["signers"] == {first: "alice", second: "bob"}


def test_many_commits_are_verified_in_a_short_time(signed_server: SignedServer) -> None:
    """A guard against one process after the other without end; the measured figures are in ADR 0015."""
    server = signed_server
    parent = server.tip()
    for number in range(30):
        parent = server.signed("alice", version_file(f"2.{number}.0"), parent=parent)

    began = time.monotonic()
    pushed = server.offer(parent)

    assert pushed.accepted, pushed.said
    assert time.monotonic() - began < 20


def test_a_registry_without_signatures_pays_nothing_for_them() -> None:
    late = ["gitreg.keys", "gitreg.gate.signing", "gitreg.gate_hooks.signers", "gitreg.git.signatures"]
    code = f"import sys, gitreg.gate_hooks.push, gitreg.gate_hooks.hook; print([n for n in {late} if n in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


# Deploy tags


def _deployed(server: SignedServer) -> str:
    pushed = server.offer(server.signed("bob", pointer_file("1.0.0")))
    assert pushed.accepted, pushed.said
    server.fetch()
    return "deploy/staging/risk/fraud/1"


def _tag(server: SignedServer, name: str, actor: str = "bob") -> bytes:
    lines = ["Model: risk/fraud", "Version: 1.0.0", "Environment: staging", "Action: deploy", f"Actor: {actor}"]
    head = f"object {server.tip()}\ntype commit\ntag {name}\ntagger T <t@example.org> {int(time.time())} +0000\n\n"
    return (head + "Deploy risk/fraud@1.0.0 to staging\n\n" + "\n".join([*lines, "Reason: Change"]) + "\n").encode()


def _send_tag(server: SignedServer, data: bytes) -> list[str]:
    name = data.partition(b"\ntag ")[2].partition(b"\n")[0].decode()
    return server.send(None, f"{server.store(data, 'tag')}:refs/tags/{name}").codes


def test_a_pushed_tag_is_signed_with_a_listed_key(tagging_server: SignedServer) -> None:
    server = tagging_server
    data = _tag(server, _deployed(server))
    sign = server.people.sign
    old = data.replace(b"tagger T <t@example.org> 1", b"tagger T <t@example.org> ")

    assert _send_tag(server, data) == [Code.SIGNATURE_MISSING]
    assert _send_tag(server, data + sign("mallory", data)) == [Code.SIGNATURE_INVALID]
    assert _send_tag(server, data + sign("dana", data, namespace="file")) == [Code.SIGNATURE_INVALID]
    assert _send_tag(server, data + sign("dana", data + b"x")) == [Code.SIGNATURE_INVALID]
    assert _send_tag(server, old + sign("dana", old)) == [Code.SIGNATURE_INVALID]
    twice = data + sign("dana", data) + sign("dana", data)
    assert _send_tag(server, twice) == [Code.TAG_WRONG, Code.SIGNATURE_INVALID]
    assert _send_tag(server, data + sign("dana", data)) == []


def test_a_signed_tag_says_what_history_implies_all_the_same(tagging_server: SignedServer) -> None:
    server = tagging_server
    name = _deployed(server)
    lie = _tag(server, name, actor="root")
    hidden = _tag(server, name) + b"-----BEGIN JUNK-----\n\nModel: risk/fraud\nVersion: 6.6.6\n"

    assert _send_tag(server, lie + server.people.sign("dana", lie)) == [Code.TAG_WRONG]
    assert Code.TAG_WRONG in _send_tag(server, hidden + server.people.sign("dana", hidden))


def test_trailers_below_something_like_a_signature_are_refused_without_signatures_too(server: SignedServer) -> None:
    """Git shows them as the tag's."""
    server.git("config", "gitreg.deploytags", "client")
    server.git("config", "--unset-all", "receive.hideRefs")
    assert server.push("bob", pointer_file("1.0.0")).accepted
    server.fetch()
    name = "deploy/staging/risk/fraud/1"
    data = _tag(server, name) + b"-----BEGIN JUNK-----\n\nModel: risk/fraud\nVersion: 6.6.6\n"
    oid = server.client.run(["hash-object", "-t", "tag", "-w", "--stdin"], input=data).decode().strip()

    pushed = server.send("bob", f"{oid}:refs/tags/{name}")

    assert pushed.codes == [Code.TAG_WRONG]
    assert "something like a signature" in pushed.said


def test_the_server_signs_the_tags_that_it_writes(signed_server: SignedServer, tmp_path: Path) -> None:
    server = signed_server
    assert server.offer(server.signed("root", settings(identity="signature", deploy_tags="signed"))).accepted
    server.fetch()

    said = server.offer(server.signed("bob", pointer_file("1.0.0"))).said
    assert "user.signingKey" in said
    assert server.refs("refs/tags/") == []

    server.git("config", "gpg.format", "ssh")
    server.git("config", "user.signingKey", f"{server.people.key('mallory')}.pub")
    with Repository.open(server.path) as repository, pytest.raises(InvalidError, match="does not count"):
        write_marks(repository)
    assert server.refs("refs/tags/") == []
    server.git("config", "user.signingKey", f"{server.people.key('dana')}.pub")
    with Repository.open(server.path) as repository:
        assert write_marks(repository) == ["refs/tags/deploy/staging/risk/fraud/1"]
    name = "deploy/staging/risk/fraud/1"
    allowed = tmp_path / "allowed"
    allowed.write_text(server.git("show", f"main:{KEYS}") + "\n")
    verified = run(["git", "-c", f"gpg.ssh.allowedSignersFile={allowed}", "verify-tag", name], server.path)
    assert 'Good "git" signature for dana' in verified.stdout + verified.stderr
    body = server.git("for-each-ref", "--format=%(contents:body)", f"refs/tags/{name}")
    assert "\nActor: bob\nReason: Change\n" in body


def test_signed_tags_need_keys(server: SignedServer) -> None:
    assert server.push("root", settings(deploy_tags="signed")).codes == [Code.POLICY_MISSING]


# The first state


def test_the_first_state_is_its_owners_and_needs_no_signature(tmp_path: Path, people: People) -> None:
    source = tmp_path / "source"
    files = {**start(), **settings(identity="signature"), KEYS: people.lines("alice").encode()}
    for path, data in files.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(data)
    request = InitRequest(path=tmp_path / "registry.git", bare=True, identity="signature", source=source)

    with pytest.raises(InvalidError, match="no effective admin would have a key"):
        init(request)
    (source / KEYS).write_text(people.lines("root"))
    made = init(request)

    assert made.identity == "signature"
    with Repository.open(made.path) as repository:
        raw = repository.objects.read(made.commit).data
    assert split_commit(raw, "sha1").armor is None


def test_a_registry_does_not_begin_with_signatures_that_nobody_asks_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="--from a folder with keys/allowed_signers"):
        init(InitRequest(path=tmp_path / "registry.git", bare=True, admin="root", identity="signature"))
    assert not (tmp_path / "registry.git").exists()


def test_an_empty_old_value_is_no_way_around(signed_server: SignedServer) -> None:
    server = signed_server
    oid = server.commit(NEW)
    run(["git", "fetch", "--quiet", str(server.client.git_dir), oid], server.path)

    for old in (ZERO, server.tip()):
        assert not server.hook(f"{old} {oid} {MAIN}\n".encode(), who=None).accepted
