"""Writing where signatures are the identity."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import DeniedError
from gitreg.gate import Code
from gitreg.registry import Mode, open_registry
from tests.gate_hooks.signing import People
from tests.once import once
from tests.registries import ACCESS, DRY, SETTINGS, Forge, git, request, state_of

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.registry import Registry
    from tests.registries import Opener

TAG = "refs/tags/deploy/staging/risk/fraud/3"


@pytest.fixture(scope="session")
def signed_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the registries of the forge ask for signatures, with the keys of some beside them."""
    return once(tmp_path_factory, "signed", partial(_sign, template))


def _sign(template: Path, folder: Path) -> None:
    shutil.copytree(template, folder / "forge", symlinks=True)
    (folder / "keys").mkdir()
    people = People(folder / "keys")
    lines = people.lines("root", "alice", "carol", "ci-bot")
    people.key("mallory")
    forge = Forge(folder / "forge")
    clone = forge.clone("setting-up")
    for place in (clone, forge.local):
        (place / "registry.yaml").write_bytes(SETTINGS + b"identity: signature\n")
        (place / "keys").mkdir()
        (place / "keys" / "allowed_signers").write_text(lines)
        git(place, "add", "--all", "--", "registry.yaml", "keys")
        git(place, "commit", "--quiet", "-m", "Ask for signatures")
    git(clone, "push", "--quiet", "origin", "HEAD:main", env={"GL_USER": "root"})
    git(forge.bare, "config", "gitreg.identity", "signature")
    shutil.rmtree(clone)


@pytest.fixture
def people(signed_template: Path, tmp_path: Path) -> People:
    return People(shutil.copytree(signed_template / "keys", tmp_path / "keys"))


@pytest.fixture
def signed(signed_template: Path, forge: Forge, people: People, home: Path, monkeypatch: pytest.MonkeyPatch) -> Forge:
    """The registries of the forge, whose actors are who signed; one's own key is alice's."""
    shutil.rmtree(forge.folder)
    shutil.copytree(signed_template / "forge", forge.folder, symlinks=True)
    for name in ("GL_USER", "GITREG_USER"):
        monkeypatch.delenv(name)
    become(home, people, "alice")
    return forge


def become(home: Path, people: People, who: str, *, public: bool = True) -> None:
    """Have git sign with somebody's key."""
    git(home, "config", "--global", "gpg.format", "ssh")
    git(home, "config", "--global", "user.signingKey", f"{people.key(who)}{'.pub' if public else ''}")
    if not public:
        people.key(who).with_name(f"{who}-ed25519.pub").unlink()


def test_a_write_is_signed_in_every_place(signed: Forge, opened: Opener, place: str) -> None:
    written = opened(place).register(request(version="3.0.0"))

    assert written.commit == signed.tip(place)
    assert "gpgsig -----BEGIN SSH SIGNATURE-----" in git(signed.repository(place), "cat-file", "commit", "main")


def test_a_deployment_is_its_signers_in_every_place(
    signed: Forge, opened: Opener, place: str, home: Path, people: People
) -> None:
    become(home, people, "carol")

    written = opened(place).deploy("risk/fraud@2.0.0-rc.1", "staging")

    assert written.notes == ()
    assert "Actor: carol\n" in git(signed.repository(place), "cat-file", "tag", TAG)


def test_without_a_key_nothing_is_written_and_one_is_told_what_to_do(
    signed: Forge, registry: Registry, place: str, home: Path
) -> None:
    git(home, "config", "--global", "--unset", "user.signingKey")
    before = state_of(signed.repository(place))

    with pytest.raises(DeniedError) as caught:
        registry.alias("risk/fraud@1.0.0", "stable")
    shown = registry.alias("risk/fraud@1.0.0", "stable", DRY)

    assert "[signature-missing]" in str(caught.value)
    assert "git config --global user.signingKey" in str(caught.value)
    assert [each.code for each in shown.violations] == [Code.SIGNATURE_MISSING]
    assert state_of(signed.repository(place)) == before


def test_a_key_that_is_not_listed_is_told_before_it_signs(
    signed: Forge, registry: Registry, place: str, home: Path, people: People
) -> None:
    become(home, people, "mallory")
    before = state_of(signed.repository(place))

    with pytest.raises(DeniedError, match="unknown, or revoked"):
        registry.alias("risk/fraud@1.0.0", "stable")
    shown = registry.alias("risk/fraud@1.0.0", "stable", DRY)

    assert Code.SIGNATURE_INVALID in [each.code for each in shown.violations]
    assert state_of(signed.repository(place)) == before


