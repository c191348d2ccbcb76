"""The files of deploy/ name things that are there: commands, options, paths, each other."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from gitreg.cli.group import gitreg
from gitreg.git import Repository
from gitreg.server.auth.settings import read_settings
from gitreg.server.operations.replica import primary_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def _documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def _unit(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    return parser


def _containers(path: Path) -> Iterator[dict[str, Any]]:
    for document in _documents(path):
        spec = document.get("spec", {}).get("template", {}).get("spec", {})
        yield from [*spec.get("initContainers", ()), *spec.get("containers", ())]


def _commands() -> Iterator[list[str]]:
    """Give every command line of gitreg's in these files."""
    unit = _unit(DEPLOY / "systemd" / "gitreg.service")
    yield shlex.split(unit["Service"]["ExecStart"])[1:]
    for service in yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"].values():
        if "command" in service:
            yield service["command"]
    for path in MANIFESTS:
        yield from (each["args"] for each in _containers(path) if "args" in each)
    (line,) = re.findall(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    yield yaml.safe_load(line)


@pytest.mark.parametrize("words", list(_commands()), ids=" ".join)
def test_every_command_is_one_of_gitreg_s(words: list[str]) -> None:
    # Options are read before --help is answered: one that is unknown is an error all the same.
    done = CliRunner().invoke(gitreg, [*words, "--help"])
    assert done.exit_code == 0, done.output


def test_the_unit_confines_the_server_to_its_folder() -> None:
    service = _unit(DEPLOY / "systemd" / "gitreg.service")["Service"]
    assert service["User"] == "gitreg"
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"] == "/srv/gitreg"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_knows_every_setting_of_the_units(path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    done = subprocess.run([analyze, "verify", "--man=no", str(path)], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if path.name in line and "is not executable" not in line]
    assert complaints == []


def test_the_image_copies_what_is_there_and_runs_as_nobody_special() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for word in line.split()]
    assert copied
    assert [each for each in copied if not (ROOT / each).exists()] == []
    included = set(
        yaml.safe_load(
            str(re.findall(r'^"(\w[\w-]*)" = "gitreg/_data', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
        )
    )
    assert included <= set(copied)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in text


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_sound(path: Path) -> None:
    for each in _containers(path):
        security = each["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in each["resources"]["limits"]
    for document in _documents(path):
        spec = document.get("spec", {})
        labels = spec.get("template", {}).get("metadata", {}).get("labels", {})
        assert spec.get("selector", {}).get("matchLabels", {}).items() <= labels.items() or "template" not in spec


def test_the_kustomization_lists_every_manifest() -> None:
    (kustomization,) = _documents(DEPLOY / "kubernetes" / "kustomization.yaml")
    others = {path.name for path in MANIFESTS} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == others


def test_the_followers_script_is_a_shell_script_that_clones_and_fetches(tmp_path: Path) -> None:
    (config,) = [each for each in _documents(DEPLOY / "kubernetes" / "replicas.yaml") if each["kind"] == "ConfigMap"]
    script = tmp_path / "follow.sh"
    script.write_text(
        config["data"]["follow.sh"]
        .replace("/srv/gitreg/models.git", str(tmp_path / "models.git"))
        .replace("http://gitreg/registry.git", str(tmp_path / "primary.git"))
        .replace("while sleep 10", "for _ in 1")
        .replace("/etc/gitreg-settings", str(tmp_path))
    )
    _settings(tmp_path)
    for words in (["git", "init", "--quiet", "--bare", "primary.git"], ["sh", "follow.sh", "clone"]):
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, env=_environment())
    tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    primary = tmp_path / "primary.git"
    subprocess.run(["git", "mktree"], cwd=primary, input=b"", check=True, capture_output=True)
    made = subprocess.run(
        ["git", "commit-tree", "-m", "x", tree], cwd=primary, check=True, capture_output=True, text=True
    )
    subprocess.run(["git", "update-ref", "refs/heads/main", made.stdout.strip()], cwd=primary, check=True)
    for word in ("clone", "fetch"):
        subprocess.run(["sh", "follow.sh", word], cwd=tmp_path, check=True, capture_output=True, env=_environment())
    replica = tmp_path / "models.git"
    read = subprocess.run(["git", "rev-parse", "main"], cwd=replica, check=True, capture_output=True, text=True)
    assert read.stdout == made.stdout
    known = subprocess.run(
        ["git", "config", "gitreg.serve.primary"], cwd=replica, capture_output=True, text=True, check=True
    )
    assert known.stdout == "https://models.example.org\n"
    with Repository.open(replica) as repository:
        found = read_settings(repository)
        assert primary_of(repository) == found.url == "https://models.example.org"
    assert list(found.issuers) == ["https://login.example.org"]


def _settings(folder: Path) -> Path:
    """Write the primary's script of settings for a registry in a folder."""
    (settings,) = [each for each in _documents(DEPLOY / "kubernetes" / "primary.yaml") if each["kind"] == "ConfigMap"]
    script = folder / "settings.sh"
    script.write_text(settings["data"]["settings.sh"].replace("/srv/gitreg/models.git", str(folder / "models.git")))
    return script


def test_nobody_of_the_provider_s_is_the_admin_and_a_restored_volume_s_tokens_count(tmp_path: Path) -> None:
    bare = tmp_path / "models.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True, env=_environment())
    tokens = bare / "gitreg" / "tokens"
    tokens.parent.mkdir()
    tokens.touch()
    tokens.chmod(0o660)  # as fsGroup leaves it
    subprocess.run(["sh", str(_settings(tmp_path))], check=True, capture_output=True, env=_environment())
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    (words,) = [each for each in _commands() if "init" in each and "/srv/gitreg/models.git" in each][:1]
    admin = words[words.index("--admin") + 1]
    with Repository.open(bare) as repository:
        prefixes = [each.prefix for each in read_settings(repository).issuers.values()]
    assert prefixes
    assert not [each for each in prefixes if admin.startswith(each)]


def _environment() -> dict[str, str]:
    return {**os.environ, "PRIMARY": "https://models.example.org"}
