from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import ConflictError, InvalidError
from gitreg.gate_hooks.audit import audit_path, head_path
from gitreg.gate_hooks.configuration import configure_server
from gitreg.gate_hooks.examine import examine, in_force
from gitreg.gate_hooks.install import CLONE_HOOKS, SERVER_HOOKS, hook_text, install
from gitreg.git import Repository
from gitreg.layout import MAIN
from gitreg.registry.setup import InitRequest, fix, init
from tests.gate.support import version_file
from tests.gate_hooks.support import Server, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg.gate_hooks.finding import Finding
    from tests.gate_hooks.signing import SignedServer


@pytest.fixture
def registry(server: Server) -> Iterator[Repository]:
    with Repository.open(server.path) as repository:
        yield repository


def wrong(repository: Repository) -> dict[str, Finding]:
    with Repository.open(repository.git_dir) as fresh:
        return {finding.subject: finding for finding in examine(fresh) if not finding.fine}


def test_a_new_registry_is_in_order(registry: Repository) -> None:
    assert wrong(registry) == {}
    assert in_force(registry)


@pytest.mark.parametrize("name", SERVER_HOOKS)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("missing", "is missing"),
        ("emptied", "is empty: every push would pass"),
        ("blank", "is empty: every push would pass"),
        ("not executable", "is not executable, so git skips it"),
        ("altered", "was altered"),
        ("bypassed", "was altered"),
        ("replaced", "does not run gitreg"),
        ("moved venv", "which does not exist"),
    ],
)
def test_a_damaged_hook_is_found(registry: Repository, name: str, damage: str, said: str) -> None:
    hook = registry.git_dir / "hooks" / name
    text = hook.read_text()
    if damage == "missing":
        hook.unlink()
    elif damage == "not executable":
        hook.chmod(0o644)
    else:
        changed = {
            "emptied": "",
            "blank": " \n",
            "altered": text + "# mine\n",
            "bypassed": text.replace("#!/bin/sh\n", "#!/bin/sh\nexit 0\n"),
            "replaced": "#!/bin/sh\nexit 0\n",
            "moved venv": text.replace('exec "', 'exec "/nowhere'),
        }
        hook.write_text(changed[damage])

    found = wrong(registry)

    assert list(found) == [name]
    assert said in found[name].message
    assert found[name].remedy


@pytest.mark.parametrize("name", [MAIN, "HEAD"])
def test_a_lock_of_main_that_stays_is_found(registry: Repository, name: str) -> None:
    lock = registry.common_dir / f"{name}.lock"
    lock.touch()
    assert not wrong(registry)  # git may be at work
    os.utime(lock, (0, 0))
    assert "nobody can push" in wrong(registry)[lock.relative_to(registry.common_dir).as_posix()].message


def test_hooks_that_git_does_not_run_are_found(registry: Repository, tmp_path: Path) -> None:
    registry.run(["config", "core.hooksPath", str(tmp_path)])

    found = wrong(registry)

    assert list(found) == ["core.hooksPath"]
    assert "bypassed" in found["core.hooksPath"].message


def test_a_pusher_s_own_configuration_leads_no_hook_away(server: Server, tmp_path: Path) -> None:
    run(["git", "config", "--global", "core.hooksPath", str(tmp_path)], tmp_path)

    assert not server.push("bob", version_file("1.1.0")).accepted


def test_hooks_that_are_led_away_are_found_and_put_back(server: Server, tmp_path: Path) -> None:
    run(["git", "config", "--global", "core.hooksPath", str(tmp_path)], tmp_path)
    server.git("config", "--unset", "core.hooksPath")
    assert server.push("bob", version_file("1.1.0")).accepted
    with Repository.open(server.path) as repository:
        assert list(wrong(repository)) == ["core.hooksPath"]

        fix(repository)

        assert wrong(repository) == {}
    assert not server.push("bob", version_file("1.2.0")).accepted


def test_a_registry_made_under_such_a_configuration_runs_its_own_hooks(tmp_path: Path) -> None:
    run(["git", "config", "--global", "core.hooksPath", "/nowhere"], tmp_path)

    result = init(InitRequest(path=tmp_path / "registry.git", bare=True, admin="root"))

    with Repository.open(result.path) as repository:
        assert in_force(repository)


def test_an_unset_or_unknown_identity_is_found(registry: Repository) -> None:
    registry.run(["config", "gitreg.identity", "GL_USERS"])
    assert list(wrong(registry)) == ["gitreg.identity"]
    registry.run(["config", "--unset", "gitreg.identity"])
    assert list(wrong(registry)) == ["gitreg.identity"]


def test_tags_that_clients_write_are_not_hidden_from_pushes(registry: Repository) -> None:
    registry.run(["config", "gitreg.deploytags", "client"])
    assert list(wrong(registry)) == ["receive.hideRefs"]

    configure_server(registry)
    assert wrong(registry) == {}

    registry.run(["config", "gitreg.deploytags", "server"])
    assert list(wrong(registry)) == ["receive.hideRefs"]