@pytest.mark.parametrize("public", [True, False])
def test_the_signer_needs_the_right(
    signed: Forge, registry: Registry, place: str, home: Path, people: People, public: bool
) -> None:
    """Where only the private key's file is there, who signs shows once the commit is signed."""
    become(home, people, "carol", public=public)
    before = state_of(signed.repository(place))

    with pytest.raises(DeniedError, match="carol may not alias"):
        registry.alias("risk/fraud@1.0.0", "stable")

    assert state_of(signed.repository(place)) == before


def test_a_dry_run_judges_for_the_signer(signed: Forge, registry: Registry, home: Path, people: People) -> None:
    assert registry.alias("risk/fraud@1.0.0", "stable", DRY).violations == ()
    become(home, people, "carol")
    with open_registry(signed.bare) as again:
        shown = again.alias("risk/fraud@1.0.0", "stable", DRY)
    assert [each.code for each in shown.violations] == [Code.ACCESS_DENIED]


def test_nobody_signs_for_another(signed: Forge, registry: Registry, place: str) -> None:
    before = state_of(signed.repository(place))

    with pytest.raises(DeniedError, match="signature-foreign"):
        registry.alias("risk/fraud@1.0.0", "stable", Mode(user="carol"))

    assert state_of(signed.repository(place)) == before


def test_a_proposal_is_the_signers(signed: Forge, opened: Opener) -> None:
    written = opened("clone").alias("risk/fraud@1.0.0", "stable", Mode(propose=True))

    assert written.ref.startswith("refs/heads/proposals/alice/")
    assert git(signed.bare, "rev-parse", written.ref) == written.commit


def test_a_key_that_git_cannot_use_is_told(signed: Forge, registry: Registry, people: People) -> None:
    people.key("alice").unlink()

    with pytest.raises(Exception, match="git commit-tree failed"):
        registry.alias("risk/fraud@1.0.0", "stable")


def test_signed_tags_are_written_by_the_client_where_no_hook_does(
    signed: Forge, home: Path, people: People, tmp_path: Path
) -> None:
    settings = SETTINGS + b"identity: signature\ndeploy_tags: signed\n"
    (signed.local / "registry.yaml").write_bytes(settings)
    git(signed.local, "commit", "--quiet", "-a", "-m", "Sign tags")
    become(home, people, "carol")

    with open_registry(signed.local) as registry:
        assert registry.deploy("risk/fraud@2.0.0-rc.1", "staging").notes == ()

    allowed = f"gpg.ssh.allowedSignersFile={signed.local / 'keys' / 'allowed_signers'}"
    git(signed.local, "-c", allowed, "verify-tag", TAG.removeprefix("refs/tags/"))
    assert "Actor: carol\n" in git(signed.local, "cat-file", "tag", TAG)


def test_signed_tags_come_to_a_registry_without_hooks(signed: Forge, home: Path, people: People) -> None:
    """Who deploys signs the commit and then the tag; a CI job with a key of its own may write what is missing."""
    git(signed.bare, "config", "gitreg.deploytags", "client")
    git(signed.bare, "config", "--unset-all", "receive.hideRefs")
    become(home, people, "root")
    clone = signed.clone("setting-up")
    git(clone, "pull", "--quiet")
    (clone / "registry.yaml").write_bytes(SETTINGS + b"identity: signature\ndeploy_tags: signed\n")
    (clone / "access.yaml").write_bytes(ACCESS.replace(b"[dana]", b"[dana, ci-bot]"))
    git(clone, "commit", "--quiet", "-S", "-a", "-m", "Sign tags")
    git(clone, "push", "--quiet", "origin", "HEAD:main")
    become(home, people, "carol")
    with open_registry(clone) as registry:
        registry.deploy("risk/fraud@2.0.0-rc.1", "staging")
        assert git(signed.bare, "for-each-ref", TAG) == ""
        become(home, people, "ci-bot")
    with open_registry(clone) as registry:
        assert TAG in registry.mark(push=True)

    tag = git(signed.bare, "cat-file", "tag", TAG)
    assert "Actor: carol\n" in tag
    assert "-----BEGIN SSH SIGNATURE-----" in tag
