from __future__ import annotations

from pathlib import Path

import pytest

import gitreg
from gitreg import GitregError
from gitreg.client.tokens import origin, token_for
from gitreg.git import sealed_environment
from gitreg.git.process import Runner
from tests.client.front import standing

CORP, OTHER = "https://models.corp.example", "https://models.other.example"
EVERY = ("GITREG_TOKEN", "GITREG_TOKEN_FILE", "GITREG_REGISTRY")


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EVERY:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write a token down."""
    found = tmp_path / "token"
    found.write_text("of-the-file\n")
    found.chmod(0o600)
    return found


def _config(key: str, value: object) -> None:
    Runner(Path("/"), sealed_environment()).run(["config", "--global", key, str(value)])


@pytest.mark.parametrize(
    ("registry", "url", "sent"),
    [
        (CORP, CORP, True),
        (CORP, f"{CORP}/below", True),
        (f"{CORP}/registry.git", CORP, True),
        (CORP, "https://MODELS.corp.example:443", True),
        (CORP, OTHER, False),
        (CORP, f"{CORP}:8443", False),
        (CORP, CORP.replace("https", "http"), False),
        (CORP, f"{CORP}.evil.example", False),
        (CORP, f"https://else.example/{CORP}", False),
        (None, OTHER, True),
        ("/srv/models.git", OTHER, True),
        ("https://host:99999999", OTHER, True),
    ],
)
def test_the_token_of_the_environment_goes_to_the_server_that_it_names(
    registry: str | None, url: str, *, sent: bool
) -> None:
    environ = {"GITREG_TOKEN": "secret"} | ({"GITREG_REGISTRY": registry} if registry else {})
    found = token_for(url, environ)
    assert found.text == ("secret" if sent else None)
    assert "secret" not in found.advice
    assert sent or f"no token is sent to {origin(url)}, because GITREG_TOKEN is for {CORP}" in found.advice


def test_it_goes_to_the_registry_of_the_configuration_by_its_name_as_well() -> None:
    _config("gitreg.registry.corp.url", CORP)
    _config("gitreg.registry", "corp")
    assert token_for(CORP, {"GITREG_TOKEN": "secret"}).text == "secret"
    assert token_for(OTHER, {"GITREG_TOKEN": "secret"}).text is None
    assert token_for(OTHER, {"GITREG_TOKEN": "secret", "GITREG_REGISTRY": OTHER}).text == "secret"


def test_each_server_has_a_file_of_its_own(file: Path, tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.write_text("of-below")
    below.chmod(0o600)
    _config(f"gitreg.{OTHER}.tokenFile", file)
    _config(f"gitreg.{OTHER}/team.tokenFile", below)
    held = {"GITREG_TOKEN": "secret", "GITREG_REGISTRY": CORP}
    assert token_for(OTHER, held).text == "of-the-file"
    assert token_for(f"{OTHER}/team/a", held).text == "of-below"
    assert token_for(f"{OTHER}/teams", held).text == "of-the-file"
    assert token_for("https://third.example", held).text is None


def test_a_file_without_a_server_is_for_the_registry_beside_it(file: Path) -> None:
    _config("gitreg.tokenfile", file)
    assert "which names none" in token_for(CORP, {}).advice
    assert token_for(CORP, {"GITREG_REGISTRY": CORP}).text is None
    _config("gitreg.registry", CORP)
    assert token_for(CORP, {}).text == "of-the-file"
    assert f"is for {CORP}" in token_for(OTHER, {"GITREG_REGISTRY": OTHER}).advice


def test_without_git_the_environment_still_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    environ = {"GITREG_TOKEN": "secret", "GITREG_REGISTRY": CORP}
    assert token_for(CORP, environ).text == "secret"
    assert token_for(OTHER, environ).text is None
    assert "there is none" in token_for(OTHER, {}).advice


def test_a_server_that_a_command_names_hears_no_token_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITREG_TOKEN", "secret")
    monkeypatch.setenv("GITREG_REGISTRY", CORP)
    root = (200, {"content-type": "application/json"}, b'{"service": "gitreg"}')
    refused = (401, {"content-type": "application/problem+json"}, b'{"detail": "who are you?"}')
    with (
        standing(says=lambda path: root if path == "/" else refused) as evil,
        gitreg.open(evil.url) as registry,
        pytest.raises(GitregError, match=f"no token is sent to {evil.url}, because GITREG_TOKEN is for {CORP}"),
    ):
        registry.versions("risk/fraud")
    assert len(evil.seen) == 2
    assert not any("authorization" in headers for _, _, headers in evil.seen)
