"""Several registries, each by a name that this machine gave it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import gitreg as library
from gitreg.config import locate, place_of, registry_names
from gitreg.errors import InvalidError, NotFoundError
from gitreg.names import Selector, split_registry
from tests.cli.conftest import Result

Gitreg = Callable[..., Result]


@pytest.fixture
def corp(registry: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> Path:
    """Name a registry, to be read only, and stand where there is none."""
    return _named(registry, monkeypatch, tmp_path, home)


@pytest.fixture
def own_corp(own_registry: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> Path:
    """Name a registry that a test may write to."""
    return _named(own_registry, monkeypatch, tmp_path, home)


def _named(place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> Path:
    monkeypatch.delenv("GITREG_REGISTRY")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with (home / ".gitconfig").open("a") as file:
        file.write(f'[gitreg "registry.corp"]\n\turl = {place}\n')
    return place


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("corp:risk/fraud@prod", ("corp", "risk/fraud@prod")),
        ("corp:models:/risk/fraud/1.0.0", ("corp", "models:/risk/fraud/1.0.0")),
        ("risk/fraud@prod", (None, "risk/fraud@prod")),
        ("models:/risk/fraud@prod", (None, "models:/risk/fraud@prod")),
        ("risk/fraud:x@prod", (None, "risk/fraud:x@prod")),
        ("risk/fraud@a:b", (None, "risk/fraud@a:b")),
    ],
)
def test_the_name_of_a_registry_comes_before_the_model(text: str, parts: tuple[str | None, str]) -> None:
    assert split_registry(text) == parts


@pytest.mark.parametrize("text", ["Corp:risk/fraud", ":risk/fraud", "a b:risk/fraud", "a.b:risk/fraud"])
def test_a_name_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is not a registry name"):
        split_registry(text)


@pytest.mark.parametrize(
    "words",
    [
        ("show", "corp:risk/fraud@1.0.0"),
        ("show", "corp:risk/fraud", "--card"),
        ("show", "corp:models:/risk/fraud/1.0.0"),
        ("versions", "corp:risk/fraud"),
        ("history", "corp:risk/fraud", "prod"),
        ("lineage", "corp:risk/fraud@1.1.0"),
        ("diff", "corp:risk/fraud@1.0.0", "1.1.0"),
        ("diff", "corp:risk/fraud@1.0.0", "corp:risk/fraud@1.1.0"),
        ("compare", "corp:risk/fraud@1.0.0", "corp:risk/fraud@1.1.0"),
        ("status", "prod", "corp:risk/fraud"),
        ("log", "corp:risk/fraud"),
        ("access", "explain", "alice", "corp:risk/fraud"),
        ("deploy", "corp:risk/fraud@1.1.0", "prod", "--dry-run"),
        ("alias", "corp:risk/fraud@1.1.0", "best", "--dry-run"),
        ("pull", "corp:risk/fraud@1.0.0", "-o", "out"),
        ("lock", "corp:risk/fraud@1.0.0"),
        ("--registry", "corp", "show", "risk/fraud@1.0.0"),
        ("--registry", "corp:", "show", "risk/fraud@1.0.0"),
        ("--registry", "corp", "show", "corp:risk/fraud@1.0.0"),
        ("show", "risk/fraud@1.0.0", "--registry", "corp"),
        ("clone", "corp", "copy"),
    ],
)
@pytest.mark.usefixtures("corp")
def test_every_command_finds_the_registry_by_its_name(gitreg: Gitreg, words: tuple[str, ...]) -> None:
    found = gitreg(*words)
    assert found.code == 0, found.err
    assert found.out


def test_a_name_goes_before_the_registry_at_hand(corp: Path, gitreg: Gitreg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITREG_REGISTRY", "/nowhere")
    assert gitreg("versions", "risk/fraud").code == NotFoundError.exit_code
    assert gitreg("versions", "corp:risk/fraud").code == 0
    assert corp.is_dir()


@pytest.mark.usefixtures("corp")
def test_a_name_goes_before_a_folder_of_that_name(gitreg: Gitreg) -> None:
    Path("corp").mkdir()
    assert gitreg("--registry", "corp", "versions", "risk/fraud").code == 0
    assert gitreg("--registry", "./corp", "versions", "risk/fraud").code == InvalidError.exit_code


@pytest.mark.parametrize("words", [("show", "crop:risk/fraud"), ("--registry", "crop:", "list")])
@pytest.mark.usefixtures("corp")
def test_an_unknown_name_says_which_was_meant(gitreg: Gitreg, words: tuple[str, ...]) -> None:
    found = gitreg(*words)
    assert found.code == NotFoundError.exit_code
    assert "there is no registry named crop" in found.err
    assert "did you mean corp?" in found.err
    assert "gitreg config registry.crop" in found.err


@pytest.mark.parametrize(
    "words",
    [
        ("lock", "corp:risk/fraud@1.0.0", "other:risk/fraud@1.1.0"),
        ("diff", "corp:risk/fraud@1.0.0", "risk/fraud@1.1.0"),
        ("diff", "risk/fraud@1.0.0", "corp:risk/fraud@1.1.0"),
        ("compare", "corp:risk/fraud@1.0.0", "risk/fraud@1.1.0"),
        ("--registry", "corp", "compare", "corp:risk/fraud@1.0.0", "other:risk/fraud@1.1.0"),
        ("--registry", "other", "show", "corp:risk/fraud"),
    ],
)
def test_one_command_works_on_one_registry(corp: Path, gitreg: Gitreg, words: tuple[str, ...]) -> None:
    assert gitreg("config", "registry.other", corp).code == 0
    found = gitreg(*words)
    assert found.code == InvalidError.exit_code
    assert "two registries" in found.err or "another" in found.err


def test_versions_of_two_registries_are_told_apart(corp: Path, gitreg: Gitreg) -> None:
    assert gitreg("config", "registry.other", corp).code == 0
    told = gitreg("diff", "corp:risk/fraud@1.0.0", "other:risk/fraud@1.1.0")
    assert (told.code, told.lines[0]) == (0, "corp:risk/fraud@1.0.0 → other:risk/fraud@1.1.0")
    assert told.lines[1:] == gitreg("diff", "corp:risk/fraud@1.0.0", "1.1.0").lines[1:]
    compared = ["corp:risk/fraud@1.0.0", "corp:risk/fraud@1.1.0", "other:risk/fraud@1.0.0"]
    table = gitreg("compare", compared[0], "@1.1.0", compared[2])
    assert table.lines[0].split() == compared


def test_names_are_settings_of_the_user(corp: Path, gitreg: Gitreg, home: Path) -> None:
    assert gitreg("config", "registry.corp", corp).code == 0
    assert (home / ".gitconfig").read_text(encoding="utf-8").count(f'[gitreg "registry.corp"]\n\turl = {corp}') == 1
    assert gitreg("config", "registry.corp").out == f"{corp}\n"
    keys = {each["key"]: each.get("value") for each in json.loads(gitreg("config", "--json").out)}
    assert keys["gitreg.registry.corp.url"] == str(corp)
    assert gitreg("config", "registry.far", "ssh://git@host/models.git").code == 0
    assert registry_names() == {"corp": str(corp), "far": "ssh://git@host/models.git"}
    assert gitreg("config", "registry.corp", "--unset").code == 0
    assert registry_names() == {"far": "ssh://git@host/models.git"}
    assert gitreg("config", "registry.corp").code == NotFoundError.exit_code
    assert gitreg("config", "registry.models", "x").code == InvalidError.exit_code


def test_a_path_is_kept_whole(corp: Path, gitreg: Gitreg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corp.parent)
    assert gitreg("config", "registry.near", corp.name).code == 0
    assert place_of("near") == str(corp)


@pytest.mark.usefixtures("corp")
def test_a_name_stands_for_a_place_and_not_for_a_name(gitreg: Gitreg, home: Path) -> None:
    with (home / ".gitconfig").open("a") as file:
        file.write('[gitreg "registry.loop"]\n\turl = loop\n[gitreg "registry.Bad name"]\n\turl = x\n')
    assert gitreg("versions", "loop:risk/fraud").code == NotFoundError.exit_code
    assert "Bad name" not in registry_names()


@pytest.mark.usefixtures("corp")
def test_python_finds_the_registry_by_its_name(tmp_path: Path) -> None:
    version = library.get_model("corp:risk/fraud@1.0.0")
    assert str(version.version) == "1.0.0"
    assert (version.download(tmp_path / "out") / "model.safetensors").is_file()
    with library.open("corp") as registry:
        assert str(registry.get_model("risk/fraud@1.0.0").version) == "1.0.0"
        with pytest.raises(InvalidError, match="names a registry where one is open already"):
            registry.get_model("corp:risk/fraud@1.0.0")
    with pytest.raises(NotFoundError, match="no registry named crop"):
        library.get_model("crop:risk/fraud")


@pytest.mark.usefixtures("own_corp")
def test_python_registers_in_the_registry_that_is_named(tmp_path: Path) -> None:
    weights = library.get_model("corp:risk/fraud@1.0.0").download(tmp_path / "out")
    made = library.register_model("corp:risk/fraud", weights, "7.0.0", license="MIT", code=False)
    assert made.version == library.get_model("corp:risk/fraud@7.0.0").version


def test_a_model_of_a_registry_is_no_selector_of_an_open_one() -> None:
    with pytest.raises(InvalidError, match="corp:risk/fraud"):
        Selector.parse("corp:risk/fraud")


def test_a_url_of_a_host_is_no_name(corp: Path) -> None:
    assert locate("corp:team/models.git").text == "corp:team/models.git"
    assert corp.is_dir()


def test_a_registry_that_went_away_says_where_it_was(own_corp: Path, gitreg: Gitreg) -> None:
    shutil.move(own_corp, own_corp.with_name("moved"))
    found = gitreg("versions", "corp:risk/fraud")
    assert found.code == NotFoundError.exit_code
    assert str(own_corp) in found.err


def test_the_token_file_of_a_server_is_a_setting_of_the_user(gitreg: Gitreg, tmp_path: Path) -> None:
    key = "https://models.example.com.tokenfile"
    assert gitreg("config", key, tmp_path / "token").out == f"{tmp_path / 'token'}\n"
    keys = {each["key"]: each.get("value") for each in json.loads(gitreg("config", "--json").out)}
    assert keys[f"gitreg.{key}"] == str(tmp_path / "token")
    assert gitreg("config", key, "--unset").code == 0
    assert gitreg("config", key).code == NotFoundError.exit_code
    assert gitreg("config", "https://models.example.com", "x").code == InvalidError.exit_code