def test_everything_that_is_found_is_put_back(registry: Repository) -> None:
    hooks = registry.git_dir / "hooks"
    (hooks / "pre-receive").unlink()
    (hooks / "post-receive").write_text("")
    registry.run(["config", "receive.fsckObjects", "false"])
    registry.run(["config", "--unset-all", "receive.hideRefs"])

    fix(registry)

    assert wrong(registry) == {}


def test_a_foreign_hook_is_left_alone_and_nothing_is_changed(registry: Repository) -> None:
    hooks = registry.git_dir / "hooks"
    before = (hooks / "post-receive").read_bytes()
    (hooks / "post-receive").write_bytes(before + b"# older\n")
    (hooks / "pre-receive").write_text("#!/bin/sh\nexec /usr/share/gitolite/hooks/pre-receive\n")

    with pytest.raises(ConflictError, match="a pre-receive hook of another origin"):
        install(registry, SERVER_HOOKS)

    assert "gitolite" in (hooks / "pre-receive").read_text()
    assert (hooks / "post-receive").read_bytes() == before + b"# older\n"


def test_installing_again_changes_nothing(registry: Repository) -> None:
    before = {path.name: path.read_bytes() for path in (registry.git_dir / "hooks").iterdir()}

    install(registry, SERVER_HOOKS)

    assert {path.name: path.read_bytes() for path in (registry.git_dir / "hooks").iterdir()} == before


def test_a_hook_names_its_interpreter_absolutely_and_quotes_it() -> None:
    assert b'exec "/opt/my \\$venv/python" -I' in hook_text("pre-receive", "/opt/my $venv/python")
    with pytest.raises(InvalidError, match="no absolute path"):
        hook_text("pre-receive", "python3")


