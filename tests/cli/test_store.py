"""`gitreg store check` and `gitreg store sync` as people see them."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Result


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True)


@pytest.fixture
def mirror(own_registry: Path) -> Path:
    """Give the registry a mirror, by its own configuration."""
    folder = own_registry.parent / "mirror"
    clone = own_registry.parent / "clone"
    git("clone", "-q", str(own_registry), str(clone))
    settings = clone / "registry.yaml"
    text = settings.read_text(encoding="utf-8")
    assert "store: file:../store" in text
    settings.write_text(f"{text}mirrors: ['file:{folder}']\n", encoding="utf-8")
    git("-C", str(clone), "commit", "-q", "--no-verify", "-am", "A mirror")
    git("-C", str(own_registry), "fetch", "-q", str(clone), "main:main")  # past the hooks
    return folder


def test_a_store_that_is_fine_says_so_step_by_step(gitreg: Callable[..., Result], own_registry: Path) -> None:
    done = gitreg("store", "check")
    assert (done.code, done.err) == (0, "")
    assert done.lines[0].endswith("/store is fine")
    assert [line.split()[0] for line in done.lines[2:]] == ["ok"] * 8
    [trial] = json.loads(gitreg("store", "check", "--read-only", "--json").out)
    assert [step["name"] for step in trial["steps"]] == ["find", "list"]


def test_a_store_that_is_gone_ends_as_its_error_does(gitreg: Callable[..., Result], own_registry: Path) -> None:
    shutil.rmtree(own_registry.parent / "store")
    done = gitreg("store", "check", "--read-only")
    assert done.code == 3
    assert "is not fit" in done.lines[0]
    assert "does not exist" in done.out


def test_a_mirror_is_brought_up_to_date_once(gitreg: Callable[..., Result], mirror: Path) -> None:
    claims = [path for path in (mirror.parent / "store" / "registries").rglob("*") if path.is_file()]
    objects = 1 + len(claims)
    assert f"would get {objects} objects, 16 B; 0 were there" in gitreg("store", "sync", "--dry-run").out
    assert not mirror.exists()
    assert f"got {objects} objects, 16 B; 0 were there" in gitreg("store", "sync").out
    assert f"got 0 objects, 0 B; {objects} were there" in gitreg("store", "sync").out
    assert len([path for path in (mirror / "blobs").rglob("*") if path.is_file()]) == 1


def test_a_damaged_blob_is_not_copied_and_named(gitreg: Callable[..., Result], mirror: Path) -> None:
    [blob] = [path for path in (mirror.parent / "store" / "blobs").rglob("*") if path.is_file()]
    blob.chmod(0o644)
    blob.write_bytes(bytes(16))
    done = gitreg("store", "sync")

    assert done.code == 7
    assert blob.name in done.out
    assert "is damaged" in done.out


def test_a_registration_tells_of_a_mirror_that_is_behind(
    gitreg: Callable[..., Result], mirror: Path, weights: Path
) -> None:
    mirror.mkdir()  # as a mount point is whose disk is away
    other = weights.with_name("other.safetensors")
    other.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    done = gitreg("register", "risk/fraud", other, "--bump", "minor")

    assert done.code == 0, done.err
    assert f"the mirror file:{mirror} is behind" in done.out + done.err
    assert "run gitreg store sync" in done.out + done.err
    refused = gitreg("store", "sync")
    assert (refused.code, list(mirror.iterdir())) == (7, [])
    assert "is an empty folder; nothing was copied: mount its disk" in refused.err
    mirror.rmdir()
    assert gitreg("store", "sync").code == 0
