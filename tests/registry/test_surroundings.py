"""What lies around the registry: the user's configuration, environment, checkout, names of folders."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gitreg
from gitreg.errors import ConflictError, DeniedError, GitregError, InvalidError, NotFoundError, UnavailableError
from gitreg.registry import Mode, open_registry
from gitreg.registry.setup import InitRequest, clone, init
from tests.registries import MAIN, WEIGHTS, git, request, state_of

if TYPE_CHECKING:
    from tests.registries import Forge, Opener

BENT = """
[push]
    default = matching
    followTags = true
    gpgSign = if-asked
    autoSetupRemote = true
    recurseSubmodules = on-demand
[commit]
    template = /nonexistent
[fetch]
    prune = true
    pruneTags = true
    recurseSubmodules = true
[merge]
    ff = false
[pull]
    rebase = true
[alias]
    push = log
    fetch = log
    config = status
[log]
    showSignature = true
[core]
    quotePath = true
    abbrev = 4
    autocrlf = true
[diff]
    noprefix = true
[color]
    ui = always
[transfer]
    fsckObjects = true
[advice]
    detachedHead = true
[format]
    pretty = oneline
[tag]
    gpgSign = true
    sort = -taggerdate
[user]
    signingKey = 0xDEADBEEF
[gpg]
    program = false