def test_a_clone_has_the_hooks_of_people(server: Server, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run(["git", "clone", "--quiet", str(server.path), str(clone)], tmp_path)
    with Repository.open(clone) as repository:
        assert {finding.subject for finding in examine(repository) if not finding.fine} == set(CLONE_HOOKS)

        fix(repository)

        assert in_force(repository)


def test_a_registry_with_a_work_tree_has_the_hooks_of_a_server(tmp_path: Path) -> None:
    result = init(InitRequest(path=tmp_path / "registry", admin="root", identity="account"))

    with Repository.open(result.path) as repository:
        assert in_force(repository)
        shutil.move(repository.git_dir / "hooks" / "pre-receive", tmp_path / "away")
        assert [finding.subject for finding in examine(repository) if not finding.fine] == ["pre-receive"]


@pytest.mark.parametrize("name", ["update", "post-update", "reference-transaction", "proc-receive", "push-to-checkout"])
def test_another_hook_that_git_runs_on_a_push_is_told_and_is_no_fault(registry: Repository, name: str) -> None:
    hook = registry.git_dir / "hooks" / name
    hook.write_text("#!/bin/sh\n")
    assert not notes(registry)

    hook.chmod(0o755)

    assert list(notes(registry)) == [name]
    assert wrong(registry) == {}


def notes(repository: Repository) -> dict[str, Finding]:
    with Repository.open(repository.git_dir) as fresh:
        return {finding.subject: finding for finding in examine(fresh) if finding.fine and finding.remedy}


def test_files_that_change_what_git_sees_are_found(server: Server, registry: Repository) -> None:
    tip = server.tip()
    files = {
        "info/grafts": f"{tip}\n",
        "objects/info/alternates": str(server.client.git_dir / "objects"),
        "shallow": f"{tip}\n",
    }
    for name, text in files.items():
        path = registry.git_dir / name
        path.parent.mkdir(exist_ok=True)
        if name != "shallow":  # which means something to git even when it is empty
            path.write_text("")
            assert wrong(registry) == {}
        path.write_text(text)
        found = wrong(registry)
        assert list(found) == [name]
        assert found[name].opens == (name != "objects/info/alternates")
        path.unlink()


def test_an_object_that_stands_in_for_another_is_found(server: Server, registry: Repository) -> None:
    tip = server.tip()
    server.git("update-ref", f"refs/replace/{tip}", tip)

    assert list(wrong(registry)) == [f"refs/replace/{tip}"]


@pytest.mark.parametrize("name", ["", "pre-receive"])
def test_hooks_that_anybody_may_write_to_are_found(registry: Repository, name: str) -> None:
    path = registry.git_dir / "hooks" / name
    path.chmod(0o777)

    found = wrong(registry)

    assert list(found) == [name or "hooks"]
    assert found[name or "hooks"].opens


GITEA = """\
#!/usr/bin/env bash
# AUTO GENERATED BY GITEA, DO NOT MODIFY
data=$(cat)
exitcodes=""
hookname=$(basename $0)
GIT_DIR=${GIT_DIR:-$(dirname $0)/..}

for hook in ${GIT_DIR}/hooks/${hookname}.d/*; do
  # Avoid running non-executable hooks
  test -x "${hook}" && test -f "${hook}" || continue
  echo "${data}" | "${hook}"
  exitcodes="${exitcodes} $?"
done

for i in ${exitcodes}; do
  [ ${i} -eq 0 ] || exit ${i}
done
"""


def test_where_the_git_server_s_hook_hands_on_ours_is_put_beside(server: Server, registry: Repository) -> None:
    hooks = registry.git_dir / "hooks"
    for name in SERVER_HOOKS:
        (hooks / name).write_text(GITEA)
        (hooks / name).chmod(0o755)
    assert set(wrong(registry)) == set(SERVER_HOOKS)

    fix(registry)

    assert wrong(registry) == {}
    assert (hooks / "pre-receive").read_text() == GITEA
    assert not server.push("bob", version_file("1.1.0")).accepted
    assert server.push("alice", version_file("1.1.0")).accepted
    (hooks / "pre-receive.d" / "gitreg").write_text("")
    assert list(wrong(registry)) == ["pre-receive"]


def test_what_only_costs_time_does_not_open_the_gate(registry: Repository) -> None:
    registry.run(["config", "receive.autogc", "true"])

    assert not wrong(registry)["receive.autogc"].opens


@pytest.mark.parametrize("name", SERVER_HOOKS)
def test_a_hook_that_is_not_in_force_opens_the_gate(registry: Repository, name: str) -> None:
    (registry.git_dir / "hooks" / name).write_text("")

    assert wrong(registry)[name].opens


def test_a_repository_of_another_server_becomes_a_registry_and_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "models.git"
    run(["git", "init", "--quiet", "--bare", "--initial-branch=master", str(path)], tmp_path)
    (path / "hooks" / "update").write_text("#!/bin/sh\n")
    (path / "hooks" / "update").chmod(0o755)

    first = init(InitRequest(path=path, bare=True, admin="root", identity="GL_USER"))
    config = (path / "config").read_bytes()
    again = init(InitRequest(path=path, bare=True))

    assert again.identity == "GL_USER"
    assert again.commit == first.commit
    assert (path / "config").read_bytes() == config
    assert (path / "hooks" / "update").exists()
    with Repository.open(path) as repository:
        assert wrong(repository) == {}


# What keeps a push from being logged or judged


def test_a_log_that_is_missing_is_found(registry: Repository) -> None:
    for path in (audit_path(registry.git_dir), head_path(registry.git_dir)):
        path.unlink()

    found = wrong(registry)

    assert list(found) == ["audit log"]
    assert "the registry has no audit log: no push is accepted" in found["audit log"].message


@pytest.mark.parametrize("damage", ["cut", "emptied", "half gone", "a link"])
def test_a_damaged_log_is_found(server: Server, registry: Repository, damage: str) -> None:
    assert server.push("alice", version_file("1.1.0")).accepted
    log = audit_path(registry.git_dir)
    if damage == "cut":
        log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    elif damage == "emptied":
        log.write_bytes(b"")
    elif damage == "half gone":
        head_path(registry.git_dir).unlink()
    else:
        log.rename(log.with_suffix(".away"))
        log.symlink_to(log.with_suffix(".away"))

    assert list(wrong(registry)) == ["audit log"]


def test_settings_that_do_not_ask_for_the_signatures_that_tell_who_pushes_are_found(registry: Repository) -> None:
    registry.run(["config", "gitreg.identity", "signature"])

    found = wrong(registry)

    assert list(found) == ["gitreg.identity"]
    assert "registry.yaml on main does not ask for them" in found["gitreg.identity"].message


def test_signatures_that_nobody_can_verify_are_found(
    signed_server: SignedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Repository.open(signed_server.path) as registry:
        assert wrong(registry) == {}
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "git").symlink_to(str(shutil.which("git")))
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))

        assert list(wrong(registry)) == ["ssh-keygen"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (None, "is missing on main"),
        (b"junk\n", "no push is accepted"),
        (b"", "no admin has a key that counts now"),
    ],
)
def test_keys_by_which_nobody_can_push_are_found(signed_server: SignedServer, keys: bytes | None, said: str) -> None:
    # As its owner could leave it; a push could not.
    server = signed_server
    lines = keys if keys is None else keys + server.people.lines("alice").encode()
    oid = server.signed("root", {"keys/allowed_signers": lines})
    shutil.copytree(server.client.git_dir / "objects", server.path / "objects", dirs_exist_ok=True)
    server.git("update-ref", "refs/heads/main", oid)

    with Repository.open(server.path) as registry:
        found = wrong(registry)

    assert list(found) == ["keys/allowed_signers"]
    assert said in found["keys/allowed_signers"].message
