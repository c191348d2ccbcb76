from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from gitreg.git import Repository, refs, sealed_environment, write_commit
from gitreg.git.environment import concerns_access, with_config
from tests.git.support import ALICE, MAIN, advance, git

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _pairs(environment: dict[str, str]) -> list[tuple[str, str]]:
    count = int(environment["GIT_CONFIG_COUNT"])
    return [(environment[f"GIT_CONFIG_KEY_{n}"], environment[f"GIT_CONFIG_VALUE_{n}"]) for n in range(count)]


def test_variables_that_bend_results_go_and_those_for_access_stay() -> None:
    sealed = sealed_environment(
        {
            "HOME": "/home/alice",
            "GIT_DIR": "/elsewhere",
            "GIT_INDEX_FILE": "index",
            "GIT_NAMESPACE": "n",
            "GIT_CONFIG_PARAMETERS": "'core.bare'='true'",
            "GIT_REPLACE_REF_BASE": "refs/x/",
            "GIT_SSH_COMMAND": "ssh -i key",
            "GIT_AUTHOR_NAME": "Alice",
            "LANGUAGE": "de",
        }
    )
    assert not {"GIT_DIR", "GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_CONFIG_PARAMETERS", "LANGUAGE"} & set(sealed)
    assert sealed["GIT_SSH_COMMAND"] == "ssh -i key"
    assert sealed["GIT_AUTHOR_NAME"] == "Alice"
    assert sealed["HOME"] == "/home/alice"
    assert sealed["GIT_NO_REPLACE_OBJECTS"] == "1"
    assert sealed["LC_ALL"] == "C"


def test_a_trace_to_standard_error_goes_and_one_to_a_file_stays() -> None:
    sealed = sealed_environment({"GIT_TRACE": "1", "GIT_TRACE2": "/tmp/trace"})  # noqa: S108 - never opened
    assert "GIT_TRACE" not in sealed
    assert "GIT_TRACE2" in sealed


def test_quarantine_variables_stay_only_where_they_are_asked_for() -> None:
    base = {
        "GIT_OBJECT_DIRECTORY": "/r/objects/tmp",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/r/objects",
        "GIT_QUARANTINE_PATH": "/r/objects/tmp",
    }
    assert not set(base) & set(sealed_environment(base))
    assert base.items() <= sealed_environment(base, quarantine=True).items()


def test_the_index_of_a_commit_in_progress_stays_only_where_it_is_asked_for(tmp_path: Path) -> None:
    base = {"GIT_INDEX_FILE": str(tmp_path / "next-index")}
    assert sealed_environment(base, index=True)["GIT_INDEX_FILE"] == str(tmp_path / "next-index")


def test_configuration_from_the_environment_passes_where_it_is_about_access() -> None:
    base = {
        "GIT_CONFIG_COUNT": "4",
        "GIT_CONFIG_KEY_0": "http.https://host/.extraHeader",
        "GIT_CONFIG_VALUE_0": "Authorization: secret",
        "GIT_CONFIG_KEY_1": "core.bare",
        "GIT_CONFIG_VALUE_1": "true",
        "GIT_CONFIG_KEY_2": "safe.directory",
        "GIT_CONFIG_VALUE_2": "*",
        "GIT_CONFIG_KEY_3": "URL.ssh://git@host/.insteadOf",
        "GIT_CONFIG_VALUE_3": "https://host/",
    }
    keys = [key for key, _ in _pairs(sealed_environment(base))]
    assert keys[:3] == ["http.https://host/.extraHeader", "safe.directory", "URL.ssh://git@host/.insteadOf"]
    assert "core.bare" not in keys
    in_hook = [key for key, _ in _pairs(sealed_environment(base, quarantine=True))]
    assert in_hook[0] == "safe.directory"
    assert "http.https://host/.extraHeader" not in in_hook


def test_a_broken_count_of_configuration_is_ignored() -> None:
    assert _pairs(sealed_environment({"GIT_CONFIG_COUNT": "many"})) == _pairs(sealed_environment({}))
    assert _pairs(sealed_environment({"GIT_CONFIG_COUNT": "2"})) == _pairs(sealed_environment({}))


def test_added_configuration_comes_last_and_so_wins() -> None:
    environment = with_config(sealed_environment({}), [("gc.auto", "7")])
    assert _pairs(environment)[-1] == ("gc.auto", "7")


def test_only_access_and_identity_concern_access() -> None:
    assert concerns_access("user.name")
    assert concerns_access("credential.https://host.helper")
    assert concerns_access("core.sshCommand")
    assert not concerns_access("core.hooksPath")
    assert not concerns_access("alias.push")


_BENT = """
[core]
    quotePath = true
    fsmonitor = /bin/false
    ignoreCase = true
    logAllRefUpdates = always
[log]
    showSignature = true
    date = relative
[i18n]
    commitEncoding = ISO-8859-1
    logOutputEncoding = ISO-8859-1
[color]
    ui = always
    branch = always
[alias]
    cat-file = !false
    rev-list = !false
[fastimport]
    unpackLimit = 1
[trailer]
    separators = "=#"
[tag]
    gpgSign = true
"""


def test_the_users_configuration_does_not_bend_what_is_read_and_written(repository: Repository, home: Path) -> None:
    with (home / ".gitconfig").open("a") as file:
        file.write(_BENT)
    with Repository.open(repository.git_dir) as opened:
        edits: dict[str, bytes | None] = {"Grüße/a": b"1", "grüße/a": b"2", "GRÜSSE": b"3"}
        tip = write_commit(
            opened, parent=None, edits=edits, message="Größe\n\nReason: ñ", author=ALICE, committer=ALICE
        )
        refs.update(opened, MAIN, tip, None)
        assert opened.objects.blob(tip, "Grüße/a") == b"1"
        assert opened.objects.blob(tip, "grüße/a") == b"2"
        assert opened.objects.commit(tip).trailers == {"Reason": "ñ"}
        assert opened.config("core.quotePath") == "false"
        assert refs.resolve(opened, MAIN) == tip


def test_the_users_index_and_work_tree_are_not_touched(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "init", "-q", str(clone))
    (clone / "staged").write_text("1")
    (clone / "loose").write_text("2")
    git(clone, "add", "staged")
    index = (clone / ".git" / "index").read_bytes()
    with Repository.open(clone) as opened:
        advance(opened, {"models/a": b"x"})
        advance(opened, {"models/b": b"y"})
    assert (clone / ".git" / "index").read_bytes() == index
    assert sorted(path.name for path in clone.iterdir()) == [".git", "loose", "staged"]


def test_another_repositorys_variables_do_not_lead_astray(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip = advance(repository, {"a": b"1"})
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "other.git")], check=True)
    for name, value in {
        "GIT_DIR": str(tmp_path / "other.git"),
        "GIT_OBJECT_DIRECTORY": str(tmp_path / "other.git" / "objects"),
        "GIT_WORK_TREE": str(tmp_path),
        "GIT_COMMON_DIR": str(tmp_path / "other.git"),
    }.items():
        monkeypatch.setenv(name, value)
    with Repository.open(repository.git_dir) as opened:
        assert opened.objects.blob(tip, "a") == b"1"
