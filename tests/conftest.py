"""Seal every test from the machine it runs on: home, git's configuration, identities, the time zone."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from gitreg import resources

if TYPE_CHECKING:
    from collections.abc import Iterator

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")

_GIT_CONFIG = """\
[user]
    name = Test User
    email = test@example.org
[init]
    defaultBranch = main
[core]
    editor = true
[gc]
    auto = 0
[maintenance]
    auto = false
"""
_CLEARED_PREFIXES = ("GIT_", "GITREG_", "GITEA_", "GITHUB_", "GITLAB_", "GL_", "SSH_", "XDG_")
_CLEARED = frozenset(
    {"CI", "COLUMNS", "EDITOR", "EMAIL", "FORCE_COLOR", "LINES", "NO_COLOR", "PAGER", "REMOTE_USER", "VISUAL"}
)

# Said by .ci/run, about the tests themselves: a server that is missing fails them.
_KEPT = frozenset({"GITREG_REQUIRE_SERVERS"})


def _seal(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name in os.environ:
        if (name.startswith(_CLEARED_PREFIXES) or name in _CLEARED) and name not in _KEPT:
            monkeypatch.delenv(name)
    config = home / ".gitconfig"
    config.write_text(_GIT_CONFIG, encoding="utf-8")
    sealed = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        # No test cuts the power: what the machine's git syncs only takes time.
        "GIT_TEST_FSYNC": "0",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    for name, value in sealed.items():
        monkeypatch.setenv(name, value)
    time.tzset()


@pytest.fixture(scope="session", autouse=True)
def _sealed_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Seal what session fixtures do before the first test."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _seal(monkeypatch, tmp_path_factory.mktemp("session-home"))
        yield


@pytest.fixture(autouse=True)
def _sealed(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a home folder of its own, with a git configuration that knows a user."""
    folder = tmp_path_factory.mktemp("home")
    _seal(monkeypatch, folder)
    return folder


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Take away the log that a server in this process has set up: others read what is on standard error."""
    yield
    for each in logging.root.handlers[:]:
        if isinstance(each, logging.StreamHandler) and each.stream is sys.__stderr__:
            logging.root.removeHandler(each)


@pytest.fixture
def home(_sealed: Path) -> Path:
    """Name the test's home folder; `.gitconfig` in it is git's global configuration."""
    return _sealed


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--installed-wheel", action="store_true", help="fail unless the tested gitreg was installed from a wheel"
    )


def pytest_configure(config: pytest.Config) -> None:
    code = _package()
    if config.getoption("installed_wheel") and code.is_relative_to(config.rootpath / "src"):
        raise pytest.UsageError(f"--installed-wheel, but gitreg was imported from {code}")


def pytest_report_header() -> str:
    return f"gitreg: {_package()}"


def _package() -> Path:
    return Path(resources.__file__).resolve().parent