"""


def _configure(home: Path, text: str) -> None:
    with (home / ".gitconfig").open("a") as file:
        file.write(text)


def test_the_users_configuration_does_not_bend_results(forge: Forge, opened: Opener, place: str, home: Path) -> None:
    _configure(home, BENT)
    registry = opened(place)
    git_dir = forge.repository(place)
    tags = git(git_dir, "for-each-ref", "--format=%(refname)", "refs/tags")
    written = registry.register(request(version="3.0.0", description="Zeile äöü\r\n"))
    assert written.commit == forge.tip(place)
    assert git(git_dir, "log", "-1", "--format=%G?", MAIN) == "N"
    assert git(git_dir, "for-each-ref", "--format=%(refname)", "refs/tags") == tags
    registry.promote("risk/fraud", "staging")
    assert registry.rollback("risk/fraud", "prod").commit == forge.tip(place)
    assert [row.action for row in registry.history("risk/fraud", "prod")] == ["rollback", "promote", "promote"]


def test_a_signature_that_cannot_be_made_stops_the_write(forge: Forge, opened: Opener, place: str, home: Path) -> None:
    registry = opened(place)
    before = state_of(forge.repository(place))
    _configure(home, "[commit]\n gpgSign = true\n[gpg]\n program = false\n")
    with pytest.raises(GitregError, match="gpg failed to sign"):
        registry.alias("risk/fraud@1.0.0", "champion")
    assert state_of(forge.repository(place)) == before


def test_hooks_that_the_user_runs_everywhere_do_not_replace_the_registrys(
    forge: Forge, opened: Opener, place: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = opened(place)
    hooks = home / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "post-checkout", "pre-commit", "commit-msg"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    _configure(home, f"[core]\n hooksPath = {hooks}\n")
    assert registry.deploy("vision/ocr@0.1.0", "staging").commit == forge.tip(place)
    assert git(forge.repository(place), "tag", "--list", "deploy/staging/vision/*") == "deploy/staging/vision/ocr/1"
    if place != "local":
        monkeypatch.setenv("GL_USER", "alice")
        with pytest.raises(DeniedError, match="refused"):
            open_registry(forge.place(place)).undeploy("vision/ocr", "staging")


def test_a_short_name_for_a_url_is_understood(forge: Forge, home: Path) -> None:
    _configure(home, f'[url "{forge.folder}/"]\n insteadOf = acme:\n')
    target = clone("acme:registry.git", forge.folder / "clone")
    assert git(target, "config", "remote.origin.url") == "acme:registry.git"
    for location in (target, "acme:registry.git"):
        with open_registry(location) as registry:
            written = registry.register(request(bump="minor"))
            assert written.commit == forge.tip()
            assert registry.pull("risk/fraud@latest", f"out{written.commit}").files[0].read_bytes() == WEIGHTS


def test_a_url_to_push_to_is_used_for_pushes(forge: Forge) -> None:
    target = forge.clone()
    git(target, "config", "remote.origin.pushurl", f"file://{forge.bare}")
    git(target, "config", "remote.origin.url", str(forge.bare))
    with open_registry(target) as registry:
        assert registry.target.push_url == f"file://{forge.bare}"
        assert registry.alias("risk/fraud@1.0.0", "champion").commit == forge.tip()


def test_variables_of_a_surrounding_git_command_do_not_lead_astray(
    forge: Forge, opened: Opener, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = forge.folder / "other"
    git(forge.folder, "init", "--quiet", str(other))
    for name in ("GIT_DIR", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other / "objects"))
    monkeypatch.setenv("GIT_NAMESPACE", "elsewhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.bare")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "nonsense")
    written = opened(place).register(request(version="3.0.0"))
    for name in list(os.environ):
        if name.startswith("GIT_") and name not in {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"}:
            monkeypatch.delenv(name)
    assert written.commit == forge.tip(place)
    assert not (other / "index").exists()
    assert git(other, "for-each-ref") == ""


@pytest.mark.parametrize("place", ["bare", "clone", "local", "mirror"])
def test_without_an_identity_nothing_is_written_and_reads_work(
    forge: Forge, opened: Opener, place: str, home: Path
) -> None:
    registry = opened(place)
    (home / ".gitconfig").write_text("")
    before = state_of(forge.repository(place))
    with pytest.raises(InvalidError, match=r"git does not know who you are; run `git config --global user\.name"):
        registry.register(request(version="3.0.0"))
    with pytest.raises(InvalidError, match="who you are"):
        registry.alias("risk/fraud@1.0.0", "champion")
    assert state_of(forge.repository(place)) == before
    assert registry.show("risk/fraud@prod").manifest.version.text == "1.0.0"


def test_without_git_everything_says_so(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(forge.folder))
    for location in (forge.bare, forge.local, forge.bare.as_uri()):
        with (
            pytest.raises(UnavailableError, match="git is not installed; install git"),
            open_registry(location) as registry,
        ):
            registry.models()
    monkeypatch.chdir(forge.folder)
    with pytest.raises(UnavailableError, match="git is not installed"):
        open_registry()
    with pytest.raises(UnavailableError, match="git is not installed"):
        init(InitRequest(path=Path("new")))
    assert not Path("new").exists()


def _checkout(folder: Path) -> tuple[str, str, str, str]:
    """Give what a user has: HEAD, the index, what differs from it, and what is untracked."""
    head = (folder / ".git" / "HEAD").read_text()
    return head, git(folder, "ls-files", "--stage"), git(folder, "diff"), git(folder, "status", "--porcelain")


@pytest.mark.parametrize("detached", [False, True])
def test_a_clones_head_index_and_files_are_left_alone(forge: Forge, opened: Opener, detached: bool) -> None:
    folder = forge.clone()
    if detached:
        git(folder, "checkout", "--quiet", "--detach", "HEAD~1")
    (folder / "models/risk/fraud/1.0.0.yaml").write_text("mine\n")
    (folder / "access.yaml").write_text("mine\n")
    git(folder, "add", "access.yaml")
    (folder / "untracked").write_text("mine\n")
    before = _checkout(folder)
    registry = opened("clone")
    assert registry.update("risk/fraud@1.0.0", description="Better.").commit == forge.tip()
    registry.deploy("risk/fraud@1.0.0", "staging")
    assert _checkout(folder) == before
    assert git(folder, "rev-parse", "origin/main") == forge.tip()
    assert registry.show("risk/fraud@1.0.0").manifest.description == "Better."


def test_a_checkout_without_an_origin_comes_along_and_keeps_local_changes(forge: Forge, opened: Opener) -> None:
    folder = forge.local
    (folder / "access.yaml").write_text("mine\n")
    (folder / "untracked").write_text("mine\n")
    registry = opened("local")
    registry.update("risk/fraud@1.0.0", description="Better.")
    registry.register(request(version="3.0.0"))
    assert git(folder, "status", "--porcelain").splitlines() == ["M access.yaml", "?? untracked"]
    assert "Better." in (folder / "models/risk/fraud/1.0.0.yaml").read_text()
    assert (folder / "models/risk/fraud/3.0.0.yaml").is_file()


@pytest.mark.parametrize("staged", [False, True])
def test_changes_that_are_in_the_way_stop_the_write_before_it_happens(
    forge: Forge, opened: Opener, staged: bool
) -> None:
    path = forge.local / "models/risk/fraud/1.0.0.yaml"
    path.write_text("mine\n")
    if staged:
        git(forge.local, "add", str(path))
    before = state_of(forge.local)
    with pytest.raises(ConflictError, match=r"uncommitted changes are in the way: .*1\.0\.0\.yaml.*; commit or stash"):
        opened("local").update("risk/fraud@1.0.0", description="Better.")
    assert state_of(forge.local) == before
    assert path.read_text() == "mine\n"
    path.with_name("3.0.0.yaml").write_text("mine\n")
    with pytest.raises(ConflictError, match=r"3\.0\.0\.yaml"):
        opened("local").register(request(version="3.0.0"))


def test_a_checkout_without_an_origin_on_another_branch_is_left_alone(forge: Forge, opened: Opener) -> None:
    git(forge.local, "checkout", "--quiet", "-b", "work")
    before = _checkout(forge.local)
    assert opened("local").alias("risk/fraud@1.0.0", "champion").commit == forge.tip("local")
    assert _checkout(forge.local) == before


def test_another_git_process_in_the_checkout_is_told_of(forge: Forge, opened: Opener) -> None:
    before = forge.tip("local")
    (forge.local / ".git" / "index.lock").touch()
    with pytest.raises(UnavailableError, match="another git process works in this checkout"):
        opened("local").alias("risk/fraud@1.0.0", "champion")
    assert forge.tip("local") == before


def test_a_further_work_tree_writes_to_the_same_registry(forge: Forge) -> None:
    folder = forge.folder / "further"
    git(forge.local, "worktree", "add", "--quiet", "--detach", str(folder))
    with open_registry(folder) as registry:
        assert registry.register(request(version="3.0.0")).commit == forge.tip("local")
        assert registry.pull("risk/fraud@3.0.0", "out").bytes == len(WEIGHTS)


def test_an_origin_that_is_a_relative_path_counts_from_the_top(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = forge.clone()
    git(folder, "config", "remote.origin.url", "../registry.git")
    monkeypatch.chdir(folder / "models")
    weights = forge.folder.parent / "work" / "model.safetensors"
    with gitreg.open() as registry:
        assert registry.register(request(version="3.0.0", paths=(weights,))).commit == forge.tip()
        assert registry.pull("risk/fraud@3.0.0", forge.folder / "out").bytes == len(WEIGHTS)


@pytest.mark.parametrize("name", ["-with space a:b", "modèles 模型 a%20b #c?d", "a'b\"c$d;e&f"])
def test_a_registry_may_lie_in_any_folder(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITREG_CACHE", str(tmp_path / name / "cache"))
    monkeypatch.setenv("GITREG_USER", "root")
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("model.safetensors").write_bytes(WEIGHTS)
    made = init(InitRequest(path=folder / f"{name}.git", bare=True, admin="root", identity="GITREG_USER"))
    init(InitRequest(path=folder / name, admin="root"))
    clone(str(made.path), folder / "clone")
    for location in (made.path, folder / name, folder / "clone", made.path.as_uri()):
        with open_registry(location) as registry:
            registry.register(request(bump="minor"))
            registry.deploy("risk/fraud@latest", "staging")
            assert registry.pull("risk/fraud@staging", folder / "out").bytes == len(WEIGHTS)
    with open_registry(made.path) as registry:
        assert len(registry.versions("risk/fraud")) == 3


def test_a_registry_of_sha256_objects_works_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gitreg.git.create import create

    monkeypatch.setenv("GITREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GITREG_USER", "root")
    monkeypatch.setattr("gitreg.registry.setup.create", partial(create, object_format="sha256"))
    monkeypatch.chdir(tmp_path)
    Path("model.safetensors").write_bytes(WEIGHTS)
    bare = init(InitRequest(path=tmp_path / "registry.git", bare=True, admin="root", identity="GITREG_USER")).path
    init(InitRequest(path=tmp_path / "local", admin="root"))
    clone(str(bare), tmp_path / "clone")
    for location in (bare, tmp_path / "local", tmp_path / "clone", bare.as_uri()):
        with open_registry(location) as registry:
            written = registry.register(request(bump="minor"))
            assert len(str(written.commit)) == 64
            registry.deploy("risk/fraud@latest", "staging")
            assert registry.history("risk/fraud")[0].action == "deploy"
            assert registry.log(limit=2)[1].changes[0].startswith("registered risk/fraud@0.")
            assert registry.register(request(bump="minor"), Mode(propose=True)).commit


def test_a_shallow_clone_reads_and_writes_but_knows_no_history(forge: Forge) -> None:
    folder = forge.folder / "shallow"
    git(forge.folder, "clone", "--quiet", "--depth=1", forge.bare.as_uri(), "shallow")
    with open_registry(folder) as registry:
        assert registry.show("risk/fraud@prod").manifest.version.text == "1.0.0"
        assert len(registry.status()) == 2
        assert registry.register(request(version="3.0.0")).commit == forge.tip()
        assert registry.deploy("risk/fraud@3.0.0", "staging").commit == forge.tip()
        for question in (
            registry.log,
            lambda: registry.history("risk/fraud"),
            lambda: registry.models(at="2026-01-01"),
        ):
            with pytest.raises(
                InvalidError, match="this clone is shallow and has no full history; git fetch --unshallow"
            ):
                question()
        with pytest.raises(InvalidError, match="shallow"):
            registry.rollback("risk/fraud", "staging")
    assert (folder / ".git" / "shallow").exists()


def test_an_empty_repository_is_no_registry_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITREG_CACHE", str(tmp_path / "cache"))
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    git(tmp_path, "init", "--quiet", "fresh")
    git(tmp_path, "init", "--quiet", "joined")
    git(tmp_path / "joined", "remote", "add", "origin", str(tmp_path / "empty.git"))
    locations: list[str | Path] = [tmp_path / "empty.git", tmp_path / "fresh", (tmp_path / "empty.git").as_uri()]
    for location in locations:
        with open_registry(location) as registry:
            with pytest.raises(
                NotFoundError, match=r"is empty: it has no branch main; its owner makes the first state"
            ):
                registry.models()
            with pytest.raises(NotFoundError, match="is empty"):
                registry.yank("a/b@1.0.0")
    with open_registry(tmp_path / "joined") as registry:
        with pytest.raises(NotFoundError, match="never fetched main from its origin; git fetch origin"):
            registry.models()
        with pytest.raises(NotFoundError, match="is empty"):
            registry.yank("a/b@1.0.0")
    with pytest.raises(InvalidError, match="is no registry"):
        clone(str(tmp_path / "empty.git"), tmp_path / "clone")
    assert not (tmp_path / "clone").exists()


def test_another_kind_of_repository_is_no_registry(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "project")
    git(tmp_path / "project", "commit", "--quiet", "--allow-empty", "-m", "Begin")
    with open_registry(tmp_path / "project") as registry:
        with pytest.raises(NotFoundError, match=r"registry\.yaml is missing at .*; is this a gitreg registry\?"):
            registry.status()
        with pytest.raises(NotFoundError, match="there is no model a/b"):
            registry.show("a/b")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("file:///nonexistent/registry.git", NotFoundError),
        ("nosuch", NotFoundError),
        ("ssh://127.0.0.1:1/registry.git", UnavailableError),
        ("http://127.0.0.1:1/registry.git", UnavailableError),
        ("git://127.0.0.1:1/registry.git", UnavailableError),
        ("https://", GitregError),
        ("ssh://-oProxyCommand=touch%20pwned/x", GitregError),
        ("x" * 5000, InvalidError),
        ("~nobody-of-this-name/registry", InvalidError),
        ("a\0b", InvalidError),
    ],
)
def test_a_url_that_is_none_is_told_of_and_leaves_nothing(
    url: str, kind: type[GitregError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITREG_CACHE", str(tmp_path / "cache"))
    with pytest.raises(kind), open_registry(url) as registry:
        registry.models()
    assert not Path("pwned").exists()
    assert not list((tmp_path / "cache").glob("registries/*"))
