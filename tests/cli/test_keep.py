"""`gitreg fsck`, `gc`, `bundle`, `unbundle` and `sign` as people see them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Result


@pytest.fixture
def blob(own_registry: Path) -> Path:
    """Name the file of the one blob in the store."""
    [found] = [path for path in (own_registry.parent / "store" / "blobs").rglob("*") if path.is_file()]
    return found


def test_a_sound_store_needs_two_lines(gitreg: Callable[..., Result], own_registry: Path) -> None:
    done = gitreg("fsck", "--deep")
    assert (done.code, done.err) == (0, "")
    assert "is sound (every byte read)" in done.lines[0]
    assert done.lines[1] == "needed: 1 blobs of 2 versions, 16 B"


def test_damage_names_the_versions_and_ends_with_6(gitreg: Callable[..., Result], blob: Path) -> None:
    blob.unlink()
    done = gitreg("fsck")
    assert done.code == 6
    assert "missing: sha256:" in done.lines[0]
    assert "risk/fraud@1.0.0 (model.safetensors), risk/fraud@1.1.0 (model.safetensors)" in done.lines[0]
    [checked] = json.loads(gitreg("fsck", "--json").out)
    assert checked["damage"][0]["kind"] == "missing"


def test_what_was_pulled_lately_repairs_the_store(
    gitreg: Callable[..., Result], blob: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITREG_CACHE", str(tmp_path / "cache"))
    assert gitreg("pull", "risk/fraud@1.0.0", "-o", tmp_path / "out").code == 0
    blob.unlink()
    done = gitreg("fsck", "--repair")
    assert (done.code, blob.is_file()) == (0, True)
    assert "repaired from the cache of this machine" in done.lines[0]


def test_gc_tells_first_and_does_it_when_asked(gitreg: Callable[..., Result], blob: Path) -> None:
    orphan = blob.parents[1] / "ff" / ("f" * 64)
    orphan.parent.mkdir()
    orphan.write_bytes(b"orphan")
    old = time.time() - 30 * 24 * 3600
    os.utime(orphan, (old, old))
    told = gitreg("gc")
    assert (told.code, orphan.is_file(), "within the last hour" in told.out) == (0, True, False)
    assert "1 blob (6 B) would go to the trash" in told.out
    assert "--delete does it" in told.out
    done = gitreg("gc", "--delete")
    assert "1 blob (6 B) went to the trash" in done.out
    assert not orphan.exists()
    assert blob.is_file()
    [collected] = json.loads(gitreg("gc", "--delete", "--trash", "0", "--json").out)
    assert (collected["removed"], collected["dry_run"]) == (["f" * 64], False)


def test_gc_without_grace_tells_of_uploads(gitreg: Callable[..., Result], blob: Path) -> None:
    orphan = blob.parents[1] / "ff" / ("f" * 64)
    orphan.parent.mkdir()
    orphan.write_bytes(b"orphan")
    assert "1 of them came within the last hour: a registration that is still" in gitreg("gc", "--grace", "0").out


def test_a_mistyped_span_is_told(gitreg: Callable[..., Result], own_registry: Path) -> None:
    done = gitreg("gc", "--grace", "soon")
    assert (done.code, "write 12h, 30d, 8w, or 0" in done.err) == (2, True)


def test_a_bundle_goes_out_and_comes_in(gitreg: Callable[..., Result], own_registry: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.bundle"
    written = json.loads(gitreg("bundle", "risk/fraud", "-o", out, "--json").out)
    assert "the bundle is sound: 1 blobs of risk/fraud" in gitreg("unbundle", out).out
    done = gitreg("unbundle", out, tmp_path / "far.git", "--expect", written["digest"])
    assert done.lines[0] == f"made {tmp_path / 'far.git'}: 1 of 1 blobs were new"
    assert gitreg("--registry", tmp_path / "far.git", "versions", "risk/fraud").code == 0
    assert gitreg("unbundle", out, tmp_path / "far.git", "--expect", "sha256:" + "0" * 64).code == 6
    assert gitreg("bundle", "risk/fraud", "-o", out).code == 4
    assert f"store:  file:{tmp_path / 'store'}" in done.out


def test_a_second_bundle_is_told_by_the_file_of_the_first(
    gitreg: Callable[..., Result], own_registry: Path, weights: Path, tmp_path: Path
) -> None:
    gitreg("bundle", "risk/fraud", "-o", tmp_path / "first")
    done = gitreg("bundle", "-o", tmp_path / "second", "--since", tmp_path / "first")
    assert (done.code, "nothing happened since" in done.err) == (2, True)
    gitreg("unbundle", tmp_path / "first", tmp_path / "far" / "far.git")
    gitreg("register", "risk/other", weights, "--version", "1.0.0", "--license", "MIT")
    done = gitreg("bundle", "risk/fraud", "-o", tmp_path / "second", "--since", tmp_path / "first")
    assert "left out: 1 blobs, which came before" in done.out
    done = gitreg("unbundle", tmp_path / "second", tmp_path / "far" / "far.git")
    assert "no weights: of 1 versions, which no bundle brought" in done.out


def test_a_folder_is_signed(gitreg: Callable[..., Result], tmp_path: Path, weights: Path) -> None:
    pytest.importorskip("model_signing")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(weights.read_bytes())
    key = tmp_path / "key.pem"
    make = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key)]
    subprocess.run(make, check=True, capture_output=True)
    done = gitreg("sign", folder, "--key", key)
    assert (done.code, done.out) == (0, f"signed 1 file: {folder / 'model.sig'}\n")
    assert gitreg("sign", folder, "--key", weights).code == 2


def test_upkeep_tells_what_became_of_the_repository(gitreg: Callable[..., Result], own_registry: Path) -> None:
    shown = gitreg("upkeep")
    assert shown.code == 0, shown.err
    assert shown.lines[0] == f"kept up {own_registry}"
    assert all(any(line.startswith(row) for line in shown.lines) for row in ("loose objects", "packs", "loose refs"))
    told = json.loads(gitreg("upkeep", "--full", "--json").out)
    assert (told["after"]["loose_objects"], told["after"]["packs"], told["after"]["loose_refs"]) == (0, 1, 0)
    assert [each["command"].split()[1] for each in told["steps"]] == ["pack-refs", "repack", "commit-graph", "prune"]
