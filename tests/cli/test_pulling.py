"""`pull --locked`, `lock`, `verify` and `cache`, as people call them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import UnavailableError
from gitreg.git import remote
from tests.cli.conftest import WEIGHTS, Result
from tests.registries import git

if TYPE_CHECKING:
    from typing import NoReturn

Gitreg = Callable[..., Result]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a project that uses models."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def spoil(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"x" * len(WEIGHTS))


def test_a_lock_is_pulled_by_who_names_no_registry(
    registry: Path, gitreg: Gitreg, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = gitreg("lock", "risk/fraud@prod")
    assert (done.code, done.lines[-1]) == (0, "wrote models.lock")
    assert done.lines[1].split()[:2] == ["risk/fraud", "1.0.0"]
    assert done.lines[1].split()[3:] == ["models/risk/fraud", "new"]
    monkeypatch.delenv("GITREG_REGISTRY")

    pulled = gitreg("pull", "--locked")
    assert pulled.out == "pulled risk/fraud@1.0.0 into models/risk/fraud (1 file, 16 B, verified)\n"
    assert Path("models/risk/fraud/model.safetensors").read_bytes() == WEIGHTS
    assert gitreg("lock").lines[-1] == "models.lock is up to date"
    assert gitreg("lock", "--check").code == 0
    assert json.loads(gitreg("pull", "--locked", "--json").out)[0]["version"] == "1.0.0"


def test_a_lock_that_is_out_of_date_is_told(own_registry: Path, gitreg: Gitreg) -> None:
    assert gitreg("lock", "risk/fraud@staging", "--folder", "m").code == 0
    assert gitreg("deploy", "risk/fraud@1.0.0", "staging").code == 0
    checked = gitreg("lock", "--check")
    assert (checked.code, "risk/fraud is now 1.0.0, was 1.1.0" in checked.err) == (4, True)
    assert gitreg("pull", "--locked").out.startswith("pulled risk/fraud@1.1.0 into m ")
    assert gitreg("pull", "--locked", "risk/fraud@1.0.0").code == 4


@pytest.mark.parametrize(
    "args", [["pull"], ["pull", "--locked", "--only", "*"], ["verify", "here", "--locked"], ["cache"]], ids=" ".join
)
def test_what_makes_no_sense_is_misuse(registry: Path, gitreg: Gitreg, args: list[str]) -> None:
    assert gitreg(*args).code == 2


def test_a_pulled_folder_is_verified(registry: Path, gitreg: Gitreg, monkeypatch: pytest.MonkeyPatch) -> None:
    gitreg("pull", "risk/fraud@prod", "-o", "m", "--copy")
    monkeypatch.delenv("GITREG_REGISTRY")
    right = gitreg("verify", "m")
    assert (right.code, right.out) == (0, "m: risk/fraud@1.0.0: every byte of 1 file is right (16 B)\n")
    Path("m/more").write_bytes(b"")
    assert gitreg("verify", "m").lines[0] == "more is not a file of the version"
    strange = gitreg("verify", "m", "--exact")
    assert (strange.code, strange.lines[-1].partition(", but ")[2]) == (6, "1 beside them are not of the version")
    spoil(Path("m/model.safetensors"))
    wrong = gitreg("verify", "m")
    assert (wrong.code, wrong.lines[1].split()[:2]) == (6, ["differs", "model.safetensors"])
    assert wrong.lines[-1] == "m: risk/fraud@1.0.0: 1 of 1 files are not as registered; pull again: --force"
    assert gitreg("verify", "m", "--json").code == 6
    assert gitreg("verify", "m", "risk/fraud@prod", "--registry", registry).code == 6
    assert gitreg("verify").code == 3


def test_a_locked_folder_is_verified(registry: Path, gitreg: Gitreg) -> None:
    gitreg("lock", "risk/fraud@prod")
    assert gitreg("verify", "--locked").code == 6
    gitreg("pull", "--locked")
    assert gitreg("verify", "--locked").code == 0


def test_a_signature_that_is_not_there_is_not_verified(registry: Path, gitreg: Gitreg) -> None:
    gitreg("pull", "risk/fraud@prod", "-o", "m")
    Path("key.pem").write_text("no key")
    found = gitreg("verify", "m", "--key", "key.pem")
    assert (found.code, "has no model.sig" in found.err) == (3, True)


def test_the_cache_is_shown_and_pruned(registry: Path, gitreg: Gitreg) -> None:
    empty = gitreg("cache", "show")
    assert (empty.code, "files:  0 (0 B)" in empty.lines) == (0, True)
    gitreg("pull", "risk/fraud@prod", "-o", "m")
    assert json.loads(gitreg("cache", "show", "--json").out)["blob_bytes"] == len(WEIGHTS)
    assert gitreg("cache", "prune", "--size", "1KiB").out == "removed nothing (0 B); 16 B stay\n"
    assert gitreg("cache", "prune", "--dry-run").out == "would remove 1 file (16 B); 0 B stay\n"
    assert gitreg("cache", "prune").out == "removed 1 file (16 B); 0 B stay\n"
    assert gitreg("cache", "prune", "--size", "much").code == 2
    assert Path("m/model.safetensors").read_bytes() == WEIGHTS


def test_a_limit_of_the_environment_is_kept_to(registry: Path, gitreg: Gitreg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITREG_CACHE_SIZE", "10")
    assert gitreg("pull", "risk/fraud@prod", "-o", "m").code == 0
    shown = json.loads(gitreg("cache", "show", "--json").out)
    assert (shown["blobs"], shown["limit"]) == (0, 10)
    monkeypatch.setenv("GITREG_CACHE_SIZE", "much")
    assert gitreg("pull", "risk/fraud@prod", "-o", "m").code == 2


def test_an_exact_version_is_pulled_while_the_server_is_down(
    own_registry: Path, gitreg: Gitreg, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{own_registry}"
    monkeypatch.setenv("GITREG_REGISTRY", url)
    assert gitreg("pull", "risk/fraud@1.0.0", "-o", "first").code == 0

    def down(*_args: object, **_options: object) -> NoReturn:
        raise UnavailableError("the server does not answer")

    monkeypatch.setattr(remote, "fetch", down)
    shutil.rmtree(own_registry.parent / "store")
    assert gitreg("pull", "risk/fraud@1.0.0", "-o", "second").code == 0
    assert Path("second/model.safetensors").read_bytes() == WEIGHTS
    assert gitreg("pull", "risk/fraud@prod", "-o", "third").code == 7  # what prod means now, nobody knows
    assert gitreg("--no-fetch", "pull", "risk/fraud@prod", "-o", "third").code == 0


@pytest.fixture
def store(own_registry: Path, gitreg: Gitreg, project: Path) -> Path:
    """Name the primary store, of which a mirror that the registry names has everything."""
    clone = project.parent / "clone"
    git(project, "clone", "-q", str(own_registry), str(clone))
    with (clone / "registry.yaml").open("a", encoding="utf-8") as settings:
        settings.write(f"mirrors: ['file:{project.parent}/mirror']\n")
    git(clone, "commit", "-q", "--no-verify", "-am", "A mirror")
    git(own_registry, "fetch", "-q", str(clone), "main:main")  # past the hooks
    assert gitreg("store", "sync").code == 0
    return own_registry.parent / "store"


@pytest.mark.parametrize("harm", ["damaged", "shorter", "lost", "unplugged"])
def test_what_the_primary_has_not_right_is_pulled_from_a_mirror(store: Path, gitreg: Gitreg, harm: str) -> None:
    assert gitreg("lock", "risk/fraud@prod").code == 0
    [blob] = [path for path in store.glob("blobs/sha256/*/*") if path.read_bytes() == WEIGHTS]
    if harm == "damaged":
        spoil(blob)
    elif harm == "shorter":
        os.truncate(blob, 5)
    elif harm == "lost":
        blob.unlink()
    else:
        store.rename(store.with_name("elsewhere"))
    pulled = gitreg("pull", "risk/fraud@prod", "-o", "m")
    assert (pulled.code, pulled.err) == (0, "")
    assert gitreg("cache", "prune").code == 0
    assert gitreg("pull", "--locked").code == 0
    assert Path("m/model.safetensors").read_bytes() == Path("models/risk/fraud/model.safetensors").read_bytes()
    assert gitreg("verify", "m").code == 0


def test_what_is_damaged_everywhere_is_told_and_not_pulled(store: Path, gitreg: Gitreg) -> None:
    for folder in (store, Path("../mirror")):
        for blob in folder.glob("blobs/sha256/*/*"):
            spoil(blob)
    pulled = gitreg("pull", "risk/fraud@prod", "-o", "m")
    assert (pulled.code, "model.safetensors: the stored blob sha256:" in pulled.err) == (6, True)
    assert not Path("m").exists()
